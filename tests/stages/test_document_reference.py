"""The exact judge against a naive reading of what locations mean, written without a look at it.

The reference parses with json, keeps every pair, follows each location by itself from the root, and sorts what
it found by its place in the document.
"""

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from support.length import examples

from gateway.stages.document import judge_document
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.steps import run_to_completion
from gateway.stages.verdict import Findings
from gateway.stages.vocabulary import DEFAULT_ALIASES, DEFAULT_CANONICAL, Vocabulary

END = 1 << 30  # after all members of a container

Step = str | tuple[str] | None  # of a path, a field by its name, any element of an array
Place = tuple[int, ...]
Outcome = tuple[str | None, int, list[tuple[str | None, str, Any, str | None, int]], int, str | None]


@dataclass
class Pairs:
    """A JSON object with every member it was written with."""

    pairs: list[tuple[str, Any]]

    def last(self) -> dict[str, Any]:
        return dict(self.pairs)


@dataclass
class Reference:
    """Everything found, as (place in the document, location, reason, value, pointer)."""

    locations: list[Location]
    tolerance: float | None
    required: bool
    found: list[tuple[Place, int, str, Any, str]] = field(default_factory=list)
    values: int = 0

    def judge(self, root: Any) -> None:
        for number, location in enumerate(self.locations):
            for value, place, pointer in self.follow(root, location.path, (), "", number):
                self.at_location(value, location, number, place, pointer)

    def follow(
        self, value: Any, path: tuple[str, ...], place: Place, pointer: str, number: int
    ) -> Iterator[tuple[Any, Place, str]]:
        if not path:
            yield value, place, pointer
            return
        reached = list(children(value, path[0]))
        # An empty container leaves nothing out at a star, a scalar in its place does.
        absent = not reached and (path[0] != "*" or not isinstance(value, Pairs | list))
        if absent and self.required and self.locations[number].required:
            rest = "".join("/" + escaped(step) for step in path)
            self.report((*place, END, 1, number, 0), number, "missing", None, pointer + rest)
            self.values += 1
        for ordinal, name, child in reached:
            yield from self.follow(child, path[1:], (*place, ordinal), f"{pointer}/{escaped(name)}", number)

    def at_location(self, value: Any, location: Location, number: int, place: Place, pointer: str) -> None:
        if location.shape is Shape.VALUE:
            self.stage(value, number, (*place, -1, number, 0), pointer)
        elif location.shape is Shape.KEYS and isinstance(value, Pairs):
            for ordinal, (name, weight) in enumerate(value.pairs):
                below = f"{pointer}/{escaped(name)}"
                self.stage(name, number, (*place, ordinal, -4, number, 0), below)
                self.weight(weight, number, (*place, ordinal, -3, number, 1), below)
            self.total([weight for _, weight in value.pairs], number, place, pointer)
        elif location.shape is Shape.EACH and isinstance(value, list):
            for ordinal, element in enumerate(value):
                self.element(element, location, number, (*place, ordinal), f"{pointer}/{ordinal}")
            if location.weight is not None:
                weights = [e.last().get(location.weight) if isinstance(e, Pairs) else None for e in value]
                self.total(weights, number, place, pointer)
        else:
            self.values += 1
            self.report((*place, -1, number, 0), number, "wrong_type", value, pointer)

    def element(self, element: Any, location: Location, number: int, place: Place, pointer: str) -> None:
        if not isinstance(element, Pairs):
            self.values += 1
            self.report((*place, -1, number, 0), number, "wrong_type", element, pointer)
            return
        names = [name for name, _ in element.pairs]
        members = element.last()
        if location.field in members:
            inside = (*place, names.index(location.field), -1, number, 0)
            self.stage(members[location.field], number, inside, f"{pointer}/{escaped(location.field)}")
        else:
            self.values += 1
            self.report((*place, END, 0, number, 0), number, "missing", None, f"{pointer}/{escaped(location.field)}")
        if location.weight is not None:
            there = location.weight in members
            at = (*place, names.index(location.weight), -1, number, 1) if there else (*place, END, 0, number, 1)
            self.weight(members.get(location.weight), number, at, f"{pointer}/{escaped(location.weight)}")

    def stage(self, value: Any, number: int, place: Place, pointer: str) -> None:
        self.values += 1
        if not isinstance(value, str):
            self.report(place, number, "wrong_type", value, pointer)
        elif value not in DEFAULT_CANONICAL:
            plain = " ".join(unicodedata.normalize("NFKC", value).casefold().split())
            known = plain in DEFAULT_CANONICAL or plain in DEFAULT_ALIASES
            self.report(place, number, "alias" if known else "disallowed_value", value, pointer)

    def weight(self, value: Any, number: int, place: Place, pointer: str) -> None:
        if self.tolerance is not None and not numeric(value):
            self.report(place, number, "wrong_type", value, pointer)

    def total(self, weights: list[Any], number: int, place: Place, pointer: str) -> None:
        if self.tolerance is None or not all(map(numeric, weights)):
            return
        total = 0.0
        for weight in weights:
            total += weight
        if abs(total - 1) > self.tolerance:
            self.report((*place, END, 2, number, 0), number, "weight_sum", total, pointer)

    def report(self, place: Place, number: int, reason: str, value: Any, pointer: str) -> None:
        self.found.append((place, number, reason, value, pointer))


