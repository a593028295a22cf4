"""What every bench has: servers of its own, a gateway on top, and programs run to their end.

Nothing here meets a running `make up`: its own folder, ports, database, Redis and sandbox.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.cores import MEASURED, OTHERS, pinned_to
from opitios.core import clock
from opitios.core.embedded import homes, postgres, redis, roles
from opitios.core.embedded.program import Program
from opitios.core.embedded.runfolder import RunFolder, write_private
from opitios.core.embedded.supervisor import Supervisor
from opitios.management import readiness, startup
from opitios.management.asked import Asked
from opitios.management.gateway import Gateway, NoAnswerError
from opitios.management.stack import Addresses, Stack, account_ids, accounts_yaml

ROOT = Path(__file__).resolve().parents[1]

# So many that nobody waits for a journal's head, so few that they are imported in a second.
ACCOUNTS = 50
# Calls a minute for each of them, on both sides: the way is measured, not the account's budget.
ROOMY = "1000000"

# Limits count, and let everything pass: the way is measured.
UNREACHED = {
    "OPITIOS_LIMITS__REQUESTS_PER_SECOND": ROOMY,
    "OPITIOS_LIMITS__ACCOUNT_PER_SECOND": ROOMY,
}

# A server from a wheel answers in a second, a gateway with its sockets in five. Seconds.
START_SECONDS = 60.0
# A desk with 1000 accounts, on a machine that has other things to do. Seconds.
FLEET_SECONDS = 120.0

# Where a program failed, the end of its log says why. Characters.
TAIL = 2000


class BenchError(Exception):
    """A figure could not be measured; the text says why."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much a row may take: rounds of each side, seconds a round, orders followed."""

    rounds: int
    seconds: float
    orders: int


