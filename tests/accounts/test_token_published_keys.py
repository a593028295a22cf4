"""An issuer's published keys: read in the background, kept while it is away."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine

from accounts import jwks
from accounts.jwks import PublishedKeys, source_of
from accounts.tokenkeys import BadTokenKeys, Demands
from accounts.tokens import Verifier
from opitios.core import clock
from opitios.core.config import Timers
from opitios.core.errors import Problem, Reason
from tests.accounts.issuer import (
    claims,
    hs256,
    pair,
    pair_token,
    public_key,
    refused,
    rs_token,
    rsa_pair,
    token,
)
from tests.accounts.jwks_server import JwksServer, jwk
from tests.support.until import until

ES, ED = jwk("ES256", pair("ES256")[0]), jwk("EdDSA", pair("EdDSA")[0])
RS = jwk("RS256", rsa_pair()[0], "rs")
TIMERS = Timers(jwks_refresh=0.2, jwks_cooldown=0.05)


@pytest.fixture
def issuer() -> Iterator[JwksServer]:
    """An issuer that publishes a key of each kind."""
    with JwksServer() as server:
        server.publish(ES, ED, RS)
        yield server


def following(
    issuer: JwksServer, *keys: Any, timers: Timers | None = None, **demands: Any
) -> tuple[Verifier, PublishedKeys]:
    """A verifier with these keys and the issuer's."""
    wanted = Demands(**demands)
    made = Verifier(keys, wanted)
    source = source_of(issuer.url, demo=False)
    published = PublishedKeys(source, wanted, timers or Timers(), on_change=made.forget)
    made.follow(published)
    return made, published


def test_keys_of_every_kind_are_read(issuer: JwksServer) -> None:
    ring, published = following(issuer)

    assert published.refresh()

    for good in (pair_token("ES256"), pair_token("EdDSA"), rs_token()):
        assert ring.principal(good).sub == "bot-7"


def test_a_request_never_asks_the_issuer(issuer: JwksServer) -> None:
    ring, published = following(issuer)

    with pytest.raises(Problem) as caught:
        ring.principal(pair_token("ES256"))
    assert caught.value.reason is Reason.UNAVAILABLE
    published.refresh()
    with refused():
        ring.principal(pair_token("ES256", kid="unknown"))

    assert issuer.asked == 1


def test_without_any_key_odd_tokens_and_those_of_the_ring_are_judged(issuer: JwksServer) -> None:
    ring, _ = following(issuer, hs256())

    assert ring.principal(token()).key_id == "hs"
    for odd in ("a.b.c", token(header={"alg": "HS256"}), token(secret="x" * 40)):
        with refused():
            ring.principal(odd)


@pytest.mark.parametrize("fault", ["status", "body", "empty", "redirect", "length", "endless"])
def test_an_issuer_that_fails_changes_nothing(issuer: JwksServer, fault: str) -> None:
    ring, published = following(issuer)
    published.refresh()
    if fault == "status":
        issuer.status = 500
    elif fault == "redirect":
        issuer.status, issuer.headers = 302, {"Location": issuer.url}
    elif fault == "length":
        issuer.headers = {"Content-Length": str(jwks.MAX_BYTES + 1)}
    elif fault == "endless":
        issuer.body, issuer.headers = b" " * (jwks.MAX_BYTES + 1), {"Connection": "close"}
    else:
        issuer.body = b'{"keys":[]}' if fault == "empty" else b"<html>"

    assert not published.refresh()

    assert ring.principal(pair_token("ES256")).key_id == "ES256"
    assert issuer.asked == 2


