"""`python -m sandbox`: run an Alpaca look-alike."""

import argparse
import asyncio
import resource
import signal
import sys
from decimal import Decimal
from pathlib import Path
from typing import get_args

import uvloop
from aiohttp import web

from sandbox.app import Sandbox
from sandbox.conditions import Terms
from sandbox.hours import Mode
from sandbox.ledger import Ledger, LedgerError
from sandbox.limits import DEFAULT_PER_MINUTE, RateLimits
from sandbox.matching import DEFAULT_DELAY_MS, FillRules

# Long enough for an answer under way, short enough for a supervisor.
SHUTDOWN_SECONDS = 2.0
BACKLOG = 2048


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8092, help="0: any free port")
    parser.add_argument("--data", type=Path, default=Path(".run/sandbox"), help="the books' folder")
    parser.add_argument("--accounts", type=int, default=0, help="open account_001 … at the start")
    parser.add_argument("--cash", type=Decimal, default=Decimal(10_000_000), help="USD an account")
    parser.add_argument("--market", choices=get_args(Mode), default="always-open")
    parser.add_argument("--fill-delay-ms", type=int, default=DEFAULT_DELAY_MS)
    parser.add_argument("--seed", default="opitios", help="another seed, other prices")
    parser.add_argument("--rate-limit", choices=("on", "off"), default="off", help="answer 429")
    parser.add_argument("--per-minute", type=int, default=DEFAULT_PER_MINUTE)
    return parser.parse_args(arguments)


async def run(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        LedgerError: the ledger is in use or damaged.
        OSError: the port is taken.
    """
    ledger = Ledger(options.data)
    sandbox = _build(ledger, options)
    runner = web.AppRunner(sandbox.app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, options.host, options.port, backlog=BACKLOG).start()
        port = runner.addresses[0][1]
        sys.stdout.write(f"sandbox listening on http://{options.host}:{port}\n")
        sys.stdout.flush()
        await _until_told_to_stop(sandbox)
    finally:
        await runner.cleanup()
        ledger.close()


def _build(ledger: Ledger, options: argparse.Namespace) -> Sandbox:
    terms = Terms(
        mode=options.market,
        cash=options.cash,
        seed=options.seed,
        rules=FillRules(delay_ms=options.fill_delay_ms),
    )
    limits = RateLimits(enforced=options.rate_limit == "on", per_minute=options.per_minute)
    sandbox = Sandbox(ledger, terms, limits)
    for number in range(1, options.accounts + 1):
        sandbox.venue.account(f"account_{number:03d}")
    return sandbox


async def _until_told_to_stop(sandbox: Sandbox) -> None:
    """Run the market until a signal. A market that breaks ends the process, loudly."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, told.set)
    watcher = asyncio.create_task(sandbox.venue.watch_market())
    waiter = asyncio.create_task(told.wait())
    done, pending = await asyncio.wait({watcher, waiter}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()


def allow_many_sockets() -> None:
    """Raise the limit on open files as far as the system lets us: one socket an account."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> int:
    """The process. Returns its exit status."""
    options = parse_arguments()
    allow_many_sockets()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(options))
    except (LedgerError, OSError) as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
