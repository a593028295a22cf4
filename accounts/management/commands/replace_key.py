"""Give an account another key pair, once the broker has taken it."""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from getpass import getpass
from pathlib import Path
from typing import Any, ClassVar

from django.core.management.base import CommandParser
from django.views.decorators.debug import sensitive_variables

from accounts import custody
from accounts.commandline import CustodyCommand, operator
from accounts.custody import Refused, Replaced
from accounts.roster.references import MAX_KEY_FILE, Unresolved, find_named
from opitios.broker.port import Credentials

FIELDS = ("api_key", "secret_key")
NOT_ON_THE_COMMAND_LINE = "a key is never given on the command line: env:NAME or file:PATH"


class Command(CustodyCommand):
    """`replace_key ACCOUNT [--api-key REF --secret-key REF] [--reason TEXT] [--json]`.

    Without references the pair is asked for on the terminal, without echo, or read from two lines
    of standard input: api key, secret key. Exit code 1 where nothing was changed.
    """

    help = "Give an account another key pair, once the broker has taken it."
    reason: ClassVar[str | None] = "routine replacement"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        super().add_arguments(parser)
        for name in FIELDS:
            option = f"--{name.replace('_', '-')}"
            parser.add_argument(option, type=reference, help="env:NAME or file:PATH")

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Make a parser that does not repeat what it did not expect: it may be a key."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        refuse = parser.error

        def error(message: str) -> None:
            refuse(NOT_ON_THE_COMMAND_LINE if "unrecognized" in message else message)

        parser.error = error  # type: ignore[method-assign] # Django chooses the parser's class
        return parser

    def act(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Read the pair and replace the key."""
        pair = read_pair(options["api_key"], options["secret_key"])
        done = custody.replace_key(
            options["account"],
            pair,
            actor=operator("replace_key"),
            reason=options["reason"],
        )
        return _about(done), _sentence(done)


def reference(text: str) -> str:
    """Read `env:NAME` or `file:PATH`. Raises ArgumentTypeError, without what was typed."""
    kind, _, name = text.partition(":")
    if kind not in {"env", "file"} or not name:
        raise ArgumentTypeError(NOT_ON_THE_COMMAND_LINE)
    return text


@sensitive_variables()
def read_pair(api_key: str | None, secret_key: str | None) -> Credentials:
    """Read the pair from what the references name, the terminal, or standard input.

    Raises Refused, which shows nothing of what was read.
    """
    if (api_key is None) != (secret_key is None):
        raise Refused("give both, --api-key and --secret-key, or neither")
    if api_key is not None and secret_key is not None:
        found = [_named(api_key), _named(secret_key)]
    elif sys.stdin.isatty():
        found = [getpass(f"{name} (not shown): ") for name in FIELDS]
    else:
        found = [sys.stdin.readline(MAX_KEY_FILE) for _ in FIELDS]
    try:
        return Credentials(*(value.strip() for value in found))
    except ValueError:
        raise Refused(
            "api_key and secret_key are visible ASCII characters, one line each"
        ) from None


@sensitive_variables()
def _named(text: str) -> str:
    try:
        return find_named(text, environ=os.environ, folder=Path.cwd())
    except Unresolved as error:
        raise Refused(str(error)) from error


def _about(done: Replaced) -> dict[str, Any]:
    return {
        "account_id": done.account_id,
        "key": {"hint": done.hint, "version": done.version},
        "account_number": done.account_number,
        "identity_compared": done.was_known,
    }


def _sentence(done: Replaced) -> str:
    compared = (
        "as before"
        if done.was_known
        else "which nobody could compare: the broker had never answered for this account"
    )
    return (
        f"{done.account_id} has key {done.hint}, version {done.version}; at the broker it is"
        f" {done.account_number}, {compared}"
    )
