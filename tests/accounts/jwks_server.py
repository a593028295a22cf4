"""An issuer's key set over HTTP, with the faults that issuers have."""

import json
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_public_key


def jwk(alg: str, public_pem: str, kid: str | None = None, **more: Any) -> dict[str, Any]:
    """A public key as a set has it; a member given as None is left out."""
    key = load_pem_public_key(public_pem.encode())
    made: dict[str, Any] = jwt.get_algorithm_by_name(alg).to_jwk(key, as_dict=True)
    made = {name: value for name, value in made.items() if name != "key_ops"}
    full = made | {"kid": kid or alg, "use": "sig"} | more
    return {name: value for name, value in full.items() if value is not None}


class JwksServer:
    """Serves `body` with `status` on loopback; counts how often it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"{}", {"Content-Type": "application/json"}
        self.asked = 0
        # Unset: it takes the question and does not answer.
        self.answers = threading.Event()
        self.answers.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Where the set is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/keys?v=1"

    def publish(self, *keys: dict[str, Any]) -> None:
        """Serve these keys from now on."""
        self.status, self.body = 200, json.dumps({"keys": list(keys)}).encode()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(server: JwksServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked += 1
            server.answers.wait()
            body, headers = server.body, dict(server.headers)
            headers.setdefault("Content-Length", str(len(body)))
            self.send_response(server.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Iterable[Any]) -> None:
            """Say nothing."""

    return Handler
