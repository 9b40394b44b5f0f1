"""One configuration at work: the rules, the connections and the metrics' children that belong to it.

A request takes the service that is in force when it begins, and keeps it to its end. A reload makes a new service
and swaps it in whole; upstreams that did not change keep their connections.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.proxy.forms import RequestForm
from gateway.proxy.minimum_rate import MinimumRate
from gateway.proxy.routing import PlainWay, plain_way
from gateway.proxy.upstream import Pool
from gateway.rollout.endpoints import Endpoint
from gateway.rollout.good import GoodRequests
from gateway.rollout.policy import Mode
from gateway.rules.load import Rules, Upstream
from gateway.telemetry.metrics import EndpointMetrics, Metrics, UpstreamMetrics, children_of

_MOST_WAYS = 1024  # first lines that are remembered
_MOST_GOOD = 1024  # heads, of which each may hold a form that is remembered nowhere else


@dataclass(frozen=True, slots=True)
class Service:
    """Everything a request needs of the configuration in force.

    `good` has what becomes of good requests, by their first line and form; None where that depends on more.
    """

    rules: Rules
    pools: Mapping[str, Pool]
    upstream_metrics: Mapping[str, UpstreamMetrics]
    endpoint_metrics: Mapping[str, EndpointMetrics]
    minimum_rate: MinimumRate
    modes: Mapping[str, Mode]  # in force, by the endpoint's pattern: the file's unless an override is less strict
    ways: dict[bytes, PlainWay | None] = field(default_factory=dict, init=False, compare=False)
    good: dict[tuple[bytes, RequestForm], GoodRequests | None] = field(default_factory=dict, init=False, compare=False)

    def way(self, first: bytes) -> PlainWay | None:
        """Return the way of a request with this first line; None where that is not plain, or leads nowhere."""
        known = self.ways.get(first)
        if known is not None or first in self.ways:
            return known
        if len(self.ways) >= _MOST_WAYS:
            self.ways.clear()
        way = self.ways[first] = plain_way(self.rules, first, self.mode_of)
        return way

    def remember(self, head: tuple[bytes, RequestForm], good: GoodRequests | None) -> None:
        """Remember what becomes of the good requests with this head."""
        if len(self.good) >= _MOST_GOOD:
            self.good.clear()
        self.good[head] = good

    @classmethod
    def of(cls, rules: Rules, metrics: Metrics, previous: "Service | None" = None) -> "Service":
        """Put a service together; `previous` is the one it replaces."""
        before = previous.pools if previous is not None else {}
        limits = rules.limits
        timeout = limits.connect_timeout_seconds
        pools = {}
        for name, upstream in rules.upstreams.items():
            pool = before.get(name)
            pools[name] = pool if pool and _same(pool, upstream, timeout) else Pool(upstream, timeout)
        upstream_metrics, endpoint_metrics = children_of(rules, metrics)
        made = cls(
            rules=rules,
            pools=pools,
            upstream_metrics=upstream_metrics,
            endpoint_metrics=endpoint_metrics,
            minimum_rate=MinimumRate(limits.header_timeout_seconds, limits.min_body_bytes_per_second),
            modes={pattern: endpoint.mode for pattern, endpoint in rules.endpoints.endpoints.items()},
        )
        # Only now is anything of the old one let go.
        for name, pool in before.items():
            if pools.get(name) is not pool:
                pool.retire()
        return made

    def mode_of(self, endpoint: Endpoint) -> Mode:
        """Return the mode in force."""
        return self.modes[endpoint.pattern]

    def close(self) -> None:
        """Close the connections that are idle, and the others when they come back."""
        for pool in self.pools.values():
            pool.retire()


def _same(pool: Pool, upstream: Upstream, connect_timeout: float) -> bool:
    # A TLS context is read from files that may have changed, so an https upstream begins anew.
    return pool.upstream == upstream and upstream.tls is None and pool.connect_timeout == connect_timeout
