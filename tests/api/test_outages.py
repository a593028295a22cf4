"""The API while Postgres is away, and when something nobody foresaw happens (G18, G21)."""

import json

import pytest

from tests.api.calls import GOOD, Api, new_key, problem, read
from tests.support.crowd import Stopwatch
from tests.support.orders import kinds, place
from tests.support.until import until
from tests.trading.outages import proxied_postgres
from trading import orders, queries

pytestmark = pytest.mark.django_db


def test_c22_without_postgres_every_call_is_a_503_within_a_second_and_then_works_again(
    api: Api,
) -> None:
    order = place(api.account)
    key = new_key()
    with proxied_postgres() as postgres:
        assert api.get().status_code == 200
        postgres.vanish()
        for method, path in (
            ("POST", f"{api.orders}/stocks"),
            ("GET", api.orders),
            ("GET", f"{api.orders}/{order.order_id}"),
            ("DELETE", f"{api.orders}/{order.order_id}"),
            ("GET", f"/api/v1/accounts/{api.account}/journal"),
        ):
            with Stopwatch() as took:
                response = api.call(method, path, GOOD if method == "POST" else None)
            # An order may have got there: who cannot know says so.
            reasons = {"storage-unavailable"} | ({"outcome-unknown"} if method == "POST" else set())
            body = problem(response, 503, read(response)["reason"])
            assert body["reason"] in reasons
            assert took.is_within(1), took
            assert int(response["Retry-After"]) >= 1
            assert body["retry"] == "same_key"
        assert api.call("GET", "/health/ready").status_code == 503
        assert api.call("GET", "/health/live").status_code == 200

        postgres.come_back()
        until(lambda: api.get().status_code == 200)

    assert api.place(key=key).status_code == 202
    assert kinds(api.account) == ["order.queued", "order.queued"]
    assert api.call("GET", "/health/ready").status_code == 200


def test_what_nobody_foresaw_is_a_500_problem_without_a_trace(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a canary of the inside")

    monkeypatch.setattr(queries, "list_orders", broken)
    monkeypatch.setattr(orders, "place_order", broken)

    for response in (api.get(), api.place()):
        body = problem(response, 500, "internal-error")
        assert "canary" not in json.dumps(body)
        assert "Traceback" not in response.content.decode()
        assert body["detail"] == body["title"]
    assert kinds(api.account) == []


def test_health_shows_its_parts_to_monitors_only(api: Api) -> None:
    anonymous = Api(api.account, "").call("GET", "/api/v1/health", Authorization="")

    assert set(read(anonymous)) == {"status", "version"}
    assert set(read(api.get("/api/v1/health"))) == {"status", "version"}
