"""What two proxies made of the same exchange, and every difference between that."""

from collections.abc import Sequence
from dataclasses import dataclass

from support.upstream import Received
from support.wire import Fields, Response, parse_head

Told = tuple[bytes, ...]


@dataclass(frozen=True)
class Difference:
    """One difference: `up` or `down`, what differs, and the two sides of it; a field's side are its lines."""

    way: str
    what: str
    gateway: Told
    other: Told


def differences(
    gateway: tuple[Sequence[Received], Response], other: tuple[Sequence[Received], Response]
) -> list[Difference]:
    """Return every difference between what arrived at the upstream, and between what came back."""
    (received, response), (received_by_other, others_response) = gateway, other
    arrived = _told("up", "arrived", tuple(b"" for _ in received), tuple(b"" for _ in received_by_other))
    found = [*arrived]
    for one, another in zip(received, received_by_other, strict=False):
        found += _messages("up", one.head, another.head)
        found += _told("up", "body", (one.body,), (another.body,))
        if one.body == another.body:
            found += _told("up", "framing", (one.framed,), (another.framed,))
    found += _told("down", "interim", tuple(response.interim), tuple(others_response.interim))
    # What a proxy says for itself need not be what another one says.
    of_its_own = response.value("content-type") == "application/problem+json"
    if arrived or of_its_own or response.status != others_response.status:
        return found + _told("down", "status", (b"%d" % response.status,), (b"%d" % others_response.status,))
    found += _messages("down", response.head, others_response.head)
    return found + _told("down", "body", (response.body,), (others_response.body,))


def _messages(way: str, head: bytes, others_head: bytes) -> list[Difference]:
    (line, fields), (others_line, others_fields) = parse_head(head), parse_head(others_head)
    found = _told(way, "line", (line,), (others_line,))
    same = []
    for name in dict.fromkeys(given.lower() for given, _ in [*fields, *others_fields]):
        told = _told(way, f"field {name.decode('latin-1')}", _lines(fields, name), _lines(others_fields, name))
        found += told
        if not told:
            same.append(name)
    order = [name.lower() for name, _ in fields if name.lower() in same]
    others_order = [name.lower() for name, _ in others_fields if name.lower() in same]
    return found + _told(way, "order", tuple(order), tuple(others_order))


def _lines(fields: Fields, name: bytes) -> Told:
    return tuple(given + b": " + value for given, value in fields if given.lower() == name)


def _told(way: str, what: str, gateway: Told, other: Told) -> list[Difference]:
    return [] if gateway == other else [Difference(way, what, gateway, other)]
