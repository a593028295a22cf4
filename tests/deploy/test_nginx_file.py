"""What deploy/nginx.conf says fits what stands behind it, also where there is no nginx to ask."""

import re
from pathlib import Path

from opitios.core.bodies import MAX_BODY
from opitios.management.asked import Asked
from opitios.management.stack import web_command
from tests.deploy.proxied import ROOT, configured
from trading.waiting import LONGEST

TEXT = (ROOT / "deploy" / "nginx.conf").read_text()


def said(directive: str) -> list[str]:
    return re.findall(rf"^ *{directive} ([^;]+);", TEXT, re.MULTILINE)


def seconds(directive: str) -> list[int]:
    return [int(each.removesuffix("s")) for each in said(directive)]


def granian(option: str) -> int:
    words = web_command(8090, workers=1, threads=32)
    return int(words[words.index(option) + 1])


def test_bodies_are_as_large_as_the_gateway_reads_them() -> None:
    assert said("client_max_body_size") == [f"{MAX_BODY // 1024}k", "1m"]
    assert said("client_body_buffer_size") == said("client_max_body_size")


def test_a_head_that_nginx_takes_the_gateway_takes() -> None:
    count, size = said("large_client_header_buffers")[0].split()

    # One line is one buffer at most; a token and cookies fit, and the gateway reads two such.
    assert int(count) * 1024 * int(size.removesuffix("k")) >= granian("--http1-buffer-size")
    assert 2 * 1024 * int(size.removesuffix("k")) <= granian("--http1-buffer-size")


def test_nginx_closes_what_idles_before_the_gateway_does() -> None:
    upstream = TEXT.partition("upstream opitios_web {")[2].partition("}")[0]
    idle = int(re.findall(r"keepalive_timeout (\d+)s", upstream)[0])

    assert idle * 1000 < granian("--http1-header-read-timeout")


def test_heads_and_bodies_have_five_seconds_and_a_waiting_order_all_it_asks_for() -> None:
    assert seconds("client_header_timeout") == seconds("client_body_timeout") == [5]
    assert min(seconds("proxy_read_timeout")) > LONGEST


def test_what_a_client_says_of_its_way_here_is_written_over() -> None:
    written = {line.split()[0]: line.split()[1] for line in said("proxy_set_header")}

    assert written["X-Forwarded-For"] == "$remote_addr"
    assert written["X-Forwarded-Proto"] == "$scheme"
    for name in ("X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP", "Forwarded"):
        assert written[name] == '""'
    assert said("underscores_in_headers") == ["off"]
    assert "$proxy_add_x_forwarded_for" not in TEXT


def test_only_modern_tls_is_spoken_and_no_request_is_sent_twice() -> None:
    assert said("ssl_protocols") == ["TLSv1.2 TLSv1.3"]
    assert said("proxy_next_upstream") == ["off"]
    assert said("server_tokens") == ["off"]
    assert "Strict-Transport-Security" in said("add_header")[0]


def test_its_addresses_are_those_of_a_run(tmp_path: Path) -> None:
    asked = Asked.read({})

    assert f"server 127.0.0.1:{asked.api_port};" in TEXT
    assert f"server 127.0.0.1:{asked.ws_port};" in TEXT
    # Every line that an operator changes is there to be changed.
    assert configured(tmp_path, web=1, stream=2, https=3, http=4).exists()
