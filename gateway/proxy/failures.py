"""How an upstream fails, and what the client is told of it."""


class UpstreamError(Exception):
    """The upstream failed. `status` is what the client is told, `reason` the problem's name."""

    status = 502
    reason = "upstream_failed"


class UpstreamRefusedError(UpstreamError):
    """No connection could be made; nothing was sent."""


class UpstreamTimeoutError(UpstreamError):
    """No connection, no head, or silence within a response, for too long."""

    status = 504
    reason = "upstream_timeout"
