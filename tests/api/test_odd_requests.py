"""Odd paths, methods and headers: never 5xx, never HTML, nothing stored (H041 to H060, H133)."""

import pytest

from tests.api.calls import GOOD, Api, problem, read
from tests.support.orders import kinds, place

pytestmark = pytest.mark.django_db

PATHS = [
    "/api/v1/accounts/{0}/orders/", "/api/v1/accounts/{0}//orders", "//api/v1/accounts/{0}/orders",
    "/api/v1/accounts/{0}/orders;x=1", "/api/v1/accounts/{0}/orders/%2e%2e/orders",
    "/api/v1/accounts/{0}/orders/..", "/api/v1/accounts/../accounts/{0}/orders",
    "/api/v1/accounts/{0}/%6frders%00", "/api/v1/accounts/{0}%00/orders",
    "/api/v1/accounts/{0}%20/orders", "/api/v1/accounts/%2e%2e%2f{0}/orders",
    "/api/v1/accounts/%252e%252e/orders", "/api/v1/accounts/{0}/orders/%00",
    "/api/v1/accounts/{0}/orders/%ff%fe", "/api/v1/accounts/{0}/orders/\u0661",
    "/api/v1/accounts/{0}/orders/00000000-0000-0000-0000-000000000000",
    "/api/v1/accounts/{0}/orders/{{019aa0c2-6f1e-7c3a-9b1e-2f5d8c1a7e40}}",
    "/api/v1/accounts/{0}/orders/urn:uuid:019aa0c2-6f1e-7c3a-9b1e-2f5d8c1a7e40",
    "/api/v1/accounts/{0}/orders/'%20OR%201=1--", "/api/v1/accounts/{0}/orders/" + "9" * 4000,
    "/api/v1/accounts/{0}/nothing", "/api/v2", "/api",
    "/api/v1/", "/.env", "/api/v1/accounts/", "/api/v1/accounts//orders", "/API/V1/pool",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_path_that_leads_nowhere_is_a_404_problem(api: Api, method: str, path: str) -> None:
    response = api.call(method, path.format(api.account))

    problem(response, 404, "not-found")
    assert kinds(api.account) == []


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "CONNECT", "FOO"])
def test_a_method_the_path_does_not_have_is_405_and_names_those_it_has(
    api: Api, method: str
) -> None:
    response = api.call(method, api.orders, GOOD)

    assert response.status_code in {405, 404}
    assert read(response)["reason"] in {"method-not-allowed", "not-found"}
    if response.status_code == 405:
        assert "GET" in response["Allow"]
    assert kinds(api.account) == []


@pytest.mark.parametrize("path", ["", "/stocks", "/x", "/x/events"])
def test_options_and_head_are_no_5xx_and_no_html(api: Api, path: str) -> None:
    for method in ("OPTIONS", "HEAD"):
        response = api.call(method, api.orders + path)
        assert response.status_code < 500
        assert "html" not in response["Content-Type"]
    assert api.call("HEAD", api.orders).content == b""
    assert kinds(api.account) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "text/html"}, {"Accept": "application/xml"}, {"Accept": "*/*;q=0"},
        {"Accept": "nonsense"}, {"Accept_Language": "xx-\x01"}, {"Accept_Encoding": "gzip"},
        {"Range": "bytes=0-1"}, {"If_Match": "*"}, {"Origin": "null"},
        {"Cookie": "a=" + "b" * 9000},
        {"X_HTTP_Method_Override": "DELETE"}, {"X_Forwarded_For": "1.2.3.4'"},
        {"X_Forwarded_Host": "evil"}, {"Expect": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_other_headers_change_nothing(api: Api, headers: dict[str, str]) -> None:
    order = place(api.account)

    response = api.get(f"/{order.order_id}", **headers)

    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    assert api.place(**headers).status_code == 202
    assert kinds(api.account) == ["order.queued", "order.queued"]


@pytest.mark.parametrize("format_", ["xml", "html", "api", "json", "", "%00"])
def test_format_in_the_query_is_ignored(api: Api, format_: str) -> None:
    response = api.get(f"?format={format_}")

    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


def test_a_caller_s_own_request_id_comes_back_if_it_is_sane(api: Api) -> None:
    assert api.get(X_Request_ID="trace-1.2:3_4")["X-Request-ID"] == "trace-1.2:3_4"


@pytest.mark.parametrize("given", ["a b", "a" * 129, "é", "<b>", "a\nb", "{x}", "%0d%0a"])
def test_an_insane_one_is_replaced(api: Api, given: str) -> None:
    made = api.get(X_Request_ID=given)["X-Request-ID"]

    assert made.startswith("req_")
    assert len(made) == 36


def test_every_answer_has_a_request_id_of_its_own(api: Api) -> None:
    found = {api.call("GET", path)["X-Request-ID"] for path in (api.orders, "/nowhere", "/api")}

    assert len(found) == 3
