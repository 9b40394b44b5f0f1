"""The committed configuration files: what they mean, and that no phase protects writes less than the one before."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.promotion import model as plan_model
from gateway.promotion.loading import load_plan
from gateway.proxy.explain import explain
from gateway.rollout.endpoints import Endpoint
from gateway.rules.load import Rules, load, parse, warnings
from gateway.rules.model import default_endpoints, schema
from gateway.stages.vocabulary import DEFAULT_ALIASES, Vocabulary

CONFIG = Path(__file__).parents[1] / "config"
PHASES = [
    CONFIG / "phases" / f"{name}.json" for name in ("1-baseline", "2.5-migration", "a-portfolio", "b-monte-carlo")
]
FILES = [CONFIG / "gateway.json", *PHASES]
ROOT = CONFIG.parent
SHIPPED = sorted(
    path.relative_to(ROOT)
    for folder in (CONFIG, ROOT / "deploy")
    for path in folder.rglob("*.json")
    if "upstreams" in json.loads(path.read_text(encoding="utf-8"))
)
STRATEGIES = "/api/portfolio/strategies"
STRATEGY = "/api/portfolio/strategies/:id"
SIMULATE = "/api/monte-carlo/simulate"
COMPANIES = "/api/funds/:fundId/companies"

# The documented example, written out once more.
EXAMPLE = """
{
  "$schema": "./gateway.schema.json",
  "defaultMode": "warn",
  "endpointMode": {
    "/api/portfolio/strategies": "enforce",
    "/api/portfolio/strategies/:id": "enforce",
    "/api/monte-carlo/simulate": "warn",
    "/api/funds/:fundId/companies": "warn"
  },
  "enforceWriteOnly": true,
  "enforcementPercent": 10,
  "dryRun": false,

  "enforcementKey": "requestId",
  "upstreams": {
    "portfolio":  {"url": "http://127.0.0.1:3001"},
    "monteCarlo": {"url": "http://127.0.0.1:3002"}
  },
  "routes": [
    {"prefix": "/api/monte-carlo/", "upstream": "monteCarlo"},
    {"prefix": "/", "upstream": "portfolio"}
  ],
  "endpoints": {
    "/api/portfolio/strategies":     {"operation": "write", "stages": [{"keys": "/stageAllocation"}], "fundId": {"query": "fundId"}},
    "/api/portfolio/strategies/:id": {"operation": "write", "stages": [{"keys": "/stageAllocation"}]},
    "/api/monte-carlo/simulate":     {"operation": "read",  "stages": [{"each": "/stageDistribution", "field": "stage", "weight": "weight"}], "fundId": {"body": "/fundId"}},
    "/api/funds/:fundId/companies":  {"operation": "read",  "stages": [{"query": "stage"}], "fundId": {"path": "fundId"}}
  },
  "limits": {
    "maxBodyBytes": 104857600, "heldBytes": 268435456, "maxConnections": 10000, "maxHeadBytes": 16384,
    "headerTimeoutSeconds": 10, "minBodyBytesPerSecond": 1024,
    "connectTimeoutSeconds": 2, "upstreamTimeoutSeconds": 60, "drainSeconds": 30
  },
  "metrics": {"maxFunds": 100}
}
"""  # noqa: E501 - word for word


def test_gateway_json_means_what_the_contract_shows() -> None:
    """The committed file is the documented example."""
    committed = CONFIG / "gateway.json"
    assert json.loads(committed.read_text(encoding="utf-8")) == json.loads(EXAMPLE)
    assert load(committed).fingerprint == parse(EXAMPLE).fingerprint


def test_schema_file_is_the_models() -> None:
    """`config/gateway.schema.json` is what `stage-gateway schema` prints, byte for byte."""
    printed = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    assert (CONFIG / "gateway.schema.json").read_text(encoding="utf-8") == printed


def test_plan_schema_is_what_the_model_says() -> None:
    """The committed schema of the plan is the one the model gives, and the plan satisfies it and loads."""
    committed = json.loads((CONFIG / "rollout.schema.json").read_text(encoding="utf-8"))
    assert committed == plan_model.schema()
    Draft202012Validator(committed).validate(json.loads((CONFIG / "rollout.json").read_text(encoding="utf-8")))
    assert [step.name for step in load_plan(CONFIG / "rollout.json").steps] == [
        "1-baseline",
        *(f"2.5-migration at {percent} %" for percent in (10, 25, 50, 100)),
        "a-portfolio",
        *(f"b-monte-carlo at {percent} %" for percent in (10, 25, 50, 100)),
    ]


@pytest.mark.parametrize("document", [schema(), plan_model.schema()], ids=["configuration", "plan"])
def test_titles_of_the_schema_are_words(document: dict[str, Any]) -> None:
    """An editor shows each member by a title in separate words, `maxBodyBytes` as "Max body bytes"."""
    for part in (document, *document["$defs"].values()):
        for name, member in part.get("properties", {}).items():
            words = re.findall(r"[A-Z]?[a-z0-9]+", name)
            told = member.get("title", " ".join(words) if "$ref" in member else "none")
            assert [word.lower() for word in told.split()] == [word.lower() for word in words], name


def test_no_configuration_file_is_left_out_here() -> None:
    """Every JSON file of the folder but schemas, the plan and the migration's is among those looked at."""
    others = {"gateway.schema.json", "rollout.schema.json", "rollout.json", "migration.json"}
    found = set(CONFIG.rglob("*.json")) - {CONFIG / name for name in others}
    assert found == set(FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_is_valid_and_without_vain_settings(path: Path) -> None:
    """Each file satisfies the schema that it names, loads, and has no setting without effect."""
    document = json.loads(path.read_text(encoding="utf-8"))
    named = (path.parent / document["$schema"]).resolve()
    assert named == CONFIG / "gateway.schema.json"
    published = json.loads(named.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(published)
    assert list(Draft202012Validator(published).iter_errors(document)) == []
    assert list(warnings(load(path))) == []


# Section 2, the table of phases: modes of strategies, strategies/:id, simulate, companies; writeOnly; dryRun; percent.
TABLE = {
    "1-baseline.json": (["warn", "warn", "warn", "warn"], False, True, 100),
    "2.5-migration.json": (["enforce", "enforce", "warn", "warn"], True, True, 100),
    "a-portfolio.json": (["enforce", "enforce", "warn", "warn"], False, True, 100),
    "b-monte-carlo.json": (["enforce", "enforce", "enforce", "warn"], False, True, 100),
}


@pytest.mark.parametrize("path", PHASES, ids=lambda path: path.name)
def test_phase_is_that_of_the_table(path: Path) -> None:
    """Modes, enforceWriteOnly, dryRun and percentages of each phase are the documented ones."""
    rules = load(path)
    modes, write_only, dry_run, percent = TABLE[path.name]
    endpoints: dict[str, Endpoint] = dict(rules.endpoints.endpoints)
    assert [endpoints[pattern].mode for pattern in (STRATEGIES, STRATEGY, SIMULATE, COMPANIES)] == modes
    assert (rules.policy.enforce_write_only, rules.policy.dry_run) == (write_only, dry_run)
    assert {endpoint.percent for endpoint in endpoints.values()} == {percent}


def test_phases_differ_in_nothing_else() -> None:
    """Endpoints, vocabulary, routes, limits and the percentage's key stay the same from phase to phase."""
    kept = []
    for path in PHASES:
        document = dict(load(path).document)
        for member in ("endpointMode", "enforceWriteOnly", "enforcementPercent", "dryRun"):
            del document[member]
        kept.append(document)
    assert all(before == after for before, after in pairwise(kept))


@pytest.mark.parametrize("path", SHIPPED, ids=str)
def test_every_file_that_ships_has_the_default_vocabulary(path: Path) -> None:
    """A file that ships says nothing of the vocabulary, so that gateway and migration agree whichever one they read."""
    assert "vocabulary" not in json.loads(path.read_text(encoding="utf-8"))
    vocabulary = load(path).policy.vocabulary
    assert vocabulary.fingerprint == Vocabulary().fingerprint
    assert (vocabulary.accept_aliases, dict(vocabulary.aliases)) == (False, dict(DEFAULT_ALIASES))


def test_the_default_vocabulary_is_the_documented_one() -> None:
    """Each stage has the spellings that are documented; `seriesc`, which may be c or c+, is not among them."""
    spellings = {"pre-seed": ["preseed", "pre_seed", "pre seed"]}
    for letter in ("a", "b", "c", "c+"):
        spellings[f"series-{letter}"] = [f"series {letter}", f"series_{letter}", f"series{letter}"]
    spellings["series-c"].remove("seriesc")
    assert {(s, name) for name, found in spellings.items() for s in found} == set(DEFAULT_ALIASES.items())


def walk() -> Iterator[tuple[str, Rules]]:
    """Give every step of the rollout in order, those between two files included."""
    for path in PHASES:
        document = json.loads(path.read_text(encoding="utf-8"))
        if path.name == "2.5-migration.json":
            for percent in (10, 25, 50, 100):
                yield f"{path.name} at {percent} %", stepped(document, percent)
        elif path.name == "b-monte-carlo.json":
            for percent in (10, 25, 50, 100):
                endpoints = default_endpoints()
                endpoints[SIMULATE]["enforcementPercent"] = percent
                yield f"{path.name}, simulate at {percent} %", stepped({**document, "endpoints": endpoints})
        else:
            yield path.name, stepped(document)


def stepped(document: dict[str, Any], percent: float | None = None) -> Rules:
    return parse(json.dumps(document if percent is None else {**document, "enforcementPercent": percent}))


JSON = (b"Content-Type", b"application/json")
WRONG_KEYS = b'{"stageAllocation": {"Series A": 1}}'
WRONG_EACH = b'{"fundId": 7, "stageDistribution": [{"stage": "preseed", "weight": 1}]}'
REQUESTS = [
    *[
        ("POST", target, body, (JSON,))
        for target in (STRATEGIES, f"{STRATEGIES}?fundId=1")
        for body in (WRONG_KEYS, b"{")
    ],
    *[(method, f"{STRATEGIES}/5", WRONG_KEYS, (JSON,)) for method in ("PUT", "PATCH", "DELETE", "POST")],
    ("POST", STRATEGIES, WRONG_KEYS, ()),
    ("POST", STRATEGIES, WRONG_KEYS, (JSON, (b"Content-Encoding", b"br"))),
    ("POST", f"/{STRATEGIES}", WRONG_KEYS, (JSON,)),
    ("GET", f"{STRATEGIES}/5", WRONG_KEYS, (JSON, (b"X-HTTP-Method-Override", b"PUT"))),
    ("POST", SIMULATE, WRONG_EACH, (JSON,)),
    ("POST", "/api/funds/7/companies?stage=x", b"", ()),
    ("GET", "/api/funds/7/companies?stage=x", b"", ()),
    ("GET", f"{STRATEGIES}/5", WRONG_KEYS, (JSON,)),
]
IDENTITIES = [f"request-{number}" for number in range(40)]


def refused(rules: Rules) -> set[tuple[int, str]]:
    """Return which of the requests, with which of the request ids, are refused."""
    return {
        (number, identity)
        for number, (method, target, body, fields) in enumerate(REQUESTS)
        for identity in IDENTITIES
        if explain(rules, method, target, [*fields, (b"X-Request-Id", identity.encode())], body).refused
    }


def test_no_step_lets_through_what_the_one_before_refused() -> None:
    """Walking all phases and percentages in order, what is refused once is refused from then on."""
    steps = [(name, refused(rules)) for name, rules in walk()]
    for (before, earlier), (after, later) in pairwise(steps):
        assert earlier <= later, f"{after} lets through what {before} refused: {sorted(earlier - later)[:3]}"
    numbers = [len(found) for _, found in steps]
    assert numbers[0] == 0
    assert numbers[1] < numbers[2] < numbers[3] < numbers[4] == numbers[5] < numbers[-1]


def test_every_wrong_write_is_refused_once_the_migration_may_run() -> None:
    """At 100 % of phase 2.5 every wrong write is refused, and from the last step simulations are too; reads never."""
    steps = dict(walk())
    writes = {number for number, (_, target, _, _) in enumerate(REQUESTS) if re.search("strategies", target)} - {
        len(REQUESTS) - 1
    }
    before_migration = refused(steps["2.5-migration.json at 100 %"])
    assert before_migration == {(number, identity) for number in writes for identity in IDENTITIES}
    at_the_end = refused(steps["b-monte-carlo.json, simulate at 100 %"]) - before_migration
    assert {REQUESTS[number][1] for number, _ in at_the_end} == {SIMULATE}
    assert len(at_the_end) == len(IDENTITIES)


@pytest.mark.parametrize("path", PHASES[:3], ids=lambda path: path.name)
def test_wrong_simulation_is_marked_while_it_is_not_refused(path: Path) -> None:
    """Before simulate is enforced, dry run marks the requests that would be refused."""
    told = explain(load(path), "POST", SIMULATE, [JSON], WRONG_EACH)
    assert dict(told.response_fields) == {
        "X-Stage-Warning": "reason=alias; count=1",
        "X-Stage-Would-Reject": "true",
    }
