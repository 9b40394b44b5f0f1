"""A request's head: what is checked before anything is forwarded, and how it goes upstream.

What two readers could understand differently is refused. Everything else is carried: bytes, order and repetition of
fields stay as they came.
"""

import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

from gateway.proxy.answers import AnswerError, malformed
from gateway.proxy.headers import (
    AUTHORITY,
    HOP_BY_HOP,
    NOT_FOR_CONNECTION,
    STAGE_FIELDS,
    Fields,
    IndexedFields,
    append_to_list,
    connection_options,
    is_authority,
    list_of,
    switching,
    without,
    written,
)

_VIA = MappingProxyType({(1, 0): b"1.0 stage-gateway", (1, 1): b"1.1 stage-gateway"})
# A request's trailers are not carried, so neither is the announcement; Expect is answered here.
_DROPPED = HOP_BY_HOP | {b"expect", b"trailer"}
_CARRIES_REQUESTS = re.compile(rb"(?:h2c?|h3|http|tls)(?:/.*)?\Z", re.IGNORECASE)
_MAX_LENGTH_DIGITS = 18
_IDS_AT_ONCE = 256
REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_TARGET = re.compile(r"[\x21\x22\x24-\x7e]+")  # visible ASCII; "#" never goes over the wire (RFC 9112, section 3.2)


class RequestHead(NamedTuple):
    """The head of one request.

    `target` is in origin form, `path` and `query` its raw halves, `host` the authority of a target that came in
    absolute form (RFC 9112, section 3.2.2). `request_id` is the client's where it sent a usable one, which
    `has_own_id` says. `client` is the peer's address. `length` is the Content-Length, None without one, `has_body`
    what the head can tell: a body in chunks may still turn out empty.
    """

    method: str
    target: str
    path: str
    query: str
    host: bytes | None
    version: tuple[int, int]
    fields: IndexedFields
    request_id: str
    has_own_id: bool
    client: str
    is_chunked: bool
    length: int | None
    has_body: bool

    @classmethod
    def of(
        cls, method: str, raw_target: str, version: tuple[int, int], raw: Fields, client: str, fresh: Iterator[str]
    ) -> "RequestHead":
        """Take a head apart; a request without a usable id gets the next of `fresh`."""
        fields = raw if type(raw) is IndexedFields else IndexedFields(raw)
        identity, own = request_id(fields, fresh)
        target, host = origin_form(raw_target)
        path, _, query = target.partition("?")
        given = fields.named.get(b"content-length")
        length = None if given is None else content_length(given[0])
        chunked = b"transfer-encoding" in fields.named
        body = chunked or bool(length)
        return cls(method, target, path, query, host, version, fields, identity, own, client, chunked, length, body)

    @property
    def protocols(self) -> bytes | None:
        """The protocols that the client would switch to (RFC 9110, section 7.8), None when to none."""
        if b"upgrade" not in self.fields.named or self.has_body:
            return None
        return protocols_asked_for(self.fields)


def check_head(head: RequestHead, limit: int) -> None:
    """Refuse a head that cannot be carried faithfully. Raises AnswerError.

    `limit` bounds the target and all fields together, in bytes.
    """
    target, fields = head.target, head.fields
    if head.version not in _VIA:
        raise AnswerError(505, "http_version", "only HTTP/1.0 and HTTP/1.1 are spoken here")
    if len(target) > limit:
        raise AnswerError(414, "uri_too_long", f"the request target is longer than {limit} bytes")
    if len(target) + 4 * len(fields) + len(b"".join(chain.from_iterable(fields))) > limit:
        raise AnswerError(431, "head_too_large", f"the request head is larger than {limit} bytes")
    if head.method == "CONNECT" or head.method == "TRACE":
        raise AnswerError(405, "method_not_allowed", "CONNECT and TRACE are not carried")
    if not _TARGET.fullmatch(target):
        raise malformed("the request target holds a character that cannot stand there")
    if not target.startswith("/") and (head.method, target) != ("OPTIONS", "*"):
        raise malformed("the request target is neither a path nor an http address")
    _check_fields(head.version, fields.named)


def _check_fields(version: tuple[int, int], named: Mapping[bytes, list[bytes]]) -> None:
    hosts = named.get(b"host", ())
    if len(hosts) > 1 or (not hosts and version == (1, 1)) or not all(map(is_authority, hosts)):
        raise malformed("one valid Host field is needed")
    if b"transfer-encoding" in named:
        _check_transfer_codings(version, named[b"transfer-encoding"])
    if b"expect" in named and any(value.strip().lower() != b"100-continue" for value in named[b"expect"]):
        raise AnswerError(417, "expectation_failed", "only the expectation '100-continue' is understood")
    if b"content-length" in named and any(content_length(value) is None for value in named[b"content-length"]):
        raise malformed("Content-Length is no number of bytes")
    if b"content-type" in named and len(named[b"content-type"]) > 1:
        raise malformed("Content-Type stands more than once")
    if b"connection" in named and any(map(NOT_FOR_CONNECTION.fullmatch, connection_options(named))):
        raise malformed("Connection names a field that is not hop-by-hop")


