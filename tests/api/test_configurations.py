"""`account/configurations` is Alpaca's object, with its place in the journal beside it."""

import pytest

from tests.api import brokerreads
from tests.api.calls import Api, problem
from tests.support.openapi import TRADING, check
from tests.support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db

REST = "account/configurations"


def test_it_is_alpaca_s_object(sandbox: SandboxProcess, there: Api) -> None:
    body = brokerreads.marked(there, REST)

    check(TRADING, "/v2/account/configurations", body)
    assert body == sandbox.trade(there.account, "GET", f"/v2/{REST}").json()
    assert body["no_shorting"] is False


def test_a_change_at_the_broker_is_seen(sandbox: SandboxProcess, there: Api) -> None:
    sandbox.post("accounts", {"account": there.account, "shorting_enabled": False})

    assert brokerreads.marked(there, REST)["no_shorting"] is True


def test_it_takes_no_parameter_and_no_write(there: Api) -> None:
    path = brokerreads.under(there, REST)

    problem(there.get(f"{path}?suspend_trade=true"), 400, "bad-parameter")
    for method in ("PATCH", "POST", "PUT", "DELETE"):
        problem(there.call(method, path, {"suspend_trade": True}), 405, "method-not-allowed")


def test_the_same_question_within_a_second_is_one_call(sandbox: SandboxProcess, there: Api) -> None:
    brokerreads.assert_one_call_a_second(sandbox, there, REST, "activities")


def test_a_broker_in_trouble_is_told(sandbox: SandboxProcess, there: Api) -> None:
    brokerreads.assert_trouble_is_told(sandbox, there, REST)


def test_an_account_in_quarantine_is_not_asked_about(sandbox: SandboxProcess, there: Api) -> None:
    brokerreads.assert_quarantine_is_told(sandbox, there, REST)


def test_the_account_s_minute_is_kept(there: Api) -> None:
    brokerreads.assert_budget_is_kept(there, REST)
