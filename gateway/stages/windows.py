"""Judge a body as it arrives, in bounded memory.

Most large bodies are one array of thousands of objects. A window of it that stays in the cache and dies young is
judged three to eight times as fast as the whole, memory stays flat, and the verdict is ready with the last byte.
How that is done, and why it is sound, is told in `cutter.py`.

A short body, and one with no such array, is kept and judged at once; past `Sizes.collected` it goes to the incremental
judge as well.
"""

from dataclasses import replace

from gateway.stages.compiled import CompiledPlan
from gateway.stages.cutter import Cutter
from gateway.stages.density import is_dense
from gateway.stages.document import judge_document
from gateway.stages.incremental import PIECE, IncrementalJudge
from gateway.stages.locators import Node
from gateway.stages.position import position_of_fault
from gateway.stages.reasons import Reason
from gateway.stages.rulebook import RuleBook
from gateway.stages.steps import Steps
from gateway.stages.verdict import MAX_VIOLATIONS, Findings

_SHORT = 2 * 1024  # a body that one parse judges faster than any machinery


class BodyJudge:
    """Judges one body, in steps. Its findings are added to `findings` at the end, or when asked for."""

    def __init__(self, compiled: CompiledPlan, root: Node, findings: Findings, *, required: bool) -> None:
        self._compiled = compiled
        self._root = root
        self._findings = findings
        self._required = required
        self._buffer = bytearray()
        self._cutter: Cutter | None = None
        self._stream: IncrementalJudge | None = None
        self._windowed = compiled.fast.has_elements
        self._parsed = 0

    @property
    def parsed(self) -> int:
        """How many bytes were given to a parser so far: a small multiple of the body, whatever the body.

        The cutter pays for each failure with bytes proven before, or with the first few windows.
        """
        return self._parsed + (self._cutter.parsed if self._cutter is not None else 0)

    @property
    def certain(self) -> bool:
        """Whether something is wrong that can be reported, whatever is still to come."""
        stream, cutter = self._stream, self._cutter
        return (stream is not None and stream.certain) or (
            cutter is not None and (cutter.ambiguous or cutter.prefix.findings.count > 0)
        )

    @property
    def enough(self) -> bool:
        """Whether as many different findings are known as a report lists."""
        cutter = self._cutter if self._stream is None else None
        later = cutter.prefix.findings.distinct if cutter is not None else 0
        return max(self._findings.distinct, later) >= MAX_VIOLATIONS

    def feed(self, data: bytes) -> Steps[None]:
        """Take the next bytes."""
        self._buffer += data
        if self._stream is not None:
            yield from self._feed_stream(self._stream)
            return
        if self._cutter is None and self._windowed and len(self._buffer) > self._compiled.sizes.window:
            yield from self._find()
            self._windowed = self._cutter is not None
        if self._cutter is not None:
            self._cutter.ascii_only = self._cutter.ascii_only and data.isascii()
            yield from self._cutter.cut(self._buffer)
            if self._cutter.stuck:
                yield from self._go_over()
        elif len(self._buffer) > self._compiled.sizes.collected:
            yield from self._go_over()

    def finish(self) -> Steps[Reason | None]:
        """Judge what is left, and return the reason about the whole body, None when the findings say all."""
        whole = None
        if self._stream is not None:
            yield from self._flush(self._stream)
            reason = yield from self._stream.finish()
        else:
            whole = bytes(self._buffer) if self._cutter is None else None
            if self._cutter is None and self._windowed and len(self._buffer) > _SHORT:
                yield from self._find()
            reason = yield from self._judge_rest(self._cutter)
        if self._cutter is not None and self._cutter.ambiguous and reason is None:
            return Reason.AMBIGUOUS_JSON
        if reason is Reason.UNPARSEABLE:
            self._findings.fund = None  # some ways to judge had read it before they saw that there is no document
            self._findings.position = position_of_fault(whole) if whole is not None else None
        return reason

    def give_up(self) -> Steps[Reason | None]:
        """Add what was found so far to the findings, the body not having been seen to its end."""
        cutter, reason = self._cutter, None
        if self._stream is not None:
            yield from self._flush(self._stream)
            reason = self._stream.reason
        elif cutter is not None:
            # What the head holds comes first. A sum may not be complete, and what is required may still come.
            compiled, plan = self._compiled, replace(self._compiled.plan, tolerance=None)
            head = cutter.closed_head
            reason = yield from judge_document(head, plan, compiled.vocabulary, self._findings, required=False)
            self._findings.extend(cutter.prefix.findings)
        return Reason.AMBIGUOUS_JSON if cutter is not None and cutter.ambiguous else reason

    def _find(self) -> Steps[None]:
        self._cutter, parsed = yield from Cutter.find(self._compiled, self._buffer, required=self._required)
        self._parsed += parsed

    def _judge_rest(self, cutter: Cutter | None) -> Steps[Reason | None]:
        """Judge what is kept as a document, the proven elements replaced by their stand-in."""
        if cutter is not None:
            yield from cutter.close(self._buffer)
        if self._is_all_good(cutter):
            return None
        if is_dense(self._buffer):
            yield from self._go_over()
            assert self._stream is not None  # noqa: S101 - that is what going over makes
            yield from self._flush(self._stream)
            return (yield from self._stream.finish())
        body = bytes(self._buffer) if cutter is None else cutter.stand_in(self._buffer)
        prefix = None if cutter is None else cutter.prefix_if_any
        compiled = self._compiled
        self._parsed += len(body)
        return (
            yield from judge_document(
                body, compiled.plan, compiled.vocabulary, self._findings, required=self._required, prefix=prefix
            )
        )

    def _is_all_good(self, cutter: Cutter | None) -> bool:
        """Whether a fast look at what is kept, without the proven elements, is enough; then its findings are added."""
        fast, prefix, body = self._compiled.fast, None, bytes(self._buffer)
        if not fast.has_document or len(body) > self._compiled.sizes.window:
            return False
        if cutter is not None and cutter.prefix.count:
            prefix = cutter.prefix
            if cutter.ambiguous or prefix.findings.count or body[:1] != b"]":
                return False
            body = cutter.head + body
        self._parsed += len(body)
        seen = fast.document(body, required=self._required, prefix=prefix)
        if seen is None:
            return False
        findings = self._findings
        findings.values += seen.values + (prefix.findings.values if prefix is not None else 0)
        findings.fund = seen.fund if seen.fund is not None else findings.fund
        return True

    def _go_over(self) -> Steps[None]:
        """Hand over to the incremental judge, what was proven replaced by its stand-in."""
        compiled, cutter = self._compiled, self._cutter
        rules = RuleBook(compiled.plan, compiled.vocabulary, self._findings, required=self._required)
        prefix = cutter.prefix_if_any if cutter is not None else None
        self._stream = IncrementalJudge(self._root, rules, prefix)
        if cutter is not None:
            # By itself: a piece that is no JSON brings nothing with it, and what was proven is certain.
            tail, self._buffer = self._buffer, bytearray(cutter.stand_in(bytearray()))
            yield from self._flush(self._stream)
            self._buffer = tail
        yield from self._feed_stream(self._stream)

    def _feed_stream(self, stream: IncrementalJudge) -> Steps[None]:
        # Only whole pieces: the parser reads a token again from its beginning with every piece of it.
        while len(self._buffer) >= PIECE:
            yield from self._feed_piece(stream)

    def _flush(self, stream: IncrementalJudge) -> Steps[None]:
        while self._buffer:
            yield from self._feed_piece(stream)

    def _feed_piece(self, stream: IncrementalJudge) -> Steps[None]:
        piece = bytes(self._buffer[:PIECE])
        del self._buffer[:PIECE]
        self._parsed += len(piece)
        yield from stream.feed(piece)
        yield
