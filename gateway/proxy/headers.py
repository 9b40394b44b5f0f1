"""Header fields on their way through: what is removed, added, and how a head is written.

Rules of the room:

- Bytes, order and repetition of what is carried stay as they came.
- Hop-by-hop fields go (RFC 9110, section 7.6.1), and whatever Connection names.
- Only the gateway speaks in the X-Stage fields of an inspected endpoint, in both directions.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

Fields = Sequence[tuple[bytes, bytes]]

STAGE_FIELDS = frozenset({b"x-stage-warning", b"x-stage-would-reject"})
HOP_BY_HOP = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"te", b"transfer-encoding", b"upgrade"})
# What Connection may not name: the field is not for this hop alone, whoever says so.
NOT_FOR_CONNECTION = re.compile(rb"host|content-.*|authorization|cookie|x-forwarded-.*|x-request-id|x-stage-.*")
AUTHORITY = re.compile(rb"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::\d*)?")

_DROPPED_FROM_TRAILERS = HOP_BY_HOP | {b"trailer", b"content-length", b"host"}  # RFC 9110, section 6.5.1
_FROM_RESPONSE = MappingProxyType({False: HOP_BY_HOP, True: HOP_BY_HOP | STAGE_FIELDS})
_NO_OPTIONS: frozenset[bytes] = frozenset()


class IndexedFields(tuple[tuple[bytes, bytes], ...]):
    """Fields that are asked for by name again and again: a head is looked into a dozen times.

    `named` has the values of every name, in lower case, in order.
    """

    named: dict[bytes, list[bytes]]

    def __new__(cls, fields: Fields) -> "IndexedFields":
        """Index the fields by their names."""
        made = tuple.__new__(cls, fields)
        named = made.named = {name.lower(): [value] for name, value in fields}
        if len(named) < len(made):  # a name stands more than once
            named.clear()
            for name, value in fields:
                named.setdefault(name.lower(), []).append(value)
        return made


def values(fields: Fields, name: bytes) -> list[bytes]:
    """Return the values of all fields of a (lower-case) name, in order."""
    return [value for given, value in fields if given.lower() == name]


@lru_cache(64)  # nearly all clients name the same
def is_authority(host: bytes) -> bool:
    """Whether these bytes could be a host, and maybe a port (RFC 3986, section 3.2)."""
    return AUTHORITY.fullmatch(host) is not None


def connection_options(named: Mapping[bytes, list[bytes]]) -> frozenset[bytes]:
    """Return what the Connection fields name, in lower case."""
    given = named.get(b"connection")
    return _NO_OPTIONS if given is None else _options(b",".join(given))


@lru_cache(64)  # nearly all say the same
def _options(value: bytes) -> frozenset[bytes]:
    return frozenset(name.strip().lower() for name in value.split(b",")) - {b""}


def list_of(values: Iterable[bytes]) -> list[bytes]:
    """Return the members of a list-valued field (RFC 9110, section 5.6.1)."""
    return [item for value in values for member in value.split(b",") if (item := member.strip(b" \t"))]


def switching(protocols: bytes) -> list[tuple[bytes, bytes]]:
    """Return the fields that ask for, or tell of, a switch to one of these protocols."""
    return [(b"Connection", b"Upgrade"), (b"Upgrade", protocols)]


def without(fields: IndexedFields, drop: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the fields whose (lower-case) names are not to be dropped."""
    if len(fields.named) == len(fields):
        return [field for field, key in zip(fields, fields.named, strict=True) if key not in drop]
    return [field for field in fields if field[0].lower() not in drop]


def append_to_list(
    fields: list[tuple[bytes, bytes]], present: Container[bytes], name: bytes, key: bytes, item: bytes
) -> None:
    """Append to a list-valued field where it last stands, else at the end; `key` is its name in lower case.

    `present` has the names of all fields, and maybe more.
    """
    index = None
    if key in present:
        index = max((index for index, (given, _) in enumerate(fields) if given.lower() == key), default=None)
    if index is None:
        fields.append((name, item))
        return
    given, value = fields[index]
    fields[index] = (given, value + b", " + item if value else item)


def response_head(
    status: int, reason: bytes, fields: IndexedFields, *, added: Iterable[tuple[bytes, bytes]], inspected: bool
) -> bytes:
    """Return the head that goes to the client: the upstream's, less what is not for the client, plus `added`."""
    carried = without(fields, _dropped_from_response(connection_options(fields.named), inspected))
    carried.extend(added)
    return written(b"HTTP/1.1 %d %b" % (status, reason), carried)


@lru_cache(64)  # nearly all say the same
def _dropped_from_response(options: frozenset[bytes], inspected: bool) -> frozenset[bytes]:
    return _FROM_RESPONSE[inspected] | {name for name in options if not NOT_FOR_CONNECTION.fullmatch(name)}


def trailer_section(fields: Sequence[tuple[bytes, bytes]], *, inspected: bool) -> bytes:
    """Return what follows the last chunk of a response (RFC 9112, section 7.1.2), its empty line included."""
    if not fields:
        return b"\r\n"
    drop = _FROM_RESPONSE[inspected] | _DROPPED_FROM_TRAILERS
    return b"".join(b"%b: %b\r\n" % field for field in fields if field[0].lower() not in drop) + b"\r\n"


def written(first: bytes, fields: Fields) -> bytes:
    """Return a head of this first line and these fields."""
    return b"\r\n".join([first, *map(b": ".join, fields), b"", b""])
