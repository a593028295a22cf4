"""What an HTTP answer of the broker means, decided by one pure function."""

import gzip
import json
from decimal import Decimal
from typing import Any

import pytest

from opitios.broker.alpaca.outcomes import Reply, judge
from opitios.broker.alpaca.routes import Route, route_of
from opitios.broker.errors import (
    AccessDenied,
    BrokerError,
    NotFound,
    OutcomeUnknown,
    Refused,
    Throttled,
)
from opitios.broker.port import Answer, Rate

SUBMIT = route_of("POST", "/v2/orders")
CANCEL = route_of("DELETE", "/v2/orders/1")
LISTING = route_of("GET", "/v2/orders")
HTML = b"<html><body>nginx</body></html>"
WASH = {
    "code": 40310000,
    "existing_order_id": "61e69015",
    "message": "potential wash trade detected. use complex orders",
    "reject_reason": "opposite side market/stop order exists",
}


def judged(status: int, body: Any = b"", route: Route = SUBMIT, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return judge(Reply(status, fields, raw, 1.5), route, exact_numbers=True)


def failure(status: int, body: Any = b"", route: Route = SUBMIT, **headers: str) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        judged(status, body, route, **headers)
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"message": "end should not be before start"}, Refused),
        (403, {"message": "forbidden."}, Refused),
        (403, HTML, Refused),
        (403, b"", Refused),
        (422, {"code": 42210000, "message": 'asset "ZZZZ" not found'}, Refused),
        (404, {"code": 40410000, "message": "order not found for x"}, NotFound),
        (404, HTML, Refused),
        (401, {"message": "unauthorized."}, AccessDenied),
        (401, HTML, AccessDenied),
        (429, {"code": 42910000, "message": "rate limit exceeded"}, Throttled),
        (429, HTML, Throttled),
    ],
)
def test_a_definitive_status_is_definitive_in_every_dialect(
    status: int, body: Any, kind: type[BrokerError]
) -> None:
    error = failure(status, body)

    assert type(error) is kind
    assert error.http_status == status


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, HTML, "unparsable"),
        (200, b"", "unparsable"),
        (200, b"{", "unparsable"),
        (200, b"[]", "unparsable"),
        (200, b"\xff\xfe", "unparsable"),
        (200, b"[" * 200_000, "unparsable"),
        (200, b'{"n": 1e99999999999999999999}', "unparsable"),
        (301, HTML, "redirect"),
        (304, b"", "redirect"),
        (408, b"", "unexpected-status"),
        (409, {"message": "conflict"}, "unexpected-status"),
        (101, b"", "unexpected-status"),
        (500, {"code": 50010000, "message": "internal server error occurred"}, "http-5xx"),
        (502, HTML, "http-5xx"),
        (503, b"close all", "http-5xx"),
        (504, b"", "http-5xx"),
        (599, b"", "http-5xx"),
    ],
)
def test_everything_else_is_unknown(status: int, body: Any, reason: str) -> None:
    error = failure(status, body)

    assert isinstance(error, OutcomeUnknown)
    assert error.reason == reason


@pytest.mark.parametrize("status", [200, 400, 403, 404, 422])
def test_an_encoded_answer_to_an_order_is_unknown(status: int) -> None:
    error = failure(status, gzip.compress(b'{"id": "1"}'), content_encoding="gzip")

    assert isinstance(error, OutcomeUnknown)
    assert error.reason == "unparsable"


@pytest.mark.parametrize("code", [40010001, 42210000])
def test_a_spent_client_order_id_is_recognised_by_its_words(code: int) -> None:
    spent = failure(422, {"code": code, "message": "client_order_id must be unique"})
    other = failure(422, {"code": code, "message": "qty must be > 0"})

    assert isinstance(spent, Refused)
    assert spent.is_duplicate_client_order_id
    assert isinstance(other, Refused)
    assert not other.is_duplicate_client_order_id


def test_extra_keys_of_a_refusal_pass_verbatim() -> None:
    error = failure(403, WASH, x_request_id="req-1")

    assert error.body == WASH
    assert (error.code, error.message) == (40310000, WASH["message"])
    assert error.request_id == "req-1"


def test_numbers_keep_what_the_broker_wrote() -> None:
    answer = judged(200, b'{"qty": "1.10", "equity": 0.10, "n": 3}')

    assert answer.body == {"qty": "1.10", "equity": Decimal("0.10"), "n": 3}
    assert str(answer.body["equity"]) == "0.10"


def test_an_empty_success_is_an_answer_where_the_route_promises_nothing() -> None:
    assert judged(204, b"", CANCEL).body is None


def test_a_list_is_an_answer_where_the_route_promises_one() -> None:
    assert judged(200, b"[]", LISTING).body == []
    assert isinstance(failure(200, b"{}", LISTING), OutcomeUnknown)


def test_the_rate_limit_headers_are_kept() -> None:
    headers: dict[str, Any] = {
        "x_ratelimit_limit": "200",
        "x_ratelimit_remaining": "195",
        "x_ratelimit_reset": "1679411617",
    }

    assert judged(200, b"{}", **headers).rate == Rate(200, 195, 1679411617.0)
    assert failure(422, b"{}", **headers).rate == Rate(200, 195, 1679411617.0)
    assert judged(200, b"{}", **(headers | {"x_ratelimit_limit": "many"})).rate is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-3"}, None),
        ({"retry_after": "9" * 400}, None),
        (
            {
                "retry_after": "Thu, 20 Nov 2025 19:50:09 GMT",
                "date": "Thu, 20 Nov 2025 19:50:00 GMT",
            },
            9.0,
        ),
        ({"retry_after": "Thu, 20 Nov 2025 19:50:09 GMT"}, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    headers: dict[str, Any], seconds: float | None
) -> None:
    error = failure(429, b"", **headers)

    assert isinstance(error, Throttled)
    assert error.retry_after_seconds == seconds
