"""The inspection of a request on its way: timed, counted once, and told to the log."""

import asyncio
import logging
import time
from itertools import chain

from gateway.proxy.recorder import Sample
from gateway.proxy.service import Service
from gateway.rollout.decision import Decision, Result
from gateway.rollout.inspection import Inspection
from gateway.stages.steps import Steps
from gateway.telemetry.logs import cut

_log = logging.getLogger("gateway.validation")
_TURN_SECONDS = 0.0005
_LOGGED = frozenset({Result.REJECT, Result.WOULD_REJECT})


class Judging:
    """Feeds an inspection, adds up the time it takes, and counts its decision.

    `sample`, where there is one, hears all of that.
    """

    __slots__ = ("_concluded", "_decision", "_request_id", "_seconds", "_service", "inspection", "sample")

    def __init__(self, inspection: Inspection, service: Service, request_id: str, seconds: float) -> None:
        self.inspection = inspection
        self._service = service
        self._request_id = request_id
        self._seconds = seconds
        self._decision: Decision | None = None
        self._concluded = False
        self.sample: Sample | None = None

    async def feed(self, chunk: bytes) -> None:
        """Judge the next bytes of the body; others have their turn before long."""
        if self.sample is not None:
            self.sample.hear(chunk)
        await self._in_turns(self.inspection.steps(chunk))

    def at_once(self, body: bytes) -> bool:
        """Judge a body that is at hand whole without giving way; returns whether that took no more than a turn.

        Where it did not, nothing is concluded, and the body has to be judged anew.
        """
        begin = time.perf_counter()
        if body and not self.inspection.judge_whole(body):
            for _ in chain(self.inspection.steps(body), self.inspection.closing()):
                if time.perf_counter() - begin > _TURN_SECONDS:
                    return False
        self._seconds += time.perf_counter() - begin
        if self.sample is not None:
            self.sample.hear(body)
        return True

    async def conclude(self, *, whole: bool = True) -> Decision | None:
        """Return the decision on what was fed; the first call counts and logs it, and may be on its way at the second.

        `whole` false says that the body was not seen to its end.
        """
        await self._in_turns(self.inspection.closing(whole=whole))
        return self.settle(whole=whole)

    def settle(self, *, whole: bool = True) -> Decision | None:
        """Return the decision, as `conclude` does where nothing is left to be judged; the rest is done at once."""
        if self._concluded:
            return self._decision
        self._concluded = True
        begin = time.perf_counter()
        decision = self._decision = self.inspection.finish(whole=whole)
        self._seconds += time.perf_counter() - begin
        if self.inspection.fault is not None:
            _log.error(
                "the validator failed", exc_info=self.inspection.fault, extra={"requestId": cut(self._request_id)}
            )
        if decision is not None:
            self._service.endpoint_metrics[decision.endpoint].observe(decision, self._seconds)
            if decision.result in _LOGGED:
                self._tell(decision)
            if self.sample is not None:
                self.sample.conclude(decision, whole=whole)
        return decision

    def close(self) -> None:
        """Let go of a request of which nothing more will be judged, whether there was a decision or not."""
        self.inspection.close()
        if self.sample is not None and not self._concluded:
            self.sample.release()

    async def _in_turns(self, work: Steps[None]) -> None:
        begin = time.perf_counter()
        for _ in work:
            now = time.perf_counter()
            if now - begin > _TURN_SECONDS:
                self._seconds += now - begin
                await asyncio.sleep(0)
                begin = time.perf_counter()
        self._seconds += time.perf_counter() - begin

    def _tell(self, decision: Decision) -> None:
        verdict = decision.verdict
        found = [
            {
                "place": cut(violation.pointer if violation.pointer is not None else violation.parameter or ""),
                "value": violation.value,
                "reason": violation.reason,
                "occurrences": violation.occurrences,
            }
            for violation in verdict.violations[:3]
        ]
        _log.warning(
            "request refused" if decision.refused else "request would be refused",
            extra={
                "requestId": cut(self._request_id),
                "endpoint": decision.endpoint,
                "mode": decision.enforcement.effective,
                "result": decision.result,
                "reason": verdict.reason,
                "count": verdict.count,
                "fundId": cut(decision.fund) if decision.fund else None,
                "violations": found,
            },
        )


def stage_fields(decision: Decision | None) -> list[tuple[bytes, bytes]]:
    """Return the X-Stage fields that a forwarded request's response carries; values are never among them."""
    if decision is None or decision.result not in {Result.WARN, Result.WOULD_REJECT}:
        return []
    verdict = decision.verdict
    fields = [(b"X-Stage-Warning", f"reason={verdict.reason}; count={verdict.count}".encode("ascii"))]
    if decision.result is Result.WOULD_REJECT:
        fields.append((b"X-Stage-Would-Reject", b"true"))
    return fields
