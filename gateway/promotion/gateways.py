"""The figures that gateways count by themselves since their configuration came into force, of all of them together."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from gateway.errors import GatewayError
from gateway.promotion.gates import EndpointFigures, Measured
from gateway.promotion.position import EndpointInForce, InForce
from gateway.promotion.quantile import quantile
from gateway.rollout.decision import Result
from gateway.rollout.policy import Mode, Operation
from gateway.server.client import fetch_status
from gateway.stages.reasons import Reason

ENOUGH_BEFORE = 100  # validations before a configuration, from which on their share of unknown values says something
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]


class _Config(msgspec.Struct, frozen=True, rename="camel"):
    fingerprint: str


class _Counts(msgspec.Struct, frozen=True, rename="camel"):
    totals: dict[Result, _Count]
    errors: dict[str, _Count]
    judging: dict[str, _Count]


class _Before(msgspec.Struct, frozen=True, rename="camel"):
    validations: _Count
    unknown: _Count


class _Override(msgspec.Struct, frozen=True, rename="camel"):
    mode: Mode
    sources: list[str]


class _Endpoint(msgspec.Struct, frozen=True, rename="camel"):
    mode: Mode
    configured_mode: Mode
    configured_percent: _Percent
    operation: Operation | None
    override: _Override | None
    since_config: _Counts
    before_config: _Before


class _Reload(msgspec.Struct, frozen=True, rename="camel"):
    at: str
    errors: list[str]


class _Overrides(msgspec.Struct, frozen=True, rename="camel"):
    error: str | None


class _Workers(msgspec.Struct, frozen=True, rename="camel"):
    serving: int


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """What of `/status` figures are made of."""

    instance: str
    config: _Config
    vocabulary: _Config
    dry_run: bool
    enforce_write_only: bool
    endpoints: dict[str, _Endpoint]
    last_reload: _Reload
    overrides: _Overrides
    workers: _Workers
    draining: bool


class Gateways(msgspec.Struct, frozen=True):
    """What all gateways answered, by address, and a line for each that gave no answer to rely on."""

    answers: Mapping[str, Status]
    silent: Sequence[str]


async def ask(addresses: Sequence[str], token: str | None) -> Gateways:
    """Ask all gateways at the same time."""
    asked = (fetch_status(address, token) for address in addresses)
    found = await asyncio.gather(*asked, return_exceptions=True)
    answers, silent = {}, []
    for address, answer in zip(addresses, found, strict=True):
        if isinstance(answer, GatewayError):
            silent.append(str(answer))
        elif isinstance(answer, BaseException):
            raise answer
        else:
            try:
                answers[address] = read(answer)
            except msgspec.ValidationError:
                silent.append(f"{address}/status: does not tell what figures are made of; is it of this version?")
    return Gateways(answers, silent)


def read(document: dict[str, Any]) -> Status:
    """Return what of a `/status` figures are made of. Raises msgspec.ValidationError where it says something else."""
    return msgspec.convert(document, Status, strict=True)


def in_force(gateways: Gateways) -> InForce:
    """Return what is in force, by what the first gateway says where they say different things."""
    statuses = list(gateways.answers.values())
    first = statuses[0]
    configs = {status.config.fingerprint for status in statuses}
    vocabularies = {status.vocabulary.fingerprint for status in statuses}
    return InForce(
        config=configs.pop() if len(configs) == 1 else "",
        vocabulary=vocabularies.pop() if len(vocabularies) == 1 else "",
        enforce_write_only=first.enforce_write_only,
        endpoints={
            name: EndpointInForce(one.configured_mode, one.configured_percent, one.operation)
            for name, one in first.endpoints.items()
        },
    )


def measured(gateways: Gateways, endpoints: Sequence[str]) -> Measured:
    """Return the figures of endpoints, of all gateways together, and every reason not to rely on them."""
    answers = gateways.answers
    addresses = ", ".join(answers)
    return Measured(
        source=f"the gateways' own counts ({addresses})",
        endpoints={name: _figures(answers, name) for name in endpoints},
        vocabulary=next((status.vocabulary.fingerprint for status in answers.values()), ""),
        doubts=(*gateways.silent, *_doubts(answers, endpoints)),
    )


def _figures(answers: Mapping[str, Status], name: str) -> EndpointFigures:
    found = {address: status.endpoints[name] for address, status in answers.items() if name in status.endpoints}
    if not found:
        return EndpointFigures(None, None, None, None, None)
    totals: Counter[Result] = Counter()
    errors: Counter[str] = Counter()
    judging: Counter[str] = Counter()
    for endpoint in found.values():
        totals.update(endpoint.since_config.totals)
        errors.update(endpoint.since_config.errors)
        judging.update(endpoint.since_config.judging)
    before = sum(endpoint.before_config.validations for endpoint in found.values())
    unknown = sum(endpoint.before_config.unknown for endpoint in found.values())
    complete = all(set(endpoint.since_config.totals) == set(Result) for endpoint in found.values())
    return EndpointFigures(
        validations=totals.total() if complete else None,
        refused=totals[Result.REJECT] + totals[Result.WOULD_REJECT] if complete else None,
        internal_errors=errors[Reason.INTERNAL_ERROR],
        unknown=errors[Reason.DISALLOWED_VALUE],
        p99_seconds=quantile(0.99, judging),
        unknown_before=unknown / before if before >= ENOUGH_BEFORE else None,
        uncounted=next((why for a, one in found.items() if (why := _uncounted(answers[a], one))), None),
        held=_held(found),
    )


def _uncounted(status: Status, endpoint: _Endpoint) -> str | None:
    return uncounted(
        endpoint.mode,
        endpoint.configured_percent,
        dry_run=status.dry_run,
        spared=status.enforce_write_only and endpoint.operation is Operation.READ,
        let_through=endpoint.since_config.totals.get(Result.WARN, 0),
    )


def uncounted(mode: Mode, percent: float, *, dry_run: bool, spared: bool, let_through: float | None) -> str | None:
    """Return why refusals are not counted at an endpoint, with the cure; None where they are.

    `let_through` is how many invalid requests passed with a warning: of an endpoint that was held for a time, which of
    them would be refused without that is known under dry run alone.
    """
    if mode is Mode.OFF:
        return "its mode is off, so nothing is judged; set it to warn"
    if dry_run:
        return None
    if mode is Mode.ENFORCE and percent >= 100 and not spared:
        if not let_through:
            return None
        told = f"{let_through:,.0f} invalid requests were let through while dry run is off, as by a hold"
        return f"{told}; set dryRun to true in the configuration"
    where = "it is at warn" if mode is Mode.WARN else "enforceWriteOnly spares it" if spared else f"{percent:g} %"
    return f"not counted while dry run is off ({where}); set dryRun to true in the configuration"


def _held(found: Mapping[str, _Endpoint]) -> str | None:
    held = [
        f"{one.override.mode} at {address} ({', '.join(one.override.sources)})"
        for address, one in found.items()
        if one.override is not None
    ]
    return "; ".join(held) or None


def _doubts(answers: Mapping[str, Status], endpoints: Sequence[str]) -> Iterator[str]:
    yield from _differences(answers, endpoints)
    yield from _named_twice(answers)
    for address, status in answers.items():
        if status.draining:
            yield f"{address}: is draining; wait until it has ended, and leave it out"
        if status.workers.serving < 1:
            yield f"{address}: none of its workers serves; see its log"
        if status.last_reload.errors:
            first = status.last_reload.errors[0]
            yield f"{address}: the last reload ({status.last_reload.at}) failed: {first}; mend the file and reload"
        if status.overrides.error is not None:
            yield f"{address}: overrides cannot be stored or read: {status.overrides.error}"
        for name in endpoints:
            if name not in status.endpoints:
                yield f"{address}: has no endpoint {name}; put one configuration in force at all gateways"
                continue
            counts = status.endpoints[name].since_config
            if sum(counts.totals.values()) != counts.judging.get("+Inf"):
                yield f"{address}: at {name} it judged another number of requests than it counted; ask again"


def _named_twice(answers: Mapping[str, Status]) -> Iterator[str]:
    """Yield which addresses lead to one gateway, whose counts would count for several."""
    first: dict[str, str] = {}
    for address, status in answers.items():
        other = first.setdefault(status.instance, address)
        if other != address:
            yield f"{address}: is the same gateway as {other}; name each once"


def _differences(answers: Mapping[str, Status], endpoints: Sequence[str]) -> Iterator[str]:
    asked = {
        "configuration": {address: status.config.fingerprint for address, status in answers.items()},
        "vocabulary": {address: status.vocabulary.fingerprint for address, status in answers.items()},
        "dry run": {address: "on" if status.dry_run else "off" for address, status in answers.items()},
    }
    for name in endpoints:
        asked[f"mode of {name}"] = {
            address: str(status.endpoints[name].mode) for address, status in answers.items() if name in status.endpoints
        }
    for what, told in asked.items():
        if len(set(told.values())) > 1:
            different = ", ".join(f"{value} at {address}" for address, value in told.items())
            yield f"the gateways differ in their {what}: {different}; reload them with one file"
