"""Batches of 100 cached quotes a second over HTTP by one core of web, against a FastAPI app.

The rival is the one of quote_cached: it verifies a token once, and writes each quote with its age.
"""

from benchmarks.bench import Bench
from benchmarks.quote_cached import PORT, load, start_rival
from benchmarks.rows import Row, compared

# The same as the rival's; it is not imported, for it starts an app.
SYMBOLS = [f"Q{left}{right}" for left in "ABCDEFGHIJ" for right in "ABCDEFGHIJ"]
PATH = f"/api/v1/stocks/quotes?symbols={','.join(SYMBOLS)}"


def run(bench: Bench) -> list[Row]:
    """Measure, ours and the rival in turns. Raises BenchError where one was not answered."""
    bench.start_desk()
    start_rival(bench)
    ours, rival = bench.stack.addresses.api_url, f"http://127.0.0.1:{PORT}"
    for url in (ours, rival):
        load(bench, url, PATH)
    pairs = []
    for number in range(bench.effort.rounds):
        bench.tell(f"quotes_batch: round {number + 1} of {bench.effort.rounds}")
        pairs.append((load(bench, ours, PATH), load(bench, rival, PATH)))
    return [compared(name="quotes_batch", unit="batches/s", pairs=pairs, budget=None)]
