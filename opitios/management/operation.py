"""`make run`, `up`, `down` and `clean`: what each does, and its exit code."""

import shutil
import signal
import subprocess  # of our own commands only # nosec B404
import sys
from pathlib import Path

from rich.console import Console

from opitios.core import clock
from opitios.core.embedded import homes, processes, roles
from opitios.core.embedded.child import die_with_parent
from opitios.core.embedded.program import set_aside
from opitios.core.embedded.runfolder import RunFolder, env_text, read_env, write_private
from opitios.core.embedded.supervisor import Supervisor
from opitios.management import screen
from opitios.management.asked import Asked
from opitios.management.stack import Addresses, Stack
from opitios.management.startup import mint
from opitios.management.state import FAILED, READY, State
from opitios.management.supervision import Run, end_leftovers

# Exit codes of the operator contract (design.md §9).
DONE, FAILED_CODE, REFUSED = 0, 1, 2

# The supervisor gives up by itself earlier; this is for one that hangs. Seconds.
UP_SECONDS = 240.0

# The sum of what every process is given to end, and a little. Seconds.
DOWN_SECONDS = 120.0


class Operation:
    """What an operator does with one clone."""

    def __init__(self, root: Path, console: Console) -> None:
        self._run = RunFolder(root)
        self._console = console

    def run(self, asked: Asked, *, foreground: bool = True) -> int:
        """Run everything here until asked to stop."""
        if foreground:
            # `make` killed outright leaves nobody to press Ctrl-C.
            die_with_parent(signal.SIGTERM)
        self._run.prepare()
        lock = self._run.lock()
        if lock is None:
            return self._refuse_second(asked)
        with lock:
            return Run(self._run, asked, foreground=foreground).go()

    def up(self, asked: Asked) -> int:
        """Run everything in the background, and return when it is ready."""
        self._run.prepare()
        if self._run.supervisor() is None:
            return self._start_behind()
        state = self._running_state()
        if state.foreground or asked.differences(state.asked):
            return self._refuse_second(asked)
        code = self._follow(None)
        return self._renew(asked) if code == DONE else code

    def down(self) -> int:
        """End the run, whoever started it, and wait until nothing of it is left."""
        if not self._run.path.exists():
            self._console.print("Nothing runs here.")
            return DONE
        pid = self._run.supervisor()
        if pid is not None:
            with self._console.status("Stopping …"):
                self._end(pid)
        end_leftovers(self._run)
        self._run.handout.unlink(missing_ok=True)
        self._run.state.unlink(missing_ok=True)
        self._console.print("Nothing runs here." if pid is None else "Stopped.")
        return DONE

    def clean(self, server_url: str | None) -> int:
        """End the run and delete its data, on the operator's own Postgres too where it is named."""
        self.down()
        names = roles.Names.of(self._run.key)
        if server_url:
            roles.drop(server_url, names)
        elif self._was_elsewhere():
            self._console.print(
                f"The database {names.database} stays on your server: "
                "`DATABASE_URL=… make clean` deletes it too."
            )
        homes.remove(self._run.path, key=self._run.key)
        if self._run.path.exists():
            shutil.rmtree(self._run.path)
        self._console.print("Deleted the data of this clone.")
        return DONE

    def _was_elsewhere(self) -> bool:
        """Whether the last run used a Postgres that is not ours to delete."""
        url = read_env(self._run.settings).get("DATABASE_URL", "")
        return bool(url) and "?host=" not in url

    def _start_behind(self) -> int:
        self._run.state.unlink(missing_ok=True)
        log = self._run.log("supervisor")
        set_aside(log)
        with log.open("ab") as output:
            process = subprocess.Popen(  # our own command, no shell # nosec B603
                [sys.executable, "manage.py", "quickstart", "supervise"],
                cwd=self._run.root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self._follow(process)

    def _follow(self, process: "subprocess.Popen[bytes] | None") -> int:
        """Show how the start goes until the run is ready, failed or gone."""
        steps = screen.Steps(self._console)
        deadline = clock.monotonic() + UP_SECONDS
        while clock.monotonic() < deadline:
            state = State.read(self._run)
            if state and state.phase == READY:
                steps.done()
                return self._welcome(state.detail)
            gone = process.poll() is not None if process else self._run.supervisor() is None
            if gone or (state and state.phase == FAILED):
                break
            if state:
                steps.tell(state.phase, state.detail)
            processes.pause(0.2)
        steps.fail()
        return self._explain(process)

    def _explain(self, process: "subprocess.Popen[bytes] | None") -> int:
        """Say why there is no run, and end what is left of it."""
        state = State.read(self._run)
        pid = self._run.supervisor()
        if pid is not None and (process is None or pid == process.pid):
            self._end(pid)
        if state is not None and state.phase == FAILED:
            screen.failure(self._console, state.detail, map(Path, state.logs))
        else:
            log = self._run.log("supervisor")
            screen.failure(self._console, "the supervisor ended", [log])
        return FAILED_CODE

    def _renew(self, asked: Asked) -> int:
        """Make fresh tokens for a run that is there already."""
        state = self._running_state()
        stack = Stack(
            self._run,
            asked,
            self._run.secrets(),
            homes.choose(self._run.path, key=self._run.key),
            Addresses(**state.addresses),
        )
        with Supervisor(self._console.print) as supervisor:
            handout = stack.handout(mint(stack, supervisor))
        write_private(self._run.handout, env_text(handout))
        return DONE

    def _welcome(self, remark: str) -> int:
        handout = read_env(self._run.handout)
        self._console.print(screen.addresses(handout), markup=False, soft_wrap=True)
        screen.remark(self._console, remark)
        return DONE

    def _refuse_second(self, asked: Asked) -> int:
        state = self._running_state()
        how = "`make run`, in another terminal" if state.foreground else "`make up`"
        self._console.print(f"[red]This clone is running already[/] (started by {how}).")
        for difference in asked.differences(state.asked):
            self._console.print(f"  {difference}")
        self._console.print("Use it (.run/opitios.env), or end it first: make down")
        return REFUSED

    def _running_state(self) -> State:
        # A supervisor writes its first state right after it took the lock.
        processes.wait_for(lambda: State.read(self._run) is not None, 5)
        return State.read(self._run) or State("servers")

    def _end(self, pid: int) -> None:
        processes.send(pid, signal.SIGTERM)
        if not processes.wait_for(lambda: self._run.supervisor() is None, DOWN_SECONDS):
            processes.send(pid, signal.SIGKILL)
            processes.wait_for(lambda: self._run.supervisor() is None, DOWN_SECONDS)
        processes.wait_for(lambda: not processes.is_alive(pid), DOWN_SECONDS)
