"""What an order costs the desk with 1000 accounts, compared with 100.

Processor time of the desk for the same number of orders, in turns for all accounts of the fleet,
while it holds everything it holds in production: leases, sockets, checks. The desk is started anew
for each fleet, as its threads depend on the size.
"""

import psycopg

from benchmarks import desk_throughput
from benchmarks.bench import FLEET_SECONDS, Bench, BenchError
from benchmarks.cores import cpu_seconds
from benchmarks.rows import Row, at_most, compared
from opitios.management.stack import account_ids

SMALL, LARGE = 100, 1000

# Accounts whose books were not compared since their present owner listens to them.
_BEHIND = """
SELECT count(*) FROM accounts_account a JOIN accounts_accountstate s USING (account_id)
JOIN accounts_processrow p ON p.name = 'desk-1'
WHERE a.enabled AND (s.reconciled_at IS NULL OR s.reconciled_at < p.started_at)
"""
# The row "cost per order at 1000 accounts vs 100" of the budgets.
WANTED_RATIO = 1.2
# Of a desk that has slept; what its waking costs once is spread over this many times the orders.
ROUNDS = 3


def run(bench: Bench) -> list[Row]:
    """Measure both fleets in turns. Raises BenchError."""
    bench.start_desk()
    template = desk_throughput.template_of(bench)
    pairs = []
    for number in range(min(bench.effort.rounds, 3)):
        bench.tell(f"fleet_cost: round {number + 1}")
        small = _microseconds(bench, template, SMALL)
        pairs.append((_microseconds(bench, template, LARGE), small))
    name = "order_cost_at_1000_accounts"
    return [compared(name=name, unit="us", pairs=pairs, budget=at_most(WANTED_RATIO))]


def _microseconds(bench: Bench, template: str, accounts: int) -> float:
    """The desk's processor time for an order, with so many accounts."""
    bench.import_fleet(accounts)
    bench.restart_desk(accounts)
    desk_throughput.pin(bench)
    _wait_until_caught_up(bench)
    orders = ROUNDS * desk_throughput.orders_of(bench)
    before = cpu_seconds(bench.pid_of("desk-1"))
    desk_throughput.orders_a_second(bench, template, account_ids(accounts), orders)
    return (cpu_seconds(bench.pid_of("desk-1")) - before) / orders * 1e6


def _wait_until_caught_up(bench: Bench) -> None:
    """Wait for the comparisons that follow a start: they are none of the orders' cost."""
    with psycopg.connect(bench.stack.database_urls()[1], autocommit=True) as owner:

        def is_done() -> bool:
            return owner.execute(_BEHIND).fetchone() == (0,)

        if not bench.wait_until(is_done, seconds=FLEET_SECONDS, every=0.5):
            raise BenchError("the desk did not compare every account after its start")
