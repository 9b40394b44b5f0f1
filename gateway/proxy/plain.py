"""Messages that every reader takes for the same, read without a parser.

A head is plain when nothing about it is odd: HTTP/1.1, a path, names and values of visible ASCII with one space
between them, no name twice, and no field that changes how the message or the connection is to be read. Anything else
may be a message as well, and is left to a parser; what is plain here means the same there (RFC 9112). The express lane
carries no other requests, and relays other responses by the general way.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from gateway.proxy.headers import IndexedFields

LARGEST = 256 * 1024  # bytes of a body
_MAX_FIELDS = 100
_SHORT = 2048  # bytes of a head whose lines are remembered
END = b"\r\n\r\n"
_METHODS = MappingProxyType({m.encode(): m for m in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")})
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) ([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")
_WITHOUT_BODY = frozenset({204, 205, 304})
_CHUNK_SIZE = re.compile(rb"[1-9a-f][0-9a-f]{0,4}")
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_TARGET = re.compile(rb"/[A-Za-z0-9/_.~!$&'()*+,:;=@?%-]*")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,5}")
# These say how to read the message or what becomes of the connection; the last one the server's parser refuses.
_TELLING = frozenset(
    {b"transfer-encoding", b"expect", b"upgrade", b"te", b"trailer", b"proxy-connection", b"sec-websocket-key1"}
)


class PlainRequest(NamedTuple):
    """A plain head, and of how many bytes its request is."""

    method: str
    target: str
    fields: IndexedFields
    size: int
    length: int

    def body(self, data: bytes) -> bytes:
        """Return the body out of the bytes of the whole request."""
        return data[self.size - self.length :] if self.length else b""


def plain_request(data: bytes) -> PlainRequest | None:
    """Return the plain request that `data` begins with, None where it begins with none, or none whose head is whole."""
    end = data.find(END)
    if end < 0:
        return None
    first, *lines = data[:end].split(b"\r\n")
    line = plain_line(first)
    fields = None if line is None else _plain_fields(lines, end)
    length = None if fields is None else _length(fields.named)
    if line is None or fields is None or length is None or length > LARGEST:
        return None
    return PlainRequest(line.method, line.target, fields, end + len(END) + length, length)


class PlainLine(NamedTuple):
    """The first line of a plain request."""

    method: str
    target: str


def plain_line(first: bytes) -> PlainLine | None:
    """Return what the first line of a request says, None where it is not plain."""
    method, _, rest = first.partition(b" ")
    target, _, version = rest.partition(b" ")
    if method not in _METHODS or version != b"HTTP/1.1" or not _TARGET.fullmatch(target):
        return None
    return PlainLine(_METHODS[method], target.decode("ascii"))


class PlainResponse(NamedTuple):
    """The head of a plain response that has a body of a length, or in chunks, and keeps its connection."""

    status: int
    reason: bytes
    fields: IndexedFields
    is_chunked: bool


def plain_response(head: bytes) -> PlainResponse | None:
    """Return what a head, without its empty line, says; None where it is not plain."""
    first, *lines = head.split(b"\r\n")
    match = _STATUS.fullmatch(first)
    fields = None if match is None else _plain_fields(lines, len(head))
    if match is None or fields is None or (status := int(match[1])) in _WITHOUT_BODY:
        return None
    named = dict(fields.named)
    chunked = named.pop(b"transfer-encoding", None)
    if chunked not in (None, [b"chunked"]) or (chunked is None) == (b"content-length" not in named):
        return None
    return None if _length(named) is None else PlainResponse(status, match[2], fields, chunked is not None)


def is_one_chunk(framed: bytes) -> bool:
    """Whether a body in chunks is exactly one, written as the gateway writes it (RFC 9112, section 7.1)."""
    end = framed.find(b"\r\n", 0, 8)
    if end < 0 or not _CHUNK_SIZE.fullmatch(framed, 0, end) or not framed.endswith(_LAST_CHUNK):
        return False
    return len(framed) == end + 2 + int(framed[:end], 16) + len(_LAST_CHUNK)


def _plain_fields(lines: list[bytes], size: int) -> IndexedFields | None:
    """Return the fields of a head of `size` bytes, None where one is not plain, or a name stands twice."""
    if len(lines) > _MAX_FIELDS:
        return None
    found = list(map(_cached_field if size <= _SHORT else _field, lines))
    if None in found:
        return None
    fields = IndexedFields(found)  # type: ignore[arg-type]  # no None is among them
    return fields if len(fields.named) == len(fields) else None


def _field(line: bytes) -> tuple[bytes, bytes] | None:
    match = _FIELD.fullmatch(line)
    return None if match is None else (match[1], match[2])


# Clients say the same line after line, with each request; those of long heads are left out, so that memory has a bound.
_cached_field = lru_cache(1024)(_field)


def _length(named: Mapping[bytes, list[bytes]]) -> int | None:
    """Return how many bytes of body there are, None where that, or what becomes of the connection, is not plain."""
    if not _TELLING.isdisjoint(named):
        return None
    if b"connection" in named and named[b"connection"][0].lower() != b"keep-alive":
        return None
    given = named.get(b"content-length")
    if given is None:
        return 0
    return plain_length(given[0])


def plain_length(value: bytes) -> int | None:
    """Return the number that a Content-Length is, None where it is not plain, or large."""
    return int(value) if _LENGTH.fullmatch(value) else None
