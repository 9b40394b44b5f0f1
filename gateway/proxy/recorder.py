"""A bounded sample of the inspected requests, recorded for `stage-gateway replay`.

Rules of the room:

- A request is chosen at its start, before anything of it was judged, so good and bad ones alike: when there is an
  allowance, which grows with time alone. What one request takes of it varies by chance, so that no rhythm of the
  requests falls in with that of the choosing.
- Nothing is done within a request but to keep references to its bytes, of a body up to 256 KiB. What decides is taken
  out of them later, in short stretches; where that falls behind, records are lost, and counted.
- Of a request only what `gateway.telemetry.records` names is kept.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable

import msgspec
import orjson

from gateway.proxy.held import Block
from gateway.rollout.cohort import bucket_of
from gateway.rollout.decision import Decision
from gateway.rollout.endpoints import Match
from gateway.rollout.gate import key_of
from gateway.rollout.head import Head
from gateway.rollout.inspection import METHOD_OVERRIDE_HEADERS
from gateway.rollout.media import coding_of, objection_to_media
from gateway.rules.load import Rules
from gateway.stages.encoding import EncodingError, decoder
from gateway.stages.pruning import prune
from gateway.stages.query import named
from gateway.stages.steps import Steps
from gateway.stages.verdict import MAX_VALUE_LENGTH
from gateway.telemetry.logs import utc
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.records import VERSION, Record, judging_of, places_of

LARGEST_BODY = 256 * 1024  # as sent and inflated: what is parsed in a millisecond or two
_LARGEST_RECORD = 64 * 1024
_MOST_WAITING = 8 * 1024 * 1024  # bytes
_OF_ONE = 4 * 1024  # bytes that a request counts beside its body
_LEAST_ALLOWANCE = 2.0  # more than the highest price
_LATER_SECONDS = 0.1
_STRETCH_SECONDS = 0.0005
_MOST_VIOLATIONS = 10


class Recorder:
    """Chooses requests, `per_second` at most in the long run, and hands each one's record to `sink` as a line."""

    def __init__(self, per_second: float, sink: Callable[[bytes], None], metrics: Metrics) -> None:
        self._per_second = per_second
        self._most = max(_LEAST_ALLOWANCE, per_second)
        self._allowance = self._most
        self._asked = time.monotonic()
        self._price = self._paid = 1.0
        self._sink = sink
        self._metrics = metrics
        self._waiting: deque[tuple[Steps[bytes | None], int]] = deque()
        self._bytes = 0
        self._scheduled = False

    def chooses(self) -> bool:
        """Whether the request that begins now is recorded; if so, that is taken from the allowance."""
        now = time.monotonic()
        self._allowance = min(self._most, self._allowance + (now - self._asked) * self._per_second)
        self._asked = now
        if self._allowance < self._price:
            return False
        self._paid = self._price
        self._allowance -= self._paid
        self._price = random.uniform(0.5, 1.5)  # noqa: S311 - no secret
        return True

    def give_back(self) -> None:
        """Take back that a request was chosen: it is asked for again."""
        self._allowance += self._paid
        self._price = self._paid

    def sample(self, head: Head, match: Match, rules: Rules) -> "Sample":
        """Return what gathers a chosen request."""
        return Sample(self, head, match, rules)

    def add(self, work: Steps[bytes | None], size: int) -> None:
        """Have a record made of a request with a body of this size, some time later."""
        size += _OF_ONE
        if self._bytes + size > _MOST_WAITING:
            self._metrics.records.labels("lost").inc()
            return
        self._waiting.append((work, size))
        self._bytes += size
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_later(_LATER_SECONDS, self._go_on)

    def finish(self) -> None:
        """Make what is waiting now, however long that takes."""
        while self._waiting:
            self._step()

    def _go_on(self) -> None:
        begin = time.perf_counter()
        while self._waiting:
            self._step()
            if time.perf_counter() - begin > _STRETCH_SECONDS:
                asyncio.get_running_loop().call_soon(self._go_on)
                return
        self._scheduled = False

    def _step(self) -> None:
        work, size = self._waiting[0]
        try:
            next(work)
            return
        except StopIteration as end:
            if end.value is not None:
                self._sink(end.value)
        except Exception:  # whatever a request does to us, the next one is recorded
            self._metrics.records.labels("lost").inc()
        self._waiting.popleft()
        self._bytes -= size


