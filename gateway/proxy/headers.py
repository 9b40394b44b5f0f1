"""Header fields on their way through: what is checked, removed, added, and how a head is written.

Rules of the room:

- Bytes, order and repetition of what is carried stay as they came.
- Hop-by-hop fields go (RFC 9110, section 7.6.1), and whatever Connection names.
- Only the gateway speaks in the X-Stage fields of an inspected endpoint, in both directions.
- What two readers could understand differently is refused before anything is forwarded.
"""

import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from types import MappingProxyType

Fields = Sequence[tuple[bytes, bytes]]

STAGE_FIELDS = frozenset({b"x-stage-warning", b"x-stage-would-reject"})

_VIA = MappingProxyType({(1, 0): b"1.0 stage-gateway", (1, 1): b"1.1 stage-gateway"})
_HOP_BY_HOP = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"te", b"transfer-encoding", b"upgrade"})
# A request's trailers are not carried, so neither is the announcement; Expect is answered here.
_DROPPED_FROM_REQUEST = _HOP_BY_HOP | {b"expect", b"trailer"}
_DROPPED_FROM_TRAILERS = _HOP_BY_HOP | {b"trailer", b"content-length", b"host"}  # RFC 9110, section 6.5.1
# By what is known of a request (whether its id is new, whether it is inspected): no set is made for each one.
_FROM_REQUEST = MappingProxyType(
    {
        (new, inspected): _DROPPED_FROM_REQUEST
        | (frozenset({b"x-request-id"}) if new else frozenset())
        | (STAGE_FIELDS if inspected else frozenset())
        for new in (False, True)
        for inspected in (False, True)
    }
)
_FROM_RESPONSE = MappingProxyType({False: _HOP_BY_HOP, True: _HOP_BY_HOP | STAGE_FIELDS})
_NOT_FOR_CONNECTION = re.compile(rb"host|content-.*|authorization|cookie|x-forwarded-.*|x-request-id|x-stage-.*")
_CARRIES_REQUESTS = re.compile(rb"(?:h2c?|h3|http|tls)(?:/.*)?\Z", re.IGNORECASE)
_MAX_LENGTH_DIGITS = 18
_IDS_AT_ONCE = 256
_NO_OPTIONS: frozenset[bytes] = frozenset()
_VERSIONS = frozenset({(1, 0), (1, 1)})
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_TARGET = re.compile(r"[\x21\x22\x24-\x7e]+")  # visible ASCII; "#" never goes over the wire (RFC 9112, section 3.2)
_AUTHORITY = re.compile(rb"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::\d*)?")


