"""A gateway for a campaign: its own folder, ports, database and sandbox, every process killable."""

import os
import random
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from opitios.core import clock
from opitios.core.embedded import homes, processes
from opitios.core.embedded.program import Child, Program, older
from opitios.core.embedded.runfolder import RunFolder
from opitios.core.embedded.supervisor import Supervisor
from opitios.management.asked import Asked
from opitios.management.stack import Addresses, Stack
from opitios.management.startup import Startup
from tests.support.environment import ROOMY

ROOT = Path(__file__).resolve().parents[2]

# Two share the accounts: what one leaves, the other takes over, and gives back.
DESKS = 2

# Who passes failpoints, by their first words; all others are passed by desks.
PASSED_BY = {"accept": ("web-",), "read": ("web-", "desk-", "worker-")}
ARMED = ("web-", "desk-", "worker-")

_FAILPOINTS = "OPITIOS_FAILPOINTS"

# Look-ups at a tenth of their production waits: a campaign heals in seconds, not minutes.
TIMERS = {"ABSENT_AFTER": "3", "RECONCILE": "3", "ACCOUNT_CHECK": "15"}


@dataclass(frozen=True, slots=True)
class TrialStack(Stack):
    """A stack whose folder is not the clone: its programs still run in the clone."""

    def _process(
        self, name: str, argv: tuple[str, ...], environment: dict[str, str], *, seconds: float
    ) -> Program:
        made = Stack._process(self, name, argv, environment, seconds=seconds)
        return replace(made, folder=ROOT)


@dataclass(slots=True)
class Trial:
    """A running gateway under attack. `kills`: at random; `arming`: to arm or disarm."""

    stack: Stack
    supervisor: Supervisor
    token: str
    dice: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    arming: Counter[str] = field(default_factory=Counter)

    @property
    def victims(self) -> list[str]:
        """Whom a campaign kills at random: all there are; each comes back by the supervisor."""
        return [child.program.name for child in self.supervisor.children]

    def child(self, name: str) -> Child | None:
        """The supervised program of that name, if this stack has it."""
        found = (child for child in self.supervisor.children if child.program.name == name)
        return next(found, None)

    def kill(self, name: str) -> bool:
        """SIGKILL a program: for web, its worker as often as its parent. False if it is down."""
        child = self.child(name)
        if child is None or child.pid is None:
            return False
        workers = processes.children_of(child.pid) if name.startswith("web-") else []
        processes.send(self.dice.choice([child.pid, *workers]), signal.SIGKILL)
        self.kills[name] += 1
        return True

    def arm(self, failpoint: str, times: int) -> None:
        """Start who passes a failpoint anew with it armed (none: ""), killing those that run.

        Who was armed otherwise is disarmed so; all others are let be.
        """
        passed_by = PASSED_BY.get(failpoint.partition("-")[0], ("desk-",))
        for child in self.supervisor.children:
            is_met = bool(failpoint) and child.program.name.startswith(passed_by)
            armed = f"{failpoint}={times}" if is_met else ""
            if child.program.environment.get(_FAILPOINTS, "") == armed:
                continue
            environment = {**child.program.environment, _FAILPOINTS: armed}
            child.program = replace(child.program, environment=environment)
            # A web worker's parent would start the next one as it was started itself.
            if child.pid is not None:
                child.signal(signal.SIGKILL)
                self.arming[child.program.name] += 1

    def reached(self, failpoint: str) -> int:
        """How often a process ended at the failpoint, by the logs."""
        line = f"failpoint {failpoint} reached"
        names = (name for name in self.victims if name.startswith(ARMED))
        logs = [self.stack.run.log(name) for name in names]
        found = [path for log in logs for path in (log, older(log)) if path.exists()]
        return sum(path.read_text(errors="replace").count(line) for path in found)

    def restarts(self) -> int:
        """How often the supervisor has started something again."""
        return sum(child.restarts for child in self.supervisor.children)

    def watch(self, condition: Callable[[], bool], *, seconds: float, every: float = 0.05) -> bool:
        """Supervise until the condition holds; False where time ran out."""
        return self.supervisor.wait_until(condition, seconds=seconds, every=every)

    def watch_for(self, seconds: float) -> None:
        """Supervise for so long."""
        until = clock.monotonic() + seconds
        self.watch(lambda: clock.monotonic() >= until, seconds=seconds + 1)


@contextmanager
def started(
    accounts: int, seed: int, tell: Callable[[str, str], None], *, keep: bool = False
) -> Iterator[Trial]:
    """Start a gateway of its own with so many accounts; leave nothing behind unless to `keep`."""
    folder = homes.make_folder(Path(tempfile.mkdtemp(prefix="opitios-campaign-")))
    run = RunFolder(folder)
    run.prepare()
    stack = _stack(run, accounts)
    try:
        with _timers(), Supervisor(tell) as supervisor:
            handed_out = Startup(stack, supervisor, tell).run()
            dice = random.Random(f"{seed} kills")  # noqa: S311 - repeatable on purpose
            yield Trial(stack, supervisor, handed_out["TOKEN_ADMIN"], dice)
    finally:
        if keep:
            tell("kept", str(folder))
        else:
            homes.remove(run.path, key=run.key)
            shutil.rmtree(folder)


def _stack(run: RunFolder, accounts: int) -> TrialStack:
    asked = Asked(
        accounts=accounts,
        desks=DESKS,
        # Below those that the system gives to whoever connects: a killed server gets its own again.
        api_port=28090,
        ws_port=28091,
        sandbox_port=28092,
        database_url=None,
        database_owner_url=None,
        redis_url=None,
    )
    return TrialStack(
        run=run,
        asked=asked,
        secrets=run.secrets(),
        home=homes.choose(run.path, key=run.key),
        addresses=Addresses.choose(asked, key=run.key),
    )


@contextmanager
def _timers() -> Iterator[None]:
    """What processes started meanwhile inherit."""
    before = dict(os.environ)
    os.environ |= {f"OPITIOS_TIMERS__{name}": value for name, value in TIMERS.items()}
    # Campaigns ask faster than any program; what limits do is tried elsewhere.
    os.environ |= ROOMY
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before
