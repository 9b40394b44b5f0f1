"""Stages in the query string.

Servers differ on what a parameter name is: `stage[]`, `stage[0]`, `stage[a]`, `[stage]`, `%73tage` and repeats
all arrive as `stage` in Express 4 (qs). So every parameter is looked at whose decoded root is the name. `+` is a
space and only `&` separates, as in application/x-www-form-urlencoded (WHATWG URL, section 5.1).
"""

from collections.abc import Container, Iterator
from urllib.parse import unquote_plus

from gateway.stages.locators import Location, Plan
from gateway.stages.reasons import Reason
from gateway.stages.verdict import Findings
from gateway.stages.vocabulary import Vocabulary

_AMPERSAND = "\ufffd"  # stands for an escaped one while names are decoded


def parameters(query: str) -> list[tuple[str, str]]:
    """Return (root of the name, value) of every parameter of a raw query string, decoded, in order."""
    pairs = []
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((_root(unquote_plus(name)), unquote_plus(value)))
    return pairs


def named(query: str, names: Container[str]) -> Iterator[tuple[str, str]]:
    """Yield those of the `parameters` whose root is among `names`.

    A head has room for thousands of parameters, so all names are decoded in one go, and of values only those asked for.
    """
    if "%26" in query and ("&" in names or _AMPERSAND in names):
        yield from ((name, value) for name, value in parameters(query) if name in names)
        return
    parts = [part for part in query.split("&") if part]
    if not parts:
        return
    written = "&".join([part.partition("=")[0] for part in parts])
    # An escaped & is no separator.
    decoded = unquote_plus(written.replace("%26", _AMPERSAND)).split("&")
    for part, name in zip(parts, decoded, strict=True):
        root = _root(name) if "[" in name else name
        if root in names:
            yield root, unquote_plus(part.partition("=")[2])


def _root(name: str) -> str:
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition("[")[0]


def judge_query(query: str, plan: Plan, vocabulary: Vocabulary, findings: Findings, *, required: bool = False) -> None:
    """Add to `findings` what is wrong with the stages in a raw query string, parameter by parameter in order."""
    if not plan.queries:
        return
    wanted: dict[str, list[tuple[int, Location]]] = {}
    for number, location in plan.queries:
        wanted.setdefault(location.name, []).append((number, location))
    present = set()
    for name, value in named(query, wanted):
        present.add(name)
        for number, location in wanted[name]:
            findings.values += 1
            _judge(value, number, location, vocabulary, findings)
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