def refuse(constant: str) -> None:
    raise ValueError(constant)


def numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def children(value: Any, step: Step) -> Iterator[tuple[int, str, Any]]:
    if isinstance(value, Pairs):
        yield from ((i, name, child) for i, (name, child) in enumerate(value.pairs) if step in ("*", name, (name,)))
    elif isinstance(value, list):
        yield from ((i, str(i), child) for i, child in enumerate(value) if step in ("*", None, str(i)))


def ways(locations: list[Location], fund: tuple[str, ...] | None) -> Iterator[tuple[Step, ...]]:
    if fund is not None:
        yield fund
    for location in locations:
        yield (*location.path, "*") if location.shape is Shape.KEYS else location.path
        if location.shape is Shape.EACH:
            yield (*location.path, None, (location.field,))
            if location.weight is not None:
                yield (*location.path, None, (location.weight,))


def ambiguous(value: Any, paths: list[tuple[Step, ...]]) -> bool:
    going = [path for path in paths if path]
    through: dict[int, list[tuple[Step, ...]]] = {}
    names: dict[int, str] = {}
    for path in going:
        for ordinal, name, _ in children(value, path[0]):
            through.setdefault(ordinal, []).append(path[1:])
            names[ordinal] = name
    if isinstance(value, Pairs):
        prototype = "__proto__" in value.last() and any(path[0] is not None for path in going)
        if prototype or len(set(names.values())) < len(names):
            return True
    below = [child for _, child in value.pairs] if isinstance(value, Pairs) else value
    return any(ambiguous(below[ordinal], rest) for ordinal, rest in through.items())


def shown(value: Any) -> Any:
    if isinstance(value, str):
        return value[:64]
    return "{…}" if isinstance(value, Pairs) else "[…]" if isinstance(value, list) else value


def expected(
    text: bytes, locations: list[Location], fund: tuple[str, ...] | None, tolerance: float | None, required: bool
) -> Outcome:
    try:
        root = json.loads(text.decode(), object_pairs_hook=Pairs, parse_constant=refuse)
    except ValueError:
        return "unparseable", 1, [], 0, None
    if ambiguous(root, list(ways(locations, fund))):
        return "ambiguous_json", 1, [], 0, None
    reference = Reference(locations, tolerance, required)
    reference.judge(root)
    found = sorted(reference.found, key=lambda entry: entry[0])
    groups: dict[Any, list[Any]] = {}
    for _, number, reason, value, pointer in found:
        suggest = Vocabulary().suggestion(value) if reason in ("alias", "disallowed_value") else None
        key = (number, reason, type(value), value if isinstance(value, str | int | float) else None)
        groups.setdefault(key, [pointer, reason, shown(value), suggest, 0])[4] += 1
    funds = [root] if fund is not None else []
    for step in fund or ():
        funds = [child for parent in funds for _, _, child in children(parent, step)]
    known = next((str(f) for f in funds if isinstance(f, str) or numeric(f)), None)
    listed = [tuple(group) for group in groups.values()][:20]
    return found[0][2] if found else None, len(found), listed, reference.values, known


