"""How an upstream fails, and what the client is told of it."""

from gateway.proxy.answers import AnswerError


class UpstreamError(AnswerError):
    """The upstream failed; the message is for the log, `detail` for the client."""

    def __init__(
        self,
        message: str,
        status: int = 502,
        reason: str = "upstream_failed",
        detail: str = "the upstream could not be reached",
    ) -> None:
        super().__init__(status, reason, detail)
        self.args = (message,)


class UpstreamRefusedError(UpstreamError):
    """No connection could be made; nothing was sent."""


class UpstreamTimeoutError(UpstreamError):
    """No connection, no head, or silence within a response, for too long."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 504, "upstream_timeout", "the upstream did not answer")
