"""An open socket of a token that is denied meanwhile, or barred, is judged anew (G14)."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from accounts import denials
from accounts.tokens import verifier
from tests.accounts.custodial import ME
from tests.streaming import orders
from tests.streaming.conftest import Token
from tests.streaming.stream_process import Client, StreamProcess

pytestmark = pytest.mark.django_db

Connect = Callable[..., Client]


@pytest.fixture
def sub() -> str:
    """A subject nobody else has."""
    return f"sub-{uuid4().hex[:12]}"


def test_an_open_socket_of_a_denied_token_is_closed_and_no_other(
    client: Connect, account: Callable[[], str], token: Token, sub: str
) -> None:
    mine = account()
    stolen = token(mine, sub=sub)
    denied, other = client(stolen), client(token(mine, sub=sub))
    denied.follows(mine)
    other.follows(mine)

    jti = verifier().principal(stolen).jti or ""
    denials.deny("jti", jti, until=None, actor=ME, reason="stolen")

    told = denied.last_words()[-1]
    assert (told["code"], told["detail"]) == (402, "The token is not valid.")
    assert denied.end() == 4401
    orders.place(mine)
    assert other.hears_next("order")["account_id"] == mine


def test_every_socket_of_a_denied_subject_is_closed_and_none_opens(
    client: Connect, stream: StreamProcess, token: Token, sub: str
) -> None:
    sockets = [client(token("A", sub=sub)), client(token("B", sub=sub))]

    denials.deny("sub", sub, until=None, actor=ME, reason="left")

    for socket in sockets:
        assert socket.last_words()[-1]["code"] == 402
        assert socket.end() == 4401
    with stream.client(token=token("A", sub=sub)) as late:
        late.hears()
        assert late.hears()[0]["detail"] == "The token is not valid."
        assert late.end() == 4401


def test_a_socket_from_elsewhere_is_a_token_that_is_not_valid(
    client: Connect, token: Token, sub: str
) -> None:
    denials.set_subject(sub, {"allowed_ips": ["127.0.0.0/8"]}, actor=ME, reason="its office")
    socket = client(token("A", sub=sub))
    assert socket.asks(action="ping")[0]["msg"] == "pong"

    # Nobody trusts what a client says of itself.
    denials.set_subject(sub, {"allowed_ips": ["10.0.0.0/8"]}, actor=ME, reason="moved back")
    assert socket.end() == 4401
    spoofed = client(X_Forwarded_For="10.0.0.1")
    answer = spoofed.asks(action="auth", token=token("A", sub=sub))

    assert (answer[0]["code"], answer[0]["detail"]) == (402, "The token is not valid.")
    assert spoofed.end() == 4401


def test_an_account_barred_from_here_is_followed_no_more(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    barred, other = sorted([account(), account()])
    socket = client(token(barred, other))
    socket.follows(barred, other)

    denials.set_networks(barred, ["10.0.0.0/8"], actor=ME, reason="its office")

    assert socket.hears_next("subscription")["orders"] == [other]
    assert socket.refused(action="subscribe", orders=[barred]) == 4404
    orders.place(barred)
    orders.place(other)
    assert socket.hears_next("order")["account_id"] == other
