"""Whatever is sent, the answer is one the document tells of (the campaign's short case)."""

from typing import Any

import pytest
from django.test import Client
from schemathesis.core.transport import Response

from opitios.core.handler import Handler
from tests.api.calls import Api
from tests.openapi.document import read_document
from tests.openapi.probing import AnyCase, Prober
from tests.support.accounts import token

pytestmark = pytest.mark.django_db

EVERYTHING = ("market_data", "account_read", "trade", "monitor", "operator", "admin")
CASES = 4


def test_no_generated_case_is_answered_otherwise_than_told(api: Api, quoted: None) -> None:
    document: dict[str, Any] = read_document()
    bearer = f"Bearer {token([api.account], permissions=EVERYTHING)}"
    application = Handler()

    def send(case: AnyCase) -> Response:
        # No desk works here: nobody gives a verdict to wait for.
        case.headers.pop("Prefer", None)
        return case.call(headers={"Authorization": bearer}, app=application)

    prober = Prober(document, send, accounts=[api.account], seed=1)
    operations = prober.operations()
    for operation in operations:
        prober.probe(operation, CASES)

    assert prober.met.failures == []
    assert len(prober.met.by_operation) == len(operations)
    assert prober.met.cases >= 100
    assert Client().get("/health/live").status_code == 200
