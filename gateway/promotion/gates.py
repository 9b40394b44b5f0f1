"""Gates: whether the figures allow the next step. Pure: the same figures, the same answer.

Rules of the room:

- A gate counts requests since the step in force came into force. Time alone fills nothing.
- Figures that are missing, stale or contradict one another are never READY.
- NOT_READY is said where it is certain, also while there is too little data: an alert that fires, a failure of the
  validator, more refusals than as many requests as the gate asks for may have.
- A figure that nobody could ask for (alerts and baselines without Prometheus) is shown, and decides nothing.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

# Every alert of deploy/prometheus/alerts.yml.
ALERTS = (
    "StageInvalidRateHigh",
    "StageInvalidRateCeiling",
    "StageLatencyRegressed",
    "StageWouldRejectTooHigh",
    "StageValidatorErrors",
    "StageOverrideActive",
    "StageMetricsMissing",
    "StageConfigReloadFailed",
    "StageReplicasDisagree",
    "StageUpstreamErrors",
    "StageMigrationStalled",
)
# A gate sees by itself what is held, and a migration that stalls says nothing of requests.
_NO_FIGURES = frozenset({"StageOverrideActive", "StageMigrationStalled"})


class Answer(StrEnum):
    """What a gate, or one figure of it, says."""

    READY = "READY"
    NOT_READY = "NOT_READY"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


@dataclass(frozen=True, slots=True)
class Gates:
    """The thresholds of one step.

    `max_refused_percent` and `unknown_floor_percent` are shares of the validations, in percent. A p99 may reach the
    larger of its floor, in seconds, and `p99_factor` times its baseline; the share of unknown values the larger of its
    floor and `unknown_factor` times what it was before the step. `min_validations_of` is by endpoint, for those that
    need fewer or more. `verified`: a report of `verify` must have passed.
    """

    max_refused_percent: float = 0.5
    min_validations: int = 1000
    min_validations_of: Mapping[str, int] = field(default_factory=dict)
    p99_floor_seconds: float = 0.005
    p99_factor: float = 2.0
    unknown_floor_percent: float = 0.1
    unknown_factor: float = 1.5
    alerts: tuple[str, ...] = tuple(name for name in ALERTS if name not in _NO_FIGURES)
    verified: bool = False

    def least(self, endpoint: str) -> int:
        """Return how many validations an endpoint needs."""
        return self.min_validations_of.get(endpoint, self.min_validations)


@dataclass(frozen=True, slots=True)
class EndpointFigures:
    """What was counted at one endpoint by all replicas together since the step came into force.

    None is what could not be found out. `refused` counts requests that were refused or would be; `uncounted` says
    why that is not counted, and is None where it is. `p99_seconds` is the time of judging, infinite above the largest
    bucket. `unknown` counts requests with a value that is in no vocabulary; `unknown_before` is their share, 0 to 1,
    in the time before the step. `held` says what holds the endpoint at a less strict mode than the file's.
    """

    validations: float | None
    refused: float | None
    internal_errors: float | None
    unknown: float | None
    p99_seconds: float | None
    p99_baseline: float | None = None
    unknown_before: float | None = None
    uncounted: str | None = None
    held: str | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What is known of the migration's verifier: `problem` says why there is no report that could be relied on.

    `vocabulary` is the fingerprint that the report was made under. `run` is what the database says of the last run,
    `run_ended` when it ended, None while it has not.
    """

    problem: str | None = None
    passed: bool = False
    vocabulary: str = ""
    at: datetime | None = None
    run: str = ""
    run_ended: datetime | None = None


class Alert(NamedTuple):
    """An alert that fires, and the endpoint that it is about, `all` when it is about no single one."""

    name: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures and where they came from. `doubts` say why they cannot be relied on, one line each.

    `firing` are the alerts that fire, None when nobody could be asked; `vocabulary` is the fingerprint in force.
    """

    source: str
    endpoints: Mapping[str, EndpointFigures]
    vocabulary: str = ""
    firing: tuple[Alert, ...] | None = None
    verification: Verification | None = None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure beside its threshold. `answer` None: it was not asked for and decides nothing."""

    figure: str
    endpoint: str | None
    value: str
    threshold: str
    source: str
    answer: Answer | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Readiness:
    """The answer of a whole gate, and everything it rests on."""

    answer: Answer
    findings: tuple[Finding, ...]
    doubts: tuple[str, ...]
    source: str


def judge(gates: Gates, measured: Measured) -> Readiness:
    """Return whether a step with these gates may be taken, by these figures."""
    findings = [
        found for name, figures in measured.endpoints.items() for found in _of_endpoint(name, figures, gates, measured)
    ]
    findings.append(_alerts(gates, measured))
    if gates.verified:
        findings.append(_verified(measured))
    answers = {finding.answer for finding in findings}
    doubts = measured.doubts if measured.endpoints else (*measured.doubts, "no endpoint has figures")
    if doubts:
        answer = Answer.INSUFFICIENT_DATA
    elif Answer.NOT_READY in answers:
        answer = Answer.NOT_READY
    elif Answer.INSUFFICIENT_DATA in answers:
        answer = Answer.INSUFFICIENT_DATA
    else:
        answer = Answer.READY
    return Readiness(answer, tuple(findings), doubts, measured.source)


