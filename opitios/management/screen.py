"""What the operator sees: steps with their seconds, what went wrong, and a live table."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.status import Status
from rich.table import Table
from rich.text import Text

from opitios.core import clock
from opitios.core.embedded.program import Child

PHASES = {
    "servers": "Postgres, Redis and the sandbox",
    "books": "Tables, accounts and tokens",
    "warm-up": "Clients and trade sockets",
}

# How much of a log is worth a screen when something failed, in lines.
TAIL_LINES = 12


class Steps:
    """The steps of a start: a spinner on a terminal, one line a finished step everywhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._since = 0.0
        self._status: Status | None = None

    def tell(self, phase: str, detail: str) -> None:
        """Note what is going on; a new phase ends the one before."""
        if phase != self._phase:
            self.done()
            self._phase, self._since = phase, clock.monotonic()
        title = PHASES.get(phase, phase)
        if not self._console.is_terminal:
            return
        if self._status is None:
            self._status = self._console.status("")
            self._status.start()
        self._status.update(f"{title}: {detail}" if detail else title)

    def done(self) -> None:
        """End the present step and say how long it took."""
        self._clear()
        if self._phase:
            seconds = clock.monotonic() - self._since
            title = PHASES.get(self._phase, self._phase)
            self._console.print(f"[green]✓[/] {title} [dim]{seconds:.1f} s[/]", highlight=False)
        self._phase = ""

    def fail(self) -> None:
        """End the present step without a word of success."""
        self._clear()
        self._phase = ""

    def _clear(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def remark(console: Console, text: str) -> None:
    """Print a sentence with a line before it, where there is one to print."""
    if text:
        console.print(f"\n{text}", highlight=False, markup=False, soft_wrap=True)


def failure(console: Console, why: str, logs: Iterable[Path]) -> None:
    """Say what went wrong, with the ends of the logs that tell more."""
    console.print(f"✗ {why}", style="red", highlight=False, markup=False, soft_wrap=True)
    for log in logs:
        lines = tail(log, TAIL_LINES)
        if lines:
            console.rule(str(log), align="left", style="dim")
            console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def tail(log: Path, lines: int) -> list[str]:
    """The last lines of a log; [] where there is none."""
    if not log.exists():
        return []
    return log.read_text(errors="replace").splitlines()[-lines:]


def addresses(handout: Mapping[str, str]) -> str:
    """Where everything is, and who may sign in."""
    api, staff = handout["API_URL"], f"{handout['STAFF_USER']} / {handout['STAFF_PASSWORD']}"
    return "\n".join(
        (
            f"API      {api}/api/v1/   (docs: {api}/api/docs)",
            f"Stream   {handout['WS_URL']}   (to watch it: {handout['ADMIN_URL']}stream/)",
            f"Admin    {handout['ADMIN_URL']}   ({staff})",
            f"Sandbox  {handout['SANDBOX_URL']}",
            "Tokens   TOKEN_TRADER and TOKEN_ADMIN in .run/opitios.env",
        )
    )


# Lines to paste into another terminal of this folder.
EXAMPLES = """\
set -a; . .run/opitios.env; set +a

curl -s "$API_URL/api/v1/accounts/account_001/orders/stocks" \\
  -H "Authorization: Bearer $TOKEN_TRADER" -H 'Content-Type: application/json' \\
  -H 'Idempotency-Key: my-first' -H 'Prefer: wait=5' \\
  -d '{"symbol":"AAPL","side":"buy","type":"market","qty":"1","time_in_force":"day"}'

make tail ARGS='--orders account_001 --quotes AAPL,SPY --trades'    # the stream, live

.venv/bin/python - <<'END'
import os
from alpaca.trading.client import TradingClient
key, secret = "SANDBOX_account_001", "sandbox-secret-account_001"
print(TradingClient(key, secret, url_override=os.environ["SANDBOX_URL"]).get_all_positions())
END
"""


def status(children: Sequence[Child], pool: str) -> RenderableType:
    """The processes of a run and what the pool says, as of now."""
    table = Table(show_edge=False)
    for title in ("process", "pid", "up", "restarts"):
        table.add_column(title, justify="left" if title == "process" else "right")
    now = clock.monotonic()
    for child in children:
        pid = Text(str(child.pid)) if child.pid else Text("starting again", style="red")
        up = duration(now - child.started_at) if child.pid else ""
        table.add_row(child.program.name, pid, up, str(child.restarts))
    return Group(table, Text(pool), Text("Ctrl-C stops everything.", style="dim"))


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds: 2:03:04."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
