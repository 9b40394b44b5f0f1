"""What would happen to a request, and why, step by step: the handler's own way, without a server.

It reads the head with the server's parser and asks the same functions in the same order as the handler does, so
the answer is the gateway's.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage

from gateway.proxy.answers import AnswerError, no_room
from gateway.proxy.headers import Fields, IndexedFields, values
from gateway.proxy.judging import stage_fields
from gateway.proxy.parser import parser_settings, refused_head
from gateway.proxy.problem import refusal
from gateway.proxy.request import RequestHead, fresh_ids, request_id
from gateway.proxy.routing import Route, inspected_head, route
from gateway.rollout.decision import Decision
from gateway.rollout.inspection import Inspection
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


def explain(rules: Rules, method: str, target: str, fields: Fields, body: bytes) -> Explanation:
    """Return what the gateway would do with this request under `rules`.

    A Host field is added where it is missing, and a Content-Length where nothing frames the body, as any client
    would; one that is not the body's is put right. Of a body sent chunked, `body` is what the chunks hold.
    """
    told = Explanation()
    try:
        head = _parse(method, target, _completed(fields, body), rules.limits.max_head_bytes)
        way = route(rules, head)
    except AnswerError as error:
        return _refused(told, "head", error, fields)
    told.say("route", f"to upstream {way.upstream.name!r} ({way.upstream.host}:{way.upstream.port})")
    told.say("endpoint", _endpoint_text(way))
    if way.match is None:
        return told
    if way.inspected is None:
        told.say("mode", "off: passes through uninspected")
        return told
    inspection = Inspection(inspected_head(head), way.match, rules.policy)
    holds = inspection.may_refuse and inspection.wants_body
    inspection.feed(body[:1])  # only then is it certain of a chunked body that there is one
    if holds and not inspection.ended and len(body) > rules.limits.held_bytes:
        return _refused(told, "body", no_room(), fields)
    inspection.feed(body[1:])
    _tell_decision(told, rules, head, way, inspection.finish())
    return told


def _completed(fields: Fields, body: bytes) -> list[tuple[bytes, bytes]]:
    """Return the fields with those that a client adds itself."""
    sent = list(fields)
    if not values(sent, b"host"):
        sent.insert(0, (b"Host", b"gateway.example"))
    lengths = values(sent, b"content-length")
    if values(sent, b"transfer-encoding") or len(lengths) > 1 or not all(map(bytes.isdigit, lengths)):
        return sent
    own = [(b"Content-Length", b"%d" % len(body))] if body or lengths else []
    return [(name, value) for name, value in sent if name.lower() != b"content-length"] + own


def _parse(method: str, target: str, fields: Fields, limit: int) -> RequestHead:
    """Return the head as aiohttp's parser, which the server reads with, understands it. Raises AnswerError."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(
            BaseProtocol(loop),
            loop,
            2**16,
            **parser_settings(limit),
        )
        first = f"{method} {target} HTTP/1.1\r\n".encode("utf-8", "surrogateescape")
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        messages, _, _ = parser.feed_data(first + lines + b"\r\n")
        message: RawRequestMessage = messages[0][0]
        return RequestHead.of(message.method, message.path, (1, 1), message.raw_headers, "", fresh_ids())
    except HttpProcessingError as error:
        raise refused_head(error, limit) from error
    finally:
        loop.close()


def _refused(told: Explanation, topic: str, error: AnswerError, fields: Fields) -> Explanation:
    told.outcome, told.status = "refused", error.status
    told.problem = orjson.loads(error.answer(request_id(IndexedFields(fields), fresh_ids())[0]).body)
    told.say(topic, f"refused with {error.status}, whatever the stages: {error.detail}")
    return told


def _endpoint_text(way: Route) -> str:
    match = way.match
    if match is None:
        return "none has this path: passes through uninspected"
    given = ", ".join(f"{name}={value!r}" for name, value in match.parameters.items())
    text = match.endpoint.pattern + (f" with {given}" if given else "")
    return text + ("; not every server would read the path so" if match.ambiguous else "")


def _tell_decision(told: Explanation, rules: Rules, head: RequestHead, way: Route, decision: Decision | None) -> None:
    told.say("mode", f"{way.mode} in the configuration")
    if decision is None:
        told.say("inspection", "nothing to inspect: passes through, and is not counted")
        return
    enforcement, verdict = decision.enforcement, decision.verdict
    percent = rules.endpoints.endpoints[decision.endpoint].percent
    if enforcement.exempt is not None:
        told.say("effective mode", f"warn: {enforcement.exempt}")
    if enforcement.bucket is not None:
        is_made_up = enforcement.key == head.request_id and not head.has_own_id
        made = " (made up: without X-Request-Id each request gets a new one)" if is_made_up else ""
        told.say(
            "percentage",
            f"key {enforcement.key!r}{made} is in bucket {enforcement.bucket} of 10000; "
            f"{percent:g} % takes those below {round(percent * 100)}",
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
        told.problem = orjson.loads(refusal(decision, head.path, head.request_id, rules.policy.vocabulary).body)
        told.say("result", f"reject: answered {decision.status}, nothing is sent upstream")
    else:
        extra = ", ".join(f"{name}: {value}" for name, value in told.response_fields)
        told.say("result", f"{decision.result}: forwarded" + (f", the response carries {extra}" if extra else ""))
