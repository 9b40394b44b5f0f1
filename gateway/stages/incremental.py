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
from functools import partial
from typing import Any

import ijson
import xxhash

from gateway.stages.assessor import Assessor, fund_text
from gateway.stages.locators import Absence, Duty, Node, Role, escape, is_index
from gateway.stages.splice import Splice
from gateway.stages.strict import Sieve
from gateway.stages.syntax import MAX_DEPTH, PROTOTYPE
from gateway.stages.turns import Turns
from gateway.stages.verdict import Reason

# An object whose every name counts may hold so many; past that nothing bounded can tell that all are different.
MAX_NAMES = 50_000
PIECE = 8 * 1024
_STRETCH = 256  # events that are taken in one stretch; the dearest, each its own finding, cost some microseconds
_LONG_NAME = 64  # characters; of a longer one a digest is remembered, so that memory stays flat

_CONTAINERS: dict[str, Any] = {"start_map": {}, "start_array": []}


def judge_name_by_name(
    body: bytes, root: Node, assessor: Assessor, splice: Splice | None = None
) -> Turns[Reason | None]:
    """Judge a whole body in turns; returns what `IncrementalJudge.finish` does."""
    judge = IncrementalJudge(root, assessor, splice)
    for start in range(0, len(body), PIECE):
        yield from judge.feed(body[start : start + PIECE])
        yield
    return (yield from judge.finish())


class _Frame:
    """An open container that a location goes through."""

    __slots__ = ("every", "index", "is_object", "keys", "name", "node", "seen", "sums")

    def __init__(self, node: Node, *, is_object: bool) -> None:
        self.node = node
        self.is_object = is_object
        self.name = ""
        self.index = -1
        self.seen: set[str | bytes] = set()
        self.keys = [d.location for d in node.duties if d.role is Role.KEYS] if is_object else []
        self.every = is_object and (node.every is not None or bool(self.keys))
        # The weights added up so far by location; None once one could not be read.
        role = Role.KEYS if is_object else Role.EACH
        self.sums: dict[int, float | None] = {d.location: 0.0 for d in node.duties if d.role is role}

    def child(self) -> Node | None:
        """Return the node of the value that begins now."""
        node = self.node
        if self.is_object:
            return node.members.get(self.name, node.every)
        return node.indices.get(str(self.index), node.elements) if node.indices else node.elements

    def step(self) -> str:
        """Return the step of a JSON Pointer to the value that is read now."""
        return escape(self.name) if self.is_object else str(self.index)