class Bench:
    """The servers and processes of one bench, which starts those it needs."""

    def __init__(
        self, stack: Stack, supervisor: Supervisor, effort: Effort, tell: Callable[[str], None]
    ) -> None:
        """`tell(what)` shows a person what is going on."""
        self.stack, self.effort, self.tell = stack, effort, tell
        self._supervisor = supervisor
        self._started: set[str] = set()
        self.token = ""

    @property
    def gateway(self) -> Gateway:
        """The web process, asked with a token for every account."""
        return Gateway(self.stack.addresses.api_url, self.token)

    def start_servers(self) -> None:
        """Postgres and Redis, a migrated database, the accounts and a token for all of them."""
        if not self._first("servers"):
            return
        stack = self.stack
        environment = stack.environment("none", "bench")
        postgres.make_cluster(stack.home, password=stack.secrets.postgres, environment=environment)
        with pinned_to(OTHERS):
            for program in stack.servers():
                self._supervisor.start(program)
        self._wait("postgres", lambda: postgres.answers(stack.server_url))
        self._wait("redis", lambda: redis.answers(stack.redis_url))
        roles.ensure(stack.server_url, stack.names, stack.passwords)
        owner = {"DATABASE_OWNER_URL": stack.database_urls()[1]}
        self._run(stack.command("migrate", "migrate", "--no-input", **owner))
        self._run(stack.command("accounts", "import_accounts", stack.write_accounts()))
        everything = "market_data,account_read,trade,monitor"
        allow = ("--all", "--permissions", everything, "--sub", "bench")
        self.token = self._run(stack.command("mint_token", "mint_token", *allow)).strip()

    def start_web(self) -> None:
        """One web worker, alone on the measured core."""
        self.start_servers()
        if not self._first("web-1"):
            return
        program = self._program("web-1")
        workers = program.argv.index("--workers") + 1
        argv = (*program.argv[:workers], "1", *program.argv[workers + 1 :])
        environment = {**program.environment, **UNREACHED}
        with pinned_to(MEASURED):
            self._supervisor.start(replace(program, argv=argv, environment=environment))
        self._wait("web-1", lambda: self._readiness().warm_web > 0)

    def start_desk(self) -> None:
        """The sandbox, and a desk that listens to it for every account."""
        self.start_web()
        if not self._first("desk-1"):
            return
        sandbox = self.stack.sandbox()
        argv = (*sandbox.argv, "--per-minute", ROOMY)
        self._supervisor.start(replace(sandbox, folder=ROOT, argv=argv))
        self._supervisor.start(self._program("desk-1"))
        self._wait("desk-1", lambda: self._readiness().is_ready)

    def start_market(self) -> None:
        """The process that listens to the market, where the caller's cores are."""
        if self._first("market-1"):
            found = next(each for each in self.stack.afterwards() if each.name == "market-1")
            self._supervisor.start(replace(found, folder=ROOT))

    def import_fleet(self, count: int) -> float:
        """Make the roster so many trading accounts and those for data; the seconds it took."""
        path = self.stack.run.path / f"accounts-{count}.yaml"
        write_private(path, accounts_yaml(count, url=self.stack.addresses.sandbox_url))
        began = clock.monotonic()
        self._run(self.stack.command("accounts", "import_accounts", str(path)))
        return clock.monotonic() - began

    def restart_desk(self, count: int) -> None:
        """Start the desk anew, for a roster of so many trading accounts, and wait for all."""
        self._supervisor.end("desk-1")
        self._supervisor.start(self._program("desk-1"))
        self._wait("desk-1", lambda: self._readiness(count).is_ready, seconds=FLEET_SECONDS)

    def start_program(self, program: Program) -> None:
        """Start a further program, a rival for example."""
        self._supervisor.start(program)

    def end_program(self, name: str) -> None:
        """End a program that `start_program` started."""
        self._supervisor.end(name)

    def analyze(self) -> None:
        """Let Postgres know its tables, as it does by itself a minute after the first rows."""
        with psycopg.connect(self.stack.database_urls()[1], autocommit=True) as owner:
            owner.execute("ANALYZE")

    def measure(self, module: str, cores: frozenset[int], **environment: str) -> dict[str, Any]:
        """Run a module of the benches to its end on these cores; returns the object it printed.

        Raises BenchError.
        """
        told = self.stack.environment("none", module) | environment
        program = replace(
            self.stack.command(module), argv=(sys.executable, "-m", module), environment=told
        )
        with pinned_to(cores):
            said: dict[str, Any] = json.loads(self._run(program))
        return said

    def wait_until(self, condition: Callable[[], bool], *, seconds: float, every: float) -> bool:
        """Keep everything running until the condition holds; False where time ran out."""
        return self._supervisor.wait_until(condition, seconds=seconds, every=every)

    def pid_of(self, name: str) -> int:
        """The process of a program. Raises BenchError where it does not run."""
        for child in self._supervisor.children:
            if child.program.name == name and child.pid is not None:
                return child.pid
        raise BenchError(f"{name} does not run")

    def _first(self, name: str) -> bool:
        if name in self._started:
            return False
        self._started.add(name)
        self.tell(f"starting {name}")
        return True

    def _program(self, name: str) -> Program:
        found = next(program for program in self.stack.gateway() if program.name == name)
        # Limits are counted, and never reached.
        environment = {
            **found.environment,
            "OPITIOS_DESK_CALLS_PER_MINUTE": ROOMY,
            "OPITIOS_LIMITS__REQUESTS_PER_SECOND": ROOMY,
            "OPITIOS_LIMITS__ACCOUNT_PER_SECOND": ROOMY,
        }
        return replace(found, folder=ROOT, environment=environment)

    def _run(self, program: Program) -> str:
        try:
            return startup.run(self._supervisor, replace(program, folder=ROOT), capture=True)
        except startup.StartupError as error:
            raise BenchError(f"{error}\n{program.log.read_text()[-TAIL:]}") from error

    def _wait(
        self, name: str, condition: Callable[[], bool], *, seconds: float = START_SECONDS
    ) -> None:
        if not self._supervisor.wait_until(condition, seconds=seconds):
            said = self.stack.run.log(name).read_text()[-TAIL:]
            raise BenchError(f"{name} was not ready after {seconds:.0f} s\n{said}")

    def _readiness(self, count: int = ACCOUNTS) -> readiness.Readiness:
        expected = readiness.Expected(
            accounts=count + startup.OTHER_ACCOUNTS,
            trading=frozenset(account_ids(count)),
            web_workers=1,
        )
        try:
            pool = readiness.read_pool(self.gateway).body
        except NoAnswerError:
            pool = {}
        return readiness.judge({"accounts": [], "processes": [], **pool}, expected)


@contextmanager
def prepared(effort: Effort, tell: Callable[[str], None]) -> Iterator[Bench]:
    """Make the folder of the benches, and leave neither it nor a process behind.

    Raises BenchError where benches of this clone run already.
    """
    folder = Path(tempfile.gettempdir()) / f"opitios-bench-{RunFolder(ROOT).key}"
    run = RunFolder(homes.make_folder(folder))
    run.prepare()
    lock = run.lock()
    if lock is None:
        raise BenchError("the benches of this clone run already")
    with lock:
        # What a killed run left: its processes died with it, its data are here.
        homes.remove(run.path, key=run.key)
        try:
            with Supervisor(lambda name, what: tell(f"{name} {what}")) as supervisor:
                yield Bench(_stack(run), supervisor, effort, tell)
        finally:
            homes.remove(run.path, key=run.key)
            shutil.rmtree(folder)


def _stack(run: RunFolder) -> Stack:
    asked = Asked(
        accounts=ACCOUNTS,
        desks=1,
        api_port=28090,
        ws_port=28091,
        sandbox_port=28092,
        database_url=None,
        database_owner_url=None,
        redis_url=None,
    )
    home = homes.choose(run.path, key=run.key)
    addresses = Addresses.choose(asked, key=run.key)
    return Stack(run=run, asked=asked, secrets=run.secrets(), home=home, addresses=addresses)
