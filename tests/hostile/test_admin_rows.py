"""What somebody else wrote is text on a staff page, whatever it looks like (H171 to H176)."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from django.test import Client

from accounts import custody, journal
from accounts.models import AccountState, JournalEntry
from opitios.core import clock
from tests.admin.stories import rejected
from tests.api.calls import GOOD, Api, new_key, read
from tests.docs.pages import ROOT
from tests.hostile.corpus import MANY, in_every_case
from tests.hostile.markup import CANARY, SCRIPTS, Page
from tests.support.accounts import open_account, token

pytestmark = pytest.mark.django_db


# Texts of a row are told together, in so many groups: pages take long.
AT_ONCE = 4


def html(client: Client, path: str) -> str:
    """A page that is there."""
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return answer.content.decode()


def harmless(client: Client, paths: Iterable[str]) -> list[str]:
    """Each of these pages shows the canary as text alone; what they show."""
    shown = {path: html(client, path) for path in paths}
    assert {path: Page(page).live for path, page in shown.items() if Page(page).live} == {}
    return list(shown.values())


def about(account: str, orders: Iterable[str]) -> Iterator[str]:
    """Every page that shows something of an account and its orders."""
    yield from (f"/admin/trading/order/{each}/change/" for each in orders)
    for table in ("trading/order", "trading/fill", "accounts/journalentry"):
        yield f"/admin/{table}/?account={account}"
    yield "/admin/trading/attempt/"
    entries = JournalEntry.objects.filter(account_id=account).order_by("-seq")[:3]
    yield from (f"/admin/accounts/journalentry/{entry.pk}/change/" for entry in entries)
    yield from (f"/admin/accounts/account/{account}/change/", "/admin/", "/admin/accounts/account/")


def test_h171_scripts_in_the_broker_s_words(superuser: Client) -> None:
    account = open_account()
    said = [" ".join(SCRIPTS[first::AT_ONCE]) for first in range(AT_ONCE)]
    orders = [str(rejected(account, words)["id"]) for words in said]

    pages = harmless(superuser, about(account, orders))

    assert len(SCRIPTS) >= MANY
    assert sum(page.count(CANARY) for page in pages) >= len(SCRIPTS)


def test_h172_scripts_in_the_trader_s_texts_and_about_an_account(superuser: Client) -> None:
    api = Api.open()
    account = api.account
    plain = [text for text in SCRIPTS if text.isprintable()]
    tags = [{f"n{n}": text for n, text in enumerate(plain[first::AT_ONCE])}
            for first in range(AT_ONCE)]  # fmt: skip
    orders = [read(api.place({**GOOD, "tags": each}))["id"] for each in tags]
    AccountState.objects.filter(account_id=account).update(
        state_reason=SCRIPTS[0], broker_account={SCRIPTS[1]: SCRIPTS[2], "status": SCRIPTS[3]}
    )
    custody.suspend(account, actor=journal.system("test"), reason=SCRIPTS[4])

    pages = harmless(superuser, about(account, orders))

    assert len(plain) >= MANY
    assert sum(page.count(CANARY) for page in pages) >= len(plain)


def test_h173_scripts_in_headers_and_claims(superuser: Client) -> None:
    account = Api.open().account
    orders: list[str] = []
    for text in (each for each in SCRIPTS if each.isprintable()):
        visible = re.sub(r"\s", "_", text)[:128]
        api = Api(account, token([account], sub=visible))
        answer = api.place(key=new_key(), User_Agent=text, Referer=text, X_Request_ID=text,
                           X_Forwarded_For=text, Accept_Language=text)  # fmt: skip
        assert answer.status_code == 202, answer.content
        orders.append(read(answer)["id"])

    # One page shows the trader of every order; some of the others do for all.
    pages = harmless(superuser, about(account, orders[::AT_ONCE]))

    assert len(orders) >= MANY
    assert sum(page.count(CANARY) for page in pages) >= len(orders)


# The folders whose code makes pages.
MARKING = {"mark_safe", "SafeString", "SafeText", "format_html"}
ROOMS = ("opitios", "accounts", "trading", "marketdata", "streaming")


def marked_safe(path: Path) -> list[str]:
    """Calls of a file that would put text into a page as it is."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    given = [node for node in nodes if isinstance(node, ast.Assign)]
    named = {target.id for node in given for target in node.targets
             if isinstance(target, ast.Name) and isinstance(node.value, ast.Constant)}  # fmt: skip
    return [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for node in nodes
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) in MARKING
        and not (node.args and _is_literal(node.args[0], named))
    ]


def _is_literal(node: ast.expr, named: set[str]) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id in named)


def test_h174_no_page_is_built_of_text_that_is_not_escaped() -> None:
    """Markup is a literal, and what goes into it is an argument that is escaped."""
    files = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    pages = [file for room in ROOMS for file in (ROOT / room).rglob("*.html")]
    unescaped = re.compile(r"\|\s*safe\b|autoescape\s+off|\|\s*safeseq|innerHTML|document\.write")

    assert [call for file in files for call in marked_safe(file)] == []
    assert [str(page) for page in pages if unescaped.search(page.read_text())] == []
    assert len(files) + len(pages) >= MANY


FIGURES = [
    "1e999999999", "-1e999999999", "1E+99999", "1e-999999999", "9" * 5000, "0." + "0" * 5000 + "1",
    "NaN", "sNaN", "Infinity", "-Infinity", "1_000", "１２", "٣", "", " ", "abc", "1e5", "0x10",
    "--1", "1,000,000.00", "1e400", "9" * 400 + "." + "9" * 400,
]  # fmt: skip


def test_h175_huge_exponents_on_a_page(superuser: Client) -> None:
    """A figure that cannot be written out is shown as it came, or not at all; the page is there."""
    account = open_account()
    names = ("equity", "cash", "buying_power", "portfolio_value", "status")

    def check(figure: object) -> None:
        said = dict.fromkeys(names, figure)
        AccountState.objects.filter(account_id=account).update(
            broker_account=said, checked_at=clock.now()
        )
        for page in (f"/admin/accounts/account/{account}/change/",
                     f"/admin/accounts/account/?q={account}"):  # fmt: skip
            assert len(html(superuser, page)) < 2_000_000

    in_every_case([*FIGURES, 10**400, -1, True, None, [], {}, {"a": "1e999999999"}], check)


@pytest.mark.timeout(600, func_only=True)
def test_h176_admin_searches_end(superuser: Client) -> None:
    """Each of these makes a careless search run for ever: the test would never end."""
    texts = ["a" * 5000 + "!", "%" * 3000, "_" * 3000, "(" * 3000, "(a+)+$" * 500, "\\" * 3000,
             "'\"" * 1500, "a b " * 1500, "%_%_" * 800, "[[:alpha:]]*" * 300, "\u0000",
             "\ud7ff" * 900,
             "019aa0c2-6f1e-7c3a-9b1e-2f5d8c1a7e40" * 50, "-" * 3000, "1" * 3000, "q" + " q" * 999,
             "{{7*7}}", "*)(uid=*", "../" * 900, "=" * 3000]  # fmt: skip
    tables = ("trading/order", "trading/fill", "trading/attempt", "accounts/journalentry",
              "accounts/account")  # fmt: skip

    def check(case: tuple[str, str]) -> None:
        table, text = case
        answer = superuser.get(f"/admin/{table}/", {"q": text, "account": text})
        assert answer.status_code in {200, 302, 400}

    # Each text in one table, every table several times.
    in_every_case([(tables[n % len(tables)], text) for n, text in enumerate(texts)], check)
