"""What is left of a body decides as the whole body does, and nothing else is left."""

import json
from random import Random
from typing import Any

import orjson
import pytest
from support.stretches import most_calls

from gateway.stages.document import judge_document
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.pruning import Pruned, TooMuchError, prune, restored
from gateway.stages.reasons import Reason
from gateway.stages.steps import run_to_completion
from gateway.stages.verdict import Findings
from gateway.stages.vocabulary import Vocabulary

NAMES = ["a", "b", "0", "1", "stage", "weight", "*0"]
STAGES: list[Any] = ["seed", "Series A", "seriesc", "", 5, None, True, [], {}, ["seed"], {"seed": 1}]


def pruned(document: Any, plan: Plan) -> Pruned:
    return run_to_completion(prune(document, plan))


def found(document: Any, plan: Plan, *, required: bool = True) -> tuple[Any, ...]:
    findings = Findings()
    reason: Reason | None = run_to_completion(
        judge_document(orjson.dumps(document), plan, Vocabulary(), findings, required=required)
    )
    verdict = findings.verdict()
    values = sorted((str(v.value), str(v.reason), v.occurrences) for v in verdict.violations)
    return reason, verdict.reason, verdict.count, verdict.values, verdict.fund, values, verdict.truncated


def value(random: Random, depth: int) -> Any:
    if depth == 0 or random.random() < 0.25:
        return random.choice([*STAGES, 0.5, 1])
    if random.random() < 0.5:
        return [value(random, depth - 1) for _ in range(random.choice([0, 1, 2, 6]))]
    return {random.choice([*NAMES, "seed", "Series A"]): value(random, depth - 1) for _ in range(random.randrange(5))}


def plan(random: Random) -> Plan:
    def path(most: int) -> tuple[str, ...]:
        return tuple(random.choice([*NAMES, "*", "*"]) for _ in range(random.randint(0, most)))

    def location() -> Location:
        shape = random.choice([Shape.KEYS, Shape.EACH, Shape.VALUE])
        weight = random.choice([None, "weight"]) if shape is Shape.EACH else None
        field = "stage" if shape is Shape.EACH else ""
        return Location(shape, path(3), field=field, weight=weight, required=random.random() < 0.5)

    fund = tuple(step for step in path(2) if step != "*") if random.random() < 0.5 else None
    tolerance = random.choice([None, None, 0.1])
    return Plan.of([location() for _ in range(random.randint(1, 3))], fund=fund, tolerance=tolerance)


@pytest.mark.parametrize("seed", range(20))
def test_same_findings(seed: int) -> None:
    """Judged, what is left has the same reason, count, values, violations and fund as the whole, whatever is asked."""
    random = Random(seed)
    for _ in range(150):
        asked, document = plan(random), value(random, 4)
        kept = pruned(document, asked)
        again = json.loads(json.dumps(kept.body))
        for required in (True, False):
            whole, left = (found(one, asked, required=required) for one in (document, restored(again)))
            if whole[0] is None and not whole[-1]:  # of more than 20 different ones each report has others
                assert left == whole, (asked.locations, asked.fund, document, kept)


SIMULATE = Plan.of([Location(Shape.EACH, ("stages",), field="stage", weight="weight")], fund=("fundId",))


def test_nothing_else_is_left() -> None:
    """Other members go, names and all; equal elements are one with their number; long texts are cut, and it says so."""
    document = {
        "secret": "s",
        "fundId": 7,
        "stages": [{"stage": "seed", "weight": 5, "secret": "s"}] * 1000 + [{"secret": 1, "stage": "x" * 70}],
    }
    body, cut = pruned(document, SIMULATE)
    elements = [[1000, {"o": {"stage": "seed", "weight": None}}], [1, {"o": {"stage": "x" * 64 + "…"}}]]
    assert body == {"o": {"fundId": 7, "stages": {"a": elements}}}
    assert cut


def test_names_that_a_star_stands_for() -> None:
    """Names that nothing is asked of become numbers, scalars on the way null, containers in place of a stage empty."""
    each = Plan.of([Location(Shape.VALUE, ("*", "stage"))])
    document = {"jane": {"stage": {"secret": 1}, "x": 2}, "joe": "secret"}
    assert pruned(document, each).body == {"o": {"*0": {"o": {"stage": {"o": {}}}}, "*1": None}}


@pytest.mark.parametrize("notation", [[], {"x": 1}, {"o": 1}, {"a": [1]}, {"a": [[0, 1]]}, {"a": [["1", 1]]}])
def test_what_is_no_notation(notation: Any) -> None:
    """A document that was not made by pruning is refused."""
    with pytest.raises(ValueError, match=r"a"):
        restored(notation)


MUCH: list[tuple[Location, Any]] = [
    (Location(Shape.KEYS, ("k",)), {"k": {f"{i:x}": 0 for i in range(26_000)}}),
    (Location(Shape.VALUE, ("v", "*", "x")), {"v": [{"x": f"{i:x}"} for i in range(10_000)]}),
    (Location(Shape.EACH, ("s",), field="stage", weight="w"), {"s": [{"stage": "seed", "w": 1}] * 10_000}),
]


@pytest.mark.parametrize(("location", "document"), MUCH)
def test_much_that_decides(location: Location, document: Any) -> None:
    """It ends where more decides than may be left, and every stretch until then is short."""
    plan = Plan.of([location], tolerance=0.1)

    def to_the_end() -> Any:
        with pytest.raises(TooMuchError):
            yield from prune(document, plan, 64 * 1024)

    assert most_calls(to_the_end) < 3000
    small = len(orjson.dumps(pruned(document, plan).body))
    assert run_to_completion(prune(document, plan, small)) == pruned(document, plan)


def test_equal_elements_take_no_room() -> None:
    """However many equal elements there are, one of them is left, and counted."""
    plan = Plan.of([Location(Shape.EACH, ("s",), field="stage")])
    document = {"s": [{"stage": "seed", "note": "n"}] * 10_000}
    assert run_to_completion(prune(document, plan, 100)).body == {
        "o": {"s": {"a": [[10_000, {"o": {"stage": "seed"}}]]}}
    }
