"""429: off unless asked for; each API refuses in its own dialect."""

from collections import Counter
from collections.abc import Iterator

import pytest
import requests

from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

pytestmark = pytest.mark.contract


@pytest.fixture
def enforced(broker: SandboxProcess) -> Iterator[None]:
    broker.post("limits", {"enforced": True, "per_minute": 2})
    yield
    broker.post("limits", {"enforced": False})


def refused(broker: SandboxProcess, account: str, method: str, path: str) -> requests.Response:
    """Send until refused: the minute may turn over while we count."""

    def send() -> list[requests.Response]:
        answer = broker.trade(account, method, path)
        return [answer] if answer.status_code == 429 else []

    return until(send)[0]


def test_more_than_allowed_is_counted_but_answered_by_default(
    broker: SandboxProcess, account: str
) -> None:
    answers = [broker.trade(account, "GET", "/v2/clock") for _ in range(203)]

    assert {answer.status_code for answer in answers} == {200}
    windows = Counter(answer.headers["X-Ratelimit-Reset"] for answer in answers)
    last = windows[answers[-1].headers["X-Ratelimit-Reset"]]
    assert answers[-1].headers["X-Ratelimit-Remaining"] == str(max(200 - last, 0))


@pytest.mark.usefixtures("enforced")
def test_a_throttled_submit_is_refused_and_not_in_the_books(
    broker: SandboxProcess, account: str
) -> None:
    answer = refused(broker, account, "POST", "/v2/orders")

    assert answer.json() == {"code": 42910000, "message": "rate limit exceeded"}
    assert answer.headers["X-Ratelimit-Remaining"] == "0"
    assert broker.ledger(account=account)[-1]["status"] == 429


@pytest.mark.usefixtures("enforced")
def test_throttled_data_has_no_code_and_no_limit_headers(
    broker: SandboxProcess, account: str
) -> None:
    answer = refused(broker, account, "GET", "/v2/stocks/AAPL/quotes/latest")

    assert answer.json() == {"message": "too many requests."}
    assert "X-Ratelimit-Limit" not in answer.headers
