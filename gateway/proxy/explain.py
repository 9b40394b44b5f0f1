"""What would happen to a request, and why, step by step: the handler's own way, without a server.

It asks the same functions in the same order as the handler does, so the answer is the gateway's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.proxy.handler import no_route
from gateway.proxy.headers import HeadError, check_head, origin_form, request_id, values
from gateway.proxy.judging import stage_fields
from gateway.proxy.problem import refusal
from gateway.rollout.decision import Decision
from gateway.rollout.endpoints import Match
from gateway.rollout.inspection import Head, Inspection
from gateway.rollout.policy import Mode
from gateway.rules.load import Rules


@dataclass(slots=True)
class Explanation:
    """The steps in order, and what they come to.

    `outcome` is `pass_through` (not inspected), `pass`, `warn`, `would_reject`, `reject`, or `refused` for a head
    that no endpoint's mode can save. `status` is that of a refusal.
    """

    outcome: str = "pass_through"
    status: int | None = None
    steps: list[tuple[str, str]] = field(default_factory=list)
    decision: Decision | None = None
    problem: dict[str, Any] | None = None
    response_fields: list[tuple[str, str]] = field(default_factory=list)

    def say(self, topic: str, text: str) -> None:
        """Add a step."""
        self.steps.append((topic, text))

    @property
    def refused(self) -> bool:
        """Whether the request would not reach the upstream."""
        return self.status is not None


def explain(rules: Rules, method: str, target: str, fields: Sequence[tuple[bytes, bytes]], body: bytes) -> Explanation:
    """Return what the gateway would do with this request under `rules`.

    A Host field and a Content-Length are added where they are missing, as any client would.
    """
    told = Explanation()
    sent: list[tuple[bytes, bytes]] = list(fields)
    if not values(sent, b"host"):
        sent.insert(0, (b"Host", b"gateway.example"))
    if body and not values(sent, b"content-length"):
        sent.append((b"Content-Length", str(len(body)).encode("ascii")))
    plain, _ = origin_form(target)
    path, _, query = plain.partition("?")
    try:
        check_head(method, plain, (1, 1), sent, rules.limits.max_head_bytes)
        upstream = rules.upstream_for(path)
        if upstream is None:
            raise no_route()
    except HeadError as error:
        told.outcome, told.status = "refused", error.status
        told.say("head", f"refused with {error.status} in every mode: {error.detail}")
        return told
    told.say("route", f"to upstream {upstream.name!r} ({upstream.host}:{upstream.port})")
    match = rules.endpoints.match(path)
    if match is None:
        told.say("endpoint", "none has this path: passes through uninspected")
        return told
    told.say("endpoint", _endpoint_text(match))
    if match.endpoint.mode is Mode.OFF:
        told.say("mode", "off: passes through uninspected")
        return told
    identity, own = request_id(sent)
    head = Head(method, path, query, sent, identity, has_body=bool(body), content_length=len(body) or None)
    inspection = Inspection(head, match, rules.policy)
    inspection.feed(body)
    _tell_decision(told, rules, match, inspection.finish(), identity, own=own, path=path)
    return told


def _endpoint_text(match: Match) -> str:
    given = ", ".join(f"{name}={value}" for name, value in match.parameters.items())
    text = match.endpoint.pattern + (f" with {given}" if given else "")
    return text + ("; not every server would read the path so" if match.ambiguous else "")


def _tell_decision(
    told: Explanation,
    rules: Rules,
    match: Match,
    decision: Decision | None,
    identity: str,
    *,
    own: bool,
    path: str,
) -> None:
    told.say("mode", f"{match.endpoint.mode} in the configuration")
    if decision is None:
        told.say("inspection", "nothing to inspect: passes through, and is not counted")
        return
    standing, verdict = decision.standing, decision.verdict
    if standing.demoted is not None:
        told.say("effective mode", f"warn: {standing.demoted}")
    if standing.bucket is not None:
        made = "" if own or standing.key != identity else " (made up: without X-Request-Id each request gets a new one)"
        told.say(
            "percentage",
            f"key {standing.key!r}{made} is in bucket {standing.bucket} of 10000; "
            f"{match.endpoint.percent:g} % takes those below {round(match.endpoint.percent * 100)}",
        )
    if verdict.valid:
        told.say("stages", f"{verdict.values} looked at, all right")
    else:
        told.say("stages", f"{verdict.values} looked at, {verdict.count} found wrong; first reason {verdict.reason}")
    for violation in verdict.violations:
        place = violation.pointer if violation.parameter is None else f"query parameter {violation.parameter!r}"
        hint = f"; did you mean {violation.suggestion!r}?" if violation.suggestion else ""
        shown = orjson.dumps(violation.value).decode()
        told.say("violation", f"{place}: {shown} {violation.reason} ({violation.occurrences} ×){hint}")
    told.decision = decision
    told.outcome, told.status = decision.result, decision.status
    told.response_fields = [(name.decode(), value.decode()) for name, value in stage_fields(decision)]
    if decision.refused:
        told.problem = orjson.loads(refusal(decision, path, identity, rules.policy.vocabulary).body)
        told.say("result", f"reject: answered {decision.status}, nothing is sent upstream")
    else:
        extra = ", ".join(f"{name}: {value}" for name, value in told.response_fields)
        told.say("result", f"{decision.result}: forwarded" + (f", the response carries {extra}" if extra else ""))
