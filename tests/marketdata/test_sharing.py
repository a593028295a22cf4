"""Which socket carries which symbol: within limits, where it was, the most wanted first."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from marketdata.sharing import Outlet, in_use, share

ONE, TWO = Outlet("data_001", 0), Outlet("data_002", 0)
MASTER, BACKUP = Outlet("master", 1), Outlet("backup", 2)


def failing(one: Outlet) -> Outlet:
    return Outlet(one.name, one.rank, one.room, is_failing=True)


def names(outlets: list[Outlet]) -> list[str]:
    return [one.name for one in outlets]


def test_data_accounts_carry_everything_while_they_can() -> None:
    assert names(in_use([ONE, TWO, MASTER, BACKUP], 1000)) == ["data_001", "data_002"]
    assert names(in_use([failing(ONE), TWO, MASTER, BACKUP], 1000)) == ["data_001", "data_002"]


def test_without_data_accounts_it_is_the_master() -> None:
    assert names(in_use([MASTER, BACKUP], 1)) == ["master"]
    assert in_use([], 1) == []


def test_where_the_others_fail_the_next_helps_out() -> None:
    assert names(in_use([failing(ONE), MASTER, BACKUP], 1)) == ["data_001", "master"]
    bad = [failing(ONE), failing(MASTER), BACKUP]
    assert names(in_use(bad, 1)) == ["data_001", "master", "backup"]
    short = [failing(ONE), Outlet("data_002", 0, 30), MASTER]
    assert names(in_use(short, 31)) == ["data_001", "data_002", "master"]


def test_a_limit_alone_calls_no_backup() -> None:
    assert names(in_use([Outlet("data_001", 0, 30), BACKUP], 31)) == ["data_001"]


def test_symbols_are_spread_evenly_and_stay_where_they_are() -> None:
    first = share(dict.fromkeys("ABCD", 1), [ONE, TWO], {})
    assert sorted(first.values()) == ["data_001"] * 2 + ["data_002"] * 2

    again = share(dict.fromkeys("ABCDE", 1), [ONE, TWO], first)
    assert {symbol: again[symbol] for symbol in "ABCD"} == first


def test_symbols_of_a_socket_that_fails_go_to_another_and_what_is_better_gets_them_back() -> None:
    before = {"A": "data_001"}
    moved = share({"A": 1}, [failing(ONE), BACKUP], before)
    assert moved == {"A": "backup"}
    assert share({"A": 1}, [ONE], moved) == before


def test_where_all_fail_symbols_wait_where_they_are() -> None:
    assert share({"A": 1}, [failing(ONE), failing(TWO)], {"A": "data_002"}) == {"A": "data_002"}
    assert share({"A": 1}, [], {"A": "data_002"}) == {}


def test_who_follows_comes_before_who_asked_once() -> None:
    full = [Outlet("data_001", 0, 2)]
    before = {"A": "data_001", "B": "data_001"}

    assert share({"A": 0, "B": 0, "C": 1}, full, before).keys() == {"A", "C"}
    assert share({"A": 2, "B": 1, "C": 1}, full, before).keys() == {"A", "B"}


@given(
    demand=st.dictionaries(st.text("ABCDEFGH", min_size=1, max_size=2), st.integers(0, 3)),
    outlets=st.lists(
        st.builds(
            Outlet,
            name=st.sampled_from(["a", "b", "c", "d"]),
            rank=st.integers(0, 2),
            room=st.sampled_from([0.0, 1.0, 3.0, inf]),
            is_failing=st.booleans(),
        ),
        unique_by=lambda one: one.name,
    ),
    before=st.dictionaries(st.text("ABCDEFGH", min_size=1, max_size=2), st.sampled_from("abcde")),
)
def test_no_socket_carries_more_than_it_can_and_none_is_idle_while_a_symbol_waits(
    demand: dict[str, int], outlets: list[Outlet], before: dict[str, str]
) -> None:
    shared = share(demand, outlets, before)

    carried = {one.name: sum(name == one.name for name in shared.values()) for one in outlets}
    assert shared.keys() <= demand.keys()
    assert all(carried[one.name] <= one.room for one in outlets)
    able = [one for one in outlets if not one.is_failing] or outlets
    if shared.keys() < demand.keys():
        assert all(carried[one.name] == one.room for one in able)
        left_out = max(demand[symbol] for symbol in demand.keys() - shared.keys())
        assert all(demand[symbol] >= left_out for symbol in shared)
    # Nothing moves for nothing.
    again = share(demand, outlets, shared)
    assert again == shared