def actual(
    text: bytes, locations: list[Location], fund: tuple[str, ...] | None, tolerance: float | None, required: bool
) -> Outcome:
    findings = Findings()
    plan = Plan.of(locations, fund=fund, tolerance=tolerance)
    reason = run_to_completion(judge_document(text, plan, Vocabulary(), findings, required=required))
    if reason is not None:
        return reason.value, 1, [], 0, None
    verdict = findings.verdict()
    listed = [(v.pointer, v.reason.value, v.value, v.suggestion, v.occurrences) for v in verdict.violations]
    return verdict.reason and verdict.reason.value, verdict.count, listed, verdict.values, verdict.fund


NAMES = ("s", "w", "a/b", "é", "0", "seed", "*")
STAGES = ("seed", "series-a", "Seed", "ｓeed", "bad", "", "sеed", "x" * 70)

names = st.sampled_from(NAMES)
paths = st.lists(st.one_of(names, names, st.just("*")), max_size=2).map(tuple)


@st.composite
def spelt(draw: st.DrawFn, text: str) -> str:
    """Write a JSON string in one of its spellings."""
    plain = json.dumps(text, ensure_ascii=False)[1:-1]
    how = draw(st.sampled_from(["plain"] * 8 + ["ascii", "slash", "escaped"]))
    if how == "ascii":
        plain = json.dumps(text)[1:-1]
    elif how == "slash":
        plain = plain.replace("/", "\\/")
    elif how == "escaped" and text:
        plain = f"\\u{ord(text[0]):04x}" + json.dumps(text[1:], ensure_ascii=False)[1:-1]
    return f'"{plain}"'


@st.composite
def objects(draw: st.DrawFn, below: st.SearchStrategy[str]) -> str:
    """Write a JSON object, now and then with a name twice or `__proto__`."""
    chosen = draw(st.lists(names, max_size=4, unique=True))
    if chosen and draw(st.integers(0, 7)) == 0:
        chosen.append(draw(st.sampled_from([*chosen, "__proto__"])))
    gap = draw(st.sampled_from(["", "", " ", "\r\n"]))
    members = [f"{draw(spelt(name))}{gap}:{draw(below)}" for name in chosen]
    return "{" + f"{gap},".join(members) + "}"


@st.composite
def tables(draw: st.DrawFn) -> str:
    """Write an array of objects as an each location likes them."""
    rows = []
    for _ in range(draw(st.integers(0, 6))):
        stage = draw(spelt(draw(st.sampled_from(("seed", "seed", *STAGES)))))
        rows.append(
            draw(st.sampled_from(['{"s":%s}', '{"s":%s,"w":0.5}', '{"w":1,"s":%s}', '{"w":1}', "%s"])).replace(
                "%s", stage
            )
        )
    return "[" + ",".join(rows) + "]"


scalars = st.one_of(
    st.sampled_from(STAGES).flatmap(spelt),
    st.sampled_from(["null", "true", "1", "1.0", "0.5", "0.25", "-0", "NaN", "seed", "12345678901234567"]),
)
documents = st.recursive(
    scalars,
    lambda below: st.one_of(
        objects(below), objects(below), tables(), st.lists(below, max_size=3).map(lambda e: f"[{','.join(e)}]")
    ),
    max_leaves=12,
)
roots = st.one_of(objects(documents), objects(documents), tables(), documents)
locations = st.one_of(
    st.builds(Location, st.just(Shape.KEYS), paths, required=st.booleans()),
    st.builds(Location, st.just(Shape.VALUE), paths, required=st.booleans()),
    st.builds(Location, st.just(Shape.EACH), paths, names, st.one_of(st.none(), names), required=st.booleans()),
    st.builds(Location, st.just(Shape.EACH), paths, st.just("s"), st.just("w"), required=st.booleans()),
)


@settings(max_examples=examples(300, 20_000), deadline=None, database=None)
@given(
    text=roots,
    places=st.lists(locations, min_size=1, max_size=3),
    fund=st.one_of(st.none(), st.lists(st.sampled_from(NAMES[:-1]), min_size=1, max_size=2).map(tuple)),
    tolerance=st.sampled_from([None, None, 0.0, 0.01]),
    required=st.booleans(),
)
def test_the_judge_agrees_with_a_naive_reading(
    text: str, places: list[Location], fund: tuple[str, ...] | None, tolerance: float | None, required: bool
) -> None:
    """On any document and any locations the judge finds what the naive reference finds, in the same order."""
    body = text.encode()
    wanted = expected(body, places, fund, tolerance, required)
    event(str(wanted[0]))
    assert repr(actual(body, places, fund, tolerance, required)) == repr(wanted)
