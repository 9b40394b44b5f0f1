"""Judge a body as it arrives, in bounded memory.

Most large bodies are one array of thousands of objects. A window of it that stays in the cache and dies young is
judged three to eight times as fast as the whole, memory stays flat, and the verdict is ready with the last byte.

How a window is cut without a tokenizer. The judge is "just after the array's `[`" or "just after an element". A
candidate cut is a comma after the end of an element; that comma opens the next window. If `[window]` parses, the
window is whole elements: inside a string or a nested value its brackets would not balance. If not, other cuts to
the left are tried, then the window grows, and past a bound the incremental judge takes over from there.

Why that is sound. What a JSON reader is in the middle of depends on the bytes before alone. The bytes up to the
array's `[` are proven by closing them: `head 0 ] } …` parses, and so does `head 1 ] } …`, and at the array's location
stand `[0]` and `[1]`: it is the open one, as no other changes. Whole elements keep a reader just after an element.
So at the end `head null rest`, the document with the proven elements replaced by one `null`, is JSON exactly if the
document is, and goes through the exact judge for everything else.

A short body, and one with no such array, is kept and judged at once; past `Sizes.collected` it goes to the incremental
judge as well.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

from gateway.stages.assessor import Assessor
from gateway.stages.document import Walk, add_up, judge_document, may_repeat
from gateway.stages.incremental import PIECE, IncrementalJudge
from gateway.stages.locators import Array, Node, Plan, Pointer
from gateway.stages.projection import Malformed, Projection
from gateway.stages.splice import Splice
from gateway.stages.verdict import MAX_VIOLATIONS, Findings, Reason
from gateway.stages.vocabulary import Vocabulary

_SHORT = 2 * 1024  # a body that one parse judges faster than any machinery
_TRIES = 4
_LOOKED_AT = 64  # ends of elements or nested objects that are looked at for a cut
_IN_VAIN = 3  # how many times the bytes that were proven may be parsed without proving anything

_SEPARATOR = re.compile(rb"\}[ \t\r\n]*,")
_FIRST_NAME = re.compile(rb'[ \t\r\n]{0,64}\{[ \t\r\n]{0,64}"[^"\\]{0,64}"')
_STAND_IN = b"null"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes: of a window, of one that had to grow, and of a body without windows that is kept for one parse."""

    window: int = 64 * 1024
    largest: int = 256 * 1024
    collected: int = 512 * 1024


class Judge:
    """Everything about one plan that is made once per configuration, and judges each of its bodies."""

    def __init__(self, plan: Plan, vocabulary: Vocabulary, sizes: Sizes = Sizes()) -> None:
        self.plan = plan
        self.vocabulary = vocabulary
        self.sizes = sizes
        array = plan.array
        self.projection = Projection(array, plan, vocabulary) if array is not None else None
        name = orjson.dumps(array.path[-1]) if array is not None and array.path else None
        opening = rb"[ \t\r\n]*\[" if name is None else re.escape(name) + rb"[ \t\r\n]*:[ \t\r\n]*\["
        self.opening = re.compile(opening)


