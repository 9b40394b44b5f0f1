"""One error that means "answer this now": whatever ends a request before its response has begun.

`status`, `reason` and `detail` make the problem document (RFC 9457); nothing in them is what a client sent.
"""

from types import MappingProxyType

from gateway.proxy.problem import Answer, problem

_FIELDS_BY_STATUS = MappingProxyType(
    {
        405: ((b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),),
        503: ((b"Retry-After", b"1"),),
    }
)


class AnswerError(Exception):
    """A request that is answered by the gateway itself, whatever its stages."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        self.status = status
        self.reason = reason
        self.detail = detail
        super().__init__(detail)

    def answer(self, request_id: str) -> Answer:
        """Return the answer to the request of this id."""
        fields = _FIELDS_BY_STATUS.get(self.status, ())
        return problem(self.status, self.reason, self.detail, request_id, *fields)


class BodyError(AnswerError):
    """The client does not send its body as it has to."""


def malformed(detail: str) -> AnswerError:
    """Return the error for a head that two readers could understand differently."""
    return AnswerError(400, "malformed", detail)


def no_room() -> AnswerError:
    """Return the error for a body that there is no room to hold."""
    return AnswerError(503, "no_room", "no room to hold another body right now")


def gateway_failed() -> AnswerError:
    """Return the error for a fault of the gateway itself."""
    return AnswerError(500, "internal_error", "the gateway failed")
