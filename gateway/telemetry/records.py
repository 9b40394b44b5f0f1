"""A request that was inspected, as it is recorded: what decides about it, and nothing else.

One JSON object a line. There is no header in it but for what was made of those that decide (media type, charset,
content coding, whether there is a method override), no query parameter but stages and the fund, no path but the
endpoint's pattern, and of the body what `gateway.stages.pruning` leaves. Texts are cut at 64 characters.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson
import xxhash

from gateway.rules.load import Rules

VERSION = 1


class Record(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One request.

    `mode` is the endpoint's in force, `effective` the one the request was under. `bucket` is that of `enforcement_key`,
    `request_bucket` that of the request id. `config`, `vocabulary` and `judging` are fingerprints: of the file, of the
    names, and of all that the verdict depends on. `places` are where stages, the fund and weights were looked for.
    `readings` are the endpoints that an ambiguous path could be. `media` and `coding` are what was objected to in the
    header, or the coding; `length` is the Content-Length, `size` what came of the body, `inflated` what that was.
    `body` is what is left of it, `unkept` why there is none although one decides.
    """

    version: int
    time: str
    endpoint: str
    method: str
    mode: str
    effective: str
    result: str
    dry_run: bool
    enforcement_key: str
    bucket: int
    request_bucket: int
    config: str
    vocabulary: str
    judging: str
    max_body_bytes: int
    places: list[str]
    reason: str | None = None
    count: int = 0
    violations: list[tuple[Any, str, int]] = []  # value, reason, occurrences
    fund: str | None = None
    ambiguous: bool = False
    readings: list[str] = []
    method_override: bool = False
    query: list[tuple[str, str]] = []
    has_body: bool = False
    length: int | None = None
    media: str | None = None
    coding: str | None = None
    size: int = 0
    inflated: int | None = None
    body: Any = msgspec.UNSET
    unkept: str | None = None
    cut: bool = False


def places_of(rules: Rules, pattern: str) -> list[str]:
    """Return where an endpoint looks for stages, for weights that it adds up, and for the fund, each as JSON."""
    endpoint = rules.document["endpoints"][pattern]
    places = [_json({n: v for n, v in stage.items() if n != "required"}) for stage in endpoint["stages"]]
    if endpoint.get("weightTolerance") is not None:
        places.append(_json({"weights": True}))
    if endpoint.get("fundId") is not None:
        places.append(_json({"fundId": endpoint["fundId"]}))
    return places


def judging_of(rules: Rules, pattern: str) -> str:
    """Return the fingerprint of all that the verdict on a request to an endpoint depends on."""
    endpoint = rules.document["endpoints"][pattern]
    vocabulary = rules.policy.vocabulary
    decides = [endpoint["stages"], endpoint.get("weightTolerance"), endpoint.get("fundId")]
    names = [vocabulary.fingerprint, vocabulary.accept_aliases, rules.policy.max_body_bytes]
    return xxhash.xxh3_64_hexdigest(_json([*decides, *names]).encode())


def _json(value: Mapping[str, Any] | list[Any]) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