class IncrementalJudge:
    """Judges one document. `splice` says what was proven of its array before, and stands for its first element."""

    def __init__(self, root: Node, assessor: Assessor, splice: Splice | None = None) -> None:
        self._root = root
        self._assessor = assessor
        self._splice = splice
        self._sieve = Sieve()
        self._events = ijson.sendable_list()
        self._parser = ijson.basic_parse_coro(self._events)
        self._stack: list[_Frame] = []
        self._skipped = 0  # depth within a value that no location goes through
        self._reason: Reason | None = None
        self._broken = False

    @property
    def certain(self) -> bool:
        """Whether something can be reported, whatever is still to come; that it is no JSON only at the end."""
        return self._reason is not None or self._assessor.findings.count > 0

    @property
    def reason(self) -> Reason | None:
        """The reason about the whole document that is known so far, of a document that may turn out to be no JSON."""
        return self._reason

    def feed(self, piece: bytes) -> Turns[None]:
        """Judge the next bytes in turns; best no more than `PIECE` at once."""
        yield from self._guarded(self._send(piece))

    def finish(self) -> Turns[Reason | None]:
        """Judge in turns what is left; returns the reason about the whole document, None when the findings say all."""
        yield from self._guarded(self._close())
        return Reason.UNPARSEABLE if self._broken else self._reason

    def _guarded(self, work: Turns[None]) -> Turns[None]:
        if self._broken:
            return
        try:
            yield from work
        except (ijson.JSONError, ValueError, ArithmeticError, SystemError):
            # SystemError, ArithmeticError: numbers of thousands of digits, which Python does not read.
            self._broken = True

    def _send(self, piece: bytes) -> Turns[None]:
        data = self._sieve.pass_on(piece)
        if data:
            self._parser.send(data)
            yield from self._take_events()

    def _close(self) -> Turns[None]:
        data = self._sieve.finish()
        if data:
            self._parser.send(data)
        self._parser.close()
        yield from self._take_events()

    def _take_events(self) -> Turns[None]:
        events = self._events
        for start in range(0, len(events), _STRETCH):
            yield from self._take(events[start : start + _STRETCH])
            yield
        del events[:]

    def _take(self, events: list[tuple[str, Any]]) -> Turns[None]:
        due = self._assessor.looked_at + _STRETCH
        for event, value in events:
            if self._assessor.looked_at > due:  # one event may ask for hundreds of locations
                yield
                due = self._assessor.looked_at + _STRETCH
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
            self._assessor.stage(name, location, self._place)

    def _begin(self, event: str) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise ValueError("nested too deep")
        value = _CONTAINERS[event]
        node = self._arrive(value)
        if node is None:
            self._skipped = 1
            return
        for duty in node.duties:
            self._assess(value, duty)
        self._stack.append(_Frame(node, is_object=event == "start_map"))

    def _scalar(self, value: Any) -> None:
        if not self._stack:
            node: Node | None = self._root
            value = _as_orjson(value)
        else:
            if self._is_spliced(value):
                return
            value = _as_orjson(value)
            node = self._arrive(value)
        if node is None:
            return
        for duty in node.duties:
            self._assess(value, duty)
        self._report_absent(node.required)

    def _arrive(self, value: Any) -> Node | None:
        """Step to the value that begins now, take it as a weight where it is one, and return its node."""
        if not self._stack:
            return self._root
        frame = self._stack[-1]
        if not frame.is_object:
            frame.index += 1
        for location in frame.keys:
            if self._assessor.tolerance is not None:
                self._add_weight(frame, location, value)
        return frame.child()

    def _end(self) -> None:
        frame = self._stack[-1]
        node = frame.node
        if frame.is_object:
            for duty in node.duties:
                if duty.role is Role.ELEMENT:
                    self._end_element(frame, duty.location)
            absent = [a for a in node.required if a.name not in frame.seen and a.name != "*"]
        else:
            absent = [
                a for a in node.required if a.name != "*" and not (is_index(a.name) and int(a.name) <= frame.index)
            ]
        self._stack.pop()
        self._report_absent(absent)
        for location, total in frame.sums.items():
            weighed = frame.is_object or self._assessor.locations[location].weight is not None
            if total is not None and weighed:
                self._assessor.total(total, location, self._place)

    def _end_element(self, frame: _Frame, number: int) -> None:
        location = self._assessor.locations[number]
        if location.field not in frame.seen:
            self._assessor.missing(number, lambda: f"{self._path_to(frame)}/{escape(location.field)}")
        weight = location.weight
        if self._assessor.tolerance is not None and weight is not None and weight not in frame.seen:
            self._stack[-2].sums[number] = None
            self._assessor.weight(None, number, lambda: f"{self._path_to(frame)}/{escape(weight)}")

    # Duties.

    def _assess(self, value: Any, duty: Duty) -> None:
        role, location = duty.role, duty.location
        if role is Role.STAGE:
            self._assessor.stage(value, location, self._place)
        elif role is Role.WEIGHT:
            self._add_weight(self._stack[-2], location, value)
        elif role is Role.FUND:
            self._assessor.findings.fund = fund_text(value)
        elif not (value is _CONTAINERS["start_array"] if role is Role.EACH else value is _CONTAINERS["start_map"]):
            self._assessor.wrong_type(value, location, self._place)
            if role is Role.ELEMENT:
                self._stack[-1].sums[location] = None

    def _add_weight(self, frame: _Frame, location: int, value: Any) -> None:
        good = self._assessor.weight(value, location, self._place)
        total = frame.sums.get(location)
        if not good:
            frame.sums[location] = None
        elif total is not None:
            frame.sums[location] = total + value

    def _report_absent(self, absent: "list[Absence] | tuple[Absence, ...]") -> None:
        if self._assessor.required:
            for absence in absent:
                self._assessor.missing(absence.location, partial(self._place, absence.rest))

    def _is_spliced(self, value: Any) -> bool:
        """Take the splice's findings where its stand-in comes, the first element of its array."""
        splice, frame = self._splice, self._stack[-1]
        if splice is None or value is not None or frame.node is not splice.node or frame.index != -1:
            return False
        self._splice = None
        frame.index = splice.count - 1
        self._assessor.findings.extend(splice.findings)
        frame.sums[splice.location] = splice.total
        return True

    # Places.

    def _place(self, rest: str = "") -> str:
        """Return the JSON Pointer of the value that is read now, or of what should be at `rest` below it."""
        return "".join("/" + frame.step() for frame in self._stack) + rest

    def _path_to(self, frame: _Frame) -> str:
        return "".join("/" + f.step() for f in self._stack[: self._stack.index(frame)])


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
