"""Each reason has one slug and one code of its own, and docs/errors.md tells them all."""

import re
from collections import Counter

import pytest

from opitios.core.errors import BrokerRefusal, FieldError, Problem, Reason
from tests.support.errors_page import PAGE, page


def test_no_two_reasons_share_a_slug_or_a_code() -> None:
    for found in (Counter(r.slug for r in Reason), Counter(r.value.code for r in Reason)):
        assert [each for each, times in found.items() if times > 1] == []
    assert len({id(reason) for reason in Reason}) == len(Reason.__members__)


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.slug)
def test_a_reason_is_whole(reason: Reason) -> None:
    ruling = reason.value

    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", ruling.slug)
    assert re.fullmatch(r"[4-5]\d\d9\d{4}", str(ruling.code))
    assert ruling.code // 100_000 == ruling.status
    assert ruling.retry in {"never", "same_key", "new_key", "after_fix"}
    assert ruling.next.endswith(".")


def test_the_page_is_made_from_the_enum() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.support.errors_page"


def test_a_problem_of_ours_has_our_code_and_says_what_is_safe() -> None:
    error = FieldError("qty", "not-a-decimal", "No.", ("1",))
    body = Problem(Reason.INVALID_ORDER, "qty: No.", errors=[error], account_id="a").body("req_1")

    assert (body["status"], body["code"], body["origin"]) == (422, 42290001, "gateway")
    assert body["message"] == body["detail"] == "qty: No."
    assert body["errors"] == [
        {"field": "qty", "reason": "not-a-decimal", "message": "No.", "allowed": ["1"]}
    ]
    assert (body["account_id"], body["order_id"], body["broker"]) == ("a", None, None)


@pytest.mark.parametrize(
    ("http_status", "shown"), [(400, 400), (403, 403), (422, 422), (401, 422), (404, 422)]
)
def test_a_problem_of_the_broker_keeps_its_words_and_most_of_its_statuses(
    http_status: int, shown: int
) -> None:
    refusal = BrokerRefusal(
        http_status, 40310000, "insufficient buying power", "8f1c", {"buying_power": "1.00"}
    )
    body = Problem(Reason.REJECTED, "no", broker=refusal, order_id="o").body(None)

    assert (body["status"], body["code"], body["origin"]) == (shown, 40310000, "broker")
    assert (body["reason"], body["type"]) == (
        "insufficient-buying-power", "/problems/insufficient-buying-power",
    )  # fmt: skip
    assert body["broker"] == {
        "http_status": http_status, "request_id": "8f1c", "buying_power": "1.00",
    }  # fmt: skip


def test_a_broker_without_a_code_gets_ours() -> None:
    refusal = BrokerRefusal(422, None, "no thanks", None, {})

    assert Problem(Reason.REJECTED, broker=refusal).body(None)["code"] == Reason.REJECTED.value.code
