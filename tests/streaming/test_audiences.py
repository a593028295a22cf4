"""Who follows the same shares frames; what somebody follows is followed at every moment."""

import random

from streaming.audiences import Audiences
from streaming.buffer import Outbox

A, B, C = ("quotes", "A"), ("quotes", "B"), ("trades", "A")


def of(*items: tuple[str, str]) -> frozenset[tuple[str, str]]:
    """What a socket follows."""
    return frozenset(items)


def test_sockets_that_follow_the_same_are_one_audience() -> None:
    audiences, one, other = Audiences(), Outbox(), Outbox()
    audiences.move(one, of(A, B))
    audiences.move(other, of(B, A))

    (audience,) = audiences.of(A)
    assert audience.sockets == {one, other}
    assert [*audiences.of(B)] == [audience]

    audiences.move(other, of(A))
    assert {frozenset(each.sockets) for each in audiences.of(A)} == {of_(one), of_(other)}
    assert audience.sockets == {one}


def of_(*sockets: Outbox) -> frozenset[Outbox]:
    """Sockets."""
    return frozenset(sockets)


def test_any_moves_leave_each_item_with_those_who_follow_it_and_nothing_else() -> None:
    audiences, sockets, follows = Audiences(), [Outbox() for _ in range(5)], {}
    dice = random.Random(7)  # noqa: S311 - any moves will do
    for _ in range(500):
        socket = dice.choice(sockets)
        follows[socket] = of(*dice.sample([A, B, C], dice.randint(0, 3)))
        audiences.move(socket, follows[socket])

        for item in (A, B, C):
            found = [each for audience in audiences.of(item) for each in audience.sockets]
            assert sorted(map(id, found)) == sorted(
                id(each) for each, items in follows.items() if item in items
            )
            assert (item in audiences) == bool(found)
    for socket in sockets:
        audiences.move(socket, of())

    assert len(audiences) == 0
    assert audiences.followed(sockets[0]) == of()
    assert not [*audiences.all()]
