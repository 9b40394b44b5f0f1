"""From the file to frozen `Rules`: read, check everything, compile.

A request takes one snapshot of `Rules` and holds it to its end; a reload makes a new one and swaps it in whole.
"""

import json
import ssl
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import orjson
import xxhash
from pydantic import ValidationError
from pydantic_core import from_json

from gateway.errors import ConfigurationError, cause_of
from gateway.faults import no_json, path_of, shown
from gateway.rollout.endpoints import Endpoint, EndpointTable, FundSource
from gateway.rollout.policy import Mode, Operation, Policy
from gateway.rules import model
from gateway.rules.problems import contradictions, type_problems
from gateway.stages.compiled import CompiledPlan
from gateway.stages.locators import Location, Plan, Shape, parse_pointer
from gateway.stages.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where one API is: host, port, and the TLS context for an https one, None for http."""

    name: str
    host: str
    port: int
    tls: ssl.SSLContext | None


@dataclass(frozen=True, slots=True)
class Rules:
    """One configuration, compiled and frozen.

    `document` is the file with all its defaults; `fingerprint` is xxh3-64 of it. `routes` are (prefix in lower
    case, upstream name), the longest first. `authorities` are the contents of the files named by `caFile`. `rollout`
    is the note of the step that the file was made as, for people alone: it is in neither document nor fingerprint.
    """

    source: str
    document: Mapping[str, Any]
    fingerprint: str
    policy: Policy
    endpoints: EndpointTable
    upstreams: Mapping[str, Upstream]
    routes: tuple[tuple[str, str], ...]
    limits: model.Limits
    max_funds: int
    authorities: Mapping[str, str]
    rollout: Mapping[str, Any] | None = None

    def upstream_for(self, path: str) -> Upstream | None:
        """Return the upstream that takes a raw path, None when no route does; `*` (OPTIONS) goes as the root."""
        lowered = "/" if path == "*" else path.lower()
        for prefix, name in self.routes:
            if lowered.startswith(prefix):
                return self.upstreams[name]
        return None


def load(path: Path, *, dry_run: bool | None = None) -> Rules:
    """Read, check and compile a configuration file.

    `dry_run`, when given, wins over the file's `dryRun`. Raises ConfigurationError with every fault.
    """
    return parse(read(path), source=str(path), dry_run=dry_run)


def read(path: Path, cure: str = "name another with --config or STAGE_GATEWAY_CONFIG") -> str:
    """Return the text of a file of settings; `cure` is what to do when there is none. Raises ConfigurationError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(str(path), [f"no such file; {cure}"]) from None
    except OSError as error:
        raise ConfigurationError(str(path), [f"cannot be read: {cause_of(error)}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), [f"cannot be read: byte {error.start} is no UTF-8"]) from error
    except ValueError as error:  # of the name: a file that another one names may be anything
        raise ConfigurationError(str(path), ["cannot be read: no file can have this name"]) from error


def parse(
    text: str,
    *,
    source: str = "configuration",
    dry_run: bool | None = None,
    authorities: Mapping[str, str] | None = None,
) -> Rules:
    """Check and compile the text of a configuration file; see `load`.

    `authorities`, when given, are what the files named by `caFile` held; those files are then not read.
    """
    raw = read_object(text, source)
    problems = list(repetitions(raw))
    file = None
    try:
        file = model.File.model_validate_json(text)
    except ValidationError as error:
        problems.extend(type_problems(error))
    problems.extend(contradictions(raw))
    tls: dict[str, ssl.SSLContext] = {}
    read = dict(authorities or {})
    for name, upstream in file.upstreams.items() if file is not None else ():
        try:
            tls |= _tls(name, upstream, read)
        except ValueError as error:
            problems.append(str(error))
    if file is None or problems:
        raise ConfigurationError(source, problems)
    return _compile(file, source, dry_run, tls, read)


def warnings(rules: Rules, *, dry_run: bool | None = None) -> Iterator[str]:
    """Yield one line for each setting that cannot take effect."""
    for endpoint in rules.endpoints.endpoints.values():
        enforced = endpoint.mode is Mode.ENFORCE
        place = path_of(["endpointMode", endpoint.pattern])
        if enforced and rules.policy.enforce_write_only and endpoint.operation is Operation.READ:
            yield f"{place}: enforce has no effect on an endpoint that reads while enforceWriteOnly is true"
        elif enforced and endpoint.percent == 0:
            yield f"{place}: enforce has no effect at an enforcement percentage of 0"
        if not enforced and "enforcementPercent" in rules.document["endpoints"][endpoint.pattern]:
            place = path_of(["endpoints", endpoint.pattern, "enforcementPercent"])
            yield f"{place}: has no effect on an endpoint that is not at enforce"
    for name, upstream in rules.document["upstreams"].items():
        if "caFile" in upstream and rules.upstreams[name].tls is None:
            yield f"{path_of(['upstreams', name, 'caFile'])}: has no effect on an http address"
    if rules.limits.held_bytes < rules.limits.max_body_bytes:
        yield "$.limits.heldBytes: is below maxBodyBytes, so bodies between the two are answered 503 when held"
    if dry_run is not None and dry_run is not rules.document["dryRun"]:
        yield f"$.dryRun: {json.dumps(rules.document['dryRun'])} has no effect, DRY_RUN={str(dry_run).lower()} wins"


class _Object(dict[str, Any]):
    """An object of the file; `repeated` are its names that stand more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]


def read_object(text: str, source: str) -> dict[str, Any]:
    """Return the object that a text is, for `repetitions`. Raises ConfigurationError."""
    try:
        from_json(text)  # the reader of the model, which bounds the depth; json takes what it takes
        raw = json.loads(text, object_pairs_hook=_Object)
    except ValueError as error:
        what = no_json(str(error)) if text.strip() else "is empty, expected a JSON object"
        raise ConfigurationError(source, [what]) from None
    if not isinstance(raw, _Object):
        raise ConfigurationError(source, [f"$: got {shown(raw)}, expected an object"])
    return raw


def repetitions(value: Any, steps: Sequence[str | int] = ()) -> Iterator[str]:
    """Yield one line for each name that stands more than once in an object that was read."""
    if isinstance(value, _Object):
        for name in value.repeated:
            got = shown(value[name])
            yield f"{path_of([*steps, name])}: stands more than once, the last time as {got}, expected one"
    items = value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    for step, below in items:
        yield from repetitions(below, [*steps, step])


def _compile(
    file: model.File,
    source: str,
    dry_run: bool | None,
    tls: Mapping[str, ssl.SSLContext],
    authorities: Mapping[str, str],
) -> Rules:
    # What is absent stays absent, so that a printed document is a file that loads.
    document = file.model_dump(mode="json", by_alias=True, exclude={"schema_", "rollout"}, exclude_none=True)
    document["routes"] = [route.model_dump(by_alias=True) for route in _routes(file)]
    for endpoint in document["endpoints"].values():
        endpoint.setdefault("weightTolerance", None)  # people take weights for checked unless this says not
    vocabulary = Vocabulary(
        file.vocabulary.canonical, file.vocabulary.aliases, accept_aliases=file.vocabulary.accept_aliases
    )
    return Rules(
        source=source,
        document=MappingProxyType(document),
        fingerprint=xxhash.xxh3_64_hexdigest(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)),
        policy=Policy(
            vocabulary=vocabulary,
            enforce_write_only=file.enforce_write_only,
            dry_run=file.dry_run if dry_run is None else dry_run,
            enforcement_key=file.enforcement_key,
            max_body_bytes=file.limits.max_body_bytes,
        ),
        endpoints=EndpointTable(
            _endpoint(file, pattern, given, vocabulary) for pattern, given in file.endpoints.items()
        ),
        upstreams=MappingProxyType(
            {name: _upstream(name, given, tls.get(name)) for name, given in file.upstreams.items()}
        ),
        routes=tuple(sorted(((r.prefix.lower(), r.upstream) for r in _routes(file)), key=lambda route: -len(route[0]))),
        limits=file.limits,
        max_funds=file.metrics.max_funds,
        authorities=MappingProxyType(dict(authorities)),
        rollout=None if file.rollout is None else MappingProxyType(_note(file.rollout)),
    )


def _note(given: model.Rollout) -> Mapping[str, Any]:
    return MappingProxyType(given.model_dump(mode="json", by_alias=True, exclude_none=True))


def _routes(file: model.File) -> tuple[model.Route, ...]:
    if file.routes is not None:
        return file.routes
    if len(file.upstreams) == 1:
        return (model.Route(prefix="/", upstream=next(iter(file.upstreams))),)
    return model.default_routes()


def _endpoint(file: model.File, pattern: str, given: model.Endpoint, vocabulary: Vocabulary) -> Endpoint:
    fund = given.fund_id or model.FundId.model_construct()
    body = parse_pointer(fund.body) if fund.body is not None else None
    percent = given.enforcement_percent
    return Endpoint(
        pattern=pattern,
        mode=file.endpoint_mode.get(pattern, file.default_mode),
        compiled=CompiledPlan(
            Plan.of(map(_location, given.stages), fund=body, tolerance=given.weight_tolerance), vocabulary
        ),
        operation=given.operation,
        fund=FundSource(path=fund.path, query=fund.query, body=body),
        percent=file.enforcement_percent if percent is None else percent,
        auto_demote=given.auto_demote,
    )


def _location(given: model.AnyLocation) -> Location:
    match given:
        case model.Keys():
            return Location(Shape.KEYS, parse_pointer(given.keys), required=given.required)
        case model.Each():
            path = parse_pointer(given.each)
            return Location(Shape.EACH, path, field=given.field, weight=given.weight, required=given.required)
        case model.Value():
            return Location(Shape.VALUE, parse_pointer(given.value), required=given.required)
        case model.Query():
            return Location(Shape.QUERY, name=given.query, required=given.required)


def _tls(name: str, given: model.Upstream, read: dict[str, str]) -> dict[str, ssl.SSLContext]:
    """Return the TLS context of an https upstream by its name, nothing for http. Raises ValueError.

    What a file holds is put into `read`, and taken from there when it is there.
    """
    if urlsplit(given.url).scheme != "https":
        return {}
    try:
        if given.ca_file is None:
            return {name: ssl.create_default_context()}
        if given.ca_file not in read:
            read[given.ca_file] = Path(given.ca_file).read_text(encoding="ascii", errors="ignore")  # but for comments
        return {name: ssl.create_default_context(cadata=read[given.ca_file] or "nothing")}  # an empty one is none given
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        place = path_of(["upstreams", name, "caFile"])
        cause = "" if isinstance(error, ssl.SSLError | ValueError) else f": {cause_of(error)}"
        raise ValueError(f"{place}: got {shown(given.ca_file)}, expected a PEM file of certificates{cause}") from error


def _upstream(name: str, given: model.Upstream, tls: ssl.SSLContext | None) -> Upstream:
    parts = urlsplit(given.url)
    return Upstream(name, parts.hostname or "", parts.port or (443 if tls else 80), tls)
