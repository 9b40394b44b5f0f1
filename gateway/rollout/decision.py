"""From a verdict to a decision: pass, warn, would reject or reject, and the status a refusal has."""

from enum import StrEnum
from typing import NamedTuple

from gateway.rollout.policy import Exemption, Mode, Policy, blocks_by_method
from gateway.stages.verdict import Verdict


class Result(StrEnum):
    """What became of one inspected request; the values are the metrics' label."""

    PASS = "pass"  # noqa: S105 - a result, not a password
    WARN = "warn"
    REJECT = "reject"
    WOULD_REJECT = "would_reject"


class Enforcement(NamedTuple):
    """Where one request stands before anything is known of its stages.

    `mode` is the endpoint's mode in force, `effective` the one this request is under, `exempt` why they differ.
    `key` and `bucket` are those of the percentage gate, None when it was not asked.
    """

    mode: Mode
    effective: Mode
    exempt: Exemption | None = None
    key: str | None = None
    bucket: int | None = None


class Decision(NamedTuple):
    """What to do with one request. `fund` is its fund id as text, None without one."""

    endpoint: str
    enforcement: Enforcement
    verdict: Verdict
    result: Result
    fund: str | None

    @property
    def refused(self) -> bool:
        """Whether the request must not reach the upstream."""
        return self.result is Result.REJECT

    @property
    def status(self) -> int | None:
        """The status of the refusal, None when the request is not refused."""
        reason = self.verdict.reason
        return reason.status if self.refused and reason is not None else None


def decide(verdict: Verdict, enforcement: Enforcement, policy: Policy, method: str, *, method_override: bool) -> Result:
    """Return the result for a request of this method that stands there.

    A warning becomes `would_reject` under dry run when the same request would be refused with its endpoint at
    `enforce`, `enforceWriteOnly` off and 100 %: then only the method can still let it through.
    """
    if verdict.valid:
        return Result.PASS
    if enforcement.effective is Mode.ENFORCE:
        return Result.REJECT
    if policy.dry_run and blocks_by_method(method, method_override=method_override):
        return Result.WOULD_REJECT
    return Result.WARN
