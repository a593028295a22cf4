"""From nothing to a ready gateway, one step after the other."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from opitios.core import clock, descriptors
from opitios.core.embedded import ports, postgres, redis, roles
from opitios.core.embedded.program import Program
from opitios.core.embedded.runfolder import env_text, write_private
from opitios.core.embedded.supervisor import Supervisor
from opitios.management import paper, readiness
from opitios.management.gateway import Gateway, NoAnswerError
from opitios.management.stack import Stack, account_ids, web_workers

# design.md §9: `make up` has 120 s in all once the packages are installed.
READY_SECONDS = 120.0

# Servers from wheels answer in a second; after a crash Postgres reads its log first. Seconds.
SERVER_SECONDS = 60.0

# Migrations of an empty database and the import of every account, on a busy machine. Seconds.
COMMAND_SECONDS = 120.0

# Accounts that are not for trading: master, data_001, data_002, backup_001.
OTHER_ACCOUNTS = 4


class StartupError(Exception):
    """The gateway did not come up; the text says why, `logs` where to read more."""

    def __init__(self, why: str, *logs: Path) -> None:
        super().__init__(why)
        self.logs = logs


@dataclass(frozen=True, slots=True)
class Startup:
    """One start of a stack. `tell(phase, detail)` hears what is going on."""

    stack: Stack
    supervisor: Supervisor
    tell: Callable[[str, str], None]

    def run(self) -> dict[str, str]:
        """Start everything in order and return what is handed out.

        1. Servers, logins and the database.  2. The sandbox.  3. Tables, accounts, the staff user
        and tokens.  4. The gateway's processes.  5. Wait until all clients are warm.
        6. Start the live feed and the retry path.  7. Write `.run/opitios.env`, last and whole.
        Raises StartupError, ServerError, HomeError or TooFewDescriptors, and StopAskedError when
        told to end.
        """
        # Its processes inherit the limit.
        descriptors.make_room(self.stack.asked.accounts + OTHER_ACCOUNTS)
        deadline = clock.monotonic() + READY_SECONDS
        self._start_servers()
        tokens = self._prepare_database()
        for program in self.stack.gateway():
            self.supervisor.start(program)
        self._wait_until_ready(tokens["TOKEN_ADMIN"], deadline)
        for program in self.stack.afterwards():
            self.supervisor.start(program)
        handout = self.stack.handout(tokens)
        write_private(self.stack.run.handout, env_text(handout))
        return handout

    def _start_servers(self) -> None:
        self.tell("servers", "")
        if self.stack.has_own_postgres:
            postgres.recover(self.stack.home)
            password, environment = self.stack.secrets.postgres, dict(os.environ)
            postgres.make_cluster(self.stack.home, password=password, environment=environment)
        for program in self.stack.servers():
            self.supervisor.start(program)
        # It needs nothing of the others: it starts while they do.
        self.supervisor.start(self.stack.sandbox())
        stack = self.stack
        if stack.has_own_postgres:
            self._wait_for("postgres", lambda: postgres.answers(stack.server_url))
        if stack.has_own_redis:
            self._wait_for("redis", lambda: redis.answers(stack.redis_url))
        elif not redis.answers(stack.redis_url):
            raise StartupError("the Redis of REDIS_URL does not answer")

    def _prepare_database(self) -> dict[str, str]:
        stack = self.stack
        # In production both logins exist, and nothing is created (design.md §9).
        if stack.asked.database_owner_url is None:
            roles.ensure(stack.server_url, stack.names, stack.passwords)
        stack.write_settings()
        self.tell("books", f"{stack.asked.accounts} trading accounts")
        path = stack.write_accounts()
        if stack.asked.alpaca_keys:
            # The file is read again by processes that are not told the keys.
            seal = stack.command("seal", "seal", "--all", path, **stack.asked.alpaca_keys)
            run(self.supervisor, seal)
        told = {
            "DATABASE_OWNER_URL": stack.database_urls()[1],
            "STAFF_PASSWORD": stack.secrets.staff,
        }
        return _prepared(self.supervisor, stack.command("prepare", "prepare", path, **told))

    def _wait_until_ready(self, token: str, deadline: float) -> None:
        self.tell("warm-up", "waiting for the gateway to answer")
        seen: list[str] = ["the gateway does not answer"]

        def is_ready() -> bool:
            seen[0], ready = look(self.stack, token)
            self.tell("warm-up", seen[0])
            return ready

        left = deadline - clock.monotonic()
        if not self.supervisor.wait_until(is_ready, seconds=left, every=0.5):
            why = f"not ready after {READY_SECONDS:.0f} s: {seen[0]}"
            raise StartupError(why, *self._telling_logs())

    def _telling_logs(self) -> list[Path]:
        """The logs of programs that died meanwhile; where none did, those of the gateway."""
        children = self.supervisor.children
        died = [child.program.log for child in children if child.restarts]
        return died or [program.log for program in self.stack.gateway()]

    def _wait_for(self, name: str, answers: Callable[[], bool]) -> None:
        if not self.supervisor.wait_until(answers, seconds=SERVER_SECONDS):
            raise StartupError(f"{name} does not answer", self.stack.run.log(name))


def run(supervisor: Supervisor, program: Program, *, capture: bool = False) -> str:
    """Run a command to its end and return what it printed, where captured. Raises StartupError."""
    try:
        done = supervisor.run(program, seconds=COMMAND_SECONDS, capture=capture)
    except TimeoutError as error:
        raise StartupError(str(error), program.log) from error
    if done.code != 0:
        raise StartupError(f"{program.name} failed (exit code {done.code})", program.log)
    return done.output.decode()


def mint(stack: Stack, supervisor: Supervisor) -> dict[str, str]:
    """Make the tokens that are handed out, valid 24 h. Raises StartupError."""
    return _prepared(supervisor, stack.command("mint_token", "prepare"))


def _prepared(supervisor: Supervisor, program: Program) -> dict[str, str]:
    tokens: dict[str, str] = json.loads(run(supervisor, program, capture=True))
    return tokens


def look(stack: Stack, token: str) -> tuple[str, bool]:
    """Ask the pool once: what it says in words, and whether everything is ready."""
    said = glance(stack, token)
    if said.ready < expected(stack).accounts:
        # Every account, twice a second, would take from web what the warm-up needs.
        return str(said), False
    try:
        answer = readiness.read_pool(Gateway(stack.addresses.api_url, token))
    except NoAnswerError:
        return "the gateway does not answer", False
    if answer.status != 200:  # noqa: PLR2004 - HTTP's own number
        # A web process that has just begun may have to read its lists yet.
        return f"the pool answers {answer.status}", False
    found = readiness.judge(answer.body, expected(stack))
    if not ports.listens(stack.addresses.ws):
        return f"{found}, the stream does not answer yet", False
    return str(found), found.is_ready


def glance(stack: Stack, token: str) -> readiness.Glance:
    """Ask the pool for its sums alone, which costs it little."""
    try:
        answer = Gateway(stack.addresses.api_url, token).get(readiness.SUMMARY)
    except NoAnswerError:
        return readiness.Glance(0, "the gateway does not answer yet")
    if answer.status != 200:  # noqa: PLR2004 - HTTP's own number
        said = f"the pool answers {answer.status}: {json.dumps(answer.body)[:200]}"
        return readiness.Glance(0, said)
    return readiness.Glance.of(answer.body)


def told_of_paper(stack: Stack, supervisor: Supervisor, token: str) -> str:
    """Wait a little for Alpaca's word on the operator's own account, and put it in a sentence.

    Empty where there is none.
    """
    if not stack.asked.alpaca_keys:
        return ""
    seen = [""]

    def is_settled() -> bool:
        # A gateway that is busy is asked again.
        with suppress(NoAnswerError):
            answer = readiness.read_pool(Gateway(stack.addresses.api_url, token))
            if answer.status == 200:  # noqa: PLR2004 - HTTP's own number
                seen[0] = paper.state_in(answer.body)
        return paper.is_settled(seen[0])

    supervisor.wait_until(is_settled, seconds=paper.ANSWER_SECONDS, every=0.5)
    return paper.sentence(seen[0])


def expected(stack: Stack) -> readiness.Expected:
    """What a ready pool of this stack holds."""
    trading = frozenset(account_ids(stack.asked.accounts))
    return readiness.Expected(
        accounts=len(trading) + OTHER_ACCOUNTS,
        trading=trading,
        web_workers=web_workers(),
        desks=stack.asked.desks,
    )