def _check_transfer_codings(version: tuple[int, int], codings: list[bytes]) -> None:
    if version == (1, 0):
        raise malformed("Transfer-Encoding does not exist in HTTP/1.0")
    if [coding.strip().lower() for coding in codings] != [b"chunked"]:
        raise AnswerError(501, "transfer_encoding", "only the transfer coding 'chunked' is understood")


def content_length(value: bytes) -> int | None:
    """Return the number of a Content-Length (RFC 9110, section 8.6), None when it is none that could be meant."""
    if not value.isdigit():
        return None
    digits = value.lstrip(b"0") or b"0"
    return int(digits) if len(digits) <= _MAX_LENGTH_DIGITS else None


def origin_form(target: str) -> tuple[str, bytes | None]:
    """Return the target as a path, and the authority when it came in absolute form (RFC 9112, section 3.2.2).

    One that names no valid host stays as it is, and is then no path.
    """
    if target.startswith("/"):
        return target, None
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in {"http", "https"}:
        return target, None
    end = min((i for i in (rest.find("/"), rest.find("?")) if i >= 0), default=len(rest))
    authority, path = rest[:end].encode("ascii", "replace"), rest[end:]
    if not authority or not AUTHORITY.fullmatch(authority):
        return target, None
    return path if path.startswith("/") else "/" + path, authority


def request_id(fields: IndexedFields, fresh: Iterator[str]) -> tuple[str, bool]:
    """Return the request's id, and whether it is the client's own: one field of 1 to 128 visible ASCII characters.

    Without one it is the next of `fresh`.
    """
    given = fields.named.get(b"x-request-id", ())
    if len(given) == 1 and REQUEST_ID.fullmatch(given[0]):
        return given[0].decode("ascii"), True
    return next(fresh), False


def fresh_ids() -> Iterator[str]:
    """Make ids of 128 random bits without end; the system is asked for many at a time."""
    while True:
        digits = os.urandom(16 * _IDS_AT_ONCE).hex()
        for begin in range(0, len(digits), 32):
            yield digits[begin : begin + 32]


def protocols_asked_for(fields: IndexedFields) -> bytes | None:
    """Return the protocols that a request would switch to (RFC 9110, section 7.8), None when to none.

    Other versions of HTTP are none of them, nor TLS: in such a tunnel requests would go by unseen.
    """
    given = fields.named.get(b"upgrade")
    if given is None or b"upgrade" not in connection_options(fields.named):
        return None
    return b", ".join(name for name in list_of(given) if not _CARRIES_REQUESTS.match(name)) or None


@lru_cache(64)  # nearly all clients say the same
def _dropped(options: frozenset[bytes], has_own_id: bool, inspected: bool) -> frozenset[bytes]:
    """Return the names that do not go upstream, what Connection names among them."""
    return (
        _DROPPED
        | options
        | (STAGE_FIELDS if inspected else frozenset())
        | (frozenset() if has_own_id else frozenset({b"x-request-id"}))
    )


def head_for_upstream(head: RequestHead, authority: bytes, *, inspected: bool) -> bytes:
    """Return the head that goes upstream.

    `authority` stands in where an HTTP/1.0 client named none, since HTTP/1.1 needs one. `inspected` says that only
    the gateway speaks in the X-Stage fields.
    """
    drop = _dropped(connection_options(head.fields.named), head.has_own_id, inspected)
    fields, named = without(head.fields, drop), head.fields.named
    hosts = named.get(b"host", [])
    if head.host is not None:
        hosts = [head.host]
        fields = [(b"Host", head.host), *((name, value) for name, value in fields if name.lower() != b"host")]
    if b"x-forwarded-proto" not in named:
        fields.append((b"X-Forwarded-Proto", b"http"))
    if b"x-forwarded-host" not in named:
        fields.extend([(b"X-Forwarded-Host", value) for value in hosts])
    if not hosts:
        fields.insert(0, (b"Host", authority))
    if not head.has_own_id:
        fields.append((b"X-Request-Id", head.request_id.encode("ascii")))
    append_to_list(fields, named, b"X-Forwarded-For", b"x-forwarded-for", head.client.encode("ascii", "replace"))
    append_to_list(fields, named, b"Via", b"via", _VIA[head.version])
    if head.is_chunked:
        fields.append((b"Transfer-Encoding", b"chunked"))
    elif (protocols := head.protocols) is not None:
        fields.extend(switching(protocols))
    return written(f"{head.method} {head.target} HTTP/1.1".encode("ascii"), fields)
