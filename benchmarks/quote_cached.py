"""Cached quotes a second over HTTP by one core of web, limits on, against a minimal FastAPI app.

Both verify a token (remembered once verified), look at its permission and answer the same quote
from memory with its age. The rival has no limits, no headers about them, no log and no other paths.
"""

import sys
from typing import Any

from benchmarks.bench import ROOT, Bench, BenchError
from benchmarks.cores import MEASURED, OTHERS, pinned_to
from benchmarks.rows import Row, at_least, compared
from opitios.core.embedded.program import Program
from opitios.management.gateway import Gateway, NoAnswerError

CLIENTS = 32
PORT = 28095
PATH = "/api/v1/stocks/quote/AAPL"
# Of its core: from here on a client may be what is measured.
BUSY = 0.9


def run(bench: Bench) -> list[Row]:
    """Measure, ours and the rival in turns. Raises BenchError where a quote was not answered."""
    bench.start_desk()
    start_rival(bench)
    ours, rival = bench.stack.addresses.api_url, f"http://127.0.0.1:{PORT}"
    for url in (ours, rival):
        load(bench, url)
    pairs = []
    for number in range(bench.effort.rounds):
        bench.tell(f"quote_cached: round {number + 1} of {bench.effort.rounds}")
        pairs.append((load(bench, ours), load(bench, rival)))
    return [compared(name="quote_cached", unit="quotes/s", pairs=pairs, budget=at_least(1.0))]


def start_rival(bench: Bench) -> None:
    """Start the FastAPI app on the measured core. Raises BenchError where it does not answer."""
    stack = bench.stack
    app = "benchmarks.rivals.fastapi_quotes:app"
    program = Program(
        name="rival",
        argv=(
            *(sys.executable, "-m", "uvicorn", app, "--port", str(PORT)),
            *("--no-access-log", "--loop", "uvloop", "--http", "httptools"),
        ),
        folder=ROOT,
        log=stack.run.log("rival"),
        environment={**stack.environment("none", "rival"), "BENCH_JWT_KEY": stack.secrets.jwt_key},
    )
    with pinned_to(MEASURED):
        bench.start_program(program)
    gateway = Gateway(f"http://127.0.0.1:{PORT}", bench.token)
    if not bench.wait_until(lambda: _answers(gateway), seconds=30, every=0.2):
        raise BenchError("the rival did not start")


def _answers(gateway: Gateway) -> bool:
    try:
        return gateway.get(PATH).status == 200  # noqa: PLR2004 - HTTP's own word
    except NoAnswerError:
        return False


def load(bench: Bench, url: str, path: str = PATH) -> float:
    """Ask one of them for so long: answers a second. Raises BenchError where one was another."""
    found: dict[str, Any] = bench.measure(
        "benchmarks.load",
        OTHERS,
        BENCH_URL=url,
        BENCH_TOKEN=bench.token,
        BENCH_CLIENTS=str(CLIENTS),
        BENCH_SECONDS=str(bench.effort.seconds),
        BENCH_PATH=path,
    )
    if found["odd"]:
        raise BenchError(f"{found['odd']} were not answered, such as {found['first_odd']}")
    if found["cpu_share"] > BUSY:
        raise BenchError("the load client is busier than the server: nothing was measured")
    bench.tell(
        f"{path[:40]}: {url} {found['per_second']:.0f}/s, p50 {found['p50_ms']:.1f} ms, "
        f"p99 {found['p99_ms']:.1f} ms, the client used {found['cpu_share']:.0%} of a core"
    )
    return float(found["per_second"])
