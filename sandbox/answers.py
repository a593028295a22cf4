"""HTTP answers: JSON, and the HTML pages of the proxy in front."""

from http import HTTPStatus

import orjson
from aiohttp import web

_JSON = {"Content-Type": "application/json; charset=UTF-8"}
_REASONS = {
    401: "Authorization Required",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


def json_answer(body: object, status: int = 200) -> web.Response:
    """An answer with a JSON body; error bodies have sorted keys, as recorded."""
    option = orjson.OPT_SORT_KEYS if status >= HTTPStatus.BAD_REQUEST else 0
    return web.Response(body=orjson.dumps(body, option=option), status=status, headers=_JSON)


def html_error(status: int) -> web.Response:
    """nginx's own page for the status, as a client of Alpaca meets it."""
    title = f"{status} {_REASONS[status]}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n"
        "</body>\r\n</html>\r\n"
    )
    return web.Response(text=page, status=status, content_type="text/html")
