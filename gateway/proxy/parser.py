"""aiohttp's parser of requests: its limits, and what its errors mean to a client.

Its two length limits differ by one byte, which tells a long target from a long field.
"""

from typing import Any

from aiohttp.http_exceptions import BadStatusLine, HttpProcessingError, LineTooLong

from gateway.proxy.answers import AnswerError

_MAX_FIELDS = 256


def parser_settings(max_head_bytes: int) -> dict[str, Any]:
    """Return the parser's settings for heads of at most so many bytes."""
    return {
        "max_line_size": max_head_bytes,
        "max_field_size": max_head_bytes - 1,
        "max_headers": _MAX_FIELDS,
        "auto_decompress": False,
    }


def refused_head(error: BaseException | None, line_limit: int) -> AnswerError:
    """Return what to say of a parser's error; only the beginning of its message is not the client's."""
    message = error.message if isinstance(error, HttpProcessingError) else ""
    if isinstance(error, LineTooLong):
        if error.args[1] == line_limit:
            return AnswerError(414, "uri_too_long", f"the request target is longer than {line_limit} bytes")
        return AnswerError(431, "head_too_large", f"a header field is longer than {line_limit} bytes")
    if message.startswith("Too many headers"):
        return AnswerError(431, "head_too_large", f"the request has more than {_MAX_FIELDS} header fields")
    if isinstance(error, BadStatusLine) and message.startswith("Bad status line:\n  Invalid HTTP version"):
        return AnswerError(505, "http_version", "only HTTP/1.0 and HTTP/1.1 are spoken here")
    if message.startswith(("Request has invalid `Transfer-Encoding`", "Invalid `Transfer-Encoding`")):
        return AnswerError(501, "transfer_encoding", "only the transfer coding 'chunked' is understood")
    return AnswerError(400, "malformed", "the request is not HTTP/1.1 as RFC 9112 has it")
