"""The stream page in a real browser, beside a real web process and a real stream process."""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.admin.served import Served
from tests.admin.test_in_a_browser import ATTACK, Browse, browse
from tests.docs.test_streams import program
from tests.streaming.conftest import Token, token
from tests.streaming.stream_process import StreamProcess
from tests.support.crowd import patient
from tests.support.until import until

pytestmark = [pytest.mark.django_db, pytest.mark.browser]

__all__ = ("browse", "token")

# The page's own table is as the reader's system asks; the looks are tried with the other pages.
Do = Callable[..., Any]

# The program of docs/streams.md; its first socket is broken as soon as it follows.
PROGRAM = f"""([token, account]) => {{
    const Real = WebSocket, sockets = [];
    window.WebSocket = function (url) {{ sockets.push(new Real(url)); return sockets.at(-1); }};
    {program("javascript")}
    window.heard = [];
    follow(document.getElementById("stream").dataset.stream, token, [account], (message) => {{
        if (message.T === "snapshot") {{ sockets[0].close(4000); window.broken = true; }}
        if (message.T === "order") window.heard.push(message.seq);
    }});
}}"""

# It may be back before anybody looks: that the socket was gone is kept on the page.
NOTE_BREAKS = """() => {
    const button = document.getElementById("stream-break");
    const note = () => { if (button.disabled) document.body.dataset.broke = "yes"; };
    new MutationObserver(note).observe(button, { attributeFilter: ["disabled"] });
}"""

LEFT_OUT = """account => update(
    { T: "order", account_id: account, seq: 13, event: "new", order: {} }, now())"""


@pytest.fixture
def theme() -> str:
    """The light one."""
    return "light"


@pytest.fixture(scope="module")
def stream(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StreamProcess]:
    """The stream process of this file."""
    folder = tmp_path_factory.mktemp("stream")
    with StreamProcess(folder, OPITIOS_PROCESS="stream-of-pages") as process:
        yield process


@pytest.fixture(scope="module")
def web(stream: StreamProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The web process that was told of the stream's own origin."""
    told = {"OPITIOS_STREAM_URL": f"ws://127.0.0.1:{stream.port}/ws/v1/stream"}
    with Served(tmp_path_factory.mktemp("web") / "web.log", dict(os.environ) | told) as served:
        yield served


@pytest.fixture
def aside() -> Iterator[Do]:
    """Do on another thread what the browser's loop forbids on this one: write to the database."""
    from django.db import connections  # noqa: PLC0415

    with ThreadPoolExecutor(1) as threads:
        yield lambda do, *given: threads.submit(do, *given).result(patient(20))
        threads.submit(connections.close_all).result()


def watch(page: Page, orders: str, symbols: str = "") -> None:
    page.fill("input[name=orders]", orders)
    page.fill("input[name=symbols]", symbols)
    page.click("#stream-watch")


def numbers(page: Page) -> list[str]:
    """The journal numbers shown, oldest first."""
    return page.locator("#stream-updates tr td:nth-child(3)").all_inner_texts()[::-1]


def test_an_orders_states_arrive_and_a_broken_socket_misses_none(
    browse: Browse, account: str, aside: Do
) -> None:
    from tests.streaming import orders  # noqa: PLC0415

    orders.place(account)

    with browse() as page:
        page.goto("/admin/stream/")
        page.fill("input[name=after]", f"{account}=0")
        watch(page, account)
        expect(page.locator("#stream-state")).to_have_text("listening")
        rows = page.locator("#stream-updates tr")
        expect(rows).to_have_count(1)
        aside(orders.whole_life, account)
        expect(rows).to_have_count(5)
        expect(rows.first).to_contain_text("filled")
        expect(rows.first.locator("td").nth(7)).to_have_text(re.compile(r"\d ms$"))

        page.evaluate(NOTE_BREAKS)
        page.click("#stream-break")
        expect(page.locator("body")).to_have_attribute("data-broke", "yes")
        aside(orders.whole_life, account)
        expect(rows).to_have_count(9)
        expect(page.locator("#n-again")).to_have_text("1")
        assert numbers(page) == [f"#{seq}" for seq in range(1, 10)]
        expect(page.locator("#n-gaps")).to_have_text("0")

        pauses_and_clears(page, lambda: aside(orders.place, account))
        # The gateway leaves nothing out; should it ever, the page says so.
        page.evaluate(LEFT_OUT, account)
        expect(page.locator("#stream-updates .op-gap")).to_contain_text("#11 to #12 did not come")
        expect(page.locator("#n-gaps")).to_have_text("1")
        page.click("#stream-stop")
        expect(page.locator("#stream-state")).to_have_text("not connected")


def pauses_and_clears(page: Page, place: Callable[[], Any]) -> None:
    rows = page.locator("#stream-updates tr")
    page.click("#stream-pause")
    place()
    expect(page.locator("#stream-kept")).to_have_text("paused, 1 waiting")
    expect(rows).to_have_count(9)
    page.click("#stream-pause")
    expect(rows).to_have_count(10)
    rows.first.locator("td").first.click()
    expect(page.locator("#stream-chosen-text")).to_contain_text('"seq": 10')
    page.click("#stream-clear")
    expect(rows).to_have_count(0)


def test_quotes_tick_text_stays_text_and_what_cannot_be_watched_is_said(
    browse: Browse, account: str, aside: Do, token: Token
) -> None:
    from marketdata.ticks import Tick, packed  # noqa: PLC0415
    from opitios.core import clock  # noqa: PLC0415
    from opitios.core.bus import Topic, get_bus  # noqa: PLC0415
    from tests.admin.stories import rejected  # noqa: PLC0415

    signed = token(account)

    def quote(bid: float) -> None:
        body = {"t": clock.rfc3339(clock.now()), "bp": bid, "bs": 3, "ap": bid + 0.02, "as": 4}
        tick = Tick("quotes", ATTACK[:9], "AAPL", clock.now().timestamp(), body)
        # The page shows the last one, however often it comes.
        until(lambda: get_bus().publish((Topic.TICKS, packed([tick]))))

    with browse() as page:
        page.goto("/admin/stream/")
        watch(page, account, "AAPL")
        expect(page.locator("#stream-talk")).to_contain_text("quotes AAPL")
        row = page.locator("#stream-quotes tr")
        aside(quote, 187.2)
        expect(row).to_contain_text("187.20")
        aside(quote, 187.3)
        expect(row.locator("td").nth(1)).to_have_class(re.compile("op-up"))
        expect(row).to_contain_text(ATTACK[:9])
        aside(rejected, account, ATTACK)
        expect(page.locator("#stream-updates tr").first).to_contain_text("rejected")
        page.locator("#stream-updates tr td").first.click()
        assert page.title() != "owned"

        page.evaluate(PROGRAM, [signed, account])
        page.wait_for_function("window.broken")
        aside(rejected, account, "no")
        page.wait_for_function("window.heard.length === 3")
        assert page.evaluate("window.heard") == [4, 5, 6]
        refuses_what_cannot_be_watched(page, account)


def refuses_what_cannot_be_watched(page: Page, account: str) -> None:
    watch(page, "", "")
    expect(page.locator("#stream-trouble")).to_contain_text("Name accounts, or symbols")
    page.click("text=Which token?")
    page.fill("input[name=token]", "none.of.it")
    watch(page, account)
    expect(page.locator("#stream-trouble")).to_contain_text("did not take the token")
    expect(page.locator("#stream-state")).to_have_text("not connected")
    assert "none.of.it" not in page.url
