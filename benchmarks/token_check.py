"""What finding out who asks costs a request: processor time, remembered and at first sight.

Ours is the gate as a request passes it: header checks, claims, signature, cache, denied tokens and
networks. The rival is stock simplejwt as a stock view calls it, which decodes each time and checks
signature, `exp` and `token_type`. Both take turns within one run, with the same HS256 key.

Run by the bench as `python -m benchmarks.token_check`, told by its environment.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

import django
from django.conf import settings

from benchmarks.bench import Bench
from benchmarks.cores import MEASURED
from benchmarks.rows import Row, compared

CALLS = 2000
WARM_UP = 200
# As many programs ask in turns, each with a token for so many accounts.
SUBJECTS = 50
ACCOUNTS = 3
ADDRESS = "10.1.2.3"
# Denials in force while it is measured: none of them is of who asks.
DENIED = 1000

Call = Callable[[], object]


def run(bench: Bench) -> list[Row]:
    """Both rows, measured in a process of its own. Raises BenchError."""
    bench.tell("token_check: ours and stock simplejwt in turns")
    found = bench.measure(__name__, MEASURED, BENCH_ROUNDS=str(bench.effort.rounds))
    return [
        compared(name=f"token_check_{which}", unit="us", pairs=found[which], budget=None)
        for which in ("remembered", "first_sight")
    ]


def pairs_of(rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Measure so many rounds of each: our processor time in microseconds a check, and theirs."""
    tokens = _tokens()
    stock = _stock_check(tokens)
    sides = {"remembered": _our_check(tokens), "first_sight": _our_first_check(tokens)}
    for call in (stock, *sides.values()):
        _cpu_microseconds(call, WARM_UP)
    return {
        name: [(_cpu_microseconds(ours), _cpu_microseconds(stock)) for _ in range(rounds)]
        for name, ours in sides.items()
    }


def _tokens() -> Sequence[str]:
    """Tokens that both sides take: ours, with what simplejwt wants besides."""
    from accounts import tokens  # noqa: PLC0415 - Django is set up
    from opitios.core import clock, ids  # noqa: PLC0415

    issued = int(clock.now().timestamp())
    about = {"iat": issued, "exp": issued + int(timedelta(hours=12).total_seconds())}
    may = {"permissions": ["account_read", "trade"], "token_type": "access"}
    return [
        tokens.verifier().sign(
            {
                "sub": f"bot-{number}",
                "account_ids": [f"account_{number * ACCOUNTS + n:03}" for n in range(ACCOUNTS)],
                "jti": str(ids.new_id()),
                **about,
                **may,
            },
            fleet=False,
        )
        for number in range(SUBJECTS)
    ]


def _our_check(tokens: Sequence[str]) -> Call:
    from accounts import gate  # noqa: PLC0415 - Django is set up

    lists = gate.Lists(
        denied_jtis={f"j-{n}": None for n in range(DENIED)},
        denied_subs={f"s-{n}": None for n in range(DENIED)},
    )
    gate.get_gate()._lists = lists
    return lambda: [gate.principal_from(token, ADDRESS) for token in tokens]


def _our_first_check(tokens: Sequence[str]) -> Call:
    from accounts.tokens import verifier  # noqa: PLC0415 - Django is set up

    check = _our_check(tokens)

    def forgetful() -> object:
        verifier().forget()
        return check()

    return forgetful


def _stock_check(tokens: Sequence[str]) -> Call:
    from rest_framework_simplejwt.authentication import (  # noqa: PLC0415 - Django is set up
        JWTStatelessUserAuthentication,
    )

    stock = JWTStatelessUserAuthentication()

    def check() -> object:
        return [stock.get_user(stock.get_validated_token(token.encode())) for token in tokens]

    return check


def _cpu_microseconds(call: Call, times: int = CALLS) -> float:
    began = time.process_time()
    for _ in range(times // SUBJECTS):
        call()
    return (time.process_time() - began) / times * 1e6


def _set_up() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "opitios.settings"
    key = json.loads(os.environ["OPITIOS_JWT_KEYS"])[0]
    # Stock, but for the key and the name of the user's claim.
    settings.SIMPLE_JWT = {
        "ALGORITHM": key["alg"],
        "SIGNING_KEY": key["key"],
        "USER_ID_CLAIM": "sub",
    }
    django.setup()


if __name__ == "__main__":
    _set_up()
    sys.stdout.write(json.dumps(pairs_of(int(os.environ.get("BENCH_ROUNDS", "5")))))
