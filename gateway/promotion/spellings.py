"""The unknown values that gateways saw: which of them are certain to be a spelling of one stage, and which are not.

Pure. A value is certain when it is a canonical name but for letters of either case, white space, dots, underlines and
dashes, and no other canonical name is the same without its `+`: whether `seriesc` is c or c+ nobody knows. All else is
a person's decision: what is merely near, letters of another script, what was cut.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.stages.verdict import MAX_VALUE_LENGTH
from gateway.stages.vocabulary import Vocabulary, normalise

# Dashes to the eye that Unicode does not call dashes: minus sign, hyphen bullet.
_OTHER_DASHES = "\u2212\u2043"
_SEPARATOR = re.compile(r"[\s._-]")


class Decision(StrEnum):
    """Whose decision it is what a value means."""

    KNOWN = "known"
    CERTAIN = "certain"
    PERSON = "person"


@dataclass(slots=True)
class Seen:
    """One value and reason as all gateways saw it. `first` and `last` are times in ISO 8601, in UTC."""

    value: str
    reason: str
    count: int
    first: str
    last: str
    suggestion: str | None
    endpoints: set[str] = field(default_factory=set)
    funds: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What can be said of a value: whose decision it is, what it means as far as that is certain, and why."""

    decision: Decision
    meaning: str | None
    why: str


def merged(lists: Iterable[Iterable[Mapping[str, Any]]]) -> list[Seen]:
    """Return the unknown values of several `/status` documents as one list, what came most first."""
    found: dict[tuple[str, str], Seen] = {}
    for one in (entry for entries in lists for entry in entries):
        key = one["value"], one["reason"]
        first, last = one["firstSeen"], one["lastSeen"]
        seen = found.setdefault(key, Seen(*key, 0, first, last, one["suggestion"]))
        seen.count += one["count"]
        seen.first, seen.last = min(seen.first, first), max(seen.last, last)
        seen.suggestion = seen.suggestion or one["suggestion"]
        seen.endpoints.add(one["endpoint"])
        seen.funds.update(one["funds"])
    return sorted(found.values(), key=lambda seen: (-seen.count, seen.value, seen.reason))


def ruling(value: str, vocabulary: Vocabulary) -> Ruling:
    """Return what can be said of a value beside this vocabulary."""
    known = vocabulary.resolve(value)
    if known is not None:
        return Ruling(Decision.KNOWN, known, f"is {known} already")
    if len(value) >= MAX_VALUE_LENGTH:
        return Ruling(Decision.PERSON, None, f"has {MAX_VALUE_LENGTH} characters or more, and may be cut")
    bare = _bare(value)
    same = [name for name in vocabulary.canonical if _bare(name) == bare]
    alike = {name for name in vocabulary.canonical if _bare(name).replace("+", "") == bare.replace("+", "")}
    alike |= {meaning for spelling, meaning in vocabulary.aliases.items() if _bare(spelling) == bare}
    if bare and len(same) == 1 and alike == set(same):
        return Ruling(Decision.CERTAIN, same[0], f"is {same[0]} but for case and separators")
    if len(alike) > 1:
        return Ruling(Decision.PERSON, None, " or ".join(sorted(alike)) + "?")
    if any(sign.isalpha() and not sign.isascii() for sign in bare):
        return Ruling(Decision.PERSON, None, "has letters that are not those of any name")
    near = vocabulary.nearest(value)
    return Ruling(Decision.PERSON, None, f"is only near {near}" if near else "is near no name")


def with_aliases(vocabulary: Vocabulary, values: Iterable[str]) -> dict[str, str]:
    """Return the aliases of a vocabulary and, behind them, those of the values that are certain."""
    aliases = dict(vocabulary.aliases)
    for value in values:
        ruled = ruling(value, vocabulary)
        if ruled.decision is Decision.CERTAIN and ruled.meaning is not None:
            aliases.setdefault(normalise(value), ruled.meaning)
    return aliases


def _bare(text: str) -> str:
    """Return a text as far as it names something: in NFKC, casefolded, without separators."""
    plain = (sign for sign in normalise(text) if unicodedata.category(sign) != "Pd" and sign not in _OTHER_DASHES)
    return _SEPARATOR.sub("", "".join(plain))
