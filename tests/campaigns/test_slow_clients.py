"""The slow-clients campaign's short case: crowds at a web process, and another subject's orders."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pytest_django import DjangoDbBlocker

from tests.api import processes
from tests.campaigns.crawlers import Crowd, Kind, kinds
from tests.campaigns.slow_clients import Honest
from tests.support.accounts import open_accounts, token
from tests.support.until import until

pytestmark = pytest.mark.journeys

CLIENTS = 20
SECONDS = 0.3


@pytest.fixture(scope="module")
def scene(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[int, dict[str, Kind], Honest]]:
    """A web process, the kinds of slow clients it may see, and somebody honest."""
    folder: Path = tmp_path_factory.mktemp("web")
    with django_db_blocker.unblock():
        slow, mine = open_accounts(2)
        every = kinds(f"/api/v1/accounts/{slow}/orders/stocks", token([slow], sub="slow"))
        bearer = token([mine], sub="honest")
    with processes.web(folder) as origin:
        honest = Honest(origin, bearer, [mine])
        until(lambda: honest.trade(0.01).statuses["202"] == 1)
        yield urlsplit(origin).port or 0, {kind.name: kind for kind in every}, honest


# How each of them is answered while they hold on; None: not yet, and cut off in ten seconds.
ANSWERS = {
    "silent": None,
    "slow-headers": None,
    "slow-bodies": 401,
    "endless-bodies": 401,
    "slow-sign-ins": 503,
    "slow-bodies-of-one-subject": 503,
    "bodies-of-one-subject-that-never-come": 503,
}


@pytest.mark.parametrize(("name", "status"), ANSWERS.items())
def test_slow_clients_hold_up_nobody_else(
    scene: tuple[int, dict[str, Kind], Honest], name: str, status: int | None
) -> None:
    port, every, honest = scene

    with Crowd(port, every[name], CLIENTS, come_again_seconds=0.2) as crowd:
        until(lambda: crowd.opened >= CLIENTS)
        if status is not None:
            # Few of a subject's hold a place; all others were told so.
            until(lambda: crowd.statuses[status] >= CLIENTS - 4)
        # However slow the machine is, it places one and reads one.
        traffic = honest.trade(SECONDS, least=2)

    assert set(traffic.statuses) == {"200", "202"}
    assert set(crowd.statuses) <= {status}


def test_every_kind_of_the_campaign_has_its_short_case() -> None:
    assert [kind.name for kind in kinds("/", "")] == list(ANSWERS)
