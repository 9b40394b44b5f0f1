"""A bounded sample of the inspected requests, recorded for `stage-gateway replay`.

Rules of the room:

- A request is chosen at its start, before anything of it was judged, so good and bad ones alike: when there is an
  allowance, which grows with time alone. What one request takes of it varies by chance, so that no rhythm of the
  requests falls in with that of the choosing.
- Nothing is done within a request but to copy its body, up to 256 KiB. What decides is taken out of that later, in
  short stretches. All that is kept meanwhile, of requests on their way too, has 8 MiB: where that is not enough, first
  bodies are left out, then records are lost, and counted.
- Of a request only what `gateway.telemetry.records` names is kept.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable

import msgspec
import orjson

from gateway.rollout.cohort import bucket_of
from gateway.rollout.decision import Decision
from gateway.rollout.endpoints import Match
from gateway.rollout.gate import key_of
from gateway.rollout.head import Head
from gateway.rollout.inspection import METHOD_OVERRIDE_HEADERS
from gateway.rollout.media import coding_of, objection_to_media
from gateway.rules.load import Rules
from gateway.stages.encoding import EncodingError, decoder
from gateway.stages.pruning import TooMuchError, prune
from gateway.stages.query import named
from gateway.stages.steps import Steps
from gateway.stages.verdict import MAX_VALUE_LENGTH
from gateway.telemetry.logs import utc
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.records import VERSION, Record, judging_of, places_of

LARGEST_BODY = 256 * 1024  # as sent and inflated: what is parsed in a millisecond or two
_LARGEST_RECORD = 64 * 1024
_MOST_KEPT = 8 * 1024 * 1024  # bytes
_NOT_FOR_BODIES = 2 * 1024 * 1024
_OF_ONE = 4 * 1024  # bytes that a request counts beside its body
_TOO_LONG = f"more than {LARGEST_BODY // 1024} KiB"
_TOO_MUCH = "too much of it decides"
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
        self._waiting: deque[tuple[Steps[bytes | None], Sample]] = deque()
        self._left = _MOST_KEPT
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

    def take(self, size: int, spare: int = 0) -> bool:
        """Count `size` more bytes as kept, if there is room for them and `spare` more; returns whether."""
        if size > self._left - spare:
            return False
        self._left -= size
        return True

    def give(self, size: int) -> None:
        """Count `size` bytes as no longer kept."""
        self._left += size

    def add(self, work: Steps[bytes | None], sample: "Sample") -> None:
        """Have a record made of a request some time later."""
        if not self.take(_OF_ONE):
            sample.release()
            self._metrics.records.labels("lost").inc()
            return
        self._waiting.append((work, sample))
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
        work, sample = self._waiting[0]
        try:
            next(work)
            return
        except StopIteration as end:
            if end.value is not None:
                self._sink(end.value)
        except Exception:  # whatever a request does to us, the next one is recorded
            self._metrics.records.labels("lost").inc()
        self._waiting.popleft()
        sample.release()
        self.give(_OF_ONE)


class Sample:
    """One chosen request: hears its body as it is judged, and hands it all over with the decision.

    Where it does not come to one, `release` is to be called.
    """

    __slots__ = ("_began", "_content", "_counted", "_head", "_match", "_recorder", "_rules", "_size", "_unkept")

    def __init__(self, recorder: Recorder, head: Head, match: Match, rules: Rules) -> None:
        self._recorder = recorder
        self._head = head
        self._match = match
        self._rules = rules
        self._began = time.time()
        self._content = bytearray()  # in one piece: small chunks would take many times their size
        self._counted = 0
        self._size = 0
        self._unkept: str | None = None

    def hear(self, chunk: bytes) -> None:
        """Keep the next bytes of the body, as far as they may be recorded and there is room."""
        self._size += len(chunk)
        if self._unkept is not None:
            return
        if self._size > LARGEST_BODY:
            self._leave_out(_TOO_LONG)
        elif not self._recorder.take(len(chunk), _NOT_FOR_BODIES):
            self._leave_out("no room for it while it came")
        else:
            self._counted += len(chunk)
            self._content += chunk

    def _leave_out(self, reason: str) -> None:
        self._unkept = reason
        self.release()

    def release(self) -> None:
        """Let go of what is kept of the body."""
        self._content = bytearray()
        self._recorder.give(self._counted)
        self._counted = 0

    def conclude(self, decision: Decision | None, *, whole: bool = True) -> None:
        """Have the request recorded; one that was not inspected in the end is not."""
        if decision is None:
            self.release()
            return
        whole = whole and not decision.verdict.count_is_lower_bound
        self._recorder.add(self._record(decision, whole=whole), self)

    def _record(self, decision: Decision, *, whole: bool) -> Steps[bytes | None]:
        kept = yield from self._body(decision, whole=whole)
        yield
        described = self._described(decision)
        kept["cut"] = described.cut or kept.get("cut", False)
        record = msgspec.structs.replace(described, **kept)
        line = msgspec.json.encode(record)
        if len(line) > _LARGEST_RECORD:
            record = msgspec.structs.replace(record, body=msgspec.UNSET, unkept=_TOO_MUCH)
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
        if self._unkept is not None:
            return {**kept, "unkept": self._unkept}
        if not whole:
            return {**kept, "unkept": "was not read to its end"}
        text = yield from self._inflated()
        if text is None:
            return {**kept, "unkept": _TOO_LONG}
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError:
            return {**kept, "inflated": len(text), "unkept": "holds a number that is too large"}
        yield
        try:
            body, cut = yield from prune(document, plan, _LARGEST_RECORD)
        except TooMuchError:
            return {**kept, "inflated": len(text), "unkept": _TOO_MUCH}
        return {**kept, "inflated": len(text), "body": body, "cut": cut}

    def _inflated(self) -> Steps[bytes | None]:
        coding = coding_of(self._head.header(b"content-encoding"))
        if coding is None:
            return None
        opened, pieces = decoder(coding, LARGEST_BODY), []
        try:
            for piece in opened.feed(bytes(self._content)):
                pieces.append(piece)
                yield
        except EncodingError:
            return None
        return b"".join(pieces)

    def _described(self, decision: Decision) -> Record:
        head, rules, match, verdict = self._head, self._rules, self._match, decision.verdict
        key, endpoint = rules.policy.enforcement_key, match.endpoint
        stages = {location.name for _, location in endpoint.compiled.plan.queries}
        names = stages | ({endpoint.fund.query} if endpoint.fund.query is not None else set())
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
            cut=any(len(value) > MAX_VALUE_LENGTH for name, value in query if name in stages),
            has_body=head.has_body,
            length=head.content_length,
            media=objection_to_media(head.header(b"content-type")) if head.has_body else None,
            coding=(coding_of(head.header(b"content-encoding")) or "other") if head.has_body else None,
        )


def _cut(text: str) -> str:
    """Return a text as it is recorded; one that was cut is longer than any other."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_VALUE_LENGTH else text[:MAX_VALUE_LENGTH] + "…"
