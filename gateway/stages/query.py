"""Stages in the query string.

Servers differ on what a parameter name is: `stage[]`, `stage[0]`, `stage[a]`, `[stage]`, `%73tage` and repeats
all arrive as `stage` in Express 4 (qs). So every parameter is looked at whose decoded root is the name. `+` is a
space and only `&` separates, as in application/x-www-form-urlencoded (WHATWG URL, section 5.1).
"""

from urllib.parse import unquote_plus

from gateway.stages.locators import Location, Plan
from gateway.stages.verdict import Findings, Reason
from gateway.stages.vocabulary import Vocabulary


def parameters(query: str) -> list[tuple[str, str]]:
    """Return (root of the name, value) of every parameter of a raw query string, decoded, in order."""
    pairs = []
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((_root(unquote_plus(name)), unquote_plus(value)))
    return pairs


def _root(name: str) -> str:
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition("[")[0]


def judge_query(query: str, plan: Plan, vocabulary: Vocabulary, findings: Findings, *, required: bool = False) -> None:
    """Add to `findings` what is wrong with the stages in a raw query string, parameter by parameter in order."""
    if not plan.queries:
        return
    pairs = parameters(query)
    for name, value in pairs:
        for number, location in plan.queries:
            if name == location.name:
                findings.values += 1
                _judge(value, number, location, vocabulary, findings)
    present = {name for name, _ in pairs}
    for number, location in plan.queries:
        if required and location.required and location.name not in present:
            findings.values += 1
            findings.add(number, Reason.MISSING, None, str, parameter=location.name)


def _judge(value: str, number: int, location: Location, vocabulary: Vocabulary, findings: Findings) -> None:
    reason = vocabulary.objection(value)
    if reason is not None:
        findings.add(
            number,
            reason,
            value,
            str,
            suggest=lambda: vocabulary.suggestion(value),
            parameter=location.name,
        )