class HeadError(Exception):
    """A request head that is refused whatever the endpoint; `status` and `reason` make the problem document."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        self.status = status
        self.reason = reason
        self.detail = detail
        super().__init__(detail)


class IndexedFields(tuple[tuple[bytes, bytes], ...]):
    """Fields that are asked for by name again and again: a head is looked into a dozen times.

    `named` has the values of every name, in lower case, in order.
    """

    named: dict[bytes, list[bytes]]

    def __new__(cls, fields: Fields) -> "IndexedFields":
        """Index the fields by their names."""
        made = tuple.__new__(cls, fields)
        named = made.named = {}
        for name, value in fields:
            key = name.lower()
            if key in named:
                named[key].append(value)
            else:
                named[key] = [value]
        return made


def values(fields: Fields, name: bytes) -> list[bytes]:
    """Return the values of all fields of a (lower-case) name, in order."""
    return [value for given, value in fields if given.lower() == name]


def check_head(method: str, target: str, version: tuple[int, int], fields: IndexedFields, limit: int) -> None:
    """Refuse a head that cannot be carried faithfully. Raises HeadError.

    `limit` bounds the target and all fields together, in bytes.
    """
    if version not in _VERSIONS:
        raise HeadError(505, "http_version", "only HTTP/1.0 and HTTP/1.1 are spoken here")
    if len(target) > limit:
        raise HeadError(414, "uri_too_long", f"the request target is longer than {limit} bytes")
    if len(target) + 4 * len(fields) + len(b"".join(chain.from_iterable(fields))) > limit:
        raise HeadError(431, "head_too_large", f"the request head is larger than {limit} bytes")
    if method in {"CONNECT", "TRACE"}:
        raise HeadError(405, "method_not_allowed", "CONNECT and TRACE are not carried")
    if not _TARGET.fullmatch(target):
        raise HeadError(400, "malformed", "the request target holds a character that cannot stand there")
    if not target.startswith("/") and (method, target) != ("OPTIONS", "*"):
        raise HeadError(400, "malformed", "the request target is neither a path nor an http address")
    _check_fields(version, fields.named)


def _check_fields(version: tuple[int, int], named: Mapping[bytes, list[bytes]]) -> None:
    hosts = named.get(b"host", ())
    if len(hosts) > 1 or (version == (1, 1) and not hosts) or not all(map(_is_authority, hosts)):
        raise HeadError(400, "malformed", "one valid Host field is needed")
    codings = named.get(b"transfer-encoding")
    if codings and version == (1, 0):
        raise HeadError(400, "malformed", "Transfer-Encoding does not exist in HTTP/1.0")
    if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
        raise HeadError(501, "transfer_encoding", "only the transfer coding 'chunked' is understood")
    if any(value.strip().lower() != b"100-continue" for value in named.get(b"expect", ())):
        raise HeadError(417, "expectation_failed", "only the expectation '100-continue' is understood")
    if any(content_length(value) is None for value in named.get(b"content-length", ())):
        raise HeadError(400, "malformed", "Content-Length is no number of bytes")
    if len(named.get(b"content-type", ())) > 1:
        raise HeadError(400, "malformed", "Content-Type stands more than once")
    for name in _connection_options(named):
        if _NOT_FOR_CONNECTION.fullmatch(name):
            raise HeadError(400, "malformed", "Connection names a field that is not hop-by-hop")


@lru_cache(64)  # nearly all clients name the same
def _is_authority(host: bytes) -> bool:
    return _AUTHORITY.fullmatch(host) is not None


def content_length(value: bytes) -> int | None:
    """Return the number of a Content-Length (RFC 9110, section 8.6), None when it is none that could be meant."""
    digits = value.lstrip(b"0") or b"0"
    return int(digits) if value.isdigit() and len(digits) <= _MAX_LENGTH_DIGITS else None


def _connection_options(named: Mapping[bytes, list[bytes]]) -> frozenset[bytes]:
    given = named.get(b"connection")
    return _NO_OPTIONS if given is None else _options(b",".join(given))


@lru_cache(64)  # nearly all say the same
def _options(value: bytes) -> frozenset[bytes]:
    return frozenset(name.strip().lower() for name in value.split(b",")) - {b""}


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
    if not authority or not _AUTHORITY.fullmatch(authority):
        return target, None
    return path if path.startswith("/") else "/" + path, authority


def request_id(fields: IndexedFields, fresh: Iterator[str]) -> tuple[str, bool]:
    """Return the request's id, and whether it is the client's own: one field of 1 to 128 visible ASCII characters.

    Without one it is the next of `fresh`.
    """
    given = fields.named.get(b"x-request-id", ())
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        return given[0].decode("ascii"), True
    return next(fresh), False


def fresh_ids() -> Iterator[str]:
    """Make ids of 128 random bits without end; the system is asked for many at a time."""
    while True:
        digits = os.urandom(16 * _IDS_AT_ONCE).hex()
        for begin in range(0, len(digits), 32):
            yield digits[begin : begin + 32]


def request_head(
    method: str,
    target: str,
    fields: IndexedFields,
    *,
    version: tuple[int, int],
    client: str,
    new_id: str | None,
    host: bytes | None,
    inspected: bool,
    chunked: bool,
    upgrade: bytes | None,
    upstream: bytes,
) -> bytes:
    """Return the head that goes upstream.

    `version` is that of the client's request, `client` the peer's address, `new_id` a request id to set in place of
    the client's, `host` the authority of an absolute target that replaces the Host field (RFC 9112, section 3.2.2),
    `upgrade` the protocols that the client would switch to, `upstream` the authority that stands in where an
    HTTP/1.0 client named none, since HTTP/1.1 needs one.
    """
    drop = _FROM_REQUEST[new_id is not None, inspected]
    if b"connection" in fields.named:
        drop |= _connection_options(fields.named)
    kept = _kept(fields, drop)
    present: Container[bytes] = fields.named if len(kept) == len(fields) else fields.named.keys() - drop
    hosts = fields.named[b"host"] if b"host" in present else []
    if host is not None:
        hosts = [host]
        kept = [(b"Host", host), *((name, value) for name, value in kept if name.lower() != b"host")]
    if b"x-forwarded-proto" not in present:
        kept.append((b"X-Forwarded-Proto", b"http"))
    if b"x-forwarded-host" not in present:
        kept.extend([(b"X-Forwarded-Host", value) for value in hosts])
    if not hosts:
        kept.insert(0, (b"Host", upstream))
    if new_id is not None:
        kept.append((b"X-Request-Id", new_id.encode("ascii")))
    _append_to_list(kept, present, b"X-Forwarded-For", client.encode("ascii", "replace"))
    _append_to_list(kept, present, b"Via", _VIA[version])
    if chunked:
        kept.append((b"Transfer-Encoding", b"chunked"))
    if upgrade is not None:
        kept.extend(switching(upgrade))
    return _written(f"{method} {target} HTTP/1.1".encode("ascii"), kept)


def protocols_asked_for(fields: IndexedFields) -> bytes | None:
    """Return the protocols that a request would switch to (RFC 9110, section 7.8), None when to none.

    Other versions of HTTP are none of them, nor TLS: in such a tunnel requests would go by unseen.
    """
    given = fields.named.get(b"upgrade")
    if given is None or b"upgrade" not in _connection_options(fields.named):
        return None
    return b", ".join(name for name in list_of(given) if not _CARRIES_REQUESTS.match(name)) or None


def list_of(values: Iterable[bytes]) -> list[bytes]:
    """Return the members of a list-valued field (RFC 9110, section 5.6.1)."""
    return [item for value in values for member in value.split(b",") if (item := member.strip(b" \t"))]


def switching(protocols: bytes) -> list[tuple[bytes, bytes]]:
    """Return the fields that ask for, or tell of, a switch to one of these protocols."""
    return [(b"Connection", b"Upgrade"), (b"Upgrade", protocols)]


def _kept(fields: IndexedFields, drop: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    if drop.isdisjoint(fields.named):
        return list(fields)
    return [field for field in fields if field[0].lower() not in drop]


def _append_to_list(fields: list[tuple[bytes, bytes]], present: Container[bytes], name: bytes, item: bytes) -> None:
    """Append to a list-valued field where it last stands, else at the end."""
    key = name.lower()
    if key not in present:
        fields.append((name, item))
        return
    index = max(index for index, (given, _) in enumerate(fields) if given.lower() == key)
    given, value = fields[index]
    fields[index] = (given, value + b", " + item if value else item)


def response_head(
    status: int, reason: bytes, fields: IndexedFields, *, added: Iterable[tuple[bytes, bytes]], inspected: bool
) -> bytes:
    """Return the head that goes to the client: the upstream's, less what is not for the client, plus `added`."""
    drop = _FROM_RESPONSE[inspected]
    options = _connection_options(fields.named) - drop
    if options:
        drop |= {name for name in options if not _NOT_FOR_CONNECTION.fullmatch(name)}
    kept = _kept(fields, drop)
    kept.extend(added)
    return _written(b"HTTP/1.1 %d %s" % (status, reason), kept)


def trailer_section(fields: Sequence[tuple[bytes, bytes]], *, inspected: bool) -> bytes:
    """Return what follows the last chunk of a response (RFC 9112, section 7.1.2), its empty line included."""
    if not fields:
        return b"\r\n"
    drop = _FROM_RESPONSE[inspected] | _DROPPED_FROM_TRAILERS
    return b"".join(b"%b: %b\r\n" % field for field in fields if field[0].lower() not in drop) + b"\r\n"


def _written(first: bytes, fields: Fields) -> bytes:
    return b"\r\n".join([first, *map(b": ".join, fields), b"", b""])
