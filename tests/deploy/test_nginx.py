"""deploy/nginx.conf in front of real processes. Where there is no nginx on the PATH: skipped."""

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pytest_django import DjangoDbBlocker
from websockets.sync.client import connect

from opitios.core import database
from tests.api import processes
from tests.api.calls import GOOD, Api
from tests.deploy.proxied import NAME, NGINX, Front, configured, nginx
from tests.hostile.wire import GOODBYE, Answer, answers_of, head
from tests.streaming.stream_process import StreamProcess
from tests.support.until import until

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.journeys,
    pytest.mark.skipif(NGINX is None, reason="no nginx on the PATH"),
]

ORDER = json.dumps(GOOD).encode()
# What it waits for a head or a body (deploy/nginx.conf), and some.
CUT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Site:
    """The gateway behind its nginx, and an account in it."""

    front: Front
    api: Api
    log: Path

    def open(self, name: str = NAME) -> ssl.SSLSocket:
        """A connection over TLS."""
        raw = socket.create_connection(("127.0.0.1", self.front.https), CUT_SECONDS)
        return self.front.context.wrap_socket(raw, server_hostname=name)

    def ask(self, *parts: bytes) -> Answer:
        """The answer to one request."""
        with self.open() as sock:
            for part in parts:
                sock.sendall(part)
            sock.sendall(GOODBYE.replace(b"localhost", NAME.encode()))
            return next(answers_of(sock))

    def place(self, raw: bytes, *lines: str) -> tuple[bytes, bytes]:
        """An order's head and body."""
        about = (f"Content-Length: {len(raw)}", "Content-Type: application/json", *lines)
        bearer = f"Authorization: Bearer {self.api.token}"
        return head("POST", f"{self.api.orders}/stocks", bearer, *about, host=NAME), raw


