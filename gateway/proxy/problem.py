"""Refusals as problem documents (RFC 9457). Nothing a client sent is echoed but stage values, cut, as JSON."""

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from gateway.proxy.headers import IndexedFields, response_head
from gateway.rollout.decision import Decision
from gateway.stages.verdict import Verdict, Violation
from gateway.stages.vocabulary import Vocabulary

MEDIA_TYPE = b"application/problem+json"


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

    def as_last(self, request_id: str) -> bytes:
        """Return the whole response, which says that it is the last on its connection."""
        return self.head(request_id, [(b"Connection", b"close")]) + self.body


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
    document = {
        "type": f"urn:stage-gateway:{reason if reason.is_whole else 'invalid-stage'}",
        "title": reason.headline,
        "status": decision.status,
        "detail": reason.detail.format(found=_found(verdict)) + _place(verdict),
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
    if not reason.is_whole:
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


def _found(verdict: Verdict) -> str:
    return f"at least {verdict.count}" if verdict.count_is_lower_bound else f"{verdict.count} of {verdict.values}"
