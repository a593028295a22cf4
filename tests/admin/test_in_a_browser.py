"""The pages in a real browser, in both themes: nothing fails to load, and text stays text."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.admin.served import Served

pytestmark = [pytest.mark.django_db, pytest.mark.browser]

QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
ATTACK = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture(params=["light", "dark"])
def page(
    request: pytest.FixtureRequest, chromium: str, web: Served, staff: tuple[str, str]
) -> Iterator[Page]:
    """A page of a browser that is signed in; what went wrong in it is in `page.wrong`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET.split())
        page = browser.new_page(base_url=web.url, color_scheme=request.param)
        wrong: list[str] = []
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto("/admin/login/")
        page.fill("#id_username", staff[0])
        page.fill("#id_password", staff[1])
        page.click("button[type=submit]")
        yield page
        browser.close()
        assert wrong == []


def test_an_order_is_followed_from_the_dashboard_to_its_entries(page: Page, account: str) -> None:
    from tests.admin.stories import filled  # noqa: PLC0415

    row = filled(account)
    page.goto("/admin/")
    page.click(f"a[href='/admin/trading/order/{row['id']}/change/']")

    assert page.locator(".op-step.op-reached").count() == 7
    assert page.locator(".op-way span").first.bounding_box()["width"] > 1  # type: ignore[index]
    page.click("text=order.fill >> xpath=.. >> a")
    assert page.locator(".op-json").inner_text().count(account) == 0
    page.click("text=Verify this journal")
    page.wait_for_selector(f"text=The journal of {account} holds")


def test_hostile_text_does_nothing(page: Page, account: str) -> None:
    from tests.admin.stories import rejected  # noqa: PLC0415

    row = rejected(account, ATTACK, client_order_id=ATTACK, tags={ATTACK: ATTACK})

    for path in ("/admin/", f"/admin/trading/order/{row['id']}/change/"):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert page.title() != "owned"
    assert page.locator(".op-alarm p").first.inner_text() == ATTACK


def test_a_list_is_narrowed_with_the_filters(page: Page, account: str) -> None:
    from tests.admin.stories import filled  # noqa: PLC0415

    filled(account)
    page.goto("/admin/trading/order/")
    page.click("text=Filters")
    page.fill("input[name=account]", account)
    page.click("text=Apply Filters")
    page.wait_for_url(f"**account={account}**")

    assert page.locator("#result_list .op-badge").count() == 1


def test_the_theme_follows_the_reader(page: Page, request: pytest.FixtureRequest) -> None:
    page.goto("/admin/")
    dark = "dark" in request.node.callspec.id

    card = page.eval_on_selector(
        ".op-card", "each => getComputedStyle(each).getPropertyValue('--op-card')"
    )
    assert (card.strip() == "white") is not dark
