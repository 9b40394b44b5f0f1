"""The incremental judge: a document of any size and shape, a piece at a time, in flat memory.

It is slower than orjson and sees more: every name of every object on a location's path. So it is also asked when
a document's bytes look as if a name stood twice. ijson (yajl) makes the events; `strict.py` settles where yajl is
more lenient than orjson.

Rules of the room:

- It means the same as the exact judge. Numbers become what orjson makes of them.
- It does not recurse. A value that no location goes through costs a counter.
- A number out of range in a field nobody asks about is no finding.
- Duplicate names: RFC 8259, section 4, leaves their meaning to the reader. One that a location goes through, or
  `__proto__` beside one, makes the document ambiguous, whatever else is found.
"""

from decimal import Decimal
from typing import Any

import ijson
import xxhash

from gateway.stages.locators import Node, Role, escape
from gateway.stages.prefix import ProvenPrefix
from gateway.stages.reasons import Reason
from gateway.stages.rulebook import RuleBook
from gateway.stages.steps import Steps
from gateway.stages.strict import StrictFilter
from gateway.stages.syntax import MAX_DEPTH, PROTOTYPE

# An object whose every name counts may hold so many; past that nothing bounded can tell that all are different.
MAX_NAMES = 50_000
PIECE = 8 * 1024
_STRETCH = 256  # events that are taken in one stretch; the dearest, each its own finding, cost some microseconds
_LONG_NAME = 64  # characters; of a longer one a digest is remembered, so that memory stays flat

_WEIGHT, _ELEMENT = Role.WEIGHT, Role.ELEMENT
_CONTAINERS: dict[str, Any] = {"start_map": {}, "start_array": []}


def judge_name_by_name(
    body: bytes, root: Node, rules: RuleBook, prefix: ProvenPrefix | None = None
) -> Steps[Reason | None]:
    """Judge a whole body in steps; returns what `IncrementalJudge.finish` does."""
    judge = IncrementalJudge(root, rules, prefix)
    for start in range(0, len(body), PIECE):
        yield from judge.feed(body[start : start + PIECE])
        yield
    return (yield from judge.finish())


class _Frame:
    """An open container that a location goes through."""

    __slots__ = ("every", "index", "is_object", "keys", "name", "node", "seen", "sums")

    def __init__(self, node: Node, rules: RuleBook, *, is_object: bool) -> None:
        self.node = node
        self.is_object = is_object
        self.name = ""
        self.index = -1
        self.seen: set[str | bytes] = set()
        self.keys = [c.location for c in node.checks if c.role is Role.KEYS] if is_object else []
        self.every = is_object and (node.every is not None or bool(self.keys))
        # The weights added up so far by location; None once one could not be read.
        self.sums: dict[int, float | None] = dict.fromkeys(rules.sums(node, of_object=is_object), 0.0)

    def child(self) -> Node | None:
        """Return the node of the value that begins now."""
        node = self.node
        if self.is_object:
            return node.members.get(self.name, node.every)
        return node.indices.get(str(self.index), node.elements) if node.indices else node.elements

    def add(self, location: int, weight: float | None) -> None:
        """Add a weight to the sum of a location, if it has one; None is a weight that cannot be read."""
        total = self.sums.get(location)
        if total is not None:
            self.sums[location] = None if weight is None else total + weight

    def step(self) -> str:
        """Return the step of a JSON Pointer to the value that is read now."""
        return escape(self.name) if self.is_object else str(self.index)