class BodyJudge:
    """Judges one body. Findings in the body are added to `findings` at the end, or when asked for."""

    def __init__(self, judge: Judge, root: Node, findings: Findings, *, required: bool) -> None:
        self._judge = judge
        self._root = root
        self._findings = findings
        self._required = required
        self._buffer = bytearray()
        self._cutter: _Cutter | None = None
        self._stream: IncrementalJudge | None = None
        self._windowed = judge.projection is not None
        self._parsed = 0

    @property
    def parsed(self) -> int:
        """How many bytes were given to a parser so far: a small multiple of the body, whatever the body.

        Each failure is paid for by bytes proven before (`_IN_VAIN`), or by the first few windows.
        """
        return self._parsed + (self._cutter.parsed if self._cutter is not None else 0)

    @property
    def certain(self) -> bool:
        """Whether something is wrong that can be reported, whatever is still to come."""
        stream, cutter = self._stream, self._cutter
        return (stream is not None and stream.certain) or (
            cutter is not None and (cutter.ambiguous or cutter.splice.findings.count > 0)
        )

    @property
    def enough(self) -> bool:
        """Whether as many different findings are known as a report lists."""
        cutter = self._cutter if self._stream is None else None
        later = cutter.splice.findings.distinct if cutter is not None else 0
        return max(self._findings.distinct, later) >= MAX_VIOLATIONS

    def feed(self, data: bytes) -> Iterator[None]:
        """Take the next bytes; yields between bounded stretches of work."""
        if self._stream is not None:
            self._buffer += data
            yield from self._feed_stream(self._stream)
            return
        self._buffer += data
        if self._cutter is None and self._windowed and len(self._buffer) > self._judge.sizes.window:
            self._cutter = self._find_array()
            self._windowed = self._cutter is not None
        if self._cutter is not None:
            self._cutter.ascii_only = self._cutter.ascii_only and data.isascii()
            for _ in self._cutter.cut(self._buffer):
                yield
            if self._cutter.stuck:
                yield from self._go_over()
        elif len(self._buffer) > self._judge.sizes.collected:
            yield from self._go_over()

    def finish(self) -> Reason | None:
        """Judge what is left, and return the reason about the whole body, None when the findings say all."""
        if self._stream is not None:
            self._flush(self._stream)
            reason = self._stream.finish()
        else:
            if self._cutter is None and self._windowed and len(self._buffer) > _SHORT:
                self._cutter = self._find_array()
            reason = self._judge_rest(self._cutter)
        if self._cutter is not None and self._cutter.ambiguous and reason is None:
            return Reason.AMBIGUOUS_JSON
        if reason is Reason.UNPARSEABLE:
            # Some ways of judging had read it before they saw that there is no document.
            self._findings.fund = None
        return reason

    def give_up(self) -> Reason | None:
        """Add what was found so far to the findings, the body not having been seen to its end."""
        cutter, reason = self._cutter, None
        if self._stream is not None:
            self._flush(self._stream)
            reason = self._stream.reason
        elif cutter is not None:
            # What the head holds comes first. A sum may not be complete, and what is required may still come.
            judge = self._judge
            plan = replace(judge.plan, tolerance=None)
            reason = judge_document(cutter.closed_head, plan, judge.vocabulary, self._findings, required=False)
            self._findings.extend(cutter.splice.findings)
        return Reason.AMBIGUOUS_JSON if cutter is not None and cutter.ambiguous else reason

    def _find_array(self) -> "_Cutter | None":
        """Prove where the array begins, and take what is before its `[` out of the buffer; None when not found."""
        judge, array, projection = self._judge, self._judge.plan.array, self._judge.projection
        if array is None or projection is None:
            return None
        begin = bytes(self._buffer)
        matches = judge.opening.finditer(begin) if array.path else filter(None, [judge.opening.match(begin)])
        for match, _ in zip(matches, range(_TRIES), strict=False):
            head = begin[: match.end()]
            for element in (0, 1):
                self._parsed += len(head)
                if _at(_closed(head, array.path, b"%d" % element), array.path) != [element]:
                    break
            else:
                del self._buffer[: len(head) - 1]
                cutter = _Cutter(judge, array, projection, head, required=self._required)
                cutter.ascii_only = self._buffer.isascii()
                return cutter
        return None

    def _judge_rest(self, cutter: "_Cutter | None") -> Reason | None:
        """Judge what is kept as a document, the proven elements replaced by their stand-in."""
        if cutter is not None:
            cutter.close(self._buffer)
        body = bytes(self._buffer) if cutter is None else cutter.stand_in(self._buffer)
        splice = None if cutter is None else cutter.splice_if_any
        judge = self._judge
        self._parsed += len(body)
        return judge_document(
            body, judge.plan, judge.vocabulary, self._findings, required=self._required, splice=splice
        )

    def _go_over(self) -> Iterator[None]:
        """Hand over to the incremental judge, what was proven replaced by its stand-in."""
        judge, cutter = self._judge, self._cutter
        assessor = Assessor(judge.plan, judge.vocabulary, self._findings, required=self._required)
        splice = cutter.splice_if_any if cutter is not None else None
        self._stream = IncrementalJudge(self._root, assessor, splice)
        if cutter is not None:
            # By itself: a piece that is no JSON brings nothing with it, and what was proven is certain.
            rest, self._buffer = self._buffer, bytearray(cutter.stand_in(bytearray()))
            self._flush(self._stream)
            self._buffer = rest
        yield from self._feed_stream(self._stream)

    def _feed_stream(self, stream: IncrementalJudge) -> Iterator[None]:
        # Only whole pieces: the parser reads a token again from its beginning with every piece of it.
        while len(self._buffer) >= PIECE:
            self._feed_piece(stream, PIECE)
            yield

    def _flush(self, stream: IncrementalJudge) -> None:
        while self._buffer:
            self._feed_piece(stream, PIECE)

    def _feed_piece(self, stream: IncrementalJudge, size: int) -> None:
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._parsed += len(piece)
        stream.feed(piece)


