"""What becomes of the good requests whose heads are the same in everything that an inspection looks at.

Nearly all requests are good, and nearly all heads have come before. So what an inspection finds in such a head is found
once, and a request takes one look at its body. Like the look itself this can only say "all good".
"""

from gateway.rollout.decision import Decision, Enforcement, Result
from gateway.stages.compiled import CompiledPlan
from gateway.stages.verdict import good


class GoodRequests:
    """The good requests of such a head.

    `values` counts the stage values in the head, `fund` is the fund id there, `largest` how many bytes a body may have.
    """

    __slots__ = ("_compiled", "_enforcement", "_fund", "_largest", "_pattern", "_required", "_values")

    def __init__(
        self,
        pattern: str,
        compiled: CompiledPlan,
        enforcement: Enforcement,
        *,
        required: bool,
        values: int,
        fund: str | None,
        largest: int,
    ) -> None:
        self._pattern = pattern
        self._compiled = compiled
        self._enforcement = enforcement
        self._required = required
        self._values = values
        self._fund = fund
        self._largest = min(largest, compiled.sizes.whole)

    def decision(self, body: bytes) -> Decision | None:
        """Return the decision on a request with this body; None where it is not certainly good."""
        if not 0 < len(body) <= self._largest:
            return None
        try:
            seen = self._compiled.fast.document(body, required=self._required)
        except Exception:  # inspected, it fails again, and that becomes the decision
            return None
        if seen is None:
            return None
        verdict = good(self._values + seen.values, seen.fund)
        return Decision(self._pattern, self._enforcement, verdict, Result.PASS, seen.fund or self._fund)
