"""A process takes a new roster over: clients are swapped, calls under way keep theirs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts import journal
from accounts.models import Account
from accounts.pool import Pool
from accounts.roster.importing import Import
from accounts.roster.reading import parse
from opitios.core.config import Role, get_config
from tests.accounts.rosters import STRICT, entry, roster

pytestmark = pytest.mark.usefixtures("roster_alone")

LATER = '{api_key: "SANDBOX_pool-A.2", secret_key: "later"}'


def imported(*accounts: str) -> None:
    """Apply a file of these accounts."""
    asked = Import(journal.system("test"), "a test")
    asked.run(lambda: parse(roster(*accounts).encode(), STRICT))


@pytest.fixture
def pools(tmp_path: Path) -> Iterator[dict[Role, Pool]]:
    """A pool of a web process and one of a desk, that know two accounts."""
    imported(entry("pool-A"), entry("pool-B"))
    roles: tuple[Role, ...] = ("web", "desk")
    pools = {role: Pool(get_config().model_copy(update={"role": role})) for role in roles}
    for pool in pools.values():
        pool.refresh()
    yield pools
    for pool in pools.values():
        pool.stop()


def test_another_key_makes_other_clients_with_the_same_budget(pools: dict[Role, Pool]) -> None:
    pool = pools["desk"]
    before = pool.get("pool-A")
    other = pool.get("pool-B")
    assert before is not None

    imported(entry("pool-A", alpaca_credentials=LATER), entry("pool-B"))

    assert pool.refresh()
    after = pool.get("pool-A")
    assert after is not None
    assert (after.key_version, after.credentials.key_id) == (2, "SANDBOX_pool-A.2")
    # Who is calling holds the old clients, which work on.
    assert (before.key_version, before.credentials.key_id) == (1, "SANDBOX_pool-A")
    assert after.clients is not before.clients
    assert after.guard is before.guard
    assert pool.get("pool-B") is other


def test_an_account_that_left_is_unknown_to_web_and_closing_at_the_desk(
    pools: dict[Role, Pool],
) -> None:
    imported(entry("pool-B"))

    for pool in pools.values():
        assert pool.refresh()
    assert pools["web"].get("pool-A") is None
    left = pools["desk"].get("pool-A")
    assert left is not None
    assert left.closing
    data = [account.account_id for account in pools["desk"].data_accounts()]
    assert "pool-A" not in data


def test_an_account_that_comes_back_is_closing_no_more(pools: dict[Role, Pool]) -> None:
    imported(entry("pool-B"))
    imported(entry("pool-A"), entry("pool-B"))

    for pool in pools.values():
        pool.refresh()
        account = pool.get("pool-A")
        assert account is not None
        assert not account.closing
    assert not Account.objects.get(pk="pool-A").closing


def test_a_roster_without_news_is_not_loaded_again(pools: dict[Role, Pool]) -> None:
    calls: list[str] = []
    pools["web"].on_change(lambda: calls.append("changed"))

    assert not pools["web"].refresh()
    imported(entry("pool-B"))
    assert pools["web"].refresh()
    assert calls == ["changed"]
