"""What a new configuration would change beside those in force: nothing is silent that protects writes less."""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.length import examples

from gateway.promotion.changes import (
    Caution,
    Kind,
    Running,
    cautions,
    changes,
    endpoint_changes,
    refusing_more,
)
from gateway.rollout.endpoints import Endpoint
from gateway.rollout.policy import Mode, Operation, exemption
from gateway.rules.load import Rules, parse

PATTERNS = ["/a", "/a/:id", "/a/special"]
PATHS = ["/a", "/a/1", "/a/special"]
STAGES = [{"value": "/s"}, {"keys": "/k"}, {"query": "q"}]

ENDPOINTS = st.fixed_dictionaries(
    {"stages": st.lists(st.sampled_from(STAGES), min_size=1, max_size=2, unique_by=str)},
    optional={
        "operation": st.sampled_from(["read", "write"]),
        "enforcementPercent": st.sampled_from([0, 25, 100]),
        "fundId": st.sampled_from([{"query": "f"}, {"body": "/f"}]),
    },
)


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    patterns = draw(st.lists(st.sampled_from(PATTERNS), min_size=1, unique=True))
    mode = st.sampled_from(["off", "warn", "enforce"])
    return {
        "upstreams": {"one": {"url": "http://127.0.0.1:1"}},
        "defaultMode": draw(mode),
        "endpointMode": {pattern: draw(mode) for pattern in patterns if draw(st.booleans())},
        "enforceWriteOnly": draw(st.booleans()),
        "enforcementPercent": draw(st.sampled_from([0, 25, 100])),
        "enforcementKey": draw(st.sampled_from(["requestId", "fundId"])),
        "dryRun": draw(st.booleans()),
        "endpoints": {pattern: draw(ENDPOINTS) for pattern in patterns},
        "vocabulary": {"acceptAliases": draw(st.booleans())},
        "limits": {"maxBodyBytes": draw(st.sampled_from([1000, 2000]))},
    }


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw two configurations, mostly ones that differ in little: then nothing else hides what is silent."""
    now, other = draw(configurations()), draw(configurations())
    changed = draw(st.sets(st.sampled_from([*sorted(now), *PATTERNS]), min_size=1, max_size=2))
    then = {name: (other if name in changed else now)[name] for name in now}
    endpoints = {p: (other if p in changed else now)["endpoints"].get(p) for p in PATTERNS}
    then["endpoints"] = {p: given for p, given in endpoints.items() if given is not None} or now["endpoints"]
    then["endpointMode"] = {p: mode for p, mode in then["endpointMode"].items() if p in then["endpoints"]}
    return now, then


def rules(config: Mapping[str, Any]) -> Rules:
    return parse(json.dumps(config))


def running(
    config: Mapping[str, Any],
    *,
    address: str = "http://one",
    totals: Mapping[str, int] | None = None,
    held: Mapping[str, str] | None = None,
    dry_run: bool | None = None,
) -> Running:
    """Return what is read of the status of a gateway with this configuration."""
    found = rules(config)
    endpoints = {
        pattern: {
            "totals": {"pass": (totals or {}).get(pattern, 0), "warn": 0},
            "override": {"mode": (held or {})[pattern]} if pattern in (held or {}) else None,
        }
        for pattern in found.endpoints.endpoints
    }
    status = {
        "config": {"fingerprint": found.fingerprint, "document": dict(found.document)},
        "dryRun": found.policy.dry_run if dry_run is None else dry_run,
        "endpoints": endpoints,
    }
    return Running.of(address, json.loads(json.dumps(status)))


def refused(found: Rules, path: str) -> tuple[Endpoint | None, float]:
    """Return which endpoint a POST is, and what share of the invalid ones is refused: by the gateway's own parts."""
    match = found.endpoints.match(path)
    if match is None:
        return None, 0.0
    endpoint = match.endpoint
    exempt = exemption("POST", endpoint.operation_of("POST"), found.policy, method_override=False)
    return endpoint, 0.0 if exempt is not None or endpoint.mode is not Mode.ENFORCE else endpoint.percent


