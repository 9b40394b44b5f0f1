"""Which gateways a Prometheus knows, what they have in force and since when, and whether it saw them all the time."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

from gateway.promotion.prometheus import Prometheus
from gateway.rollout.policy import Mode

Replica = frozenset[tuple[str, str]]  # the labels that all series of a gateway have
INFO = "stage_gateway_config_info"
_OWN = frozenset({"__name__", "config", "vocabulary", "version"})
_LOOKBACK = 300  # seconds; a longer gap is one
_STEP = 15
_POINTS = 10_000  # in one answer; Prometheus gives at most 11,000
_MISSED_SCRAPES = 4
FRESH = 60.0  # seconds that a last sample or evaluation may be old however often there is one
LONGEST = 90 * 86_400


def replica_of(labels: Mapping[str, str], own: frozenset[str]) -> Replica:
    """Return whose series it is: its labels but for those of the metric."""
    return frozenset((name, value) for name, value in labels.items() if name not in own and name != "__name__")


def called(replica: Replica) -> str:
    """Return the name of a replica for people."""
    labels = dict(replica)
    return labels.get("instance") or ", ".join(f"{name}={value}" for name, value in sorted(labels.items())) or "gateway"


def utc(seconds: float) -> str:
    """Return a time as `--since` takes it; later by less than a second, never earlier."""
    return f"{datetime.fromtimestamp(-(-seconds // 1), UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, slots=True)
class Told:
    """What one replica says of itself now."""

    config: str
    vocabulary: str
    since: float | None = None
    dry_run: bool | None = None
    modes: Mapping[str, Mode] = field(default_factory=dict)
    percents: Mapping[str, float] = field(default_factory=dict)
    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replicas:
    """All gateways there are now, and why what is known of them cannot be relied on."""

    told: Mapping[Replica, Told]
    doubts: tuple[str, ...]

    @property
    def began(self) -> float | None:
        """Since when all have had in force what they have."""
        moments = [told.since for told in self.told.values()]
        return max((moment for moment in moments if moment is not None), default=None)


async def find(prometheus: Prometheus) -> Replicas:
    """Return the gateways that Prometheus sees now. Raises UnreachableError, AnswerError."""
    seen, doubts = await _seen(prometheus)
    since = {replica_of(one.labels, _OWN): one.value for one in await prometheus.query(_SINCE)}
    dry_run = {replica_of(one.labels, _OWN): one.value for one in await prometheus.query("stage_gateway_dry_run")}
    modes = await _by_endpoint(prometheus, "stage_gateway_endpoint_mode", "mode")
    percents = await _by_endpoint(prometheus, "stage_gateway_enforcement_percent", "")
    held = await _by_endpoint(prometheus, "stage_gateway_override", "source")
    told = {}
    for replica, (config, vocabulary) in seen.items():
        in_force = {name: [m for m, value in found.items() if value == 1] for name, found in modes[replica].items()}
        known = {str(mode) for mode in Mode}
        told[replica] = Told(
            config,
            vocabulary,
            since.get(replica),
            {0.0: False, 1.0: True}.get(dry_run.get(replica, -1.0)),
            {name: Mode(one[0]) for name, one in in_force.items() if len(one) == 1 and one[0] in known},
            {name: found[""] for name, found in percents[replica].items() if 0 <= found[""] <= 100},
            {n: tuple(s for s, v in found.items() if v != 0) for n, found in held[replica].items()},
        )
    return Replicas(told, (*doubts, *_differences(told, prometheus.at), *await _down(prometheus, told)))


_SINCE = "stage_gateway_config_in_force_since_seconds"


async def _seen(prometheus: Prometheus) -> tuple[dict[Replica, tuple[str, str]], list[str]]:
    """Return the fingerprints of the replicas whose last sample is fresh, and a doubt for every other one."""
    last: dict[Replica, dict[tuple[str, str], float]] = defaultdict(dict)
    intervals: list[float] = []
    for labels, times in await prometheus.samples(f"{INFO}[{_LOOKBACK}s]"):
        fingerprints = labels.get("config", ""), labels.get("vocabulary", "")
        last[replica_of(labels, _OWN)][fingerprints] = times[-1]
        intervals += [new - old for old, new in pairwise(times)]
    bound = max(_MISSED_SCRAPES * statistics.median(intervals or [0.0]), FRESH)
    seen, doubts = {}, []
    for replica, found in last.items():
        latest = max(found.values())
        fresh = [fingerprints for fingerprints, moment in found.items() if moment == latest]
        if prometheus.at - latest > bound or latest - prometheus.at > 1:
            age = prometheus.at - latest
            doubts.append(
                f"{called(replica)}: its last sample is {age:.0f} s old, expected at most {bound:.0f} s; "
                f"if it has gone for good, measure what came after it: --since {utc(latest)}"
            )
        elif len(fresh) > 1 or not all(fresh[0]):
            doubts.append(f"{called(replica)}: does not say which one configuration it has in force")
        else:
            seen[replica] = fresh[0]
    if not last:
        doubts.append(f"{prometheus.name}: has no samples of {INFO} now; let it scrape the gateways' admin ports")
    return seen, doubts


async def _by_endpoint(prometheus: Prometheus, metric: str, label: str) -> dict[Replica, dict[str, dict[str, float]]]:
    found: dict[Replica, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    own = _OWN | {"endpoint", label}
    for one in await prometheus.query(metric):
        name = one.labels.get("endpoint", "")
        found[replica_of(one.labels, own)][name][one.labels.get(label, "") if label else ""] = one.value
    return found


def _differences(told: Mapping[Replica, Told], now: float) -> Iterator[str]:
    for what in ("config", "vocabulary", "dry_run", "modes"):
        values = {called(replica): getattr(one, what) for replica, one in told.items()}
        if len({str(sorted(v.items())) if isinstance(v, dict) else v for v in values.values()}) > 1:
            names = {"config": "configuration", "dry_run": "dry run", "modes": "modes"}
            different = ", ".join(f"{value} at {name}" for name, value in values.items() if what != "modes")
            more = f": {different}" if different else f" ({', '.join(values)})"
            yield f"the gateways differ in their {names.get(what, what)}{more}; reload them with one file"
    for replica, one in told.items():
        if one.since is None:
            yield f"{called(replica)}: does not tell {_SINCE}; is it a gateway of this version?"
        elif not 0 < one.since <= now:  # NaN too
            yield f"{called(replica)}: its configuration came into force later than it is now; set the clocks"
        if one.dry_run is None:
            yield f"{called(replica)}: does not tell whether dry run is on"


async def _down(prometheus: Prometheus, told: Mapping[Replica, Told]) -> list[str]:
    """Return a doubt for each replica that cannot be scraped, and for others of their jobs that cannot."""
    jobs = {dict(replica).get("job", "") for replica in told}
    up = {replica_of(one.labels, _OWN): (one.labels, one.value) for one in await prometheus.query("up")}
    doubts = [
        f"{called(replica)}: is down, or its scrapes fail; see the targets of Prometheus"
        for replica, (labels, value) in up.items()
        if labels.get("job", "") in jobs and value != 1
    ]
    return doubts + [f"{called(replica)}: there is no `up` of it" for replica in told if replica not in up]


async def gaps(prometheus: Prometheus, replicas: Replicas, begin: float) -> list[str]:
    """Return a doubt for each gap of over five minutes, and each replica that has gone, since a moment.

    Steps look back so far that a gap of five minutes has a step without a sample, whatever it falls on.
    """
    look = _LOOKBACK - _STEP
    span = max(int(1000 * (prometheus.at - begin)), 1)
    counted = await prometheus.query(f"count_over_time({INFO}[{span}ms])")
    gone = {replica_of(one.labels, _OWN) for one in counted} - set(replicas.told)
    seen: dict[Replica, set[int]] = defaultdict(set)
    steps = int((prometheus.at - begin - look) // _STEP) + 1 if prometheus.at - begin > look else 0
    first = begin + look
    for offset in range(0, steps, _POINTS):
        start = first + offset * _STEP
        end = first + (min(offset + _POINTS, steps) - 1) * _STEP
        for labels, times in await prometheus.range(f"count_over_time({INFO}[{look}s])", start, end, _STEP):
            seen[replica_of(labels, _OWN)].update(round((moment - first) / _STEP) for moment in times)
    doubts = []
    for replica in replicas.told:
        missing = [step for step in range(steps) if step not in seen[replica]]
        if missing:
            cure = f"--since {utc(first + (missing[-1] + 1) * _STEP)}"
            doubts.append(
                f"{called(replica)}: {len(missing) * _STEP // 60 + 5} minutes or so without samples, until "
                f"{utc(first + missing[-1] * _STEP)}; measure what came after them: {cure}"
            )
    for replica in gone:
        last = max(seen[replica], default=-1)
        cure = f"--since {utc(first + last * _STEP)}" if last >= 0 else "--since with the time at which it went"
        doubts.append(f"{called(replica)}: was there since the step, and has gone; measure what came after it: {cure}")
    return doubts
