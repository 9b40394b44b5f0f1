"""The figures that a Prometheus has of all gateways together, since what is in force came into force."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gateway.errors import ConfigurationError, GatewayError
from gateway.promotion import gateways
from gateway.promotion.counters import Counters, read, unknown_before
from gateway.promotion.gates import Alert, EndpointFigures, Measured
from gateway.promotion.gateways import ENOUGH_BEFORE, Gateways, uncounted
from gateway.promotion.position import EndpointInForce, InForce
from gateway.promotion.prometheus import Prometheus
from gateway.promotion.replicas import FRESH, LONGEST, Replicas, called, gaps, utc
from gateway.rollout.policy import Mode, Operation
from gateway.rules.load import Rules

_BASELINE = "stage_validation_latency:p99_baseline"
_MISSED_EVALUATIONS = 4


def in_force(replicas: Replicas, candidates: Sequence[Rules]) -> InForce:
    """Return what the gateways have in force; of a configuration among the candidates all is known."""
    told = list(replicas.told.values())
    configs, vocabularies = {one.config for one in told}, {one.vocabulary for one in told}
    config = configs.pop() if len(configs) == 1 else ""
    vocabulary = vocabularies.pop() if len(vocabularies) == 1 else ""
    rules = _known(config, candidates)
    if rules is not None:
        endpoints = {
            name: EndpointInForce(one.mode, one.percent, one.operation)
            for name, one in rules.endpoints.endpoints.items()
        }
        return InForce(config, vocabulary, rules.policy.enforce_write_only, endpoints)
    seen = {name: (mode, one.percents.get(name, 0.0)) for one in told for name, mode in one.modes.items()}
    endpoints = {name: EndpointInForce(mode, percent, None) for name, (mode, percent) in seen.items()}
    return InForce(config, vocabulary, False, endpoints, known=False)


def _known(config: str, candidates: Sequence[Rules]) -> Rules | None:
    return next((rules for rules in candidates if rules.fingerprint == config), None)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: `endpoints`, the `alerts` of the gate, and from when on, None: since it is in force.

    `rules` are those in force, where they are known.
    """

    endpoints: Sequence[str]
    alerts: Sequence[str]
    since: datetime | None
    rules: Rules | None


async def measured(prometheus: Prometheus, replicas: Replicas, asked: Asked) -> Measured:
    """Return the figures, and every reason not to rely on them. Raises ConfigurationError for a wrong `since`."""
    begin = _begin(prometheus, replicas, asked.since)
    doubts = list(replicas.doubts)
    endpoints = dict.fromkeys(asked.endpoints, EndpointFigures(None, None, None, None, None))
    if begin is not None and prometheus.at - begin > LONGEST:
        limit = utc(prometheus.at - LONGEST)
        doubts.append(f"what is in force is so for over {LONGEST // 86_400} days; measure fewer: --since {limit}")
    elif begin is not None:
        try:
            doubts += await gaps(prometheus, replicas, begin)
            endpoints = await _endpoints(prometheus, replicas, asked, begin, doubts)
        except GatewayError as error:
            doubts.append(str(error))
    firing = None
    try:
        found = await prometheus.alerts()
        firing = tuple(_firing(alert.labels) for alert in found if alert.state == "firing")
        doubts += await _rules(prometheus, asked.alerts)
    except GatewayError as error:
        doubts.append(str(error))
    doubts += [f"{prometheus.name} warns: {warning}" for warning in dict.fromkeys(prometheus.warnings)]
    window = f", since {utc(begin)}" if begin is not None else ""
    names = ", ".join(map(called, replicas.told)) or "no gateway"
    vocabularies = {told.vocabulary for told in replicas.told.values()}
    return Measured(
        source=f"{prometheus.name} ({names}{window})",
        endpoints=endpoints,
        vocabulary=vocabularies.pop() if len(vocabularies) == 1 else "",
        firing=firing,
        doubts=tuple(doubts),
    )


def beside(measured: Measured, replicas: Replicas, asked: Gateways, endpoints: Sequence[str]) -> Measured:
    """Return what Prometheus has beside what the gateways say themselves: where they contradict, it is a doubt."""
    if not asked.answers:
        return replace(measured, doubts=(*measured.doubts, *asked.silent))
    own = gateways.measured(asked, endpoints)
    doubts = (*measured.doubts, *own.doubts, *_contradictions(replicas, asked))
    merged = {
        name: replace(found, held=own.endpoints[name].held or found.held, uncounted=own.endpoints[name].uncounted)
        for name, found in measured.endpoints.items()
    }
    return replace(measured, endpoints=merged, doubts=doubts)


