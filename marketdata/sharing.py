"""Which data socket carries which symbol. Pure.

Data accounts carry everything while they can, each within its plan's limit. The master is used
where there are none, the backup where the others fail. A symbol stays where it is as long as that
is a place for it: moving it costs a moment without prices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf


@dataclass(frozen=True, slots=True)
class Outlet:
    """A socket that can carry symbols.

    rank: those of the lowest rank are used first. room: the most symbols, inf for no limit.
    is_failing: it does not listen, and should.
    """

    name: str
    rank: int
    room: float = inf
    is_failing: bool = False


def in_use(outlets: Sequence[Outlet], symbols: int) -> list[Outlet]:
    """Choose the sockets that are to be open for so many symbols.

    Those that fail are kept open in trying; the next rank helps out as long as they do.
    """
    used: list[Outlet] = []
    room = 0.0
    for _, members in groupby(sorted(outlets, key=_order), key=lambda one: one.rank):
        group = list(members)
        used += group
        room += sum(one.room for one in group if not one.is_failing)
        if not any(one.is_failing for one in used) or room >= max(1, symbols):
            break
    return used


def share(
    demand: Mapping[str, int], outlets: Sequence[Outlet], before: Mapping[str, str]
) -> dict[str, str]:
    """Give each symbol a socket's name; those for which there is no room have none.

    demand: how often each symbol is held; those that are only asked for (0) come last. before: who
    carries what now.
    """
    able = [one for one in outlets if not one.is_failing] or list(outlets)
    ranks = {one.name: one.rank for one in able}
    room = {one.name: one.room for one in able}
    load = dict.fromkeys(room, 0)
    shared: dict[str, str] = {}
    for symbol in sorted(demand, key=lambda each: (-demand[each], each not in before, each)):
        here = before.get(symbol)
        if here is None or load.get(here, inf) >= room.get(here, 0):
            open_ones = [name for name in room if load[name] < room[name]]
            here = min(open_ones, key=lambda name: (ranks[name], load[name], name), default=None)
        if here is not None:
            shared[symbol] = here
            load[here] += 1
    return shared


def _order(one: Outlet) -> tuple[int, str]:
    return one.rank, one.name
