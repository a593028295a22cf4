"""Bodies that are no order, over a real socket (H138–H142)."""

import gzip
import json
import zlib
from functools import cache

import pytest

from tests.api.calls import GOOD
from tests.hostile.corpus import untouched
from tests.hostile.wire import Answer, Target, head, refused
from tests.support.accounts import token

pytestmark = pytest.mark.django_db

RAW = json.dumps(GOOD).encode()
TEXT = RAW.decode()


def post(target: Target, raw: bytes, *lines: str, kind: str = "application/json") -> Answer:
    """The answer to this body, which changes nothing."""
    path = f"{target.orders}/stocks"
    about = (target.bearer, f"Content-Type: {kind}", f"Content-Length: {len(raw)}", *lines)
    with untouched(target.account):
        answers = target.exchange(head("POST", path, *about), raw)
    assert refused(answers[0])
    return answers[0]


def test_who_never_sends_the_body_is_refused_at_once_and_its_connection_ends(
    target: Target,
) -> None:
    mine, theirs = f"{target.orders}/stocks", "/api/v1/accounts/nobody/orders/stocks"
    powerless = f"Authorization: Bearer {token([target.account], permissions=())}"
    about = ("Content-Type: application/json", "Content-Length: 1000")

    refusals = {
        401: head("POST", mine, *about),
        404: head("POST", theirs, target.bearer, *about),
        403: head("POST", mine, powerless, *about),
        413: head("POST", mine, target.bearer, about[0], "Content-Length: 65537"),
        415: head("POST", mine, target.bearer, "Content-Length: 1000"),
    }

    for status, raw in refusals.items():
        # Read until the server closes: no byte of the body is waited for.
        assert [each.status for each in target.exchange(raw, goodbye=False)] == [status]


CHARSETS = ["utf-7", "nope", "utf-16", "utf-32", "latin-1", "iso-2022-jp", "cp037", "idna", "rot13",
            "unicode_escape", "../../etc/passwd", "utf-8;charset=utf-7", "utf-8, utf-7", "\xff",
            "utf_8_sig", "base64", "zlib", "hex", "punycode", "raw_unicode_escape"]  # fmt: skip


@pytest.mark.parametrize("charset", CHARSETS, ids=range(len(CHARSETS)))
def test_h138_another_charset_is_415(target: Target, charset: str) -> None:
    assert post(target, RAW, kind=f"application/json; charset={charset}").status == 415


NOT_UTF_8 = {
    "BOM": b"\xef\xbb\xbf" + RAW,
    "BOM twice": b"\xef\xbb\xbf" * 2 + RAW,
    "BOM behind": RAW + b"\xef\xbb\xbf",
    "UTF-16": TEXT.encode("utf-16"),
    "UTF-16 LE": TEXT.encode("utf-16-le"),
    "UTF-16 BE": TEXT.encode("utf-16-be"),
    "UTF-32": TEXT.encode("utf-32"),
    "UTF-7": TEXT.replace("{", "+AHs-").encode(),
    "Latin-1": TEXT.replace("AAPL", "Ä").encode("latin-1"),
    "EBCDIC": TEXT.encode("cp037"),
    "too long a form": RAW.replace(b"AAPL", b"\xc1\x81APL"),
    "NUL the long way": RAW.replace(b"AAPL", b"AAPL\xc0\x80"),
    "half a character": RAW.replace(b"AAPL", b"AAPL\xe2\x82"),
    "a surrogate": RAW.replace(b"AAPL", b"\xed\xa0\x80"),
    "beyond Unicode": RAW.replace(b"AAPL", b"\xf4\x90\x80\x80"),
    "a lone tail": RAW.replace(b"AAPL", b"\x80"),
    "a high byte behind": RAW + b"\xff",
}


@pytest.mark.parametrize("raw", NOT_UTF_8.values(), ids=NOT_UTF_8)
def test_h138_what_is_not_utf_8_is_400(target: Target, raw: bytes) -> None:
    assert post(target, raw).status == 400


