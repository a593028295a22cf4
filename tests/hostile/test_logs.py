"""What somebody sends stays within its field of its line: no line of its own, no colour."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator

import pytest
import structlog

from opitios.core import logs
from tests.accounts.issuer import claims
from tests.api.calls import GOOD, Api
from tests.hostile.corpus import MANY, in_every_case
from tests.support.accounts import token

pytestmark = pytest.mark.django_db

# Line ends and what some viewers take for one, ANSI in one byte and in two, marks of direction,
# ends of a JSON string, a NUL, half a pair, and a line that somebody would like to have written.
PIECES = (
    "\r\n", "\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\x1b[31m", "\x1b]0;x\x07",
    "\x9b31m", "\x00", "\x7f", "\b\b\b", "\u202e", "\u2066", "\u200b", "\ufeff", '"', "\\", '"}',
    '","status":200,"x":"', '\n{"event":"request","status":200}', "%0d%0a", "%1b%5b2J", "\ud800",
    "${jndi:ldap://x}", "<script>", "'; --",
)  # fmt: skip


def lines_of(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What went to standard error meanwhile."""
    sys.stderr.flush()
    return [line for line in capfd.readouterr().err.split("\n") if line]


def assert_inert(line: str) -> dict[str, object]:
    """One object in plain visible ASCII."""
    assert line.isascii()
    assert line.isprintable()
    told: dict[str, object] = json.loads(line)
    assert len(line) < 4 * logs.LONGEST_TEXT * len(told)
    return told


def one_access_line(capfd: pytest.CaptureFixture[str]) -> dict[str, object]:
    """The line of the one request that was made, and nothing that claims to be another."""
    told = [assert_inert(line) for line in lines_of(capfd)]
    (line,) = [each for each in told if each["logger"] == "access"]
    return line


def test_h165_a_user_agent_is_one_field_of_one_line(
    api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    """H165."""

    def check(piece: str) -> None:
        # As the server hands it over: latin-1, whatever the bytes were.
        agent = f"bot{piece}".encode("utf-8", "surrogatepass").decode("latin-1") + "x" * 5000
        lines_of(capfd)
        api.client.get("/health/live", headers={"User-Agent": agent})
        line = one_access_line(capfd)
        assert str(line["agent"]).startswith("bot")
        assert (line["status"], line["path"]) == (200, "/health/live")

    assert len(PIECES) >= MANY
    in_every_case(PIECES, check)


def test_h166_a_path_and_a_symbol_are_one_field_of_one_line(
    api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    """H166."""

    def check(piece: str) -> None:
        lines_of(capfd)
        inside = piece.encode("utf-8", "surrogatepass").decode("latin-1")
        status = api.client.get(f"/api/v1/accounts/a{inside}/orders").status_code
        line = one_access_line(capfd)
        assert line["status"] == status
        assert 400 <= status < 500
        assert str(line["path"]).startswith("/api/v1/accounts/a")
        refused = api.place(GOOD | {"symbol": f"AA{piece}"})
        assert one_access_line(capfd)["status"] == refused.status_code
        assert 400 <= refused.status_code < 500

    in_every_case(PIECES, check)


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What our own and everybody else's loggers write, through the formatter of every process."""
    (formatter,) = {
        type(each.formatter): each.formatter
        for each in logging.getLogger().handlers
        if isinstance(each.formatter, structlog.stdlib.ProcessorFormatter)
    }.values()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    # Threads that other tests left have things of their own to say.
    here = threading.get_ident()
    handler.addFilter(lambda record: record.thread == here)
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def test_h167_what_the_broker_says_is_one_field_of_one_line(written: io.StringIO) -> None:
    """H167: as a field, in a message of a library, in a traceback."""
    ours, theirs = structlog.get_logger("app"), logging.getLogger("some.library")

    def check(piece: str) -> None:
        written.seek(0)
        written.truncate()
        try:
            json.loads(f"}}the broker said {piece}")
        except ValueError as error:
            error.add_note(piece)
            ours.exception("the broker refused", message=f"no{piece}", account_id="a")
            theirs.warning("it answered %s", piece, exc_info=True)
        lines = written.getvalue().split("\n")[:-1]
        assert len(lines) == 2
        told = [json.loads(line) for line in lines]
        assert all(line.isascii() and line.isprintable() for line in lines)
        assert [each["event"].partition(" ")[0] for each in told] == ["the", "it"]
        assert told[0]["message"].startswith("no")

    # Half a pair is no JSON of a broker's, and pytest's own log could not be carried on.
    in_every_case([each for each in PIECES if each != "\ud800"], check)


def test_h169_a_name_that_looks_like_another_does_not_in_a_line(
    api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    """H169: Cyrillic and full-width letters, marks of direction, joiners."""

    def check(name: str) -> None:
        lines_of(capfd)
        inside = name.encode().decode("latin-1")
        assert api.client.get(f"/api/v1/accounts/{inside}/orders").status_code in {401, 404}
        line = one_access_line(capfd)
        assert line["account_id"] != "account_001"
        assert "/account_001/" not in str(line["path"])
        assert "\\u" in str(line["path"]) or "\\x" in str(line["path"])

    look_alikes = [
        "account_001".replace(plain, other)
        for plain, others in {
            "a": "аɑａ𝐚",
            "c": "сϲｃ𝐜",
            "o": "оοｏ𝐨",
            "0": "ОΟ０𝟎",
            "_": "＿ˍ‗﹍",
        }.items()
        for other in others
    ] + ["acco\u200bunt_001", "\u202eaccount_001", "account\u00ad_001"]
    assert len(look_alikes) >= MANY
    in_every_case(look_alikes, check)


def test_secrets_and_tokens_are_taken_out_of_every_line(written: io.StringIO) -> None:
    """H124: a library that quotes what it was given does not know what is secret."""
    bearer = token(["a"])
    logging.getLogger("some.library").warning("sent Authorization: Bearer %s", bearer)
    structlog.get_logger("app").warning("odd", said=f"<{bearer}>", claims=claims())

    assert bearer not in written.getvalue()
    assert bearer.partition(".")[2] not in written.getvalue()
    assert written.getvalue().count("***") == 2
