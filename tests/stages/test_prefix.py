"""What was proven of an array takes its place in a document, whichever judge reads the rest."""

from typing import Any

import pytest
from support.judges import VOCABULARY

from gateway.stages.document import judge_document
from gateway.stages.incremental import IncrementalJudge
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.prefix import ProvenPrefix
from gateway.stages.reasons import Reason
from gateway.stages.rulebook import RuleBook
from gateway.stages.steps import run_to_completion
from gateway.stages.verdict import Findings, Verdict

PLAN = Plan.of(
    [Location(Shape.VALUE, ("z",)), Location(Shape.EACH, ("D",), field="stage", weight="w")], tolerance=0.0, fund=("f",)
)


def prefix(count: int = 3, total: float | None = 0.5) -> ProvenPrefix:
    assert PLAN.array is not None
    made = ProvenPrefix(PLAN.array.node, PLAN.array.location, count, total=total)
    made.findings.values = count
    made.findings.add(1, Reason.ALIAS, "Seed", lambda: "/D/1/stage", suggest=lambda: "seed")
    return made


def exactly(body: bytes, proven: ProvenPrefix) -> tuple[Reason | None, Verdict]:
    findings = Findings()
    return run_to_completion(judge_document(body, PLAN, VOCABULARY, findings, prefix=proven)), findings.verdict()


def incrementally(body: bytes, proven: ProvenPrefix) -> tuple[Reason | None, Verdict]:
    findings = Findings()
    assert PLAN.root is not None
    judge = IncrementalJudge(PLAN.root, RuleBook(PLAN, VOCABULARY, findings, required=False), proven)
    for index in range(len(body)):
        run_to_completion(judge.feed(body[index : index + 1]))
    return run_to_completion(judge.finish()), findings.verdict()


@pytest.mark.parametrize("judge", [exactly, incrementally])
@pytest.mark.parametrize("body", [b'{"z":"bad","D":[null,1,{"stage":"seed","w":0.5}],"f":7}'])
def test_the_findings_stand_where_the_array_stands(judge: Any, body: bytes) -> None:
    """What is before the array comes first, then what was proven, then the rest by its true index."""
    reason, verdict = judge(body, prefix())
    assert reason is None
    assert [(v.pointer, v.reason) for v in verdict.violations] == [
        ("/z", Reason.DISALLOWED_VALUE),
        ("/D/1/stage", Reason.ALIAS),
        ("/D/3", Reason.WRONG_TYPE),
    ]
    assert (verdict.count, verdict.values, verdict.fund) == (3, 6, "7")


@pytest.mark.parametrize("judge", [exactly, incrementally])
@pytest.mark.parametrize(
    ("total", "weight", "found"),
    [
        (0.5, b"0.5", None),
        (0.25, b"0.5", 0.75),
        (0.1 + 0.2, b"0.7", (0.1 + 0.2) + 0.7),
        (None, b"0.5", None),
    ],
)
def test_weights_go_on_from_the_sum_so_far(judge: Any, total: float | None, weight: bytes, found: float | None) -> None:
    """The weights behind are added to those proven; where one could not be read there is no sum."""
    _, verdict = judge(b'{"D":[null,{"stage":"seed","w":%b}]}' % weight, prefix(total=total))
    sums = [v.value for v in verdict.violations if v.reason is Reason.WEIGHT_SUM]
    assert sums == ([] if found in (None, 1.0) else [found])


@pytest.mark.parametrize("judge", [exactly, incrementally])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"D":[null]', Reason.UNPARSEABLE),
        (b'{"D":[null,]}', Reason.UNPARSEABLE),
        (b'{"D":[null],"D":[]}', Reason.AMBIGUOUS_JSON),
        (b'{"D":[null],"D":[null]}', Reason.AMBIGUOUS_JSON),
        (b'{"D":[null],"\\u0044":1}', Reason.AMBIGUOUS_JSON),
    ],
)
def test_the_document_around_it_is_judged_whole(judge: Any, body: bytes, reason: Reason) -> None:
    """A document that is none, or in which the array stands twice, is so whatever was proven."""
    assert judge(body, prefix())[0] is reason


@pytest.mark.parametrize("judge", [exactly, incrementally])
def test_it_stands_for_the_first_element_only(judge: Any) -> None:
    """A null further on is an element, and of the wrong type."""
    _, verdict = judge(b'{"x":[null],"D":[null,null]}', prefix())
    assert [v.pointer for v in verdict.violations] == ["/D/1/stage", "/D/3"]
    assert verdict.values == 4
