"""The plan of a rollout: its phases in order, and the steps that are made of them. Pure.

Rules of the room:

- A step is a whole configuration. Which one is in force is found from the configuration in force, by its fingerprint,
  never from a note elsewhere.
- From one step to the next no write is protected less. A plan in which one is cannot be loaded.
- All phases have one vocabulary and one enforcement key, so that figures of one step say something of the next.
- The last step of a phase is the phase's file, as it stands.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from gateway.faults import did_you_mean, path_of
from gateway.promotion import model
from gateway.promotion.enforcement import Enforcement, enforcement, raised, weakened
from gateway.promotion.gates import Gates
from gateway.rollout.policy import Mode
from gateway.rules.load import Rules, parse


@dataclass(frozen=True, slots=True)
class Step:
    """One configuration on the way.

    `number` counts from 1 through the whole plan. `percent` is what the phase climbs to with this step, None when it
    does not climb. `text` is the configuration file. `gates` are those that lead to this step.
    """

    number: int
    phase: str
    percent: str | None
    text: str
    rules: Rules = field(repr=False)
    gates: Gates = field(repr=False)

    @property
    def name(self) -> str:
        """What people call it."""
        return self.phase if self.percent is None else f"{self.phase} at {self.percent}"

    @property
    def fingerprint(self) -> str:
        """The fingerprint of its configuration."""
        return self.rules.fingerprint


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps in order."""

    source: str
    steps: tuple[Step, ...]
    report: str | None = None

    def at(self, fingerprint: str) -> Step | None:
        """Return the step whose configuration this is, None when it is none's."""
        return next((step for step in self.steps if step.fingerprint == fingerprint), None)

    def like(self, found: Mapping[str, Enforcement], *, write_only: bool | None = None) -> Step | None:
        """Return the step that enforces just this: its file was changed otherwise. None when none or several do.

        Of several it is the one that has `enforceWriteOnly` so.
        """
        alike = [step for step in self.steps if enforcement(step.rules) == found]
        if len(alike) > 1:
            alike = [step for step in alike if step.rules.policy.enforce_write_only is write_only]
        return alike[0] if len(alike) == 1 else None

    def after(self, step: Step) -> Step | None:
        """Return the next step, None after the last."""
        return self.steps[step.number] if step.number < len(self.steps) else None

    def before(self, step: Step) -> Step | None:
        """Return the step before, None before the first."""
        return self.steps[step.number - 2] if step.number > 1 else None


def concerned(now: Rules, then: Rules) -> list[str]:
    """Return the endpoints whose figures decide whether a step may be taken: those that enforce then, or more."""
    stricter = raised(now, then)
    return [
        pattern
        for pattern, found in enforcement(then).items()
        if pattern in stricter or (found.mode is Mode.ENFORCE and found.percent > 0)
    ]


@dataclass(frozen=True, slots=True)
class PhaseFile:
    """A phase of the plan, its place there, and its configuration file: the text as it stands, the rules it means."""

    phase: model.Phase
    index: int
    name: str
    text: str
    rules: Rules


def steps_of(gates: Gates, phases: Sequence[PhaseFile]) -> tuple[list[Step], list[str]]:
    """Return the steps of a plan, and everything that is wrong with it, a line each with its place in the plan.

    `gates` are the plan's own, which hold where a phase says nothing else.
    """
    steps: list[Step] = []
    problems: list[str] = []
    for found in phases:
        place = path_of(["phases", found.index])
        faults = list(_climb_problems(found, place))
        problems += faults
        if faults:  # what its file means is compared all the same, so that everything wrong is told at once
            steps.append(Step(len(steps) + 1, found.name, None, found.text, found.rules, gates))
        else:
            steps += _steps_of_phase(found, gates, len(steps))
    return steps, problems + list(_contradictions(steps))


def gates_of(given: model.Gates, base: Gates | None = None) -> Gates:
    """Return the thresholds of a plan or a phase: what it does not name is that of `base`."""
    values = given.model_dump(exclude_none=True)
    base = base or Gates()
    return Gates(**{name: values.get(name, getattr(base, name)) for name in Gates.__slots__})