def kinds(found: list[Caution]) -> set[Kind]:
    return {caution.kind for caution in found}


@given(pairs())
@settings(max_examples=examples(300, 5000), deadline=None, database=None)
def test_less_protected_write_is_never_silent(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Wherever a smaller share of bad writes is refused, or they are looked at less, a person is warned of it."""
    now, then = pair
    before, after = rules(now), rules(then)
    found = kinds(cautions([running(now)], after))
    for path in PATHS:
        old, share = refused(before, path)
        if old is None or old.operation_of("POST") is Operation.READ:
            continue
        new, later = refused(after, path)
        looked_at = set() if new is None else set(new.compiled.plan.locations)
        aliases = after.policy.vocabulary.accept_aliases and not before.policy.vocabulary.accept_aliases
        if later < share or (share > 0 and (aliases or set(old.compiled.plan.locations) - looked_at)):
            assert Kind.LOWERS in found


@given(pairs())
@settings(max_examples=examples(300, 5000), deadline=None, database=None)
def test_where_more_is_refused_figures_are_asked_for(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Wherever a larger share of bad requests is refused, its endpoint is among those whose figures decide."""
    now, then = pair
    before, after = rules(now), rules(then)
    found = refusing_more(before, after)
    for path in PATHS:
        (old, share), (new, later) = refused(before, path), refused(after, path)
        if later > share:
            assert {endpoint.pattern for endpoint in (old, new) if endpoint is not None} & set(found)


@given(pairs())
@settings(max_examples=examples(200, 2000), deadline=None, database=None)
def test_changes_are_those_of_the_way_back(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """One way and the other the same settings and endpoints differ; only what is the same has no difference."""
    now, then = pair
    there, back = changes(running(now), rules(then)), changes(running(then), rules(now))
    assert {(one.place, str(one.now), str(one.then)) for one in there} == {
        (one.place, str(one.then), str(one.now)) for one in back
    }
    assert bool(there) is (rules(now).fingerprint != rules(then).fingerprint)
    turned = [(one.pattern, one.then, one.now) for one in endpoint_changes(rules(then), rules(now))]
    assert sorted(turned) == sorted(tuple(one) for one in endpoint_changes(rules(now), rules(then)))


@given(configurations())
@settings(max_examples=examples(100, 1000), deadline=None, database=None)
def test_same_configuration_changes_nothing(config: dict[str, Any]) -> None:
    """A file that is in force already changes nothing, and nothing is said against it, whatever came in and is held."""
    totals = dict.fromkeys(config["endpoints"], 7)
    now = running(config, totals=totals, held=dict.fromkeys(config["endpoints"], "off"))
    assert changes(now, rules(config)) == []
    assert endpoint_changes(now.rules, rules(config)) == []
    assert refusing_more(now.rules, rules(config)) == []
    assert cautions([now, now], rules(config)) == []


BASE: dict[str, Any] = {
    "upstreams": {"one": {"url": "http://127.0.0.1:1"}},
    "endpoints": {"/a": {"stages": [{"value": "/s"}]}, "/b": {"stages": [{"value": "/s"}]}},
}
WITHOUT_B = {**BASE, "endpoints": {"/a": BASE["endpoints"]["/a"]}}


def test_dropped_endpoint_that_nobody_uses() -> None:
    """An endpoint that was only watched, and that nothing came to, may be dropped but for its being watched no more."""
    assert kinds(cautions([running(BASE)], rules(WITHOUT_B))) == {Kind.LOWERS}
    off = {**BASE, "endpointMode": {"/b": "off"}}
    assert cautions([running(off)], rules(WITHOUT_B)) == []


def test_dropped_endpoint_with_traffic() -> None:
    """The requests of all gateways are counted together, also where one has had none."""
    gateways = [running({**BASE, "endpointMode": {"/b": "off"}}, totals={"/b": count}) for count in (0, 1, 1200)]
    [caution] = cautions(gateways, rules(WITHOUT_B))
    assert caution == (Kind.DROPS, "/b", "drops /b, which has had 1,201 inspected requests")


def test_dropped_endpoint_that_is_held() -> None:
    """An endpoint that is held cannot be dropped unnoticed: the hold would come back with it."""
    off = {**BASE, "endpointMode": {"/b": "off"}}
    gateways = [running(off, held={"/b": "off"}, address=f"http://{name}") for name in ("one", "two")]
    [caution] = cautions(gateways, rules(WITHOUT_B))
    assert caution.kind is Kind.DROPS
    assert "held at off on http://one, off on http://two" in caution.why


def test_endpoint_that_takes_over_looks_elsewhere() -> None:
    """Requests that become another endpoint's are told when that does not look where theirs did."""
    wide = {"/a/:id": {"stages": [{"value": "/s"}]}}
    one, two = ({**BASE, "endpoints": {**wide, **more}} for more in ({}, {"/a/special": {"stages": [{"keys": "/k"}]}}))
    for now, then, place in ((one, two, "/s"), (two, one, "/k")):
        [caution] = cautions([running(now)], rules(then))
        assert caution == (Kind.LOWERS, None, f"protects writes less: /a/special is no longer inspected at {place}")


def test_other_key_chooses_other_requests() -> None:
    """Another key is warned of one way and the other; another place of the fund id where a percentage goes by it."""
    by_fund = {**BASE, "enforcementKey": "fundId", "defaultMode": "enforce", "enforcementPercent": 25}
    by_header = {**by_fund, "enforcementKey": "header:x-user"}
    for now, then in ((by_fund, by_header), (by_header, by_fund)):
        assert kinds(cautions([running(now)], rules(then))) == {Kind.KEY}
    moved = {"/a": {**BASE["endpoints"]["/a"], "fundId": {"query": "f"}}, "/b": BASE["endpoints"]["/b"]}
    [caution] = cautions([running(by_fund)], rules({**by_fund, "endpoints": moved}))
    assert (caution.kind, caution.endpoint) == (Kind.KEY, "/a")
    whole = {**by_fund, "enforcementPercent": 100}
    assert cautions([running(whole)], rules({**whole, "endpoints": moved})) == []


def test_gateways_that_differ() -> None:
    """Gateways that differ in configuration, in dry run or in what is held are told with what each has."""
    one, two = running(BASE, address="http://one"), running(BASE, address="http://two")
    assert cautions([one, two], rules(BASE)) == []
    others = [
        running({**BASE, "limits": {"heldBytes": 5_000_000_000}}, address="http://two"),
        running(BASE, address="http://two", dry_run=True),
        running(BASE, address="http://two", held={"/a": "off"}),
    ]
    for other in others:
        for gateways in ([one, other], [other, one]):
            [caution] = cautions(gateways, rules(BASE))
            assert caution.kind is Kind.DIFFER
            assert "http://one" in caution.why
            assert "http://two" in caution.why


def test_environment_decides_on_dry_run() -> None:
    """Where the gateway's environment decides on dry run, the file's is no change."""
    then = rules({**BASE, "dryRun": True})
    assert [one.place for one in changes(running(BASE), then)] == ["$.dryRun"]
    assert changes(running(BASE, dry_run=True), then) == []


def test_limits_and_aliases_are_told_one_by_one() -> None:
    """Each limit and each alias that differs is a change of its own, with both values."""
    vocabulary = {"canonical": ["seed"], "aliases": {"start": "seed"}}
    now = running({**BASE, "vocabulary": {**vocabulary, "aliases": {}}})
    then = rules({**BASE, "vocabulary": vocabulary, "limits": {"maxBodyBytes": 1000}})
    assert changes(now, then) == [
        ("$.vocabulary.aliases.start", None, "seed"),
        ("$.limits.maxBodyBytes", 104_857_600, 1000),
    ]
