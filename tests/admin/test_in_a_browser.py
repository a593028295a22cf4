"""The pages in a real browser, in both themes: nothing fails to load, and text stays text."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect, sync_playwright

from tests.admin.served import Served
from tests.support.crowd import patient

pytestmark = [pytest.mark.django_db, pytest.mark.browser]

QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
ATTACK = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


# On a machine that is crowded a page takes its time. Milliseconds.
PATIENCE = patient(20) * 1000
expect.set_options(timeout=PATIENCE)

Browse = Callable[[], AbstractContextManager[Page]]


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> str:
    """Each theme the reader's system may ask for."""
    return str(request.param)


@pytest.fixture
def browse(theme: str, chromium: str, web: Served, staff: tuple[str, str]) -> Browse:
    """Open a browser that is signed in, and at its end hold its complaints against it.

    What a test writes to the database it writes before: the browser's loop forbids it inside.
    """

    @contextmanager
    def open_page() -> Iterator[Page]:
        wrong: list[str] = []
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium, args=QUIET.split(), timeout=PATIENCE
            )
            page = browser.new_page(base_url=web.url, color_scheme=theme)  # type: ignore[arg-type]
            page.set_default_timeout(PATIENCE)
            page.on("console", lambda said: _keep(wrong, said))
            page.on("pageerror", lambda error: wrong.append(str(error)))
            _sign_in(page, *staff)
            yield page
            browser.close()
        assert wrong == []

    return open_page


def _keep(wrong: list[str], said: ConsoleMessage) -> None:
    if said.type == "error":
        wrong.append(said.text)


def _sign_in(page: Page, name: str, password: str) -> None:
    page.goto("/admin/login/")
    page.fill("#id_username", name)
    page.fill("#id_password", password)
    page.click("button[type=submit]")
    page.wait_for_url("**/admin/")


def test_an_order_is_followed_from_the_dashboard_to_its_entries(
    browse: Browse, account: str
) -> None:
    from tests.admin.stories import filled  # noqa: PLC0415

    row = filled(account)

    with browse() as page:
        page.goto("/admin/")
        page.click(f"a[href='/admin/trading/order/{row['id']}/change/']")
        expect(page.locator(".op-step.op-reached")).to_have_count(7)
        drawn = page.locator(".op-way span").first.bounding_box()
        assert drawn is not None
        assert drawn["width"] > 1
        page.click("tr:has-text('order.fill') a")
        expect(page).to_have_title(re.compile("order.fill"))
        page.click("text=Verify this journal")
        page.wait_for_selector(f"text=The journal of {account} holds")


def test_hostile_text_does_nothing(browse: Browse, account: str) -> None:
    from tests.admin.stories import rejected  # noqa: PLC0415

    row = rejected(account, ATTACK, client_order_id=ATTACK, tags={ATTACK: ATTACK})

    with browse() as page:
        for path in ("/admin/", f"/admin/trading/order/{row['id']}/change/"):
            page.goto(path)
            page.wait_for_load_state("networkidle")
            assert page.title() != "owned"
        expect(page.locator(".op-alarm p").first).to_have_text(ATTACK)


def test_a_list_is_narrowed_with_the_filters(browse: Browse, account: str) -> None:
    from tests.admin.stories import filled  # noqa: PLC0415

    filled(account)

    with browse() as page:
        page.goto("/admin/trading/order/")
        page.click("text=Filters")
        page.fill("input[name=account]", account)
        page.click("text=Apply Filters")
        page.wait_for_url(f"**account={account}**")
        expect(page.locator("#result_list .op-badge")).to_have_count(1)


def test_the_theme_follows_the_reader(browse: Browse, theme: str) -> None:
    with browse() as page:
        page.goto("/admin/")
        shown = page.eval_on_selector(".op-card", "card => getComputedStyle(card).backgroundColor")

    assert (shown == "rgb(255, 255, 255)") is (theme == "light")
