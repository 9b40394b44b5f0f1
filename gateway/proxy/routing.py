"""Where a request goes, and whether it is inspected on the way: the one answer for the gateway and for `explain`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from gateway.proxy.answers import AnswerError
from gateway.proxy.plain import plain_line
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


ModeOf: TypeAlias = Callable[[Endpoint], Mode]


def route(rules: Rules, head: RequestHead, mode_of: ModeOf = lambda e: e.mode) -> Route:
    """Return the way of a request under `rules`; `mode_of` gives the modes in force. Raises AnswerError."""
    check_head(head, rules.limits.max_head_bytes)
    return route_of_path(rules, head.path, mode_of)


def route_of_path(rules: Rules, path: str, mode_of: ModeOf) -> Route:
    """Return the way of a request to a path, whose head is in order. Raises AnswerError."""
    upstream = rules.upstream_for(path)
    if upstream is None:
        raise AnswerError(404, "no_route", "no route takes this path")
    match = rules.endpoints.match(path, mode_of)
    return Route(upstream, match, Mode.OFF if match is None else mode_of(match.endpoint))


@dataclass(frozen=True, slots=True)
class PlainWay:
    """The way of the plain requests that begin with the same line."""

    method: str
    target: str
    path: str
    query: str
    route: Route


def plain_way(rules: Rules, first: bytes, mode_of: ModeOf) -> PlainWay | None:
    """Return the way of the requests that begin with this line; None where it is not plain, or leads nowhere."""
    line = plain_line(first)
    if line is None:
        return None
    path, _, query = line.target.partition("?")
    try:
        return PlainWay(line.method, line.target, path, query, route_of_path(rules, path, mode_of))
    except AnswerError:
        return None


def inspected_head(head: RequestHead) -> Head:
    """Return what the decision needs of a head."""
    return Head(head.method, head.path, head.query, head.fields.named, head.request_id, head.has_body, head.length)
