"""Refusals as problem documents (RFC 9457). Nothing a client sent is echoed but stage values, cut, as JSON."""

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import orjson

from gateway.proxy.headers import IndexedFields, response_head
from gateway.rollout.decision import Decision
from gateway.stages.verdict import WHOLE_REQUEST, Reason, Verdict, Violation
from gateway.stages.vocabulary import Vocabulary

MEDIA_TYPE = b"application/problem+json"

_WHOLE_REQUEST_TEXT = MappingProxyType(
    {
        Reason.UNPARSEABLE: "the body is not valid JSON in UTF-8",
        Reason.AMBIGUOUS_JSON: "a member name on the way to a stage stands twice, or beside `__proto__`",
        Reason.CONTENT_TYPE: "a body must be application/json or application/*+json",
        Reason.CHARSET: "the charset of a JSON body must be utf-8",
        Reason.ENCODING: "the content coding must be identity, one gzip or one deflate",
        Reason.ENCODING_BAD: "the body does not decode with its content coding",
        Reason.TOO_LARGE: "the body is larger than this endpoint accepts, as sent or decoded",
        Reason.AMBIGUOUS_PATH: "the path is an endpoint only after normalising; send it in its plain form",
        Reason.METHOD_OVERRIDE: "a method-override header is not accepted here; use the method itself",
        Reason.INTERNAL_ERROR: "the validator failed; the request was not forwarded",
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of the gateway's own."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def head(self, request_id: str, persistence: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the head as it goes out; `persistence` says what becomes of the connection."""
        fields = [
            (b"Content-Type", MEDIA_TYPE),
            (b"Content-Length", b"%d" % len(self.body)),
            (b"X-Request-Id", request_id.encode("ascii")),
            *self.headers,
            *persistence,
        ]
        phrase = HTTPStatus(self.status).phrase.encode("ascii")
        return response_head(self.status, phrase, IndexedFields(()), added=fields, inspected=False)


def problem(status: int, reason: str, detail: str, request_id: str, *headers: tuple[bytes, bytes]) -> Answer:
    """Return a problem document of type `urn:stage-gateway:<reason>`."""
    document = {
        "type": f"urn:stage-gateway:{reason}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "requestId": request_id,
    }
    return Answer(status, orjson.dumps(document), headers)


def refusal(decision: Decision, path: str, request_id: str, vocabulary: Vocabulary) -> Answer:
    """Return the answer to a request that is refused for its stages, or for what hides them."""
    verdict = decision.verdict
    reason = verdict.reason
    if reason is None or decision.status is None:
        raise ValueError("only a refused request has a refusal")
    whole = reason in WHOLE_REQUEST
    document = {
        "type": f"urn:stage-gateway:{reason if whole else 'invalid-stage'}",
        "title": HTTPStatus(decision.status).phrase if whole else "Invalid investment stage",
        "status": decision.status,
        "detail": _WHOLE_REQUEST_TEXT[reason] + _place(verdict) if whole else _detail(verdict),
        "instance": path,
        "requestId": request_id,
        "endpoint": decision.endpoint,
        "reason": reason,
        "count": verdict.count,
        "countIsLowerBound": verdict.count_is_lower_bound,
        "truncated": verdict.truncated,
    }
    if verdict.position is not None:
        document["position"] = verdict.position._asdict()
    if not whole:
        document["violations"] = [_violation(violation) for violation in verdict.violations]
    document["allowed"] = list(vocabulary.canonical)
    return Answer(decision.status, orjson.dumps(document))


def _violation(violation: Violation) -> dict[str, Any]:
    place = {"pointer": violation.pointer} if violation.parameter is None else {"parameter": violation.parameter}
    return {
        **place,
        "value": violation.value,
        "reason": violation.reason,
        "suggestion": violation.suggestion,
        "occurrences": violation.occurrences,
    }


def _place(verdict: Verdict) -> str:
    where = verdict.position
    return "" if where is None else f": it goes wrong at byte {where.byte}, line {where.line}, column {where.column}"


def _detail(verdict: Verdict) -> str:
    if verdict.reason is Reason.WEIGHT_SUM:
        return "the weights of the stages do not sum to 1"
    if verdict.count_is_lower_bound:
        return f"at least {verdict.count} stage values are not canonical"
    return f"{verdict.count} of {verdict.values} stage values are not canonical"
