"""Where a rollout is: the step in force, the next one, its gates, and whose figures decide. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.errors import ConfigurationError
from gateway.faults import did_you_mean
from gateway.promotion.enforcement import Enforcement, of
from gateway.promotion.gates import Gates
from gateway.promotion.plan import Plan, Step, concerned
from gateway.rollout.policy import Mode, Operation


@dataclass(frozen=True, slots=True)
class EndpointInForce:
    """How an endpoint is configured by what is in force. `operation` None: the method decides."""

    mode: Mode
    percent: float
    operation: Operation | None


@dataclass(frozen=True, slots=True)
class InForce:
    """What is in force. `config` and `vocabulary` are fingerprints, empty where gateways differ or nobody says.

    Not `known` when only modes and percentages in force are, not how endpoints are configured.
    """

    config: str
    vocabulary: str
    enforce_write_only: bool
    endpoints: Mapping[str, EndpointInForce]
    known: bool = True

    def enforcement(self) -> dict[str, Enforcement]:
        """Return how strictly every endpoint is configured."""
        return {
            name: of(found.mode, found.percent, write_only=self.enforce_write_only, operation=found.operation)
            for name, found in self.endpoints.items()
        }


@dataclass(frozen=True, slots=True)
class Position:
    """What the figures are asked for.

    `step` is the one in force, None when it is none of a plan; not `exact` when it was found by what it enforces, since
    its file was changed otherwise. `next` is the step that the gates lead to, None without one. `endpoints` are those
    whose figures decide. `told` is all that in a line, for people.
    """

    in_force: InForce
    step: Step | None
    exact: bool
    next: Step | None
    gates: Gates
    endpoints: tuple[str, ...]
    told: str
    plan: Plan | None = field(default=None, repr=False)

    @property
    def report(self) -> str:
        """Where the verifier's report is."""
        return (self.plan.report if self.plan is not None else None) or "report.json"

    @property
    def at_end(self) -> bool:
        """Whether the last step of the plan is in force."""
        return self.step is not None and self.next is None


def position_of(in_force: InForce, plan: Plan | None, endpoint: str | None = None) -> Position:
    """Return where a plan stands with what is in force; `endpoint` is judged by itself.

    Raises ConfigurationError when there is no such endpoint.
    """
    step, exact = (plan.at(in_force.config), True) if plan is not None else (None, False)
    if plan is not None and step is None and in_force.config and in_force.known:
        step, exact = plan.like(in_force.enforcement()), False
    following = plan.after(step) if plan is not None and step is not None else None
    gates = following.gates if following is not None else Gates()
    if step is not None and following is not None:
        endpoints = concerned(step.rules, following.rules)
    else:
        endpoints = _of_themselves(in_force, ending=step is not None)
    if endpoint is not None:
        known = {*in_force.endpoints, *(following.rules.endpoints.endpoints if following is not None else ())}
        if in_force.endpoints and endpoint not in known:
            names = ", ".join(sorted(known))
            problem = f"is no endpoint, expected one of {names}{did_you_mean(endpoint, known)}"
            raise ConfigurationError(endpoint, [problem])
        endpoints = [endpoint]
    told = _told(in_force, plan, step, following, exact=exact)
    return Position(in_force, step, exact, following, gates, tuple(endpoints), told, plan)


def _of_themselves(in_force: InForce, *, ending: bool) -> list[str]:
    """Return the endpoints that count where no next step says which: those that enforce, or may write."""
    found = in_force.endpoints
    enforcing = [name for name, one in found.items() if one.mode is Mode.ENFORCE]
    if ending and enforcing:
        return enforcing
    chosen = [name for name, one in found.items() if one.mode is Mode.ENFORCE or one.operation is not Operation.READ]
    return chosen or [name for name, one in found.items() if one.mode is not Mode.OFF]


def _told(in_force: InForce, plan: Plan | None, step: Step | None, following: Step | None, *, exact: bool) -> str:
    if not in_force.endpoints:
        return "nobody says what is in force"
    if plan is None:
        return "there is no plan; judged by the default gates"
    if not in_force.config:
        return f"different configurations are in force, so no step of {plan.source}; judged by the default gates"
    if step is None:
        return f"configuration {in_force.config} is no step of {plan.source}; judged by the default gates"
    now = f"step {step.number} of {len(plan.steps)}, {step.name}"
    if not exact:
        now += " (by what it enforces: its file was changed otherwise)"
    if following is None:
        return f"to stay at {now}, the last of the plan; judged by the default gates"
    return f"from {now}, to step {following.number}, {following.name}"