class _Cutter:
    """Cuts the array whose `[` has been proven into windows, and proves and judges each."""

    def __init__(self, judge: Judge, array: Array, projection: Projection, head: bytes, *, required: bool) -> None:
        self._judge = judge
        self._array = array
        self._projection = projection
        self._head = head
        self._required = required
        self._pointer = Pointer.of(array.path)
        self._limit = self._judge.sizes.window
        self._separators: list[bytes] | None = None
        self.splice = Splice(array.node, array.location)
        self.ascii_only = True
        self.ambiguous = False
        self.stuck = False
        self.parsed = 0
        self._proven = 0
        self._in_vain = 0

    @property
    def closed_head(self) -> bytes:
        """The document up to the array, everything closed."""
        return self._head + _closing(self._array.path)

    @property
    def splice_if_any(self) -> Splice | None:
        """What was proven, None when nothing was yet."""
        return self.splice if self.splice.count else None

    def stand_in(self, rest: bytearray) -> bytes:
        """Return the document with the proven elements replaced by one `null`."""
        return b"".join([self._head, _STAND_IN, rest] if self.splice.count else [self._head[:-1], rest])

    def cut(self, buffer: bytearray) -> Iterator[None]:
        """Take window after window out of the buffer while it holds enough; yields after each."""
        while not self.stuck and len(buffer) >= self._limit:
            sizes = self._judge.sizes
            if self._cut_one(buffer):
                self._limit = sizes.window
            elif self._limit >= sizes.largest or self._in_vain > self._affordable:
                self.stuck = True
            else:
                self._limit *= 2
            yield

    def close(self, buffer: bytearray) -> None:
        """Take the last window out of a buffer that nothing will be added to, up to the `]` of the array."""
        opener, end = buffer[0], len(buffer)
        for _ in range(_TRIES):
            end = buffer.rfind(b"]", 1, end)
            if end < 0:
                return
            buffer[0] = ord("[")
            proven = self._prove(buffer, end + 1)
            buffer[0] = opener
            if proven:
                del buffer[:end]
                return

    def _cut_one(self, buffer: bytearray) -> bool:
        """Take one window out of the buffer, whose first byte is the array's `[`, or the comma after an element."""
        opener = buffer[0]
        for end, _ in zip(self._candidates(buffer), range(_TRIES), strict=False):
            # Bracketed in place: no byte is copied.
            before = self.parsed
            buffer[0], buffer[end] = b"[]"
            proven = self._prove(buffer, end + 1)
            buffer[0], buffer[end] = opener, ord(",")
            if proven:
                self._proven += end
                self._learn(buffer, end)
                del buffer[:end]
                return True
            self._in_vain += self.parsed - before
            if self._in_vain > self._affordable:
                break
        return False

    @property
    def _affordable(self) -> int:
        """How many bytes may be parsed in vain: a few windows, and what was proven pays for more."""
        return _IN_VAIN * self._proven + _TRIES * self._judge.sizes.largest

    def _candidates(self, buffer: bytearray) -> Iterator[int]:
        """Yield where the window could end, at a comma, from the right; first by the separators that are likely."""
        if self._separators is None:
            first = _FIRST_NAME.match(buffer, 1)
            self._separators = [b"}," + first[0], b"}, " + first[0]] if first is not None else []
        for separator in self._separators:
            start = buffer.rfind(separator, 1, self._limit)
            if start >= 0:
                yield start + separator.index(b",")
                break
        end = self._limit
        for _ in range(_LOOKED_AT):
            end = buffer.rfind(b"}", 1, end)
            if end < 0:
                return
            match = _SEPARATOR.match(buffer, end)
            if match is not None:
                yield match.end() - 1

    def _learn(self, buffer: bytearray, end: int) -> None:
        """Remember the bytes between two elements that a cut worked at."""
        start = buffer.rfind(b"}", 0, end)
        following = _FIRST_NAME.match(buffer, end + 1)
        if start >= 0 and following is not None:
            separator = bytes(buffer[start : following.end()])
            if self._separators is None or separator not in self._separators[:1]:
                self._separators = [separator]

    def _prove(self, buffer: bytearray, end: int) -> bool:
        """Whether `buffer[:end]`, an array, is whole elements; then they are judged and counted."""
        self.parsed += end
        try:
            good = self._projection.elements(buffer, end, ascii_only=self.ascii_only)
        except Malformed:
            return False
        if good is None:
            return self._judge_exactly(bytes(buffer[:end]))
        if not good.count:
            return False
        self.splice.count += good.count
        self.splice.findings.values += good.count
        if good.weights is not None:
            self.splice.total = add_up(good.weights, self.splice.total)
        return True

    def _judge_exactly(self, framed: bytes) -> bool:
        depth = len(self._array.path)
        self.parsed += len(framed)
        try:
            # Wrapped to the depth at which the array stands: what is too deep there is too deep here.
            elements = orjson.loads(b"".join([b"[" * depth, framed, b"]" * depth]))
        except orjson.JSONDecodeError:
            return False
        for _ in range(depth):
            elements = elements[0]
        if not elements:
            return False
        judge, node, splice = self._judge, self._array.node, self.splice
        findings = Findings()
        walk = Walk(Assessor(judge.plan, judge.vocabulary, findings, required=self._required))
        walk.visit_elements(elements, node, self._pointer, splice.count)
        if may_repeat(framed, walk.met):
            self.parsed += len(framed)
            again = IncrementalJudge(node, Assessor(judge.plan, judge.vocabulary, Findings(), required=False))
            for start in range(0, len(framed), PIECE):
                again.feed(framed[start : start + PIECE])
            reason = again.finish()
            if reason is Reason.UNPARSEABLE:
                return False
            self.ambiguous = self.ambiguous or False and reason is Reason.AMBIGUOUS_JSON
        splice.findings.extend(findings)
        splice.count += len(elements)
        weight = judge.plan.locations[self._array.location].weight
        if judge.plan.tolerance is not None and weight is not None:
            weights = (element.get(weight) if type(element) is dict else None for element in elements)
            splice.total = add_up(weights, splice.total)
        return True


def _closing(path: tuple[str, ...]) -> bytes:
    """Return what closes an array at `path` and all that it stands in."""
    return b"]" + b"}" * len(path)


def _closed(head: bytes, path: tuple[str, ...], element: bytes) -> Any:
    """Return the document that `head`, just after the `[` of an array at `path`, makes with one element in it."""
    try:
        return orjson.loads(head + element + _closing(path))
    except orjson.JSONDecodeError:
        return None


def _at(document: Any, path: tuple[str, ...]) -> Any:
    """Return what stands at a path of member names, None when nothing does."""
    for name in path:
        if type(document) is not dict:
            return None
        document = document.get(name)
    return document
