"""Cut one large array into windows, and prove and judge each.

How a window is cut without a tokenizer. The judge is "just after the array's `[`" or "just after an element". A
candidate cut is a comma after the end of an element; that comma opens the next window. If `[window]` parses, the
window is whole elements: inside a string or a nested value its brackets would not balance. If not, other cuts to
the left are tried, then the window grows, and past a bound the incremental judge takes over from there.

Why that is sound. What a JSON reader is in the middle of depends on the bytes before alone. The bytes up to the
array's `[` are proven by closing them: `head 0 ] } …` parses, and so does `head 1 ] } …`, and at the array's location
stand `[0]` and `[1]`: it is the open one, as no other changes. Whole elements keep a reader just after an element.
So at the end `head null tail`, the document with the proven elements replaced by one `null`, is JSON exactly if the
document is, and goes through the exact judge for everything else.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from gateway.stages.ambiguity import may_repeat
from gateway.stages.compiled import CompiledPlan
from gateway.stages.density import is_dense
from gateway.stages.document import Walk
from gateway.stages.fast import Good, Malformed
from gateway.stages.incremental import judge_name_by_name
from gateway.stages.locators import Array, Pointer
from gateway.stages.prefix import ProvenPrefix
from gateway.stages.reasons import Reason
from gateway.stages.rulebook import RuleBook, add_up
from gateway.stages.steps import Steps
from gateway.stages.verdict import Findings

_TRIES = 4
_LOOKED_AT = 64  # ends of elements or nested objects that are looked at for a cut
_IN_VAIN = 3  # how many times the bytes that were proven may be parsed without proving anything

_SEPARATOR = re.compile(rb"\}[ \t\r\n]*,")
_FIRST_NAME = re.compile(rb'[ \t\r\n]{0,64}\{[ \t\r\n]{0,64}"[^"\\]{0,64}"')
_STAND_IN = b"null"


class Cutter:
    """Cuts the array whose `[` has been proven into windows, and proves and judges each."""

    def __init__(self, compiled: CompiledPlan, array: Array, head: bytes, *, required: bool) -> None:
        self._compiled = compiled
        self._array = array
        self.head = head
        self._required = required
        self._pointer = Pointer.of(array.path)
        self._limit = self._compiled.sizes.window
        self._separator: bytes | None = None  # between two elements, where a cut worked
        self._wary = 0  # bytes that are taken in windows because a wide look found them not good
        self.prefix = ProvenPrefix(array.node, array.location)
        self.ascii_only = True
        self.ambiguous = False
        self.stuck = False
        self.parsed = 0
        self._proven = 0
        self._in_vain = 0

    @classmethod
    def find(cls, compiled: CompiledPlan, buffer: bytearray, *, required: bool) -> "Steps[tuple[Cutter | None, int]]":
        """Prove in steps where the array begins, and take what is before its `[` out of the buffer.

        Returns the cutter, None when the array is not found, and how many bytes were parsed for it.
        """
        array = compiled.plan.array
        end = parsed = 0
        if array is None or not compiled.fast.has_elements:
            return None, parsed
        for _ in range(_TRIES):
            opening = compiled.opening
            match = opening.match(buffer) if end == 0 and compiled.at_the_top else opening.search(buffer, end)
            if match is None or match.end() > compiled.sizes.largest:
                break
            end = match.end()
            del match  # it holds the buffer, which could not shrink
            head = bytes(buffer[:end])
            if is_dense(head):
                break
            parsed += 2 * len(head)
            first = _at(_closed(head, array.path, b"0"), array.path)
            yield
            if first == [0] and _at(_closed(head, array.path, b"1"), array.path) == [1]:
                yield
                del buffer[: end - 1]
                cutter = cls(compiled, array, head, required=required)
                cutter.ascii_only = buffer.isascii()
                return cutter, parsed
            if compiled.at_the_top:
                break
        return None, parsed

    @property
    def closed_head(self) -> bytes:
        """The document up to the array, everything closed."""
        return self.head + _closing(self._array.path)

    @property
    def prefix_if_any(self) -> ProvenPrefix | None:
        """What was proven, None when nothing was yet."""
        return self.prefix if self.prefix.count else None

    def stand_in(self, tail: bytearray) -> bytes:
        """Return the document with the proven elements replaced by one `null`."""
        return b"".join([self.head, _STAND_IN, tail] if self.prefix.count else [self.head[:-1], tail])

    def cut(self, buffer: bytearray) -> Steps[None]:
        """Take window after window out of the buffer while it holds enough."""
        while not self.stuck and len(buffer) >= self._limit:
            sizes = self._compiled.sizes
            if self._cut_wide(buffer) or (yield from self._cut_one(buffer)):
                self._limit = sizes.window
            elif self._limit >= sizes.largest or self._in_vain > self._affordable:
                self.stuck = True
            else:
                self._limit *= 2
            yield

    def close(self, buffer: bytearray) -> Steps[None]:
        """Take the last window out of a buffer that nothing will be added to, up to the `]` of the array."""
        end = len(buffer)
        for _ in range(_TRIES):
            end = buffer.rfind(b"]", 1, end)
            if end < 0:
                return
            if (yield from self._prove(buffer, end)):
                del buffer[:end]
                return

    def _cut_wide(self, buffer: bytearray) -> bool:
        """Take much at once where much is at hand and a fast look finds it good: nearly all bodies are.

        What was looked at so in vain is taken in windows, since no other judge takes as much in one stretch.
        """
        sizes = self._compiled.sizes
        if self._separator is None or self._wary > 0 or len(buffer) < 2 * sizes.window:
            return False
        start = buffer.rfind(self._separator, 1, sizes.whole)
        if start < sizes.window:
            return False
        end = start + self._separator.index(b",")
        try:
            good = self._look(buffer, end)
        except Malformed:
            good = None
        if good is None or not good.count:
            self._wary = end
            return False
        self._take(good)
        self._behind(buffer, end)
        return True

    def _cut_one(self, buffer: bytearray) -> Steps[bool]:
        """Take one window out of the buffer, whose first byte is the array's `[`, or the comma after an element."""
        for end, _ in zip(self._candidates(buffer), range(_TRIES), strict=False):
            before = self.parsed
            if (yield from self._prove(buffer, end)):
                self._learn(buffer, end)
                self._behind(buffer, end)
                return True
            self._in_vain += self.parsed - before
            if self._in_vain > self._affordable:
                break
        return False

    def _behind(self, buffer: bytearray, end: int) -> None:
        """Let go of what was proven."""
        self._proven += end
        self._wary -= end
        del buffer[:end]

    @property
    def _affordable(self) -> int:
        """How many bytes may be parsed in vain: a few windows, and what was proven pays for more."""
        return _IN_VAIN * self._proven + _TRIES * self._compiled.sizes.largest

    def _candidates(self, buffer: bytearray) -> Iterator[int]:
        """Yield where the window could end, at a comma, from the right; first by the separators that are likely."""
        if self._separator is not None:
            likely = [self._separator]
        else:
            first = _FIRST_NAME.match(buffer, 1)
            likely = [b"}," + first[0], b"}, " + first[0]] if first is not None else []
        for separator in likely:
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
        known = self._separator
        if known is not None and buffer.startswith(known, end - known.index(b",")):
            return
        start = buffer.rfind(b"}", 0, end)
        following = _FIRST_NAME.match(buffer, end + 1)
        if start >= 0 and following is not None:
            self._separator = bytes(buffer[start : following.end()])

    def _prove(self, buffer: bytearray, end: int) -> Steps[bool]:
        """Whether what stands between `buffer[0]` and `buffer[end]` is whole elements; then judge and count them."""
        try:
            good = self._look(buffer, end)
        except Malformed:
            return False
        if good is not None:
            self._take(good)
            return good.count > 0
        framed = b"".join([b"[", buffer[1:end], b"]"])
        if is_dense(framed):
            self.stuck = True
            return False
        return (yield from self._judge_exactly(framed))

    def _look(self, buffer: bytearray, end: int) -> Good | None:
        """Take a fast look at what may be an array but for its brackets. Raises Malformed when it is none."""
        self.parsed += end + 1
        opener, closer = buffer[0], buffer[end]
        buffer[0], buffer[end] = b"[]"  # in place: no byte is copied
        try:
            with memoryview(buffer) as all_of_it, all_of_it[: end + 1] as window:
                return self._compiled.fast.elements(window, self.prefix.total, ascii_only=self.ascii_only)
        finally:
            buffer[0], buffer[end] = opener, closer

    def _take(self, good: Good) -> None:
        prefix = self.prefix
        prefix.count += good.count
        prefix.findings.values += good.count
        prefix.total = good.total

    def _judge_exactly(self, framed: bytes) -> Steps[bool]:
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
        compiled, node, prefix = self._compiled, self._array.node, self.prefix
        findings = Findings()
        rules = RuleBook(compiled.plan, compiled.vocabulary, findings, required=self._required)
        walk = Walk(rules)
        yield from walk.visit_elements(elements, node, self._pointer, prefix.count)
        if may_repeat(framed, walk.met):
            self.parsed += len(framed)
            unheard = RuleBook(compiled.plan, compiled.vocabulary, Findings(), required=False)
            reason = yield from judge_name_by_name(framed, node, unheard)
            if reason is Reason.UNPARSEABLE:
                return False
            self.ambiguous = self.ambiguous or reason is Reason.AMBIGUOUS_JSON
        prefix.findings.extend(findings)
        prefix.count += len(elements)
        for location in rules.sums(node, of_object=False):
            prefix.total = add_up(rules.weights(elements, location), prefix.total)
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