BOUNDARY = "multipart/form-data; boundary=x"
KINDS = {
    "a form": ("application/x-www-form-urlencoded", b"symbol=AAPL&qty=10&side=buy"),
    "multipart": (BOUNDARY, b'--x\r\nContent-Disposition: form-data; name="qty"\r\n\r\n1\r\n--x--'),
    "multipart, a file": (BOUNDARY, b'--x\r\nContent-Disposition: form-data; filename="a"\r\n\r\n'),
    "multipart, 10,000 parts": (BOUNDARY, b"--x\r\n\r\n\r\n" * 6000),
    "multipart, no boundary": ("multipart/form-data", b"--x"),
    "multipart, JSON within": ("multipart/mixed; boundary=x", b"--x\r\n\r\n" + RAW + b"\r\n--x--"),
    "XML": ("application/xml", b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>"),
    "XML, laughing": ("text/xml", b'<!DOCTYPE x [<!ENTITY a "&b;&b;"><!ENTITY b "ha">]><x>&a;</x>'),
    "text": ("text/plain", RAW),
    "text, as a page may send it": ("text/plain;charset=UTF-8", RAW),
    "HTML": ("text/html", RAW),
    "YAML": ("application/yaml", b"!!python/object/apply:os.system ['id']"),
    "pickle": ("application/octet-stream", b"\x80\x04\x95\x00"),
    "msgpack": ("application/msgpack", b"\x81\xa1a\x01"),
    "CBOR": ("application/cbor", b"\xa1aa\x01"),
    "JSON lines": ("application/x-ndjson", RAW + b"\n" + RAW),
    "JSON of another kind": ("application/vnd.api+json", RAW),
    "JSON patch": ("application/json-patch+json", b"[]"),
    "two kinds": ("application/json, text/plain", RAW),
    "a list with JSON last": ("text/plain; application/json", RAW),
    "nothing": ("", RAW),
    "anything": ("*/*", RAW),
}


@pytest.mark.parametrize(("kind", "raw"), KINDS.values(), ids=KINDS)
def test_h139_another_media_type_is_415(target: Target, kind: str, raw: bytes) -> None:
    assert post(target, raw, kind=kind).status == 415


DEEP = {
    "opened": b"[" * 60_000,
    "opened and closed": b"[" * 30_000 + b"]" * 30_000,
    "in a field": RAW[:-1] + b',"tags":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "mixed": b'[{"a":' * 8_000,
    "closed": b"]" * 60_000,
    "just too deep": b'{"a":' * 21 + b"1" + b"}" * 21,
    "in turns": b"[]" * 30_000,
    "behind an order": RAW + b"[" * 60_000,
    "between strings": b'["' + b'\\"["' * 15_000,
}


@pytest.mark.parametrize("raw", DEEP.values(), ids=DEEP)
def test_h140_brackets_without_end_are_400_and_a_hundred_thousand_413(
    target: Target, raw: bytes
) -> None:
    assert post(target, raw).status == 400
    assert post(target, b"[" * 100_000).status == 413


WIDE = {
    "thousands of keys": b"{" + b",".join(b'"%d":1' % number for number in range(5000)) + b"}",
    "201 keys": b"{" + b",".join(b'"%d":1' % number for number in range(201)) + b"}",
    "201 tags": RAW[:-1] + b',"tags":{' + b",".join(b'"%d":"1"' % n for n in range(201)) + b"}}",
    "a key twice": RAW[:-1] + b',"qty":"11"}',
    "a key a thousand times": b"{" + b",".join([b'"qty":"1"'] * 1000) + b"}",
    "a key twice, escaped": RAW[:-1] + b',"\\u0071ty":"11"}',
    "an empty key twice": RAW[:-1] + b',"":1,"":2}',
    "a comma at the end": RAW[:-1] + b",}",
    "two commas": RAW.replace(b",", b",,", 1),
    "a comma at the start": b"{," + RAW[1:],
    "a comment": b"// x\n" + RAW,
    "a comment within": RAW[:-1] + b"/* x */}",
    "a hash": b"# x\n" + RAW,
    "keys without quotes": b"{symbol:'AAPL'}",
    "single quotes": RAW.replace(b'"', b"'"),
    "JSON twice": RAW + RAW,
    "a record separator": b"\x1e" + RAW,
    "a prefix against pages": b")]}',\n" + RAW,
    "NaN": RAW.replace(b'"10"', b"NaN"),
    "a semicolon": RAW + b";",
}


@pytest.mark.parametrize("raw", WIDE.values(), ids=WIDE)
def test_h141_keys_twice_too_many_keys_and_what_is_nearly_json_are_400(
    target: Target, raw: bytes
) -> None:
    assert post(target, raw).status == 400


def test_h141_a_hundred_thousand_keys_are_413(target: Target) -> None:
    raw = b"{" + b",".join(b'"%d":1' % number for number in range(100_000)) + b"}"

    assert post(target, raw).status == 413


ENCODINGS = ["gzip", "deflate", "br", "zstd", "compress", "identity, gzip", "gzip, gzip", "x-gzip"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_h142_nothing_is_unpacked(target: Target, encoding: str) -> None:
    line = f"Content-Encoding: {encoding}"

    assert {post(target, raw, line).status for raw in bombs()} == {400, 413}


@cache
def bombs() -> tuple[bytes, ...]:
    """An order, and megabytes of zeros, packed; one of them too large even so."""
    zeros = gzip.compress(bytes(30_000_000), 1)
    return gzip.compress(RAW), zlib.compress(RAW), zeros[:60_000], gzip.compress(zeros), zeros
