"""Set a halt, lift one, list them."""

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand

from accounts import custody
from accounts.commandline import operator, told_plainly
from accounts.models import Halt
from trading import halts
from trading.halts import Target


class Command(BaseCommand):
    """`halt set|lift|list`; exit code 1 where nothing was changed."""

    help = "Let nothing new be sent, or only what reduces: of everything, an account, a symbol."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the three verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        put = verbs.add_parser("set", help="halt an account, a symbol, or everything")
        put.add_argument("--everything", action="store_true", help="in place of the next two")
        put.add_argument("--account", help="its account_id")
        put.add_argument("--symbol", help="such as AAPL; without --account in all accounts")
        put.add_argument(
            "--reduce-only", action="store_true", help="let orders go that make a position smaller"
        )
        put.add_argument("--cancel-orders", action="store_true", help="cancel also what is open")
        put.add_argument("--reason", required=True, help="why; the accounts' traders may read it")
        lift = verbs.add_parser("lift", help="end a halt; what was denied stays denied")
        lift.add_argument("id", help="as `halt list` shows it")
        lift.add_argument("--reason", required=True, help="why")
        verbs.add_parser("list", help="those that stand")
        for verb in verbs.choices.values():
            verb.add_argument("--json", action="store_true", help="answer JSON, one halt a line")

    def handle(self, *args: Any, **options: Any) -> None:
        """Act, and say what was done."""
        acts = {"set": _set, "lift": _lift, "list": _list}
        with told_plainly():
            found = acts[options["verb"]](options)
        if not found and not options["json"]:
            self.stdout.write("nothing is halted")
        for halt in found:
            self.stdout.write(json.dumps(halt) if options["json"] else _sentence(halt))


def _set(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    target = Target(options["account"], options["symbol"])
    if (target.scope == Halt.Scope.GLOBAL) is not options["everything"]:
        raise custody.Refused("name an account or a symbol, or say --everything")
    if target.account_id is not None:
        custody.account_of(target.account_id)
    done = halts.set_halt(
        target,
        mode=Halt.Mode.REDUCE_ONLY if options["reduce_only"] else Halt.Mode.HALT,
        actor=operator("halt"),
        reason=options["reason"],
        cancel_orders=options["cancel_orders"],
    )
    return [{**halts.halt_json(done.row), "in_flight": halts.in_flight(done.row)}]


def _lift(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    try:
        halt_id = UUID(options["id"])
    except ValueError as error:
        raise custody.Refused(f"{options['id']!r} is no id of a halt") from error
    done = halts.lift(halt_id, actor=operator("halt"), reason=options["reason"])
    return [halts.halt_json(done)]


# So many halts at once are no longer a list that somebody reads.
MOST = 500


def _list(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [halts.halt_json(row) for row in halts.list_halts(None, standing=True, limit=MOST)]


def _sentence(halt: Mapping[str, Any]) -> str:
    of = " in ".join(filter(None, (halt["symbol"], halt["account_id"]))) or "everything"
    said = f"{halt['id']} {halt['mode']} of {of} by {halt['set_by']}: {halt['reason']}"
    if halt["lifted_at"] is not None:
        return f"{said} (lifted by {halt['lifted_by']})"
    flying = halt.get("in_flight", [])
    return f"{said} ({len(flying)} being sent)" if flying else said
