"""One run of a clone from its lock to its last process, in the foreground or behind `make up`."""

import threading
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.live import Live

from opitios import demo
from opitios.core import clock
from opitios.core.descriptors import TooFewDescriptors
from opitios.core.embedded import homes, processes
from opitios.core.embedded.homes import HomeError
from opitios.core.embedded.roles import ServerError
from opitios.core.embedded.runfolder import RunFolder, env_text, write_private
from opitios.core.embedded.supervisor import StopAskedError, Supervisor
from opitios.management import screen
from opitios.management.asked import Asked
from opitios.management.gateway import Gateway, NoAnswerError
from opitios.management.stack import Addresses, Stack
from opitios.management.startup import Startup, StartupError, glance, mint, told_of_paper
from opitios.management.state import FAILED, READY, State

# Half a token's life: a run that goes on for days always has valid ones. Seconds.
TOKEN_SECONDS = 12 * 3600.0

# How often a foreground run asks for the pool it shows, in seconds.
LOOK_SECONDS = 2.0

# A killed leftover is gone at once, unless it waits for the disk. Seconds.
LEFTOVER_SECONDS = 10.0


class Run:
    """A run whose lock this process holds."""

    def __init__(self, run: RunFolder, asked: Asked, *, foreground: bool) -> None:
        self.folder = run
        self.asked = asked
        self.foreground = foreground
        self.console = Console(highlight=False)
        self._steps = screen.Steps(self.console)
        self._state = State("servers", foreground=foreground, asked=asked.shown())
        self._supervisor = Supervisor(self._notice)
        self._live: Live | None = None

    def go(self) -> int:
        """Start, serve until asked to stop, and leave nothing; returns the exit code."""
        self.folder.handout.unlink(missing_ok=True)
        end_leftovers(self.folder)
        with self._supervisor:
            code = self._start_and_serve()
            self.folder.handout.unlink(missing_ok=True)
            if code == 0 and self.foreground:
                self.console.print("Stopping …")
        if code == 0:
            self.folder.state.unlink(missing_ok=True)
        return code

    def _start_and_serve(self) -> int:
        try:
            stack = self._decide()
            startup = Startup(stack, self._supervisor, self._tell)
            handout = startup.run()
            of_paper = told_of_paper(stack, self._supervisor, handout["TOKEN_ADMIN"])
            self._steps.done()
            self._note(READY, of_paper)
            if self.foreground:
                self._demonstrate(stack, handout)
                screen.remark(self.console, of_paper)
            self._serve(stack, handout["TOKEN_ADMIN"])
        except StopAskedError:
            self._steps.fail()
        except (StartupError, ServerError, HomeError, TooFewDescriptors) as error:
            return self._fail(str(error), *getattr(error, "logs", ()))
        return 0

    def _decide(self) -> Stack:
        run = self.folder
        addresses = Addresses.choose(self.asked, key=run.key)
        home = homes.choose(run.path, key=run.key)
        self._state = State(
            "servers",
            foreground=self.foreground,
            asked=self.asked.shown(),
            addresses=addresses.as_state(),
        )
        self._state.write(run)
        return Stack(run, self.asked, run.secrets(), home, addresses)

    def _demonstrate(self, stack: Stack, handout: dict[str, str]) -> None:
        """Place one order and print its way; where that fails, say so and go on."""
        gateway = Gateway(stack.addresses.api_url, handout["TOKEN_TRADER"])
        try:
            order = demo.Demo(gateway, self._wait).run()
            self.console.print()
            self.console.print(demo.drawn(order))
        except (demo.DemoError, NoAnswerError) as error:
            screen.failure(self.console, str(error), [])
        self.console.print()
        self.console.print(screen.addresses(handout), markup=False, soft_wrap=True)
        self.console.print()
        self.console.print(screen.EXAMPLES, markup=False, soft_wrap=True)

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        return self._supervisor.wait_until(condition, seconds=seconds, every=0.02)

    def _serve(self, stack: Stack, token: str) -> None:
        watch = PoolWatch(stack, token) if self.foreground and self.console.is_terminal else None
        mint_at = clock.monotonic() + TOKEN_SECONDS
        try:
            while not self._supervisor.stop_asked:
                self._supervisor.step()
                if watch:
                    self._show(watch.said)
                if clock.monotonic() >= mint_at:
                    self._renew(stack, watch)
                    mint_at = clock.monotonic() + TOKEN_SECONDS
        finally:
            if watch:
                watch.close()
            if self._live:
                self._live.stop()

    def _renew(self, stack: Stack, watch: "PoolWatch | None") -> None:
        tokens = mint(stack, self._supervisor)
        write_private(self.folder.handout, env_text(stack.handout(tokens)))
        if watch:
            watch.token = tokens["TOKEN_ADMIN"]

    def _show(self, pool: str) -> None:
        table = screen.status(self._supervisor.children, pool)
        if self._live is None:
            self._live = Live(table, console=self.console, auto_refresh=False)
            self._live.start()
        self._live.update(table, refresh=True)

    def _tell(self, phase: str, detail: str) -> None:
        self._steps.tell(phase, detail)
        self._note(phase, detail)

    def _note(self, phase: str, detail: str = "", logs: tuple[Path, ...] = ()) -> None:
        pids = {child.program.name: child.pid for child in self._supervisor.children}
        said = State(
            phase,
            detail,
            foreground=self.foreground,
            asked=self._state.asked,
            addresses=self._state.addresses,
            programs=pids,
            logs=[str(log) for log in logs],
        )
        if said != self._state:
            self._state = said
            said.write(self.folder)

    def _notice(self, name: str, what: str) -> None:
        self.console.print(f"[dim]{clock.rfc3339(clock.now())[:19]}Z[/] {name} {what}")
        self._note(self._state.phase, self._state.detail)

    def _fail(self, why: str, *logs: Path) -> int:
        self._steps.fail()
        screen.failure(self.console, why, logs)
        self._note(FAILED, why, logs)
        return 1


class PoolWatch(threading.Thread):
    """Asks for the pool beside the supervisor, which never waits for an answer."""

    def __init__(self, stack: Stack, token: str) -> None:
        super().__init__(name="pool-watch", daemon=True)
        self.token = token
        self.said = ""
        self._stack = stack
        self._closing = threading.Event()
        self.start()

    def run(self) -> None:
        """Ask until closed."""
        while not self._closing.is_set():
            self.said = str(glance(self._stack, self.token))
            self._closing.wait(LOOK_SECONDS)

    def close(self) -> None:
        """Stop asking and wait for the last answer."""
        self._closing.set()
        self.join()


def leftovers(run: RunFolder) -> list[int]:
    """Processes of this clone that no supervisor looks after any more (while none runs)."""
    servers = homes.data_folders(run.path, key=run.key)
    folders = [path for folder in servers for path in (folder, folder / "postgres")]
    return [*processes.marked(run.key), *processes.working_in(*folders)]


def end_leftovers(run: RunFolder) -> None:
    """Kill what a killed supervisor left. Raises HomeError where something does not go away."""
    if not processes.stop_all(leftovers(run), seconds=LEFTOVER_SECONDS):
        raise HomeError(f"processes {leftovers(run)} of an earlier run do not end.")
