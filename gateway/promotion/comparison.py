"""What is refused now and what a candidate would refuse, put together over many recorded requests.

Pure. Everything is bounded, however long the record: what has no group of its own any more counts under "other".
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from gateway.promotion.replay import Candidate, Outcome, UntoldError
from gateway.rollout.decision import Result
from gateway.rules.load import Rules, parse
from gateway.telemetry.records import Record

_MOST_GROUPS = 1000
OTHER = "other"


@dataclass(slots=True)
class Tally:
    """How many requests are refused now and under the candidate; `more` are refused then alone, `fewer` now alone."""

    now: int = 0
    then: int = 0
    more: int = 0
    fewer: int = 0

    def add(self, *, now: bool, then: bool) -> None:
        """Count one request."""
        self.now += now
        self.then += then
        self.more += then and not now
        self.fewer += now and not then


@dataclass(slots=True)
class Groups:
    """Tallies by a name."""

    tallies: dict[str, Tally] = field(default_factory=dict)

    def add(self, names: Iterable[str], *, now: bool, then: bool) -> None:
        """Count one request in each of these groups."""
        for name in set(names):
            known = name in self.tallies or len(self.tallies) < _MOST_GROUPS
            self.tallies.setdefault(name if known else OTHER, Tally()).add(now=now, then=then)

    def sorted(self) -> list[tuple[str, Tally]]:
        """Return them, those first for which most changes, and without those that are refused neither way."""
        found = [(name, tally) for name, tally in self.tallies.items() if tally.now or tally.then]
        return sorted(found, key=lambda item: (-item[1].more - item[1].fewer, -item[1].then, item[0]))


def results_with(requests: Iterable[Record], rules: Rules, vocabulary: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return how many recorded requests come to each result under a configuration, as it is and with a vocabulary.

    Those of which that cannot be told count as `not_told`.
    """
    accepting = {**vocabulary, "acceptAliases": True}
    document = {**rules.document, "vocabulary": vocabulary}
    tried = {
        "as they are": rules,
        "with the aliases": parse(json.dumps(document), authorities=rules.authorities),
        "with the aliases and acceptAliases": parse(
            json.dumps({**document, "vocabulary": accepting}), authorities=rules.authorities
        ),
    }
    comparisons = {name: Comparison(Candidate(candidate), 0) for name, candidate in tried.items()}
    for record in requests:
        for comparison in comparisons.values():
            comparison.take(record)
    return {
        name: {**one.then, **({"not_told": untold} if (untold := sum(one.untold.values())) else {})}
        for name, one in comparisons.items()
    }


class Comparison:
    """Takes recorded requests one by one. At most so many examples are kept of what changes either way."""

    def __init__(self, candidate: Candidate, examples: int) -> None:
        self._candidate = candidate
        self._most = examples
        self.requests = 0
        self.untold: Counter[str] = Counter()
        self.inexact = 0
        self.all = Tally()
        self.now: Counter[str] = Counter()
        self.then: Counter[str] = Counter()
        self.groups = {name: Groups() for name in ("endpoint", "reason", "value", "fund")}
        self.examples: list[dict[str, Any]] = []
        self._kept: Counter[str] = Counter()

    def take(self, record: Record) -> None:
        """Decide one request anew, and count what came of it."""
        self.requests += 1
        try:
            outcome = self._candidate.decide(record)
        except UntoldError as why:
            self.untold[str(why)] += 1
            return
        self.inexact += not outcome.is_exact
        self.now[record.result] += 1
        self.then[outcome.result] += 1
        now, then = record.result == Result.REJECT, outcome.result == Result.REJECT
        self.all.add(now=now, then=then)
        self.groups["endpoint"].add([record.endpoint], now=now, then=then)
        self.groups["fund"].add([record.fund or "none"], now=now, then=then)
        reason = outcome.reason if then else record.reason
        if now or then:
            self.groups["reason"].add([reason or "none"], now=now, then=then)
            found = outcome.violations if then else record.violations
            self.groups["value"].add([v for v, _, _ in found if isinstance(v, str)], now=now, then=then)
        if now != then:
            self._keep("more" if then else "fewer", record, outcome)

    def _keep(self, change: str, record: Record, outcome: Outcome) -> None:
        if self._kept[change] >= self._most:
            return
        self._kept[change] += 1
        found = outcome.violations if change == "more" else record.violations
        self.examples.append(
            {
                "change": change,
                "time": record.time,
                "endpoint": record.endpoint,
                "method": record.method,
                "fund": record.fund,
                "now": record.result,
                "then": outcome.result,
                "reason": outcome.reason if change == "more" else record.reason,
                "values": [value for value, _, _ in found][:3],
            }
        )

    def as_document(self) -> dict[str, Any]:
        """Return all of it."""
        return {
            "requests": self.requests,
            "told": sum(self.now.values()),
            "untold": dict(self.untold.most_common()),
            "inexact": self.inexact,
            "refused": asdict(self.all),
            "results": {"now": dict(self.now), "then": dict(self.then)},
            **{f"by{name.title()}": {n: asdict(t) for n, t in g.sorted()} for name, g in self.groups.items()},
            "examples": self.examples,
        }
