"""The fleet in a real browser: every account a cell, kept up to date, read without colour."""

import psycopg
import pytest
from playwright.sync_api import expect
from psycopg.rows import TupleRow

from tests.admin.test_in_a_browser import Browse, browse, theme

pytestmark = [pytest.mark.django_db, pytest.mark.browser]

__all__ = ("browse", "theme")


def test_the_fleet_draws_itself_and_keeps_up(
    browse: Browse,
    account: str,
    application_connection: psycopg.Connection[TupleRow],
) -> None:
    from accounts.models import Account  # noqa: PLC0415
    from tests.admin.fleets import process, told  # noqa: PLC0415

    told(account, f"desk-{account}", state="suspect", state_reason="<b>refused</b>")
    process(f"desk-{account}", "desk", version="1.2.3", queue={"depth": 4})
    count = Account.objects.count()
    cell = f"#fleet-cells a[data-account='{account}']"

    with browse() as page:
        page.goto("/admin/accounts/account/fleet/")
        expect(page.locator("#fleet-cells a")).to_have_count(count)
        expect(page.locator(cell)).to_have_text("S")
        said = page.get_attribute("#fleet-cells", "aria-label") or ""
        assert said.startswith(f"{count} accounts: ")
        expect(page.locator(f"#fleet-attention tr:has-text('{account}')")).to_contain_text(
            "<b>refused</b>"
        )
        page.hover(cell)
        expect(page.locator("#fleet-under")).to_contain_text(f"owned by desk-{account}")
        page.click("text=calls left")
        expect(page.locator(cell)).to_have_class("op-warn")
        page.click("button:text-is('state')")

        application_connection.execute(
            "UPDATE accounts_accountstate SET state = 'quarantined' WHERE account_id = %s",
            (account,),
        )
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(page.locator(cell)).to_have_text("Q")
        page.click(cell)
        page.wait_for_url(f"**/accounts/account/{account}/change/")