class Sample:
    """One chosen request: hears its body as it is judged, and hands it all over with the decision."""

    __slots__ = ("_began", "_chunks", "_head", "_match", "_recorder", "_rules", "_size")

    def __init__(self, recorder: Recorder, head: Head, match: Match, rules: Rules) -> None:
        self._recorder = recorder
        self._head = head
        self._match = match
        self._rules = rules
        self._began = time.time()
        self._chunks: list[Block] | None = []
        self._size = 0

    def hear(self, chunk: Block) -> None:
        """Keep the next bytes of the body, as far as they may be recorded."""
        self._size += len(chunk)
        if self._size > LARGEST_BODY:
            self._chunks = None
        elif self._chunks is not None and chunk:
            self._chunks.append(chunk)

    def conclude(self, decision: Decision | None, *, whole: bool = True) -> None:
        """Have the request recorded; one that was not inspected in the end is not."""
        if decision is not None:
            whole = whole and not decision.verdict.count_is_lower_bound
            kept = self._size if self._chunks is not None else 0
            self._recorder.add(self._record(decision, whole=whole), kept)

    def _record(self, decision: Decision, *, whole: bool) -> Steps[bytes | None]:
        kept = yield from self._body(decision, whole=whole)
        yield
        described = self._described(decision)
        kept["cut"] = described.cut or kept.get("cut", False)
        record = msgspec.structs.replace(described, **kept)
        line = msgspec.json.encode(record)
        if len(line) > _LARGEST_RECORD:
            record = msgspec.structs.replace(record, body=msgspec.UNSET, unkept="too much of it decides")
            line = msgspec.json.encode(record)
        return line

    def _body(self, decision: Decision, *, whole: bool) -> Steps[dict[str, object]]:
        """Return what is recorded of the body."""
        plan, reason = self._match.endpoint.compiled.plan, decision.verdict.reason
        kept: dict[str, object] = {"size": self._size}
        if plan.root is None or not self._head.has_body or (whole and self._size == 0):
            return kept
        if reason is not None and reason.is_whole:
            return kept  # of which the reason is all that decides
        if self._chunks is None:
            return {**kept, "unkept": f"more than {LARGEST_BODY // 1024} KiB"}
        if not whole:
            return {**kept, "unkept": "was not read to its end"}
        text = yield from self._inflated()
        if text is None:
            return {**kept, "unkept": f"more than {LARGEST_BODY // 1024} KiB"}
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError:
            return {**kept, "inflated": len(text), "unkept": "holds a number that is too large"}
        yield
        body, cut = yield from prune(document, plan)
        return {**kept, "inflated": len(text), "body": body, "cut": cut}

    def _inflated(self) -> Steps[bytes | None]:
        coding = coding_of(self._head.header(b"content-encoding"))
        chunks, self._chunks = self._chunks or [], None
        if coding is None:
            return None
        opened, pieces = decoder(coding, LARGEST_BODY), []
        try:
            for chunk in chunks:
                for piece in opened.feed(bytes(chunk)):
                    pieces.append(piece)
                    yield
        except EncodingError:
            return None
        return b"".join(pieces)

    def _described(self, decision: Decision) -> Record:
        head, rules, match, verdict = self._head, self._rules, self._match, decision.verdict
        key, endpoint = rules.policy.enforcement_key, match.endpoint
        names = {location.name for _, location in endpoint.compiled.plan.queries}
        names |= {endpoint.fund.query} if endpoint.fund.query is not None else set()
        query = [(name, _cut(value)) for name, value in named(head.query, names)]
        fund = None if decision.fund is None else _cut(decision.fund)
        return Record(
            version=VERSION,
            time=utc(self._began),
            endpoint=endpoint.pattern,
            method=head.method,
            mode=decision.enforcement.mode,
            effective=decision.enforcement.effective,
            result=decision.result,
            dry_run=rules.policy.dry_run,
            enforcement_key=key,
            bucket=bucket_of(key_of(key, head, decision.fund)),
            request_bucket=bucket_of(head.request_id),
            config=rules.fingerprint,
            vocabulary=rules.policy.vocabulary.fingerprint,
            judging=judging_of(rules, endpoint.pattern),
            max_body_bytes=rules.policy.max_body_bytes,
            places=places_of(rules, endpoint.pattern),
            reason=verdict.reason,
            count=verdict.count,
            violations=[(v.value, v.reason, v.occurrences) for v in verdict.violations[:_MOST_VIOLATIONS]],
            fund=fund,
            ambiguous=match.ambiguous,
            readings=[one.endpoint.pattern for one in rules.endpoints.all_of(head.path)] if match.ambiguous else [],
            method_override=not METHOD_OVERRIDE_HEADERS.isdisjoint(head.headers),
            query=query,
            cut=any(len(value) > MAX_VALUE_LENGTH for name, value in query if name != endpoint.fund.query),
            has_body=head.has_body,
            length=head.content_length,
            media=objection_to_media(head.header(b"content-type")) if head.has_body else None,
            coding=(coding_of(head.header(b"content-encoding")) or "other") if head.has_body else None,
        )


def _cut(text: str) -> str:
    """Return a text as it is recorded; one that was cut is longer than any other."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_VALUE_LENGTH else text[:MAX_VALUE_LENGTH] + "…"