def _of_endpoint(name: str, figures: EndpointFigures, gates: Gates, measured: Measured) -> Iterator[Finding]:
    least = gates.least(name)
    total = _count(figures.validations)
    enough = total is not None and total >= least

    def finding(figure: str, value: str, threshold: str, answer: Answer | None, why: str = "") -> Finding:
        return Finding(figure, name, value, threshold, measured.source, answer, why)

    shown = "missing" if total is None else f"{total:,.0f}"
    answer = Answer.READY if enough else Answer.INSUFFICIENT_DATA
    yield finding("validations", shown, f"at least {least:,}", answer)
    yield finding("refused", *_refused(figures, total, least, gates.max_refused_percent))
    yield finding("p99 of judging", *_p99(figures, gates, enough=enough))
    yield finding("internal errors", *_internal(figures))
    yield finding("unknown values", *_unknown(figures, total, gates, enough=enough))
    if figures.held is not None:
        yield finding("override", figures.held, "none", Answer.NOT_READY, "the step in force is not measured")


_Told = tuple[str, str, Answer | None, str]  # value, threshold, answer, why


def _refused(figures: EndpointFigures, total: float | None, least: int, limit: float) -> _Told:
    threshold = f"at most {limit:g} %"
    refused = _count(figures.refused)
    if figures.uncounted is not None:
        return "missing", threshold, Answer.INSUFFICIENT_DATA, figures.uncounted
    if refused is None or total is None:
        return "missing", threshold, Answer.INSUFFICIENT_DATA, ""
    if refused > total:
        why = f"{refused:,.0f} refused of {total:,.0f} cannot be"
        return "contradicting", threshold, Answer.INSUFFICIENT_DATA, why
    value = f"{_percent(refused, total)} ({refused:,.0f})"
    if _exceeds(refused, limit, max(total, least)):  # whatever the requests that are still missing will be
        return value, threshold, Answer.NOT_READY, ""
    return value, threshold, Answer.READY if total >= least else Answer.INSUFFICIENT_DATA, ""


def _p99(figures: EndpointFigures, gates: Gates, *, enough: bool) -> _Told:
    baseline = _count(figures.p99_baseline)
    limit = max(gates.p99_floor_seconds, gates.p99_factor * (baseline or 0.0))
    threshold = f"at most {_milliseconds(limit)}"
    why = "no baseline: the fixed bound alone holds" if baseline is None else ""
    p99 = figures.p99_seconds
    if p99 is None or math.isnan(p99) or p99 < 0:
        return "missing", threshold, Answer.INSUFFICIENT_DATA, why
    if not enough:
        return _milliseconds(p99), threshold, Answer.INSUFFICIENT_DATA, why
    return _milliseconds(p99), threshold, Answer.READY if p99 <= limit else Answer.NOT_READY, why


def _internal(figures: EndpointFigures) -> _Told:
    errors = _count(figures.internal_errors)
    if errors is None:
        return "missing", "none", Answer.INSUFFICIENT_DATA, ""
    return f"{errors:,.0f}", "none", Answer.NOT_READY if errors else Answer.READY, ""


def _unknown(figures: EndpointFigures, total: float | None, gates: Gates, *, enough: bool) -> _Told:
    unknown, before = _count(figures.unknown), _count(figures.unknown_before)
    limit = max(gates.unknown_floor_percent, gates.unknown_factor * 100 * (before or 0.0))
    threshold = "not rising" if before is None else f"at most {limit:.3g} %"
    if unknown is None or total is None or unknown > total:
        return "missing", threshold, Answer.INSUFFICIENT_DATA, ""
    value = f"{_percent(unknown, total)} ({unknown:,.0f})"
    if before is None:
        return value, threshold, None, "nothing before to compare with: the share of refusals bounds them"
    if not enough:
        return value, threshold, Answer.INSUFFICIENT_DATA, ""
    return value, threshold, Answer.NOT_READY if _exceeds(unknown, limit, total) else Answer.READY, ""


def _alerts(gates: Gates, measured: Measured) -> Finding:
    if measured.firing is None:
        why = "no Prometheus was asked; set STAGE_GATEWAY_PROMETHEUS_URL"
        return Finding("alerts", None, "not asked", "none firing", measured.source, None, why)
    named = [f"{alert.name} ({alert.endpoint})" for alert in measured.firing if alert.name in gates.alerts]
    answer = Answer.NOT_READY if named else Answer.READY
    return Finding("alerts", None, ", ".join(named) or "none", "none firing", measured.source, answer)


def _verified(measured: Measured) -> Finding:
    report = measured.verification
    value, answer, why = "passed", Answer.READY, ""
    if report is None or report.problem is not None:
        value, answer = "missing", Answer.INSUFFICIENT_DATA
        why = report.problem if report is not None and report.problem is not None else "run stage-gateway verify"
    elif not report.passed:
        value, answer = "violations", Answer.NOT_READY
    elif report.vocabulary != measured.vocabulary:
        value, answer = "another vocabulary", Answer.INSUFFICIENT_DATA
        why = f"the report is of {report.vocabulary or 'none'}, in force is {measured.vocabulary}; verify again"
    elif report.run_ended is None:
        value, answer, why = report.run or "no run", Answer.NOT_READY, "the migration is not finished"
    elif report.at is None or report.at <= report.run_ended:
        value, answer, why = "older than the last run", Answer.INSUFFICIENT_DATA, "verify again"
    threshold = "passed, under this vocabulary, after the last run"
    return Finding("verify report", None, value, threshold, "the report and the database", answer, why)


def _count(value: float | None) -> float | None:
    """Return a figure, None where it is none: a Prometheus may answer NaN or infinity."""
    return None if value is None or not math.isfinite(value) or value < 0 else value


def _exceeds(part: float, percent: float, whole: float) -> bool:
    """Whether a part is more than so many percent of the whole; a rounding error of floats does not decide."""
    bound = percent * whole / 100
    return part > bound and not math.isclose(part, bound, rel_tol=1e-9)


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.3g} %" if whole else "none"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if math.isfinite(seconds) else "above the largest bucket"
