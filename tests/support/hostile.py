"""Requests that held the event loop longest when many were tried, by name: where the stages stand, and the bytes."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass

from gateway.stages.locators import Location, Plan, Shape

KIB = 1024
_LIGATURE = "\ufdfa"  # one character of which NFKC makes eighteen
_MARKS = "\u0315\u0300\u05ae\u0345"  # which NFKC puts in order
_HEAD = 16_000  # characters of a query that fit into a head

KEYS = Plan.of([Location(Shape.KEYS, ("x",), required=True)], tolerance=1e-6)
EACH = Plan.of([Location(Shape.EACH, ("x",), field="stage")])
STARS = Plan.of([Location(Shape.KEYS, ("*",) * depth) for depth in range(1, 8)])
HUNDREDS = Plan.of([Location(Shape.VALUE, ("x", str(index), "stage"), required=True) for index in range(300)])
MANY_FIELDS = Plan.of([Location(Shape.EACH, ("x",), field=f"s{number}") for number in range(30)])
QUERY = Plan.of([Location(Shape.QUERY, name="stage", required=True)])
QUERIES = Plan.of([Location(Shape.QUERY, name=f"s{number}", required=True) for number in range(100)])


@dataclass(frozen=True)
class Hostile:
    """A kind of request. `body` makes one of about so many bytes."""

    plan: Plan
    body: Callable[[int], bytes] = lambda _: b""
    query: str = ""
    coding: bytes = b"identity"

    def coded(self, size: int) -> bytes:
        return gzip.compress(self.body(size)) if self.coding == b"gzip" else self.body(size)


def _array(element: Callable[[int], str]) -> Callable[[int], bytes]:
    return lambda size: b'{"x":[%b]}' % _filled(element, size)


def _object(member: Callable[[int], str]) -> Callable[[int], bytes]:
    return lambda size: b'{"x":{%b}}' % _filled(member, size)


def _filled(part: Callable[[int], str], size: int) -> bytes:
    return ",".join(map(part, range(size // (len(part(9999).encode()) + 1)))).encode()


def _query(part: Callable[[int], str]) -> str:
    return "&".join(map(part, range(_HEAD // (len(part(999)) + 1))))


HOSTILE: dict[str, Hostile] = {
    "ligatures": Hostile(KEYS, _object(lambda n: f'"{_LIGATURE * 120}{n}":1')),
    "short ligatures": Hostile(STARS, _object(lambda n: f'"{_LIGATURE * 2}{n}":1')),
    "ligatures as values": Hostile(EACH, _array(lambda n: f'{{"stage":"{_LIGATURE * 120}{n}"}}')),
    "marks out of order": Hostile(KEYS, _object(lambda n: f'"e{_MARKS * 30}{n}":1')),
    "wide spaces": Hostile(KEYS, _object(lambda n: f'"{chr(0x2003) * 110}seriez{n}":1')),
    "long names": Hostile(STARS, _object(lambda n: f'"{n}{"x" * 5000}":1')),
    "containers in containers": Hostile(KEYS, _array(lambda _: "[" * 60 + "]" * 60)),
    "very deep": Hostile(STARS, _array(lambda _: "[" * 1000 + "]" * 1000)),
    "objects in objects": Hostile(EACH, _array(lambda _: '{"a":' * 60 + "0" + "}" * 60)),
    "objects in objects, gzipped": Hostile(EACH, _array(lambda _: '{"a":' * 60 + "0" + "}" * 60), coding=b"gzip"),
    "empty containers": Hostile(KEYS, _array(lambda _: "[]")),
    "decoys": Hostile(EACH, lambda size: b'{"y":[%b],"x":[]}' % _filled(lambda _: '{"x":[]}', size)),
    "one name again and again": Hostile(HUNDREDS, lambda size: b"{%b}" % _filled(lambda _: '"x":[]', size)),
    "nothing of many fields": Hostile(MANY_FIELDS, _array(lambda _: "{}")),
    "unknown names": Hostile(KEYS, _object(lambda n: f'"{n}":null')),
    "nearly right": Hostile(EACH, _array(lambda n: f'{{"stage":"seriez-{n}"}}')),
    "escapes": Hostile(EACH, lambda size: b'{"y":"%b","x":[]}' % (b"\\u0041" * (size // 6))),
    "escaped pairs": Hostile(EACH, lambda size: b'{"y":"%b","x":[]}' % (b"\\ud83d\\ude00" * (size // 12))),
    "bad at the end": Hostile(
        EACH, lambda size: b'{"x":[%b,{"stage":"bad"}]}' % _filled(lambda _: '{"stage":"seed"}', size)
    ),
    "many digits": Hostile(EACH, _array(lambda _: '{"stage":"seed","y":0.' + "1" * 3900 + "}")),
}
HOSTILE_HEADS: dict[str, Hostile] = {
    "parameters of one letter": Hostile(QUERIES, query=_query(lambda _: "a")),
    "escaped parameters": Hostile(QUERIES, query=_query(lambda _: "%41")),
    "spaces for parameters": Hostile(QUERIES, query=_query(lambda _: "+")),
    "brackets": Hostile(QUERY, query=_query(lambda _: "stage[]=%zz")),
    "escaped names": Hostile(QUERY, query=_query(lambda n: f"%73tage=%41{n}")),
    "many unknown stages": Hostile(QUERY, query=_query(lambda n: f"stage={n}")),
    "many stages of many names": Hostile(QUERIES, query=_query(lambda n: f"s{n % 100}=%41")),
    "nothing between": Hostile(QUERIES, query="&" * _HEAD),
    "ligatures in the query": Hostile(QUERY, query=_query(lambda n: "stage=" + "%EF%B7%BA" * 100 + str(n))),
}
