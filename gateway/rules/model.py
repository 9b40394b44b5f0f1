"""The JSON file as a model: every member, its type, its default, its meaning.

The descriptions here are the ones of the published schema (`config/gateway.schema.json`).
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator
from pydantic.alias_generators import to_camel

from gateway.faults import OURS, Spelt
from gateway.rollout.policy import Mode, Operation
from gateway.stages.locators import EVERY, parse_pointer
from gateway.stages.vocabulary import DEFAULT_CANONICAL, default_aliases

_SPELT_OTHERWISE = MappingProxyType({"ca": "CA", "id": "ID", "url": "URL"})


def _title(name: str, _: object) -> str:
    """Return a member's name as people write it, for editors that show the schema."""
    words = " ".join(_SPELT_OTHERWISE.get(word, word) for word in name.strip("_").split("_"))
    return words[0].upper() + words[1:]


class Member(BaseModel):
    """What all parts of the file share: camelCase names, no unknown members, no coercion, frozen."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        field_title_generator=_title,
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_enum_values=False,
    )


LARGEST = 2**53 - 1  # the largest integer that every reader of JSON takes exactly (RFC 8259, section 6)

Percent = Annotated[float, Field(ge=0, le=100)]
Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0, le=LARGEST)]
Bytes = Annotated[int, Field(gt=0, le=LARGEST)]
Name = Annotated[str, Field(min_length=1)]


def _pointer(text: str, *, plain: bool = False) -> str:
    try:
        steps = parse_pointer(text)
    except ValueError as error:
        raise ValueError(f"a JSON Pointer such as /stageAllocation: {error}") from None
    if plain and EVERY in steps:
        raise ValueError("a pointer to one value, without '*'")
    return text


Pointer = Annotated[str, Field(description="JSON Pointer (RFC 6901); a segment `*` means every element or member.")]


class _Location(Member):
    required: bool = Field(default=False, description="Absence is a violation on POST and PUT.")

    @field_validator("keys", "each", "value", check_fields=False)
    @classmethod
    def _is_pointer(cls, text: str) -> str:
        return _pointer(text)


class Keys(_Location):
    """The member names of the object at a pointer are stages, its values their weights."""

    keys: Pointer


class Each(_Location):
    """A field of every element of the array at a pointer is a stage."""

    each: Pointer
    field: Name = Field(description="Name of the member that holds the stage.")
    weight: Name | None = Field(default=None, description="Name of the member that holds the weight.")


class Value(_Location):
    """The value at a pointer is a stage."""

    value: Pointer


class Query(_Location):
    """Every query parameter of a name is a stage."""

    query: Name


def _shape(location: Any) -> str | None:
    if isinstance(location, _Location):
        return type(location).__name__.lower()
    if not isinstance(location, dict):
        return None
    named = [shape for shape in ("keys", "each", "value", "query") if shape in location]
    return named[0] if len(named) == 1 else None


AnyLocation = Annotated[
    Annotated[Keys, Tag("keys")]
    | Annotated[Each, Tag("each")]
    | Annotated[Value, Tag("value")]
    | Annotated[Query, Tag("query")],
    Discriminator(
        _shape,
        custom_error_type=OURS,
        custom_error_message="an object with exactly one of 'keys', 'each', 'value' and 'query'",
    ),
]


class FundId(Member):
    """Where a request's fund id stands: one of the three."""

    model_config = ConfigDict(title="Fund ID", json_schema_extra={"minProperties": 1, "maxProperties": 1})

    path: Name | None = Field(default=None, description="A `:name` of the endpoint's pattern.")
    query: Name | None = Field(default=None, description="A query parameter.")
    body: Pointer | None = Field(default=None)

    @field_validator("body")
    @classmethod
    def _is_plain_pointer(cls, text: str | None) -> str | None:
        return None if text is None else _pointer(text, plain=True)

    @model_validator(mode="after")
    def _is_one(self) -> "FundId":
        if sum(place is not None for place in (self.path, self.query, self.body)) != 1:
            raise ValueError("exactly one of 'path', 'query' and 'body'")
        return self


class Endpoint(Member):
    """One endpoint whose requests are inspected."""

    stages: tuple[AnyLocation, ...] = Field(min_length=1, description="Where stages stand; one or more locations.")
    operation: Operation | None = Field(
        default=None, description="Default: GET, HEAD and OPTIONS read, other methods write."
    )
    fund_id: FundId | None = None
    enforcement_percent: Percent | None = Field(default=None, description="Overrides the global percentage.")
    weight_tolerance: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Weights must sum to 1 within it. Default: they are not looked at."
    )
    auto_demote: bool = Field(default=False, description="Whether a firing alert may set this endpoint to warn.")


_BLANK = re.compile(r"[\x00-\x20\x7f]")  # urlsplit drops some of these without a word


class Upstream(Member):
    """One API behind the gateway."""

    url: str = Field(description="http or https address, without a path.")
    ca_file: Name | None = Field(default=None, description="PEM file of a private certificate authority.")

    @field_validator("url")
    @classmethod
    def _is_origin(cls, text: str) -> str:
        try:
            parts = urlsplit(text)
            port_is_good = parts.port is None or parts.port > 0
        except ValueError:
            port_is_good = False
        origin = "an http or https address such as http://127.0.0.1:3001, without path, query or user"
        if not port_is_good or _BLANK.search(text) or parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(origin)
        if parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError(origin)
        return text


