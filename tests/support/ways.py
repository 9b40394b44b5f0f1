"""Both ways through the proxy beside each other: a gateway with the express lane and one without, all else the same.

Each has an upstream of its own, so that what arrives can be told apart.
"""

import contextlib
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from support.answers import by_name
from support.clock import PATIENCE, eventually
from support.process import BOTH, WAYS, Gateway, configuration
from support.series import Heard, Series, Told, Visitor, leave, together
from support.upstream import Received, RecordingUpstream

_MADE_ID = re.compile(rb"\b[0-9a-f]{32}\b")
_ITS_OWN = frozenset({"time", "requestId", "config", "was", "since", "port", "adminPort"})
_SETTLED = 0.3


class Arrived(NamedTuple):
    """One request at the upstream: its head, and its body, in its framing unless that is a matter of time."""

    head: bytes
    body: bytes
    whole: bool


@dataclass
class Outcome:
    """All that came of a series."""

    heard: Heard
    arrived: list[Arrived]


class Side:
    """A gateway before an upstream of its own."""

    def __init__(self, way: str, folder: Path, config: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self.way = way
        self.upstream = RecordingUpstream()
        self.upstream.script = by_name
        folder.mkdir()
        self.gateway = Gateway(folder, self._with_upstream(config), {**environment, **WAYS[way]})

    def _with_upstream(self, config: Mapping[str, Any]) -> dict[str, Any]:
        upstreams = {**configuration(self.upstream.port)["upstreams"], **config.get("upstreams", {})}
        return {**config, "upstreams": upstreams}

    def close(self) -> None:
        self.gateway.end()
        self.upstream.close()

    def configure(self, config: Mapping[str, Any]) -> None:
        """Put another configuration in force."""
        self.gateway.write(self._with_upstream(config))
        self.gateway.reload()

    def play(self, series: Series) -> Outcome:
        self.upstream.requests = []
        return self._outcome(Visitor(self.gateway.port, series).play())

    def play_together(self, many: Sequence[Series], pause: float) -> list[Outcome]:
        """Play series of one round at once. Their requests are told apart by their field `X-Case`."""
        self.upstream.requests = []
        heard = list(together(self.gateway.port, many, pause))
        return [
            self._outcome(one, {request.case for request in series[0].requests})
            for one, series in zip(heard, many, strict=True)
        ]

    def leave(self, parts: Mapping[str, bytes], *, reset: bool) -> dict[str, list[Arrived]]:
        """Send each of these by itself, end its connection, and return what arrived of it, by its field `X-Case`."""
        self.upstream.requests = []
        leave(self.gateway.port, list(parts.values()), self._settle, reset=reset)
        eventually(lambda: self.gateway.metrics().get("stage_gateway_requests_in_flight") == 0)
        for one in self.upstream.requests:
            assert one.ended.wait(PATIENCE), one
        outcomes = {case: self._outcome(Heard(), [case]) for case in parts}
        return {case: outcome.arrived for case, outcome in outcomes.items()}

    def _settle(self) -> None:
        """Wait until nothing more arrives."""
        before = -1
        while (seen := len(self.upstream.requests)) > before:
            before = seen
            time.sleep(_SETTLED)

    def _outcome(self, heard: Heard, cases: Iterable[str] | None = None) -> Outcome:
        wanted = None if cases is None else set(cases)
        received = [one for one in self.upstream.requests if wanted is None or one.value("x-case") in wanted]
        for one in received:
            if (one.value("x-answer") or "").startswith("early"):
                one.ended.wait(PATIENCE)
        return self.leveled(Outcome(heard, [_arrived(one) for one in received]))

    def leveled(self, outcome: Outcome) -> Outcome:
        """Give ids that the gateway made and its upstream other names: in these, one gateway is like no other."""
        seen: dict[bytes, bytes] = {}

        def level(raw: bytes) -> bytes:
            raw = raw.replace(b"127.0.0.1:%d" % self.upstream.port, b"UPSTREAM")
            return _MADE_ID.sub(lambda found: seen.setdefault(found[0], b"ID-%d" % len(seen)), raw)

        arrived = [one._replace(head=level(one.head)) for one in outcome.arrived]
        told = [one._replace(head=level(one.head), content=_problem(level, one)) for one in outcome.heard.told]
        return Outcome(Heard(told, outcome.heard.fate), arrived)

    def counted(self) -> dict[str, float]:
        """Return every series of the metrics that does not say when something was, or how long it took."""
        status, text = self.gateway.call("/metrics")
        assert status == 200
        lines = (line.rpartition(" ") for line in text.decode().splitlines() if not line.startswith("#"))
        timed = re.compile(r"_sum\{|_bucket\{|_created\{|^stage_gateway_config_info|_since_seconds")
        return {series: float(value) for series, _, value in lines if not timed.search(series)}

    def unknown_values(self) -> list[dict[str, Any]]:
        """Return what is told of values that are not canonical, but when they were seen."""
        status = self.gateway.status()
        return [
            {name: value for name, value in one.items() if "seen" not in name.lower()}
            for one in status.get("unknownValues", [])
        ]

    def logged(self) -> list[str]:
        """Return the log from the start on, less what no other gateway has; what was at once has no order."""
        lines = self.gateway.logs()[1:]
        return sorted(str({name: value for name, value in line.items() if name not in _ITS_OWN}) for line in lines)


def _arrived(one: Received) -> Arrived:
    whole = one.complete.is_set()
    return Arrived(one.head, one.body if whole and one.value("transfer-encoding") else one.framed, whole)


def _problem(level: Any, told: Told) -> bytes:
    problem = b"application/problem+json" in told.head
    content: bytes = level(told.content) if problem else told.content
    return content


class Ways:
    """A gateway with the lane and one without, in processes with this in their environment."""

    def __init__(self, folder: Path, config: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> None:
        self._stack = ExitStack()
        self.lane, self.general = (Side(way, folder / way, config, environment or {}) for way in BOTH)
        for side in self.sides:
            self._stack.callback(side.close)

    def __enter__(self) -> "Ways":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.lane, self.general

    def hold(self, series: Series) -> Outcome:
        """Play a series on both, and hold each to the other."""
        one, other = (side.play(series) for side in self.sides)
        assert_alike(series, one, other)
        return one

    def hold_together(self, many: Sequence[Series], pause: float) -> list[Outcome]:
        """Play series of one round each at the same time, on both."""
        found, others = (side.play_together(many, pause) for side in self.sides)
        for series, one, other in zip(many, found, others, strict=True):
            assert_alike(series, one, other)
        return found

    @contextlib.contextmanager
    def counting(self) -> Iterator["Ways"]:
        """Hold what is counted, seen and logged meanwhile on one side to that on the other."""
        self._settle()
        before, logs = [side.counted() for side in self.sides], self._logs()
        seen = self._unknown_values()
        yield self
        self._settle()
        one, other = (_more(side.counted(), had) for side, had in zip(self.sides, before, strict=True))
        parted = {name: (one.get(name), other.get(name)) for name in one | other if one.get(name) != other.get(name)}
        assert not parted, f"counted with the lane and without: {parted}"
        values = self._unknown_values()
        assert values[0] == values[1] or seen[0] != seen[1], "not the same values were seen"
        with contextlib.suppress(AssertionError):  # lines may be on their way
            eventually(lambda: not any(self._parted_logs(logs)), 1)
        alone, others = self._parted_logs(logs)
        assert (alone, others) == ([], []), f"logged with the lane alone: {alone}, without: {others}"

    def _settle(self) -> None:
        """Wait until nothing is under way."""
        eventually(lambda: all(side.counted()["stage_gateway_requests_in_flight"] == 0 for side in self.sides))

    def _unknown_values(self) -> list[list[dict[str, Any]]]:
        return [side.unknown_values() for side in self.sides]

    def _parted_logs(self, before: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
        one, other = (Counter(log) - Counter(had) for log, had in zip(self._logs(), before, strict=True))
        return sorted((one - other).elements())[:20], sorted((other - one).elements())[:20]

    def _logs(self) -> list[list[str]]:
        return [side.logged() for side in self.sides]


def _more(counted: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0) for name, value in counted.items()}


def _once(arrived: Sequence[Arrived]) -> list[Arrived]:
    """Take a request that was repeated as one that came once: whether its connection had idled is a matter of time."""
    found: list[Arrived] = []
    for one in arrived:
        if not found or one.head != found[-1].head or one.head.startswith((b"POST ", b"PATCH ")):
            found.append(one)
    return found


def assert_alike(series: Series, one: Outcome, other: Outcome) -> None:
    """Assert that two outcomes are the same, byte for byte; else show what was sent, and where they part."""
    pairs = [
        ("what became of the connection", one.heard.fate, other.heard.fate),
        ("responses", len(one.heard.told), len(other.heard.told)),
        ("requests that arrived", len(_once(one.arrived)), len(_once(other.arrived))),
        *(
            (f"response {number}: {name}", getattr(a, name), getattr(b, name))
            for number, (a, b) in enumerate(zip(one.heard.told, other.heard.told, strict=False))
            for name in Told._fields
            if (a.whole and b.whole) or name != "content" or not _is_beginning(a.content, b.content)
        ),
        *(
            (f"arrived {number}: {name}", getattr(a, name), getattr(b, name))
            for number, (a, b) in enumerate(zip(_once(one.arrived), _once(other.arrived), strict=False))
            for name in Arrived._fields
        ),
    ]
    parted = [f"{what}:\n  lane    {a!r:.2000}\n  general {b!r:.2000}" for what, a, b in pairs if a != b]
    assert not parted, "\n".join(
        [*parted, *(f"sent {len(r.raw)} B: {r.raw!r:.3000}" for s in series for r in s.requests)]
    )


def _is_beginning(one: bytes, other: bytes) -> bool:
    """Whether of a response that is broken off no more is missing than was on its way."""
    return one.startswith(other) or other.startswith(one)