class IncrementalJudge:
    """Judges one document. `prefix` says what was proven of its array before, and stands for its first element."""

    def __init__(self, root: Node, rules: RuleBook, prefix: ProvenPrefix | None = None) -> None:
        self._root = root
        self._rules = rules
        self._prefix = prefix
        self._filter = StrictFilter()
        self._events = ijson.sendable_list()
        self._parser = ijson.basic_parse_coro(self._events)
        self._stack: list[_Frame] = []
        self._skipped = 0  # depth within a value that no location goes through
        self._reason: Reason | None = None
        self._broken = False

    @property
    def certain(self) -> bool:
        """Whether something can be reported, whatever is still to come; that it is no JSON only at the end."""
        return self._reason is not None or self._rules.findings.count > 0

    @property
    def reason(self) -> Reason | None:
        """The reason about the whole document that is known so far, of a document that may turn out to be no JSON."""
        return self._reason

    def feed(self, piece: bytes) -> Steps[None]:
        """Judge the next bytes in steps; best no more than `PIECE` at once."""
        yield from self._guarded(self._send(piece))

    def finish(self) -> Steps[Reason | None]:
        """Judge in steps what is left; returns the reason about the whole document, None when the findings say all."""
        yield from self._guarded(self._close())
        return Reason.UNPARSEABLE if self._broken else self._reason

    def _guarded(self, work: Steps[None]) -> Steps[None]:
        if self._broken:
            return
        try:
            yield from work
        except (ijson.JSONError, ValueError, ArithmeticError, SystemError):
            # SystemError, ArithmeticError: numbers of thousands of digits, which Python does not read.
            self._broken = True

    def _send(self, piece: bytes) -> Steps[None]:
        data = self._filter.pass_on(piece)
        if data:
            self._parser.send(data)
            yield from self._take_events()

    def _close(self) -> Steps[None]:
        data = self._filter.finish()
        if data:
            self._parser.send(data)
        self._parser.close()
        yield from self._take_events()

    def _take_events(self) -> Steps[None]:
        events = self._events
        for start in range(0, len(events), _STRETCH):
            yield from self._take(events[start : start + _STRETCH])
            yield
        del events[:]

    def _take(self, events: list[tuple[str, Any]]) -> Steps[None]:
        due = self._rules.looked_at + _STRETCH
        for event, value in events:
            if self._rules.looked_at > due:  # one event may ask for hundreds of locations
                yield
                due = self._rules.looked_at + _STRETCH
            if self._skipped:
                if event in _CONTAINERS:
                    self._skipped += 1
                    if self._skipped + len(self._stack) > MAX_DEPTH:
                        raise ValueError("nested too deep")
                elif event in ("end_map", "end_array"):
                    self._skipped -= 1
            elif event == "map_key":
                self._meet_name(value)
            elif event in _CONTAINERS:
                self._begin(event)
            elif event in ("end_map", "end_array"):
                self._end()
            else:
                self._scalar(value)

    # Names and values, in document order.

    def _meet_name(self, name: str) -> None:
        frame = self._stack[-1]
        frame.name = name
        node = frame.node
        if name == PROTOTYPE and (frame.every or node.members):
            self._reason = Reason.AMBIGUOUS_JSON
        if not frame.every and name not in node.members:
            return
        known = name if len(name) <= _LONG_NAME or name in node.members else _digest(name)
        if known in frame.seen or len(frame.seen) >= MAX_NAMES:
            self._reason = Reason.AMBIGUOUS_JSON
        else:
            frame.seen.add(known)
        for location in frame.keys:
            self._rules.stage(name, location, self._where)

    def _begin(self, event: str) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise ValueError("nested too deep")
        value = _CONTAINERS[event]
        node = self._arrive(value)
        if node is None:
            self._skipped = 1
            return
        self._check(value, node)
        self._stack.append(_Frame(node, self._rules, is_object=event == "start_map"))

    def _scalar(self, value: Any) -> None:
        if not self._stack:
            node: Node | None = self._root
            value = _as_orjson(value)
        else:
            if self._is_prefix(value):
                return
            value = _as_orjson(value)
            node = self._arrive(value)
        if node is None:
            return
        self._check(value, node)
        self._rules.absent_below(node, self._where)

    def _arrive(self, value: Any) -> Node | None:
        """Step to the value that begins now, take it as a weight where it is one, and return its node."""
        if not self._stack:
            return self._root
        frame = self._stack[-1]
        if not frame.is_object:
            frame.index += 1
        if frame.is_object:
            for location in frame.sums:
                frame.add(location, value if self._rules.weight(value, location, self._where) else None)
        return frame.child()

    def _end(self) -> None:
        rules, frame = self._rules, self._stack.pop()
        node = frame.node
        if frame.is_object:
            for check in node.checks:
                if check.role is _ELEMENT and not rules.element(frame.seen, check.location, self._where):
                    self._stack[-1].add(check.location, None)
            rules.absent_members(node, frame.seen, self._where)
        else:
            rules.absent_elements(node, frame.index + 1, self._where)
        for location, total in frame.sums.items():
            rules.total(total, location, self._where)

    def _check(self, value: Any, node: Node) -> None:
        """Judge the value that begins now, and add it up where it is a weight."""
        for check in node.checks:
            good = self._rules.apply(check, value, self._where)
            if check.role is _WEIGHT:
                self._stack[-2].add(check.location, value if good else None)
            elif not good and check.role is _ELEMENT:
                self._stack[-1].add(check.location, None)

    def _is_prefix(self, value: Any) -> bool:
        """Take the prefix's findings where its stand-in comes, the first element of its array."""
        prefix, frame = self._prefix, self._stack[-1]
        if prefix is None or value is not None or frame.node is not prefix.node or frame.index != -1:
            return False
        self._prefix = None
        frame.index = prefix.count - 1
        self._rules.findings.extend(prefix.findings)
        if prefix.location in frame.sums:
            frame.sums[prefix.location] = prefix.total
        return True

    # Places.

    def _where(self, below: str = "") -> str:
        """Return the JSON Pointer of the value that is read now, or of what should be `below` it."""
        return "".join("/" + frame.step() for frame in self._stack) + below


def _digest(name: str) -> bytes:
    return xxhash.xxh3_128_digest(name.encode("utf-8", "surrogatepass"))


def _as_orjson(value: Any) -> Any:
    """Return a scalar as orjson reads it: integers of 64 bits, all other numbers as floats."""
    if type(value) is Decimal:
        return float(value)
    if type(value) is int and not -(2**63) <= value < 2**64:
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    return value