class Route(Member):
    """Requests whose path begins with `prefix`, in letters of either case, go to `upstream`."""

    prefix: Annotated[str, Spelt("^/", "a path that begins with '/'")]
    upstream: Name


class Vocabulary(Member):
    """Which stage names are canonical, and which spellings are known."""

    canonical: tuple[str, ...] = Field(default=DEFAULT_CANONICAL, min_length=1)
    aliases: Mapping[str, str] = Field(
        default_factory=lambda given: default_aliases(given.get("canonical", DEFAULT_CANONICAL)),
        description="Spelling to canonical name; case and white space of the spelling do not matter.",
    )
    accept_aliases: bool = Field(default=False, description="Let an alias pass instead of suggesting its name.")


class Limits(Member):
    """Bounds that protect the gateway and what is behind it."""

    max_body_bytes: Bytes = Field(default=104_857_600, description="Of one inspected body, as sent and inflated.")
    held_bytes: Bytes = Field(default=268_435_456, description="Of all bodies held at once.")
    max_connections: Annotated[int, Field(gt=0, le=LARGEST)] = 10_000
    max_head_bytes: Annotated[int, Field(ge=1024, le=LARGEST)] = 16_384
    header_timeout_seconds: Seconds = 10
    min_body_bytes_per_second: Count = 1024
    connect_timeout_seconds: Seconds = 2
    upstream_timeout_seconds: Seconds = 60
    drain_seconds: Annotated[float, Field(ge=0)] = 30


class Metrics(Member):
    """Bounds of the metrics."""

    max_funds: Count = Field(
        default=100, description="How many funds have a label of their own; the others are `other`."
    )


def default_endpoints() -> dict[str, dict[str, Any]]:
    """Return the endpoints of a file that names none, as it would name them."""
    return {
        "/api/portfolio/strategies": {
            "operation": "write",
            "stages": [{"keys": "/stageAllocation"}],
            "fundId": {"query": "fundId"},
        },
        "/api/portfolio/strategies/:id": {"operation": "write", "stages": [{"keys": "/stageAllocation"}]},
        "/api/monte-carlo/simulate": {
            "operation": "read",
            "stages": [{"each": "/stageDistribution", "field": "stage", "weight": "weight"}],
            "fundId": {"body": "/fundId"},
        },
        "/api/funds/:fundId/companies": {
            "operation": "read",
            "stages": [{"query": "stage"}],
            "fundId": {"path": "fundId"},
        },
    }


def default_routes() -> tuple[Route, ...]:
    """Return the routes of a file that names none and has the two usual upstreams."""
    return Route(prefix="/api/monte-carlo/", upstream="monteCarlo"), Route(prefix="/", upstream="portfolio")


class Forced(Member):
    """A step of a plan that was taken though its gate was not ready."""

    step: Name = Field(description="Name of the step.")
    reason: Name = Field(description="Why it was taken.")
    by: Name
    at: Name


class Rollout(Member):
    """Which step of a plan this file was made as. A note for people: nothing is decided by it."""

    phase: Name
    step: Annotated[int, Field(ge=1, le=LARGEST)] = Field(description="Number of the step in the plan.")
    by: Name = Field(description="Who made the file.")
    at: Name = Field(description="When.")
    forced: tuple[Forced, ...] = Field(default=(), description="Steps up to this one that were taken by --force.")
    stopped: Name | None = Field(
        default=None, description="Why `rollout run` went back; it waits until a person takes a step."
    )


class File(Member):
    """The configuration of the stage gateway."""

    model_config = ConfigDict(title="Stage gateway configuration", validate_default=True)

    schema_: Annotated[str | None, Field(alias="$schema")] = None
    default_mode: Mode = Field(default=Mode.WARN, description="Mode of endpoints that endpointMode does not name.")
    endpoint_mode: Mapping[str, Mode] = Field(default_factory=dict, description="Mode by endpoint pattern.")
    enforce_write_only: bool = Field(default=False, description="Endpoints that only read warn instead of refusing.")
    enforcement_percent: Percent = Field(default=100, description="Share of requests enforced, steps of 0.01.")
    dry_run: bool = Field(default=False, description="Mark warned requests that enforcement would refuse.")
    enforcement_key: Annotated[
        str,
        Spelt(
            r"^(requestId|fundId|header:[!#$%&'*+.^_`|~0-9A-Za-z-]+)$",
            "'requestId', 'fundId' or 'header:' and a header's name",
        ),
    ] = Field(default="requestId", description="What the percentage goes by: requestId, fundId or header:NAME.")
    upstreams: Mapping[Name, Upstream] = Field(min_length=1)
    routes: tuple[Route, ...] | None = Field(
        default=None,
        min_length=1,
        description="The longest prefix wins. Default: all to a single upstream, or by the two default names.",
    )
    vocabulary: Vocabulary = Vocabulary()
    endpoints: Mapping[str, Endpoint] = Field(
        default_factory=lambda: {
            pattern: Endpoint.model_validate(endpoint, strict=False)
            for pattern, endpoint in default_endpoints().items()
        }
    )
    limits: Limits = Limits()
    metrics: Metrics = Metrics()
    rollout: Rollout | None = Field(
        default=None, description="Written by `rollout next` and `back`; no part of the configuration's fingerprint."
    )


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the file."""
    document = File.model_json_schema(by_alias=True)
    document["properties"]["endpoints"]["default"] = default_endpoints()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}