def test_an_issuer_that_does_not_answer_is_given_up(
    issuer: JwksServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring, published = following(issuer)
    published.refresh()
    monkeypatch.setattr(jwks, "TOTAL_SECONDS", 0.2)
    issuer.answers.clear()

    assert not published.refresh()
    assert ring.principal(pair_token("ES256")).key_id == "ES256"


def test_stale_keys_are_kept_for_a_day_and_then_nobody_can_say(
    issuer: JwksServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring, published = following(issuer)
    published.refresh()
    issuer.status = 503
    begun = clock.monotonic()

    monkeypatch.setattr(clock, "monotonic", lambda: begun + jwks.STALE_SECONDS - 60)
    assert not published.refresh()
    assert ring.principal(pair_token("ES256")).key_id == "ES256"
    assert ring.trusts("ES256")
    monkeypatch.setattr(clock, "monotonic", lambda: begun + jwks.STALE_SECONDS + 60)
    assert not ring.trusts("ES256")
    with pytest.raises(Problem) as caught:
        ring.principal(pair_token("ES256", claims(jti="later")))
    assert caught.value.reason is Reason.UNAVAILABLE
    issuer.status = 200
    assert published.refresh()
    assert ring.principal(pair_token("ES256", claims(jti="later"))).jti == "later"


def test_a_key_that_left_the_set_is_in_force_no_more(issuer: JwksServer) -> None:
    ring, published = following(issuer)
    published.refresh()
    remembered = pair_token("ES256")
    ring.principal(remembered)

    issuer.publish(ED)
    published.refresh()

    assert not ring.trusts("ES256")
    with refused():
        ring.principal(remembered)


def test_the_loop_reads_again_and_sooner_for_a_key_it_does_not_know(issuer: JwksServer) -> None:
    issuer.publish(ED)
    timers = Timers(jwks_refresh=600, jwks_cooldown=0.05)
    ring, published = following(issuer, timers=timers)
    published.start()
    try:
        until(lambda: ring.trusts("EdDSA"))
        issuer.publish(ES, ED)
        with refused():
            ring.principal(pair_token("ES256"))
        until(lambda: ring.trusts("ES256"))
        assert ring.principal(pair_token("ES256")).sub == "bot-7"
    finally:
        published.stop()


def test_unknown_keys_make_nobody_ask_all_the_time(issuer: JwksServer) -> None:
    ring, published = following(issuer, timers=Timers(jwks_refresh=600, jwks_cooldown=600))
    published.start()
    try:
        until(lambda: ring.trusts("ES256"))
        for number in range(50):
            with refused():
                ring.principal(pair_token("ES256", kid=f"k{number}"))
        assert issuer.asked == 1
    finally:
        published.stop()


def test_the_loop_goes_on_when_the_issuer_comes_late(issuer: JwksServer) -> None:
    issuer.status = 500
    ring, published = following(issuer, timers=TIMERS)
    published.start()
    try:
        until(lambda: issuer.asked > 1)
        issuer.publish(ES)
        until(lambda: ring.trusts("ES256"))
        until(lambda: issuer.asked > 4)
    finally:
        published.stop()


def test_published_keys_are_not_of_the_fleet_unless_named(issuer: JwksServer) -> None:
    whole_fleet = pair_token("ES256", claims(account_scope="all"))
    plain, first = following(issuer)
    named, second = following(issuer, fleet_kids=("ES256",))
    first.refresh()
    second.refresh()

    with refused():
        plain.principal(whole_fleet)
    assert named.principal(whole_fleet).accounts is None
    with refused():
        named.principal(pair_token("EdDSA", claims(account_scope="all")))


def test_the_ring_wins_over_a_published_key_of_the_same_name(issuer: JwksServer) -> None:
    issuer.publish(jwk("EdDSA", pair("EdDSA")[0], "ES256"))
    ring, published = following(issuer, public_key("ES256"))
    published.refresh()

    assert ring.principal(pair_token("ES256")).key_id == "ES256"
    with refused():
        ring.principal(pair_token("EdDSA", kid="ES256"))


def test_a_token_without_a_key_id_is_refused_where_keys_are_published(issuer: JwksServer) -> None:
    ring, published = following(issuer, hs256())
    published.refresh()

    with refused():
        ring.principal(token(header={"alg": "HS256"}))


def number(value: int, length: int) -> str:
    """A number as a key has it."""
    return base64.urlsafe_b64encode(value.to_bytes(length, "big")).rstrip(b"=").decode()


ODD_KEYS: list[Any] = [
    {"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "ES256", "alg": "HS256"},
    ES | {"d": ES["x"]},
    ES | {"kid": None},
    ES | {"kid": 7},
    ES | {"kid": ""},
    ES | {"kid": "k" * 65},
    ES | {"kid": "a\nb"},
    ES | {"use": "enc"},
    ES | {"key_ops": ["sign", "verify"]},
    ES | {"key_ops": "verify"},
    ES | {"alg": "ES512"},
    ES | {"alg": "none"},
    ES | {"alg": ["ES256"]},
    ES | {"crv": "P-384"},
    ES | {"crv": "secp256k1"},
    ES | {"crv": ["P-256"]},
    ES | {"kty": ["EC"]},
    ES | {"kty": "RSA"},
    ES | {"x": number(1, 32), "y": number(1, 32)},
    ES | {"x": number(0, 32), "y": number(0, 32)},
    ES | {"x": "!", "y": 7},
    ES | {"y": None},
    ED | {"crv": "Ed448"},
    ED | {"x": "AA"},
    ED | {"alg": "HS256"},
    RS | {"n": number(2**1023 + 1, 128)},
    RS | {"n": number(2**16400 + 1, 2051)},
    RS | {"e": number(2, 1)},
    RS | {"e": number(1, 1)},
    RS | {"n": ""},
    RS | {"alg": "PS256"},
    RS | {"alg": "RS512"},
    jwk("RS256", rsa_pair(1024)[0], "rs"),
    jwk("ES256K", pair("ES256K")[0]),
    "text",
    None,
    7,
    [],
]


@pytest.mark.parametrize("odd", ODD_KEYS, ids=[str(n) for n, _ in enumerate(ODD_KEYS)])
def test_a_weak_or_odd_key_is_left_out_and_the_others_stay(odd: Any) -> None:
    good = ED | {"kid": "good"}
    body = json.dumps({"keys": [odd, good]}).encode()

    assert list(jwks.read_set(body, Demands())) == ["good"]


def test_a_kid_that_stands_twice_is_nobody_s() -> None:
    body = json.dumps({"keys": [ES, ED | {"kid": "ES256"}, RS]}).encode()

    assert list(jwks.read_set(body, Demands())) == ["rs"]


def test_a_published_key_of_an_algorithm_that_is_not_allowed_is_left_out() -> None:
    body = json.dumps({"keys": [ES, ED, RS]}).encode()

    assert list(jwks.read_set(body, Demands(algorithms=("EdDSA",)))) == ["EdDSA"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b"{}", b'{"keys":{}}', b'{"keys":"x"}', b'{"keys":[]}', b"\xff",
        b"[" * 100_000, b'{"keys":[],"keys":[]}', b'{"keys":[' + b"{}," * 100 + b"{}]}",
    ],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
def test_what_is_no_key_set_is_not_read(body: bytes) -> None:
    with pytest.raises(jwks.NotRead):
        jwks.read_set(body, Demands())


@pytest.mark.parametrize(
    ("url", "demo"),
    [
        ("http://issuer.example/keys", False),
        ("ftp://issuer.example/keys", True),
        ("file:///etc/passwd", True),
        ("https://", True),
        ("https://name:password@issuer.example/keys", False),
        ("https://issuer.example/keys#x", False),
        ("https://issuer.example/ke ys", False),
        ("https://issuer.example/\r\nX: y", False),
        ("issuer.example/keys", False),
        ("http://169.254.169.254/latest", False),
    ],
)
def test_an_address_that_is_not_safe_ends_the_start(url: str, demo: bool) -> None:
    with pytest.raises(BadTokenKeys, match="JWT_JWKS_URL"):
        source_of(url, demo=demo)


def test_plain_http_is_for_this_machine_and_the_demo() -> None:
    assert source_of("http://127.0.0.1:8/keys", demo=False).origin == "http://127.0.0.1:8"
    assert source_of("http://issuer:8/keys", demo=True).target == "/keys"
    assert source_of("https://issuer.example?a=b", demo=False).target == "/?a=b"


def test_a_verified_token_is_not_trusted_past_its_expiry(issuer: JwksServer) -> None:
    ring, published = following(issuer)
    published.refresh()
    good = pair_token("ES256")
    end = ring.principal(good).expires_at

    with time_machine.travel(end, tick=False), pytest.raises(Problem, match=r"expired"):
        ring.principal(good)
