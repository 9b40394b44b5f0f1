"""aiohttp's low-level server, set up to carry bytes as they come.

What aiohttp's parser refuses never reaches the handler, so its answer is made here: a problem document that
echoes nothing. Its two length limits differ by one byte, which tells a long target from a long field.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Any

from aiohttp import http_parser, web
from aiohttp.http_exceptions import LineTooLong

from gateway.errors import GatewayError
from gateway.proxy.exchange import Answered
from gateway.proxy.handler import Handler, head_problem
from gateway.proxy.headers import HeadError, request_id, response_head
from gateway.proxy.problem import MEDIA_TYPE

KEEP_ALIVE_SECONDS = 75.0
LINGER_SECONDS = 2.0  # how long the rest of a refused body is read, so that the client gets to see its answer
_MAX_FIELDS = 256

_log = logging.getLogger("gateway.proxy")


class Connection(web.RequestHandler):
    """A client's connection, whose parse errors are answered with problem documents."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's signature; the message holds the client's bytes
    ) -> Answered:
        """Return the answer to what could not be parsed, or to a fault of ours; it ends the connection."""
        if status == 400:
            error = _refused_head(exc, self.max_line_size)
        else:
            _log.error("a request failed", exc_info=exc)
            error = HeadError(500, "internal_error", "the gateway failed")
        if request.writer.output_size > 0:
            raise ConnectionError("part of a response is out already")
        return _Refusal(error)


class _Refusal(Answered):
    """Writes itself when aiohttp prepares it: no handler did."""

    def __init__(self, error: HeadError) -> None:
        super().__init__(error.status, keep_alive=False)
        identity, _ = request_id(())
        answer = head_problem(error, identity)
        fields = [
            (b"Content-Type", MEDIA_TYPE),
            (b"Content-Length", str(len(answer.body)).encode("ascii")),
            (b"X-Request-Id", identity.encode("ascii")),
            (b"Connection", b"close"),
        ]
        phrase = HTTPStatus(answer.status).phrase.encode("ascii")
        self._bytes = response_head(answer.status, phrase, (), added=fields, inspected=False) + answer.body

    async def prepare(self, request: web.BaseRequest) -> None:
        await request.writer.write(self._bytes)


def _refused_head(error: BaseException | None, line_limit: int) -> HeadError:
    if isinstance(error, LineTooLong):
        if error.args[1] == line_limit:
            return HeadError(414, "uri_too_long", f"the request target is longer than {line_limit} bytes")
        return HeadError(431, "head_too_large", f"a header field is longer than {line_limit} bytes")
    if error is not None and "Too many headers" in str(error):
        return HeadError(431, "head_too_large", f"the request has more than {_MAX_FIELDS} header fields")
    return HeadError(400, "malformed", "the request is not HTTP/1.1 as RFC 9112 has it")


class Server(web.Server):
    """Makes a `Connection` for every client."""

    def __init__(self, handler: Handler, max_head_bytes: int) -> None:
        if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
            raise GatewayError("aiohttp's C extensions are missing; install a wheel of aiohttp for this platform")
        super().__init__(handler, handler_cancellation=True)
        self._settings: dict[str, Any] = {
            "keepalive_timeout": KEEP_ALIVE_SECONDS,
            "lingering_time": LINGER_SECONDS,
            "max_line_size": max_head_bytes,
            "max_field_size": max_head_bytes - 1,
            "max_headers": _MAX_FIELDS,
            "auto_decompress": False,
            "access_log": None,
        }

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self, loop=asyncio.get_running_loop(), **self._settings)
