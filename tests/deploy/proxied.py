"""deploy/nginx.conf as an operator runs it, with the lines changed that are to be changed."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from opitios.core.embedded import ports
from tests.broker.certificates import self_signed, trusting_context
from tests.support.until import until

ROOT = Path(__file__).resolve().parents[2]
NGINX = shutil.which("nginx")
NAME = "opitios.example"


@dataclass(frozen=True, slots=True)
class Front:
    """An nginx that runs: its ports, and a client's trust in it."""

    https: int
    http: int
    context: ssl.SSLContext


def configured(folder: Path, *, web: int, stream: int, https: int, http: int) -> Path:
    """Write the configuration with an operator's own names, ports and files."""
    pem = self_signed(folder, NAME)
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    # Not ours to run: where it says so, it must say so, or this page of an operator's is wrong.
    for old, new in {
        "pid /run/nginx.pid;": f"pid {folder}/nginx.pid;",
        "/var/log/nginx": str(folder),
        "include /etc/nginx/mime.types;": "",
        "server 127.0.0.1:8090;": f"server 127.0.0.1:{web};",
        "server 127.0.0.1:8091;": f"server 127.0.0.1:{stream};",
        "listen 80": f"listen 127.0.0.1:{http}",
        "listen 443": f"listen 127.0.0.1:{https}",
        "/etc/nginx/opitios.crt": str(pem),
        "/etc/nginx/opitios.key": str(pem),
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"    {each}_temp_path {folder}/{each};\n" for each in places)
    path = folder / "nginx.conf"
    path.write_text(text.replace("http {\n", f"http {{\n{temporary}", 1))
    return path


@contextmanager
def nginx(folder: Path, *, web: int, stream: int) -> Iterator[Front]:
    """Run it before these two."""
    assert NGINX is not None
    https = ports.choose(None, key="b1")
    http = ports.choose(None, key="b1", avoid=[https])
    path = configured(folder, web=web, stream=stream, https=https, http=http)
    words = (NGINX, "-p", str(folder), "-e", str(folder / "early.log"), "-c", str(path))
    with subprocess.Popen((*words, "-g", "daemon off;")) as process:  # noqa: S603 - our own words
        try:
            until(lambda: ports.listens(https))
            yield Front(https, http, trusting_context(folder / f"{NAME}.pem"))
        finally:
            process.terminate()
