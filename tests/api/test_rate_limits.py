"""R23: the limits of every level, judged after 401, 404 and 403 and before the body is read."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.http import HttpResponse

from accounts.pool import get_pool
from accounts.tokens import verifier
from opitios.core import clock
from opitios.core.admission import Rules, get_admission
from opitios.core.config import InboundLimits
from tests.api.calls import GOOD, Api, problem, read
from tests.support.accounts import open_account, token
from trading import queries

pytestmark = pytest.mark.django_db

Limit = Callable[..., None]
# Nothing but what a test limits.
OPEN = dict.fromkeys(InboundLimits.model_fields)
HEADERS = (
    *("RateLimit-Policy", "RateLimit"),
    *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
)


@pytest.fixture
def limit(still: None) -> Iterator[Limit]:
    """Have these limits alone; none of them is earned back in a test."""
    admission = get_admission()
    before = admission.rules

    def change(**limits: int) -> None:
        admission.rules = Rules(InboundLimits.model_validate(OPEN | limits))

    yield change
    admission.rules = before


def named(sub: str, account: str, **claims: Any) -> Api:
    """A caller of a name of its own, with these claims beside the usual."""
    now = int(clock.now().timestamp())
    told = {"sub": sub, "iat": now, "exp": now + 600, "account_id": account} | claims
    permissions = {"permissions": ["trade", "account_read", "market_data", "admin"]}
    return Api(account, verifier().sign(permissions | told, fleet=False))


def statuses(call: Callable[[], HttpResponse], times: int) -> list[int]:
    """Call so often."""
    return [call().status_code for _ in range(times)]


def stored(api: Api) -> int:
    """How many orders the account has."""
    return len(queries.orders_where("account_id = %s", (api.account,)))


def test_r23_so_many_orders_a_minute_and_the_next_is_refused_unread_and_not_stored(
    api: Api, limit: Limit
) -> None:
    limit(subject_orders_per_minute=3)
    caller = named("r23-orders", api.account)

    assert statuses(caller.place, 3) == [202] * 3
    refused = caller.place(b"not even JSON")

    told = problem(refused, 429, "rate-limited")
    assert "`subject-orders` is 3 in 60 s" in told["detail"]
    assert told["account_id"] == api.account
    assert told["retry_after_ms"] == 1000 * int(refused["Retry-After"])
    assert int(refused["Retry-After"]) == 20
    assert stored(api) == 3


@pytest.mark.parametrize(
    ("setting", "name", "call"),
    [
        ("requests_per_second", "global", lambda each: each.get()),
        ("account_per_second", "account", lambda each: each.get()),
        ("subject_per_minute", "subject", lambda each: each.get()),
        ("subject_per_minute", "subject", lambda each: each.place()),
        ("orders_per_minute", "endpoint-orders", lambda each: each.get()),
        ("positions_per_minute", "endpoint-positions",
         lambda each: each.call("GET", f"/api/v1/accounts/{each.account}/positions")),
        ("quotes_per_minute", "endpoint-quotes",
         lambda each: each.call("GET", "/api/v1/stocks/quote/AAPL")),
        ("subject_market_data_per_second", "subject-market-data",
         lambda each: each.call("GET", "/api/v1/stocks/quote/AAPL")),
        ("cancels_per_second", "cancels", lambda each: each.delete("nobody")),
        ("controls_per_second", "controls",
         lambda each: each.call("POST", "/api/v1/accounts/reload", {"dry_run": True})),
    ],
)  # fmt: skip
def test_r23_every_level_refuses_what_is_beyond_it(
    api: Api, limit: Limit, setting: str, name: str, call: Callable[[Api], HttpResponse]
) -> None:
    caller = named(f"r23-{setting}", api.account)
    limit(**{setting: 1})

    answers = [call(caller) for _ in range(3)]

    # The first may find the broker away or the order gone: it was asked all the same.
    assert answers[0].status_code != 429
    assert answers[1].status_code == 429
    assert f"`{name}`" in read(answers[1])["detail"]


def test_r23_a_token_brings_a_limit_of_its_own_and_nothing_is_nothing(
    api: Api, limit: Limit
) -> None:
    limit()
    two = named("r23-two", api.account, rate_limits={"requests_per_minute": 2})
    none = named("r23-none", api.account, rate_limits={"requests_per_minute": 0})

    assert statuses(two.get, 3) == [200, 200, 429]
    assert statuses(none.get, 1) == [429]


def test_one_subject_s_limit_is_no_other_s_and_no_other_account_s(api: Api, limit: Limit) -> None:
    limit(subject_per_minute=1)
    other = open_account()
    get_pool().refresh()
    both = {"account_ids": [api.account, other]}
    claims = {"sub": "r23-one", "permissions": ["account_read"], **both}
    now = int(clock.now().timestamp())
    mine = verifier().sign({"iat": now, "exp": now + 600, **claims}, fleet=False)
    here, there = Api(api.account, mine), Api(other, mine)

    assert statuses(here.get, 2) == [200, 429]
    assert statuses(there.get, 2) == [200, 429]
    assert statuses(named("r23-another", api.account).get, 1) == [200]


def test_g16_cancels_have_an_allowance_that_nothing_else_uses(api: Api, limit: Limit) -> None:
    limit(account_per_second=2, subject_per_minute=2, cancels_per_second=50)
    caller = named("r23-cancels", api.account)
    placed = [read(caller.place())["id"] for _ in range(2)]
    assert caller.place().status_code == 429

    canceled = [caller.delete(order_id).status_code for order_id in placed]

    assert canceled == [200, 200]
    assert caller.call("DELETE", caller.orders).status_code == 207


def test_g16_halts_have_an_allowance_that_nothing_else_uses(api: Api, limit: Limit) -> None:
    limit(account_per_second=1, subject_per_minute=1, controls_per_second=50)
    caller = named("r23-halts", api.account)
    assert statuses(caller.get, 2) == [200, 429]

    halt = {"scope": "account", "account_id": api.account, "reason": "test"}
    set_one = caller.call("POST", "/api/v1/halts", halt)
    lifted = caller.call("DELETE", f"/api/v1/halts/{read(set_one)['id']}")

    assert (set_one.status_code, lifted.status_code) == (201, 200)


def test_refusals_come_in_order_and_a_stranger_uses_up_nobody_s_permits(
    api: Api, limit: Limit
) -> None:
    limit(account_per_second=1)
    stranger = Api(api.account, token(["somebody-else"], sub="r23-stranger"))
    reader = Api(api.account, token([api.account], permissions=["account_read"], sub="r23-reader"))

    assert statuses(lambda: api.get(Authorization="Bearer no"), 3) == [401] * 3
    assert statuses(stranger.get, 3) == [404] * 3
    assert statuses(reader.place, 3) == [403] * 3
    assert statuses(lambda: api.place(b"{"), 2) == [400, 429]


def test_every_answer_tells_the_tightest_limit(api: Api, limit: Limit) -> None:
    limit(requests_per_second=1000, subject_per_minute=120)
    caller = named("r23-headers", api.account)
    before = clock.now().timestamp()

    answer = caller.get()

    assert answer["RateLimit-Policy"] == '"subject";q=120;w=60'
    assert answer["RateLimit"] == '"subject";r=119;t=1'
    assert answer["X-RateLimit-Limit"] == "120"
    assert answer["X-RateLimit-Remaining"] == "119"
    # Half a second after it was answered, rounded up.
    assert before <= int(answer["X-RateLimit-Reset"]) <= clock.now().timestamp() + 2


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200), ("/health/live", 200), ("/api/v1/health", 200), ("/api/v1/token", 200),
        ("/api/v1/none", 404), ("/api/v1/pool", 403),
    ],
)  # fmt: skip
def test_answers_that_no_limit_was_asked_for_tell_the_limit_of_all(
    api: Api, path: str, status: int
) -> None:
    answer = api.call("GET", path)

    assert answer.status_code == status
    assert all(answer[name] for name in HEADERS)
    assert answer["RateLimit-Policy"].startswith('"global"')
    assert all(api.call("GET", path, Authorization="Bearer no")[name] for name in HEADERS)


def test_get_limits_tells_each_limit_as_it_stands(api: Api, limit: Limit) -> None:
    limit(requests_per_second=1000, subject_per_minute=60, subject_orders_per_minute=10)
    caller = named("r23-shown", api.account, rate_limits={"requests_per_minute": 30})
    caller.place()
    before = clock.now()

    rows = {
        (row["name"], row["account_id"]): row
        for row in read(caller.get("/api/v1/limits"))["limits"]
    }

    orders = rows["subject-orders", api.account]
    assert (orders["level"], orders["value"], orders["used"], orders["left"]) == (
        "subject",
        10,
        1,
        9,
    )
    assert orders["per_seconds"] == 60
    six = timedelta(seconds=6)
    assert before + six <= datetime.fromisoformat(orders["resets_at"]) <= clock.now() + six
    assert rows["subject", api.account]["used"] == 1
    # The question itself counts where it is no account's.
    assert rows["token", None]["used"] == 2
    assert rows["token", None]["value"] == 30
    assert rows["global", None]["value"] == 1000


def test_get_token_tells_its_limits_too(api: Api, limit: Limit) -> None:
    limit(requests_per_second=1000)
    caller = named(
        "r23-told", api.account, rate_limits={"requests_per_minute": 30, "orders_per_day": 5}
    )

    rows = {row["name"]: row for row in read(caller.get("/api/v1/token"))["limits"]}

    assert (rows["token"]["value"], rows["token"]["used"]) == (30, 1)
    assert rows["orders-per-day"]["value"] == 5
    assert rows["global"]["value"] == 1000


def test_settings_that_limit_nothing_are_possible(api: Api, limit: Limit) -> None:
    limit()

    answer = api.place(GOOD)

    assert answer.status_code == 202
    assert all(answer[name] for name in HEADERS)