def _climb_problems(found: PhaseFile, place: str) -> Iterator[str]:
    percent = found.phase.percent
    if percent is None:
        return
    endpoints = found.rules.endpoints.endpoints
    whole = not isinstance(percent, Mapping)
    climbs = {"": percent} if isinstance(percent, tuple) else dict(percent)
    for pattern, climb in climbs.items():
        where = f"{place}.percent" if whole else f"{place}{path_of(['percent', pattern])[1:]}"
        if pattern and pattern not in endpoints:
            hint = did_you_mean(pattern, endpoints)
            yield f"{where}: is no endpoint of {found.phase.file}, expected one of {', '.join(endpoints)}{hint}"
            continue
        if pattern and endpoints[pattern].mode is not Mode.ENFORCE:
            yield f"{where}: {pattern} is at {endpoints[pattern].mode} in {found.phase.file}, expected one at enforce"
            continue
        if list(climb) != sorted(set(climb)):
            yield f"{where}: got {_list(climb)}, expected percentages that climb"
        last = found.rules.document["enforcementPercent"] if whole else endpoints[pattern].percent
        if climb[-1] != last:
            yield f"{where}: ends at {climb[-1]:g}, expected {last:g}, the percentage of {found.phase.file}"
    if whole and not any(endpoint.mode is Mode.ENFORCE for endpoint in endpoints.values()):
        yield f"{place}.percent: no endpoint of {found.phase.file} is at enforce, expected no percentages"


def _list(percentages: Sequence[float]) -> str:
    return "[" + ", ".join(f"{percent:g}" for percent in percentages) + "]"


def _steps_of_phase(found: PhaseFile, base: Gates, before: int) -> Iterator[Step]:
    gates = gates_of(found.phase.gates, base) if found.phase.gates is not None else base
    climbs = found.phase.percent
    if climbs is None:
        yield Step(before + 1, found.name, None, found.text, found.rules, gates)
        return
    length = len(climbs) if isinstance(climbs, tuple) else max(map(len, climbs.values()))
    for index in range(length):
        if isinstance(climbs, tuple):
            told, given = f"{climbs[index]:g} %", dict.fromkeys(_enforcing(found.rules), climbs[index])
        else:
            given = {pattern: climb[min(index, len(climb) - 1)] for pattern, climb in climbs.items()}
            told = ", ".join(f"{percent:g} %" for percent in dict.fromkeys(given.values()))
        text = _with_percentages(found, given)
        rules = parse(text, source=found.rules.source, authorities=found.rules.authorities)
        yield Step(before + index + 1, found.name, told, text, rules, gates)


def _enforcing(rules: Rules) -> list[str]:
    return [pattern for pattern, endpoint in rules.endpoints.endpoints.items() if endpoint.mode is Mode.ENFORCE]


def _with_percentages(found: PhaseFile, given: Mapping[str, float]) -> str:
    """Return a phase's file with lower percentages; as it stands when none is lower than the file's own."""
    endpoints = found.rules.endpoints.endpoints
    lower = {pattern: percent for pattern, percent in given.items() if percent < endpoints[pattern].percent}
    if not lower:
        return found.text
    document: dict[str, Any] = json.loads(found.text)
    if set(lower) == set(_enforcing(found.rules)) and not _have_their_own(found.rules) and len({*lower.values()}) == 1:
        document["enforcementPercent"] = _number(next(iter(lower.values())))
    else:
        defaults = {name: dict(endpoint) for name, endpoint in found.rules.document["endpoints"].items()}
        document.setdefault("endpoints", {n: _without_nothing(e) for n, e in defaults.items()})
        for pattern, percent in lower.items():
            document["endpoints"][pattern]["enforcementPercent"] = _number(percent)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _number(percent: float) -> float:
    """Return a percentage as people write it."""
    return int(percent) if percent.is_integer() else percent


def _have_their_own(rules: Rules) -> bool:
    return any("enforcementPercent" in endpoint for endpoint in rules.document["endpoints"].values())


def _without_nothing(endpoint: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in endpoint.items() if value is not None}


def _contradictions(steps: Sequence[Step]) -> Iterator[str]:
    """Yield what two steps that follow one another contradict each other in."""
    seen: dict[str, Step] = {}
    for step in steps:
        other = seen.setdefault(step.fingerprint, step)
        if other is not step:
            yield f"{step.name} is the same configuration as {other.name}, expected each step once"
    for before, after in pairwise(steps):
        for line in weakened(before.rules, after.rules):
            yield f"{after.name} protects writes less than {before.name}: {line}"
        yield from _differences(before, after)


def _differences(before: Step, after: Step) -> Iterator[str]:
    if before.phase == after.phase:
        return
    old, new = before.rules.policy, after.rules.policy
    if old.vocabulary.fingerprint != new.vocabulary.fingerprint:
        yield (
            f"{after.phase} has vocabulary {new.vocabulary.fingerprint}, {before.phase} has "
            f"{old.vocabulary.fingerprint}, expected one for all phases"
        )
    elif old.vocabulary.accept_aliases != new.vocabulary.accept_aliases:
        yield f"{after.phase} and {before.phase} differ in vocabulary.acceptAliases, expected one for all phases"
    if old.enforcement_key != new.enforcement_key:
        yield (
            f"{after.phase} has the enforcementKey {new.enforcement_key!r}, {before.phase} has "
            f"{old.enforcement_key!r}, expected one for all phases: another key chooses other requests"
        )