@pytest.fixture(scope="module")
def site(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    told = {"ALLOWED_HOSTS": NAME, "TRUSTED_PROXIES": "127.0.0.1"}
    with django_db_blocker.unblock():
        api = Api.open()
    with (
        processes.web(folder, **told) as origin,
        StreamProcess(folder, **told) as stream,
        nginx(folder, web=urlsplit(origin).port or 0, stream=stream.port) as front,
    ):
        found = Site(front, api, folder / "web.log")
        asked = head("GET", api.orders, f"Authorization: Bearer {api.token}", host=NAME)
        until(lambda: found.ask(asked).status == 200)
        yield found


def test_the_file_is_one_that_nginx_takes(tmp_path: Path) -> None:
    path = configured(tmp_path, web=1, stream=2, https=18443, http=18080)

    words = [str(NGINX), "-t", "-p", str(tmp_path), "-e", str(tmp_path / "e"), "-c", str(path)]
    done = subprocess.run(  # noqa: S603 - our own words
        words, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


def test_an_order_goes_through_and_the_client_is_who_nginx_says(site: Site) -> None:
    spoofed = ("X-Forwarded-For: 10.9.8.7", "X_Forwarded_For: 10.9.8.7", "Forwarded: for=10.9.8.7")

    answer = site.ask(*site.place(ORDER, *spoofed))

    assert answer.status == 202
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert answer.headers["server"] == "nginx"
    found = database.row(
        "SELECT body FROM accounts_journalentry WHERE account_id = %s ORDER BY seq DESC LIMIT 1",
        [site.api.account],
    )
    assert found is not None
    assert "127.0.0.1" in str(found["body"])
    assert "10.9.8.7" not in str(found["body"])


@pytest.mark.parametrize("drip", [b"x", b""], ids=["slowly", "never"])
def test_a_body_that_does_not_come_is_cut_off_and_web_never_hears_of_it(
    site: Site, drip: bytes
) -> None:
    known = f"slow-{drip.decode() or 'never'}"
    asked, _ = site.place(b"x" * 1000, f"X-Request-ID: {known}")

    with site.open() as sock:
        sock.sendall(asked + drip)
        answered = sock.recv(1000)

    assert answered == b"" or answered.startswith(b"HTTP/1.1 408")
    assert known not in site.log.read_text()


def test_a_head_that_does_not_come_is_cut_off(site: Site) -> None:
    with site.open() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: ")
        answered = sock.recv(1000)

    assert answered == b"" or answered.startswith(b"HTTP/1.1 408")


def test_a_large_body_is_for_batches_alone(site: Site) -> None:
    raw = b" " * 70_000
    batch = head("POST", "/api/v1/orders/batch", f"Content-Length: {len(raw)}", host=NAME)

    assert site.ask(*site.place(raw)).status == 413
    # Refused by web, and not for its size.
    assert site.ask(batch, raw).headers["content-type"] == "application/problem+json"


def test_a_body_in_chunks_arrives_whole(site: Site) -> None:
    asked, _ = site.place(ORDER)
    chunked = asked.replace(f"Content-Length: {len(ORDER)}".encode(), b"Transfer-Encoding: chunked")

    assert site.ask(chunked, b"%x\r\n%s\r\n0\r\n\r\n" % (len(ORDER), ORDER)).status == 202


@pytest.mark.parametrize("lines", [["X-A: " + "a" * 65_536], ["Cookie: " + "a=b; " * 9000]])
def test_a_head_too_long_is_refused(site: Site, lines: list[str]) -> None:
    assert site.ask(head("GET", "/", *lines, host=NAME)).status == 400


def test_old_tls_another_name_and_plain_http_are_not_served(site: Site) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", site.front.https), CUT_SECONDS) as raw,
        pytest.raises(ssl.SSLError),
    ):
        old.wrap_socket(raw, server_hostname=NAME)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        site.open("evil.example")
    with socket.create_connection(("127.0.0.1", site.front.http), CUT_SECONDS) as plain:
        plain.sendall(head("GET", "/admin/", "Connection: close", host=NAME))
        assert b"308 Permanent Redirect" in plain.recv(1000)


def test_staff_sign_in_over_tls(site: Site) -> None:
    page = site.ask(head("GET", "/admin/login/", host=NAME))
    cookie = page.headers["set-cookie"].partition(";")[0]
    field = page.body.partition(b'name="csrfmiddlewaretoken" value="')[2][:64].decode()
    form = f"csrfmiddlewaretoken={field}&username=nobody&password=x".encode()
    about = ("Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(form)}")
    mine = (f"Cookie: {cookie}", f"Origin: https://{NAME}", f"Referer: https://{NAME}/admin/login/")

    answer = site.ask(head("POST", "/admin/login/", *about, *mine, host=NAME), form)
    forged = site.ask(
        head("POST", "/admin/login/", *about, mine[0], "Origin: https://evil.example", host=NAME),
        form,
    )

    assert "Secure" in page.headers["set-cookie"]
    # The form is taken, and the login refused.
    assert (answer.status, b"correct" in answer.body) == (200, True)
    assert forged.status == 403


def test_a_socket_goes_through_to_stream(site: Site) -> None:
    url = f"wss://{NAME}:{site.front.https}/ws/v1/stream"
    raw = socket.create_connection(("127.0.0.1", site.front.https), CUT_SECONDS)

    with connect(url, sock=raw, ssl=site.front.context, server_hostname=NAME) as client:
        client.send(json.dumps({"action": "auth", "token": site.api.token}))
        frames = [json.loads(client.recv(CUT_SECONDS)) for _ in range(2)]

    assert {message["T"] for frame in frames for message in frame} == {"success"}


def test_connections_of_one_address_have_an_end(site: Site) -> None:
    waiting = [site.open() for _ in range(120)]
    try:
        for sock in waiting:
            sock.sendall(site.place(ORDER)[0])

        assert site.ask(head("GET", "/health/live", host=NAME)).status == 429
    finally:
        for sock in waiting:
            sock.close()
