"""Under granian, behind the two stacks: sign-in, CSRF, messages and static files."""

import re

import pytest
import requests

from tests.admin.served import Served

pytestmark = pytest.mark.django_db


def sign_in(web: Served, name: str, password: str) -> requests.Session:
    """Sign in through the form."""
    session = requests.Session()
    form = session.get(f"{web.url}/admin/login/", timeout=60)
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
    assert found is not None
    sent = {"csrfmiddlewaretoken": found[1], "username": name, "password": password}
    session.post(f"{web.url}/admin/login/", sent, timeout=60)
    return session


def test_signing_in_leads_to_the_dashboard(web: Served, staff: tuple[str, str]) -> None:
    with sign_in(web, *staff) as session:
        page = session.get(f"{web.url}/admin", timeout=60)

    assert (page.status_code, page.url) == (200, f"{web.url}/admin/")
    assert "Latest orders" in page.text
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["X-Request-ID"].startswith("req_")


def test_a_wrong_password_does_not(web: Served, staff: tuple[str, str]) -> None:
    with sign_in(web, staff[0], "not it") as session:
        page = session.get(f"{web.url}/admin/", timeout=60)

    assert page.url.startswith(f"{web.url}/admin/login/")
    assert "Latest orders" not in page.text


def test_a_form_without_its_csrf_token_is_refused(web: Served, staff: tuple[str, str]) -> None:
    with requests.Session() as session:
        session.get(f"{web.url}/admin/login/", timeout=60)
        sent = {"username": staff[0], "password": staff[1]}
        answer = session.post(f"{web.url}/admin/login/", sent, timeout=60)

        assert answer.status_code == 403
        assert "sessionid" not in session.cookies


def test_messages_reach_the_next_page(web: Served, staff: tuple[str, str], account: str) -> None:
    with sign_in(web, *staff) as session:
        page = session.get(f"{web.url}/admin/accounts/account/{account}/verify/", timeout=60)
        again = session.get(page.url, timeout=60)

    told = f"The journal of {account} holds: 0 entries verified."
    assert told in page.text
    assert told not in again.text


def test_every_file_a_page_names_is_served(web: Served, staff: tuple[str, str]) -> None:
    with sign_in(web, *staff) as session:
        page = session.get(f"{web.url}/admin/trading/order/", timeout=60)
        named = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text))
        answers = {name: session.get(web.url + name, timeout=60) for name in named}

    assert "/static/opitios/console.css" in named
    assert len(named) > 10
    assert {name: answer.status_code for name, answer in answers.items() if not answer.ok} == {}
    assert answers["/static/opitios/console.css"].headers["Content-Type"].startswith("text/css")


def test_an_api_call_pays_for_no_session(web: Served) -> None:
    answer = requests.get(f"{web.url}/api/v1/health", timeout=60)

    assert answer.ok
    assert "Set-Cookie" not in answer.headers
    assert "X-Frame-Options" not in answer.headers
