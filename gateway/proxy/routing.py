"""Where a request goes, and whether it is inspected on the way: the one answer for the gateway and for `explain`."""

from collections.abc import Callable
from typing import NamedTuple

from gateway.proxy.answers import AnswerError
from gateway.proxy.request import RequestHead, check_head
from gateway.rollout.endpoints import Endpoint, Match
from gateway.rollout.head import Head
from gateway.rollout.policy import Mode
from gateway.rules.load import Rules, Upstream


class Route(NamedTuple):
    """The way of one request. `match` is the endpoint that it is, None when it is none, `mode` the one in force."""

    upstream: Upstream
    match: Match | None
    mode: Mode

    @property
    def inspected(self) -> Match | None:
        """The endpoint that the request is inspected for, None when it passes through."""
        return None if self.mode is Mode.OFF else self.match


def route(rules: Rules, head: RequestHead, mode_of: Callable[[Endpoint], Mode] = lambda e: e.mode) -> Route:
    """Return the way of a request under `rules`; `mode_of` gives the modes in force. Raises AnswerError."""
    check_head(head, rules.limits.max_head_bytes)
    upstream = rules.upstream_for(head.path)
    if upstream is None:
        raise AnswerError(404, "no_route", "no route takes this path")
    match = rules.endpoints.match(head.path, mode_of)
    return Route(upstream, match, Mode.OFF if match is None else mode_of(match.endpoint))


def inspected_head(head: RequestHead) -> Head:
    """Return what the decision needs of a head."""
    return Head(head.method, head.path, head.query, head.fields.named, head.request_id, head.has_body, head.length)