def _contradictions(replicas: Replicas, asked: Gateways) -> Iterator[str]:
    """Yield what Prometheus and the gateways say differently of what is in force."""
    seen, told = replicas.told.values(), asked.answers.values()
    for what, here, there in (
        ("configuration", {one.config for one in seen}, {one.config.fingerprint for one in told}),
        ("vocabulary", {one.vocabulary for one in seen}, {one.vocabulary.fingerprint for one in told}),
    ):
        if here != there:
            yield (
                f"Prometheus has {what} {', '.join(sorted(here)) or 'none'}, the gateways {', '.join(sorted(there))}; "
                "wait for its next scrape, or let it scrape these gateways"
            )


def _begin(prometheus: Prometheus, replicas: Replicas, since: datetime | None) -> float | None:
    began = replicas.began
    if began is None or not 0 < began <= prometheus.at:  # a doubt already; NaN too
        return None
    if since is None:
        return began
    wanted = since.timestamp()
    if not began <= wanted < prometheus.at:
        bounds = f"between {utc(began)}, when what is in force came into force, and now ({utc(prometheus.at)})"
        raise ConfigurationError("--since", [f"got {since.astimezone(UTC).isoformat()}, expected a time {bounds}"])
    return wanted


async def _endpoints(
    prometheus: Prometheus, replicas: Replicas, asked: Asked, begin: float, doubts: list[str]
) -> dict[str, EndpointFigures]:
    span = max(int(1000 * (prometheus.at - begin)), 1)
    counters = await read(prometheus, list(replicas.told), span)
    doubts += counters.doubts(asked.endpoints)
    doubts += _without_mode(replicas, asked.endpoints)
    before = await unknown_before(prometheus, span, ENOUGH_BEFORE)
    baselines: dict[str, float] = {}
    for one in await prometheus.query(_BASELINE):
        name = one.labels.get("endpoint", "")
        if math.isfinite(one.value):
            baselines[name] = min(one.value, baselines.get(name, math.inf))
    return {name: _figures(name, counters, replicas, asked, baselines, before) for name in asked.endpoints}


def _figures(
    name: str,
    counters: Counters,
    replicas: Replicas,
    asked: Asked,
    baselines: Mapping[str, float],
    before: Mapping[str, float],
) -> EndpointFigures:
    counts = counters.counts(name)
    held = [
        f"{called(replica)} ({', '.join(told.held[name])})"
        for replica, told in replicas.told.items()
        if told.held.get(name)
    ]
    return EndpointFigures(
        validations=counts.validations,
        refused=counts.refused,
        internal_errors=counts.internal_errors,
        unknown=counts.unknown,
        p99_seconds=counts.p99_seconds,
        p99_baseline=baselines.get(name),
        unknown_before=before.get(name),
        uncounted=_uncounted(name, replicas, asked.rules, counts.let_through),
        held="; ".join(held) or None,
    )


def _uncounted(name: str, replicas: Replicas, rules: Rules | None, let_through: float | None) -> str | None:
    endpoint = rules.endpoints.endpoints.get(name) if rules is not None else None
    for told in replicas.told.values():
        mode = told.modes.get(name, Mode.OFF)
        dry_run = told.dry_run is True
        if rules is None and mode is Mode.ENFORCE and not dry_run:
            return (
                "whether all refusals are counted is not known while dry run is off and the configuration is none of "
                "a plan; set dryRun to true, or name the gateways with --admin"
            )
        spared = (
            rules is not None
            and rules.policy.enforce_write_only
            and endpoint is not None
            and endpoint.operation is Operation.READ
        )
        percent = told.percents.get(name, 0.0)
        why = uncounted(mode, percent, dry_run=dry_run, spared=spared, let_through=let_through)
        if why is not None:
            return why
    return None


def _without_mode(replicas: Replicas, endpoints: Sequence[str]) -> Iterator[str]:
    for replica, told in replicas.told.items():
        for name in endpoints:
            if name not in told.modes or name not in told.percents:
                yield f"{called(replica)}: does not tell the mode of {name}; put one configuration in force everywhere"


def _firing(labels: Mapping[str, str]) -> Alert:
    return Alert(labels.get("alertname", ""), labels.get("endpoint", "all"))


async def _rules(prometheus: Prometheus, wanted: Sequence[str]) -> list[str]:
    """Return a doubt for every alert that would not fire if it should: it is not there, or not evaluated."""
    doubts, known = [], set()
    for group in await prometheus.rules():
        for rule in group.rules:
            if rule.name not in wanted and rule.name != _BASELINE:
                continue
            known.add(rule.name)
            if rule.health != "ok":
                doubts.append(f"{prometheus.name}: the rule {rule.name} is {rule.health}; see its page of rules")
                continue
            try:
                age = prometheus.at - datetime.fromisoformat(rule.last_evaluation).timestamp()
            except ValueError:
                age = math.inf
            if not age <= max(_MISSED_EVALUATIONS * group.interval, FRESH):
                doubts.append(f"{prometheus.name}: the rule {rule.name} was not evaluated lately")
    missing = [name for name in wanted if name not in known]
    if missing:
        doubts.append(f"{prometheus.name}: has no rule {', '.join(missing)}; load deploy/prometheus/alerts.yml")
    return doubts
