"""Show a gateway's stream: quotes and order updates, as any client of it has them."""

import os
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from opitios.management.tail import views, wishes
from opitios.management.tail.follower import Bounds, Follower, Refused
from opitios.management.tail.source import BadSource, Source
from opitios.management.tail.views import View

ROOT = Path(__file__).resolve().parents[3]

# Exit codes, docs/streams.md: it came; it did not come; it cannot be asked so.
SHOWN, NOT_SHOWN, USAGE = 0, 1, 2


class Command(BaseCommand):
    """`tail --orders a,b|* --quotes AAPL,MSFT [--trades] [--after a=812] [--json]`."""

    help = (
        "Show the gateway's stream: order updates and quotes, live on a terminal, as lines in a "
        "pipe. The token is read from --token-file, from $OPITIOS_TOKEN, or from .run/opitios.env. "
        "Exit codes: 0 shown until --count, --seconds or Ctrl-C; 1 refused, unreachable, or "
        "--seconds over before --count came; 2 asked for in a way that cannot be read."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--orders", default="", help="account_001,account_002, or '*' for all")
        parser.add_argument("--quotes", default="", help="AAPL,MSFT; contracts by OCC symbol")
        parser.add_argument("--trades", action="store_true", help="the trades of --quotes too")
        parser.add_argument("--after", default="", help="account_001=812: what came after, first")
        parser.add_argument(
            "--json", action="store_true", help="each message as it came, one a line"
        )
        parser.add_argument("--count", type=whole, help="end after so many messages")
        parser.add_argument("--seconds", type=positive, help="end after so many seconds")
        parser.add_argument("--url", help="another gateway: wss://host/ws/v1/stream")
        parser.add_argument("--token-file", type=Path, help="a file that holds the token")
        parser.add_argument(
            "--token-name", default="TOKEN_TRADER", help="which token of .run/opitios.env"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Show it, and exit with its code."""
        source = Source(
            ROOT, os.environ, options["url"], options["token_file"], options["token_name"]
        )
        try:
            asked = wishes.read(**{name: options[name] for name in _WISHES})
            url = source.url
        except (wishes.BadWish, BadSource) as error:
            raise CommandError(str(error), returncode=USAGE) from error
        if source.is_in_clear:
            self.stderr.write("warning: without TLS whoever is between can read the token")
        bounds = Bounds(options["count"], options["seconds"])
        view = views.choose(as_json=options["json"], title=url)
        # Whoever stops it otherwise than by Ctrl-C gets the cursor back, too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        raise SystemExit(follow(Follower(source, asked, view, bounds), view))


_WISHES = ("orders", "quotes", "trades", "after")


def follow(follower: Follower, view: View) -> int:
    """Follow to the end and say how it ended: an exit code."""
    try:
        with view:
            return SHOWN if follower.run() else NOT_SHOWN
    except KeyboardInterrupt:
        return SHOWN if follower.was_in else NOT_SHOWN
    except (Refused, BadSource) as error:
        view.say(str(error), "bad")
        return NOT_SHOWN
    except BrokenPipeError:
        # Whoever reads has enough; the interpreter must not write to it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SHOWN


def whole(text: str) -> int:
    """Read a number from 1 on. Raises ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def positive(text: str) -> float:
    """Read seconds. Raises ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds") from error
    if not 0 < seconds < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds
