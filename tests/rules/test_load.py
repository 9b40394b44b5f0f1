"""From the file to `Rules`: what is read, what is left to defaults, what is compiled, what is warned of."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.faults import path_of
from gateway.rollout.policy import Mode, Operation
from gateway.rules.load import Rules, load, parse, warnings
from gateway.rules.model import default_endpoints, default_routes
from gateway.stages.vocabulary import DEFAULT_ALIASES, DEFAULT_CANONICAL

UPSTREAMS = {
    "portfolio": {"url": "http://127.0.0.1:3001"},
    "monteCarlo": {"url": "http://127.0.0.1:3002"},
}
SIMULATE = "/api/monte-carlo/simulate"
STRATEGIES = "/api/portfolio/strategies"
MINIMAL: dict[str, Any] = {
    "defaultMode": "warn",
    "endpointMode": {},
    "enforceWriteOnly": False,
    "enforcementPercent": 100,
    "upstreams": UPSTREAMS,
}
LIMITS = {
    "maxBodyBytes": 104857600,
    "heldBytes": 268435456,
    "maxConnections": 10000,
    "maxHeadBytes": 16384,
    "headerTimeoutSeconds": 10,
    "minBodyBytesPerSecond": 1024,
    "connectTimeoutSeconds": 2,
    "upstreamTimeoutSeconds": 60,
    "drainSeconds": 30,
}


def rules(*, dry_run: bool | None = None, **members: Any) -> Rules:
    return parse(json.dumps({"upstreams": UPSTREAMS, **members}), dry_run=dry_run)


def test_minimal_file_is_complete() -> None:
    """A file with only the five members that have no shown default gets all the others."""
    document = dict(parse(json.dumps(MINIMAL)).document)
    endpoints = {
        pattern: {"autoDemote": False, "weightTolerance": None, **endpoint}
        for pattern, endpoint in default_endpoints().items()
    }
    for endpoint in endpoints.values():
        endpoint["stages"] = [{"required": False, **stage} for stage in endpoint["stages"]]
    assert document == {
        **MINIMAL,
        "dryRun": False,
        "enforcementKey": "requestId",
        "routes": [route.model_dump() for route in default_routes()],
        "vocabulary": {
            "canonical": list(DEFAULT_CANONICAL),
            "aliases": dict(DEFAULT_ALIASES),
            "acceptAliases": False,
        },
        "endpoints": endpoints,
        "limits": LIMITS,
        "metrics": {"maxFunds": 100},
    }


def test_upstreams_alone_have_no_default() -> None:
    """Everything but `upstreams` may be left out, and means what the minimal file says."""
    assert rules().document == parse(json.dumps(MINIMAL)).document
    with pytest.raises(ConfigurationError, match=r"\$\.upstreams: missing"):
        parse("{}")


def test_given_object_or_list_replaces_the_default_whole() -> None:
    """Endpoints, endpoint modes, routes, canonical values and aliases are not mixed with the defaults."""
    made = rules(
        endpoints={"/mine": {"stages": [{"value": "/s"}]}},
        routes=[{"prefix": "/", "upstream": "monteCarlo"}],
        vocabulary={"aliases": {"start": "seed"}},
    )
    assert list(made.endpoints.endpoints) == ["/mine"]
    assert made.routes == (("/", "monteCarlo"),)
    assert made.policy.vocabulary.aliases == {"start": "seed"}


def test_members_left_out_of_limits_metrics_and_vocabulary_keep_their_defaults() -> None:
    """In these three a given member stands beside the defaults of the others."""
    made = rules(limits={"heldBytes": 5}, metrics={}, vocabulary={"acceptAliases": True})
    assert made.document["limits"] == {**LIMITS, "heldBytes": 5}
    assert made.max_funds == 100
    vocabulary = made.policy.vocabulary
    assert vocabulary.accept_aliases
    assert (vocabulary.canonical, dict(vocabulary.aliases)) == (DEFAULT_CANONICAL, dict(DEFAULT_ALIASES))


def test_canonical_values_alone_keep_the_aliases_that_lead_to_them() -> None:
    """Own canonical values without aliases keep the default ones that make sense beside them."""
    vocabulary = rules(vocabulary={"canonical": ["seed", "pre-seed", "angel"]}).policy.vocabulary
    assert set(vocabulary.aliases.values()) == {"pre-seed"}


def test_endpoint_without_operation_goes_by_method() -> None:
    """GET, HEAD and OPTIONS read, other methods write, unless the endpoint says what it does."""
    made = rules(endpoints={"/a": {"stages": [{"value": ""}]}, "/b": {"stages": [{"value": ""}], "operation": "read"}})
    plain, told = made.endpoints.endpoints.values()
    assert [plain.operation_of(method) for method in ("GET", "HEAD", "OPTIONS")] == [Operation.READ] * 3
    assert [plain.operation_of(method) for method in ("POST", "DELETE", "PROPFIND")] == [Operation.WRITE] * 3
    assert told.operation_of("POST") is Operation.READ


def test_modes_and_percentages_of_an_endpoint_come_before_the_global_ones() -> None:
    """`endpointMode` comes before `defaultMode`, an endpoint's percentage before the global one, even when it is 0."""
    endpoints = {
        "/a": {"stages": [{"value": ""}], "enforcementPercent": 0, "autoDemote": True},
        "/b": {"stages": [{"value": ""}]},
    }
    made = rules(defaultMode="off", endpointMode={"/a": "enforce"}, endpoints=endpoints, enforcementPercent=7)
    a, b = made.endpoints.endpoints.values()
    assert (a.mode, a.percent, a.auto_demote) == (Mode.ENFORCE, 0, True)
    assert (b.mode, b.percent, b.auto_demote) == (Mode.OFF, 7, False)


ROUTES: list[tuple[dict[str, Any], str, str | None]] = [
    ({}, "/api/monte-carlo/x", "monteCarlo"),
    ({}, "/API/Monte-Carlo/", "monteCarlo"),
    ({}, "/api/monte-carlo", "portfolio"),
    ({}, "/", "portfolio"),
    ({}, "*", "portfolio"),
    ({"upstreams": {"only": {"url": "http://a"}}}, "/api/monte-carlo/x", "only"),
    (
        {"routes": [{"prefix": "/A", "upstream": "portfolio"}, {"prefix": "/a/b", "upstream": "monteCarlo"}]},
        "/a/B/c",
        "monteCarlo",
    ),
    (
        {"routes": [{"prefix": "/a/b", "upstream": "monteCarlo"}, {"prefix": "/A", "upstream": "portfolio"}]},
        "/a/x",
        "portfolio",
    ),
    ({"routes": [{"prefix": "/a", "upstream": "portfolio"}]}, "/b", None),
]


@pytest.mark.parametrize(("members", "path", "name"), ROUTES)
def test_longest_prefix_in_letters_of_either_case_takes_a_path(
    members: dict[str, Any], path: str, name: str | None
) -> None:
    """The longest prefix wins; a single upstream takes everything; a path that none takes has no upstream."""
    taken = rules(**members).upstream_for(path)
    assert (taken.name if taken is not None else None) == name


ADDRESSES = [
    ("http://a", "a", 80),
    ("https://a/", "a", 443),
    ("http://[::1]:8080", "::1", 8080),
    ("HTTPS://A:1", "a", 1),
]


@pytest.mark.parametrize(("url", "host", "port"), ADDRESSES)
def test_address_of_an_upstream_is_taken_apart(url: str, host: str, port: int) -> None:
    """Host and port are those of the address, 80 and 443 where it names none; https verifies certificates."""
    upstream = rules(upstreams={"a": {"url": url}}).upstreams["a"]
    assert (upstream.host, upstream.port) == (host, port)
    assert (upstream.tls is not None) is url.lower().startswith("https")


def test_dry_run_of_the_environment_wins_over_the_file() -> None:
    """A given `dry_run` wins, also when it is false; the document stays the file's."""
    for given, in_file, in_force in ((True, False, True), (False, True, False), (None, True, True)):
        made = rules(dry_run=given, dryRun=in_file)
        assert (made.policy.dry_run, made.document["dryRun"]) == (in_force, in_file)


