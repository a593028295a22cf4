"""Bodies that are not one JSON object are 400, 413 or 415, never 5xx, never HTML (H061, H133)."""

import gzip
import json

import pytest

from opitios.core.bodies import MAX_BODY
from tests.api.calls import GOOD, Api, problem
from tests.support.orders import kinds

pytestmark = pytest.mark.django_db

RAW = json.dumps(GOOD).encode()

MALFORMED = {
    "nothing": b"",
    "blank": b"  ",
    "half": RAW[:-1],
    "two": RAW + RAW,
    "trailing comma": RAW[:-1] + b",}",
    "comment": b"/* x */" + RAW,
    "single quotes": RAW.replace(b'"', b"'"),
    "a list": b"[" + RAW + b"]",
    "a text": b'"AAPL"',
    "a number": b"5",
    "null": b"null",
    "a key twice": RAW[:-1] + b', "qty": "11"}',
    "a key twice within": RAW[:-1] + b', "tags": {"a": "1", "a": "2"}}',
    "a key twice, escaped": RAW[:-1] + b', "\\u0071ty": "11"}',
    "NaN": RAW.replace(b'"10"', b"NaN"),
    "Infinity": RAW.replace(b'"10"', b"-Infinity"),
    "plus": RAW.replace(b'"10"', b"+10"),
    "hex": RAW.replace(b'"10"', b"0x10"),
    "half a pair": RAW.replace(b"AAPL", b"\\ud800"),
    "half a pair as a key": RAW[:-1] + b', "\\udfff": 1}',
    "a raw line break": RAW.replace(b"AAPL", b"AA\nPL"),
    "a raw NUL": RAW.replace(b"AAPL", b"AA\x00PL"),
    "BOM": b"\xef\xbb\xbf" + RAW,
    "UTF-16": RAW.decode().encode("utf-16"),
    "Latin-1": RAW.replace(b"AAPL", "Ä".encode("latin-1")),
    "deep lists": RAW[:-1] + b', "x": ' + b"[" * 30_000 + b"}",
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "closed deep lists": RAW[:-1] + b', "x": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "quotes without end": b"[" * 21 + b'"' + b'\\"' * 32_000,
    "many keys": b"{" + b",".join(b'"k%d":1' % n for n in range(5000)) + b"}",
    "gzip": gzip.compress(RAW),
    "a form": b"symbol=AAPL&qty=10",
    "xml": b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>",
    "pickle": b"\x80\x04\x95\x00",
}


@pytest.mark.timeout(60, func_only=True)
@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_one_json_object_is_400_and_stores_nothing(api: Api, raw: bytes) -> None:
    problem(api.place(raw), 400, "malformed-body")

    assert kinds(api.account) == []


@pytest.mark.parametrize("size", [MAX_BODY + 1, 3_000_000])
def test_a_body_over_64_kib_is_413(api: Api, size: int) -> None:
    problem(api.place(RAW + b" " * (size - len(RAW))), 413, "body-too-large")

    assert kinds(api.account) == []


def test_a_body_of_64_kib_is_read(api: Api) -> None:
    assert api.place(RAW + b" " * (MAX_BODY - len(RAW))).status_code == 202


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data",
     "application/json; charset=utf-7", "application/json; charset=latin-1",
     "application/json; charset=nope", "application/jsonx", "text/json", "application/ld+json", " ",
     "application/json, application/json", "application/json\x00"],
)  # fmt: skip
def test_another_media_type_or_charset_is_415(api: Api, content_type: str) -> None:
    response = api.place(RAW, **{"Content-Type": content_type})

    problem(response, 415, "unsupported-media-type")
    assert kinds(api.account) == []


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "APPLICATION/JSON", 'application/json; charset="UTF-8"',
     "application/json;charset=utf8"],
)  # fmt: skip
def test_json_in_utf_8_is_read_however_it_is_called(api: Api, content_type: str) -> None:
    assert api.place(RAW, **{"Content-Type": content_type}).status_code == 202


def test_wrong_fields_are_422_named_together_and_stored_nowhere(api: Api) -> None:
    body = GOOD | {"qty": "1_000", "symbol": "ААРL", "colour": "red", "account_id": "other"}

    answer = problem(api.place(body), 422, "invalid-order")

    named = {error["field"]: error["reason"] for error in answer["errors"]}
    assert named == {"qty": "not-a-decimal", "symbol": "not-a-symbol", "colour": "unknown-field",
                     "account_id": "unknown-field"}  # fmt: skip
    assert all(list(e) == ["field", "reason", "message", "allowed"] for e in answer["errors"])
    assert answer["order_id"] is None
    assert kinds(api.account) == []


def test_after_a_refusal_the_same_key_may_be_used(api: Api) -> None:
    for raw in (b"{", json.dumps(GOOD | {"qty": "NaN"}).encode(), RAW + b" " * MAX_BODY):
        assert api.place(raw, key="k").status_code in {400, 413, 422}

    assert api.place(RAW, key="k").status_code == 202
    assert "Idempotent-Replayed" not in api.place(RAW, key="k2")
