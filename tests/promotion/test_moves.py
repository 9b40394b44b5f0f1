"""Which move may be made from where gateways are; and over any plan, writes never fall by `next` nor rise by `back`."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.length import examples

from gateway.promotion import making
from gateway.promotion.enforcement import enforcement
from gateway.promotion.gates import Gates
from gateway.promotion.model import Phase
from gateway.promotion.moves import (
    GoOn,
    Hold,
    No,
    Standing,
    Standings,
    Take,
    backward,
    forward,
    may_replace,
    objections,
    reason_for,
)
from gateway.promotion.plan import PhaseFile, Plan, Step, steps_of
from gateway.rollout.policy import Mode, Operation
from gateway.rules.load import Rules, parse

WRITES, READS, BOTH = "/w", "/r", "/b"
AT = datetime(2026, 1, 31, tzinfo=UTC)
Document = dict[str, Any]


def document(
    writes: str, reads: str, both: str = "warn", percent: float = 100, *, write_only: bool = False
) -> Document:
    """Return a configuration: an endpoint that writes, one that only reads, one where the method says which."""
    stages = {"stages": [{"keys": "/a"}]}
    return {
        "endpointMode": {WRITES: writes, READS: reads, BOTH: both},
        "enforcementPercent": percent,
        "enforceWriteOnly": write_only,
        "upstreams": {"all": {"url": "http://127.0.0.1:1"}},
        "endpoints": {
            WRITES: {"operation": "write", **stages},
            READS: {"operation": "read", **stages},
            BOTH: stages,
        },
    }


def plan_of(phases: Sequence[tuple[Document, Any]]) -> Plan | None:
    """Return the plan of these phases, each with its percentages; None where it cannot be loaded."""
    files = []
    for number, (whole, percent) in enumerate(phases):
        text = json.dumps(whole)
        phase = Phase.model_validate_json(json.dumps({"file": f"{number}.json", "percent": percent}))
        files.append(PhaseFile(phase, number, str(number), text, parse(text)))
    steps, problems = steps_of(Gates(), files)
    return None if problems else Plan("plan.json", tuple(steps))


SMALL = plan_of(
    [
        (document("warn", "warn"), None),
        (document("enforce", "warn", "enforce"), [10, 100]),
        (document("enforce", "enforce", "enforce"), {READS: [50, 100]}),
    ]
)
assert SMALL is not None
STEPS = SMALL.steps


def standing(rules: Rules, address: str = "a", held: Mapping[str, Hold] | None = None, note: Any = None) -> Standing:
    """Return what a gateway with these rules tells."""
    policy = rules.policy
    return Standing(address, rules.fingerprint, enforcement(rules), held or {}, policy.enforce_write_only, note)


def at(*numbers: int) -> Standings:
    """Return gateways at these steps of the small plan."""
    return Standings.of(PLAN, [standing(STEPS[number - 1].rules, f"gateway {number}") for number in numbers])


PLAN = SMALL


@pytest.mark.parametrize("disk", [None, *range(1, 6)])
@pytest.mark.parametrize("numbers", [numbers for size in (1, 2) for numbers in product(range(1, 6), repeat=size)])
def test_every_position(numbers: tuple[int, ...], disk: int | None) -> None:
    """Forward is one step from one configuration, or to the file's where it is in force already; back is below all."""
    standings = at(*numbers)
    on_disk = None if disk is None else STEPS[disk - 1].rules
    match forward(PLAN, standings, on_disk):
        case Take(step, gated, again):
            assert len({*numbers}) == 1
            assert (step.number, gated, again) == (numbers[0] + 1, True, False)
        case GoOn(step):
            assert len({*numbers}) > 1
            assert step.number == disk == max(numbers)
        case No(_, ended):
            assert ended == (set(numbers) == {5})
    found = backward(PLAN, standings)
    if len({*numbers}) > 1:
        assert isinstance(found, Step)
        assert found.number == min(numbers)
    elif numbers[0] == 1:
        assert isinstance(found, No)
    else:
        assert isinstance(found, Step)
        assert found.number == numbers[0] - 1


def test_changed_file() -> None:
    """A file that was changed otherwise is its step, which is taken again; ungated only where nothing gets stricter."""
    given = {**document("enforce", "warn", "enforce"), "metrics": {"maxFunds": 3}}
    changed = parse(json.dumps(given))
    standings = Standings.of(PLAN, [standing(changed)])
    assert forward(PLAN, standings, changed) == Take(STEPS[2], gated=False, again=True)
    assert forward(PLAN, standings, None) == Take(STEPS[2], gated=True, again=True)
    lax = parse(json.dumps({**given, "vocabulary": {"acceptAliases": True}}))
    assert forward(PLAN, Standings.of(PLAN, [standing(lax)]), lax) == Take(STEPS[2], gated=True, again=True)
    found = backward(PLAN, standings)
    assert isinstance(found, Step)
    assert found.number == 2


def test_several_alike_are_told_apart_by_write_only() -> None:
    """Of steps that enforce just the same, the one with the same enforceWriteOnly is meant."""
    plan = plan_of(
        [(document("enforce", "warn", write_only=True), None), (document("enforce", "warn", write_only=False), None)]
    )
    assert plan is not None
    for write_only, number in ((True, 1), (False, 2)):
        given = {**document("enforce", "warn", write_only=write_only), "metrics": {"maxFunds": 3}}
        [place] = Standings.of(plan, [standing(parse(json.dumps(given)))]).places
        assert place.step is not None
        assert (place.step.number, place.changed) == (number, True)