def test_printed_document_is_a_file_that_means_the_same() -> None:
    """The document with all defaults loads, and has the same fingerprint, which changes with any member."""
    made = rules(endpointMode={SIMULATE: "enforce"}, upstreams={"only": {"url": "https://a"}})
    again = parse(json.dumps(dict(made.document)))
    assert (again.document, again.fingerprint) == (made.document, made.fingerprint)
    assert parse(json.dumps({**made.document, "dryRun": True})).fingerprint != made.fingerprint


def test_order_of_members_and_the_schema_line_do_not_change_the_fingerprint() -> None:
    """Two files that mean the same have the same fingerprint of 16 hex digits."""
    turned = parse(json.dumps({"$schema": "x", **dict(reversed(MINIMAL.items()))}))
    assert turned.fingerprint == parse(json.dumps(MINIMAL)).fingerprint
    assert len(turned.fingerprint) == 16


def place(pattern: str) -> str:
    return path_of(["endpointMode", pattern])


ENFORCED = {"endpointMode": {SIMULATE: "enforce", STRATEGIES: "enforce"}}
VAIN: list[tuple[dict[str, Any], bool | None, list[str]]] = [
    (ENFORCED, None, []),
    (
        {**ENFORCED, "enforceWriteOnly": True},
        None,
        [f"{place(SIMULATE)}: enforce has no effect on an endpoint that reads while enforceWriteOnly is true"],
    ),
    ({"dryRun": True}, False, ["$.dryRun: true has no effect, DRY_RUN=false wins"]),
    ({"dryRun": False}, True, ["$.dryRun: false has no effect, DRY_RUN=true wins"]),
    ({"dryRun": True}, True, []),
    (
        {"endpointMode": {STRATEGIES: "enforce"}, "enforcementPercent": 0},
        None,
        [f"{place(STRATEGIES)}: enforce has no effect at an enforcement percentage of 0"],
    ),
    (
        {"endpoints": {"/a": {"stages": [{"value": ""}], "enforcementPercent": 5}}},
        None,
        ['$.endpoints["/a"].enforcementPercent: has no effect on an endpoint that is not at enforce'],
    ),
    (
        {"upstreams": {"a": {"url": "http://a", "caFile": "ca.pem"}}},
        None,
        ["$.upstreams.a.caFile: has no effect on an http address"],
    ),
    (
        {"limits": {"maxBodyBytes": 10, "heldBytes": 9}},
        None,
        ["$.limits.heldBytes: is below maxBodyBytes, so bodies between the two are answered 503 when held"],
    ),
]


@pytest.mark.parametrize(("members", "dry_run", "expected"), VAIN)
def test_settings_that_cannot_take_effect_are_warned_of(
    members: dict[str, Any], dry_run: bool | None, expected: list[str]
) -> None:
    """A good file is told what in it has no effect, with the place; nothing else is warned of."""
    assert list(warnings(rules(dry_run=dry_run, **members), dry_run=dry_run)) == expected


def _missing(_: Path) -> None:
    pass


def _folder(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _latin(path: Path) -> None:
    path.write_bytes(b'{"defaultMode": "\xe9"}')


def _nothing(path: Path) -> None:
    path.touch()


FILES = [
    (_missing, "no such file; name another with --config or STAGE_GATEWAY_CONFIG"),
    (_folder, "cannot be read: Is a directory"),
    (_loop, "cannot be read: Too many levels of symbolic links"),
    (_latin, "cannot be read: byte 17 is no UTF-8"),
    (_nothing, "is empty, expected a JSON object"),
]


@pytest.mark.parametrize(("make", "problem"), FILES, ids=[row[1] for row in FILES])
def test_file_that_cannot_be_read_is_named_with_the_cause(
    tmp_path: Path, make: Callable[[Path], None], problem: str
) -> None:
    """A missing, unreadable, empty or wrongly encoded file is one clear line that begins with its name."""
    path = tmp_path / "gateway.json"
    make(path)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: {problem}"


def test_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """A mark that an editor put before the text does no harm."""
    path = tmp_path / "gateway.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(MINIMAL).encode())
    made = load(path, dry_run=True)
    assert (made.source, made.policy.dry_run) == (str(path), True)
