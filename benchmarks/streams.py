"""The stream process: fan-out, delay, connects, memory, and who follows a whole fleet.

Ours is a real stream process under uvicorn with everything on, told by a real Redis; the rival of
the fan-out hears the same Redis. Processor time of the server is what counts, but for the delays.
"""

import sys
from dataclasses import replace
from typing import Any

from benchmarks import stream_load
from benchmarks.bench import ROOT, Bench, BenchError
from benchmarks.cores import MEASURED, OTHERS, pinned_to
from benchmarks.rows import Row, at_least, compared
from benchmarks.stream_load import Task
from opitios.core.embedded import ports
from opitios.core.embedded.program import Program

PORT = 28096
CLIENTS = 200
# design.md §7 and R22: so many clients, and as many symbols as one may follow.
CROWD, SYMBOLS = 500, 100
SOCKETS = 1000
FLEET = 1000
# design.md §11: at half of what it can do, a price is late by less than this, in milliseconds.
DELAY_MS = 50.0
SHARE = 0.5
# Ticks come in arrays, one each so many seconds (design.md §7).
ARRAY_SECONDS = 0.01

_ALPHABET = "ABCDEFGHIJ"


def run(bench: Bench) -> list[Row]:
    """Measure all of it. Raises BenchError where a message was lost."""
    bench.start_servers()
    bench.import_fleet(FLEET)
    _start(bench)
    rows = _fan_out(bench)
    return [*rows, *_delays(bench, rows[0].value), *_sockets(bench), *_fleet(bench)]


def _start(bench: Bench) -> None:
    """Our stream process and the rival, both on the measured core."""
    stack = bench.stack
    ours = next(each for each in stack.gateway() if each.name == "stream-1")
    # The fleet's updates are made up: the journal, looked at, would take them back.
    quiet = {"OPITIOS_TIMERS__STREAM_POLL": "3600", "OPITIOS_TIMERS__STREAM_HEARTBEAT": "3600"}
    rival = Program(
        name="rival",
        argv=(sys.executable, "-m", "benchmarks.rivals.websockets_broadcast", str(PORT)),
        folder=ROOT,
        log=stack.run.log("rival"),
        environment=stack.environment("none", "rival"),
    )
    with pinned_to(MEASURED):
        bench.start_program(replace(ours, folder=ROOT, environment={**ours.environment, **quiet}))
        bench.start_program(rival)
    for port in (stack.addresses.ws, PORT):
        if not bench.wait_until(lambda port=port: ports.listens(port), seconds=60, every=0.2):  # type: ignore[misc]
            raise BenchError(f"nobody listens on {port}")


def _task(bench: Bench, *, is_rival: bool = False, **about: Any) -> Task:
    return Task(
        url=f"ws://127.0.0.1:{PORT}/" if is_rival else bench.stack.addresses.ws_url,
        pid=bench.pid_of("rival" if is_rival else "stream-1"),
        token=bench.token,
        **about,
    )


def _measured(bench: Bench, task: Task) -> dict[str, Any]:
    told = bench.measure("benchmarks.stream_load", OTHERS, **stream_load.environment(task))
    if told["heard"] != told["wanted"]:
        raise BenchError(f"{told['heard']} of {told['wanted']} messages came")
    return told


def _fan_out(bench: Bench) -> list[Row]:
    """One tick at a time, and ten: messages a second of the server's processor time."""
    rows = []
    for name, ticks, every in (("stream_fanout", 1, 0.003), ("stream_fanout_arrays", 10, 0.02)):
        messages = 600 if ticks == 1 else 60
        about = {"clients": CLIENTS, "follows": {"trades": ["AAPL"]}, "every": every}
        pairs = []
        rounds = min(bench.effort.rounds, 3)
        for number in range(rounds):
            bench.tell(f"{name}: round {number + 1} of {rounds}")
            sides = [
                _measured(
                    bench,
                    _task(bench, is_rival=is_rival, messages=messages, ticks=ticks, **about),
                )
                for is_rival in (False, True)
            ]
            ours, rival = (told["heard"] / told["cpu"] for told in sides)
            pairs.append((ours, rival))
        budget = at_least(0.6) if ticks == 1 else None
        rows.append(compared(name=name, unit="messages/s per core", pairs=pairs, budget=budget))
    return rows


def _delays(bench: Bench, saturation: float) -> list[Row]:
    """How late prices are at half of that load, for a crowd that follows all it may."""
    bench.tell(f"stream_delay: {CROWD} clients, {SYMBOLS} symbols")
    ticks = max(1, round(saturation * SHARE / CROWD * ARRAY_SECONDS))
    symbols = [f"{a}{b}Z" for a in _ALPHABET for b in _ALPHABET][:SYMBOLS]
    task = _task(
        bench, clients=CROWD, follows={"trades": symbols}, ticks=ticks, every=ARRAY_SECONDS,
        apart=True, messages=round(min(3.0, bench.effort.seconds) / ARRAY_SECONDS),
    )  # fmt: skip
    told = _measured(bench, task)
    late = told["delays_ms"]
    return [
        Row(name="stream_delay_p50", value=round(late["50"], 2), unit="ms"),
        Row(
            name="stream_delay_p95", value=round(late["95"], 2), unit="ms",
            wanted=DELAY_MS, holds=late["95"] < DELAY_MS,
        ),
        Row(name="stream_delay_p99", value=round(late["99"], 2), unit="ms"),
        Row(
            name="stream_delay_load", unit="messages/s",
            value=round(ticks * CROWD / ARRAY_SECONDS),
        ),
    ]  # fmt: skip


def _sockets(bench: Bench) -> list[Row]:
    bench.tell(f"stream_connects, stream_memory: {SOCKETS} sockets")
    about: dict[str, Any] = {"follows": {"trades": ["AAPL"], "orders": ["account_001"]}}
    told = _measured(bench, _task(bench, clients=SOCKETS, messages=0, ticks=1, every=0.0, **about))
    return [
        Row(
            name="stream_connects", unit="sockets/s per core",
            value=round(SOCKETS / told["connect_cpu"]),
        ),
        Row(name="stream_memory", unit="MiB per 1000 sockets", value=round(told["mib"], 1)),
    ]  # fmt: skip


def _fleet(bench: Bench) -> list[Row]:
    """One client that follows every account, and each account's next entries."""
    bench.tell(f"stream_fleet: {FLEET} accounts")
    task = _task(
        bench, clients=1, follows={"orders": ["*"]}, accounts=FLEET, ticks=20,
        messages=100 if bench.effort.rounds == 1 else 500, every=ARRAY_SECONDS / 2,
    )  # fmt: skip
    told = _measured(bench, task)
    return [
        Row(
            name="stream_fleet", unit="updates/s per core", value=round(told["heard"] / told["cpu"])
        ),
        Row(name="stream_fleet_p99", unit="ms", value=round(told["delays_ms"]["99"], 2)),
        Row(
            name="stream_fleet_subscribe", unit="ms",
            value=round(told["connect_seconds"] * 1000, 1),
        ),
    ]  # fmt: skip