def test_back_that_was_interrupted_goes_on() -> None:
    """Holds that name the step in force make `back` end there, others do not."""
    for target, expected in ((2, 2), (3, 3)):
        hold = Hold(Mode.WARN, reason_for(STEPS[target - 1]), "ann", ("person",), None)
        found = backward(PLAN, Standings.of(PLAN, [standing(STEPS[2].rules, held={WRITES: hold})]))
        assert isinstance(found, Step)
        assert found.number == expected
    person = Hold(Mode.WARN, "partner", "ann", ("person",), None)
    assert person.target is None


def test_file_that_may_be_replaced() -> None:
    """Only a file that is missing, in force or the new one already may be replaced."""
    standings = at(2)
    assert may_replace(None, standings, STEPS[2]) is None
    assert may_replace(STEPS[1].fingerprint, standings, STEPS[2]) is None
    assert may_replace(STEPS[2].fingerprint, standings, STEPS[2]) is None
    assert may_replace(STEPS[3].fingerprint, standings, STEPS[2]) is not None


MODES = st.sampled_from(["off", "warn", "enforce"])
PERCENTS = st.sampled_from([0, 5, 10, 25, 50, 99.99, 100])
DOCUMENTS = st.builds(document, MODES, MODES, MODES, PERCENTS, write_only=st.booleans())


@st.composite
def climbs(draw: st.DrawFn, given: Document) -> Any:
    """Draw percentages that end at the file's own, for all or by endpoint, or none."""
    last = given["enforcementPercent"]
    one = st.lists(PERCENTS.filter(lambda percent: percent < last), unique=True, max_size=3)
    enforcing = [name for name, mode in given["endpointMode"].items() if mode == "enforce"]
    kind = draw(st.sampled_from(["none", "all", "each"])) if enforcing else "none"
    if kind == "none":
        return None
    if kind == "all":
        return [*sorted(draw(one)), last]
    chosen = draw(st.lists(st.sampled_from(enforcing), min_size=1, unique=True))
    return {name: [*sorted(draw(one)), last] for name in chosen}


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw a plan that can be loaded."""
    phases = draw(st.lists(DOCUMENTS, min_size=1, max_size=4))
    plan = plan_of([(whole, draw(climbs(whole))) for whole in phases])
    assume(plan is not None)
    assert plan is not None
    return plan


def writes(rules: Rules) -> dict[str, tuple[Mode, float]]:
    """Return how requests that write are treated, as the gateway's own decision has it: mode and percentage."""
    endpoints = rules.endpoints.endpoints
    return {
        pattern: (endpoint.mode, endpoint.percent_at(endpoint.mode))
        for pattern, endpoint in endpoints.items()
        if endpoint.operation is not Operation.READ
    }


def below(one: Mapping[str, tuple[Mode, float]], other: Mapping[str, tuple[Mode, float]]) -> bool:
    """Whether writes are treated less strictly anywhere in one than in the other."""
    order = [Mode.OFF, Mode.WARN, Mode.ENFORCE]
    return any(order.index(one[p][0]) < order.index(other[p][0]) or one[p][1] < other[p][1] for p in other if p in one)


@settings(max_examples=examples(300, 20_000), deadline=None)
@given(plans(), st.data())
def test_writes_never_fall_by_next_nor_rise_by_back(plan: Plan, data: st.DataObject) -> None:
    """Over any plan and positions, through the files that are made: `next` never lowers writes, `back` never raises."""
    numbers = data.draw(st.lists(st.integers(0, len(plan.steps) - 1), min_size=1, max_size=3))
    disk = data.draw(st.none() | st.integers(0, len(plan.steps) - 1))
    standings = Standings.of(plan, [standing(plan.steps[n].rules, str(k)) for k, n in enumerate(numbers)])
    now = [writes(plan.steps[number].rules) for number in numbers]
    move = forward(plan, standings, None if disk is None else plan.steps[disk].rules)
    if not isinstance(move, No):
        assert list(objections(standings, move.step, None)) == []
        made = _made(plan, move.step)
        assert not any(below(writes(made), treated) for treated in now)
    step = backward(plan, standings)
    if isinstance(step, Step):
        made = _made(plan, step)
        assert not any(below(treated, writes(made)) for treated in now)
        held = [place.gateway.falling(step) for place in standings.places]
        for number, patterns in zip(numbers, held, strict=True):
            before, after = enforcement(plan.steps[number].rules), enforcement(made)
            assert {p for p in before if after[p].percent < before[p].percent} == set(patterns)


@settings(max_examples=examples(200, 10_000), deadline=None)
@given(DOCUMENTS, DOCUMENTS)
def test_what_would_fall_is_objected_to(now: Document, then: Document) -> None:
    """Whatever is in force, a file that treats writes less strictly is objected to, and no other one."""
    old, new = parse(json.dumps(now)), parse(json.dumps(then))
    step = Step(1, "x", None, json.dumps(then), new, Gates())
    standings = Standings.of(Plan("p", (step,)), [standing(old)])
    assume(standings.places[0].step is None)
    for known in (old, None):
        objected = list(objections(standings, step, known))
        assert bool(objected) == below(writes(new), writes(old)), objected


def _made(plan: Plan, step: Step) -> Rules:
    """Return what the file of a step means, as the commands make it."""
    note = making.note_of(plan, step, None, by="ann", at=AT, forced="r")
    found = parse(making.made(step, note, Path("/somewhere")))
    assert found.fingerprint == step.fingerprint
    return found
