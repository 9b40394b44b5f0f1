"""What a bad file is told: every fault at once, each with its JSON path, the value and what was expected."""

import json
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.faults import path_of, shown
from gateway.rules.load import parse

UPSTREAMS = {
    "portfolio": {"url": "http://127.0.0.1:3001"},
    "monteCarlo": {"url": "http://127.0.0.1:3002"},
}
STAGES = [{"value": "/s"}]


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    assert str(caught.value) == "\n".join(f"configuration: {problem}" for problem in caught.value.problems)
    return list(caught.value.problems)


def told(**members: Any) -> list[str]:
    return problems(json.dumps({"upstreams": UPSTREAMS, **members}))


ONE: list[tuple[dict[str, Any], str]] = [
    ({"defaultMode": "Warn"}, """$.defaultMode: got "Warn", expected 'off', 'warn' or 'enforce'"""),
    ({"enforceWriteOnly": 1}, "$.enforceWriteOnly: got 1, expected true or false"),
    ({"enforcementPercent": "10"}, '$.enforcementPercent: got "10", expected a number'),
    ({"enforcementPercent": True}, "$.enforcementPercent: got true, expected a number"),
    ({"enforcementPercent": 100.5}, "$.enforcementPercent: got 100.5, expected at most 100"),
    ({"enforcementPercent": -1}, "$.enforcementPercent: got -1, expected at least 0"),
    ({"foo": [1]}, "$.foo: unknown member, got [1], expected none of this name"),
    (
        {"enforcementPercnt": 5},
        "$.enforcementPercnt: unknown member, got 5, expected none of this name, did you mean 'enforcementPercent'?",
    ),
    (
        {"limits": {"maxBodyByte": 1}},
        "$.limits.maxBodyByte: unknown member, got 1, expected none of this name, did you mean 'maxBodyBytes'?",
    ),
    ({"upstreams": {}}, "$.upstreams: got {}, expected at least one"),
    ({"upstreams": {"a": {}}}, "$.upstreams.a.url: missing, expected a value here"),
    ({"upstreams": {"": {"url": "http://a"}}}, '$.upstreams[""]: got "", expected a text of at least 1 character'),
    (
        {"upstreams": {"a": {"url": "ftp://a"}}},
        (
            '$.upstreams.a.url: got "ftp://a", expected an http or https address such as http://127.0.0.1:3001, '
            "without path, query or user"
        ),
    ),
    (
        {"upstreams": {"a": {"url": "http://a"}, "b": {"url": "http://b"}}},
        "$.routes: missing, expected routes that say which of the upstreams ('a', 'b') takes which paths",
    ),
    (
        {"routes": [{"prefix": "/", "upstream": "portfolio"}, {"prefix": "/x", "upstream": "elsewhere"}]},
        "$.routes[1].upstream: got \"elsewhere\", expected one of the upstreams: 'portfolio', 'monteCarlo'",
    ),
    (
        {"routes": [{"prefix": "/X", "upstream": "portfolio"}, {"prefix": "/x", "upstream": "portfolio"}]},
        '$.routes[1].prefix: got "/x", expected another prefix than that of routes[0]',
    ),
    (
        {"routes": [{"prefix": "x", "upstream": "portfolio"}]},
        "$.routes[0].prefix: got \"x\", expected a path that begins with '/'",
    ),
    (
        {"endpointMode": {"/api/portfolio/strategy": "warn"}},
        (
            '$.endpointMode["/api/portfolio/strategy"]: got a pattern that is no endpoint, expected one of '
            "/api/portfolio/strategies, /api/portfolio/strategies/:id, /api/monte-carlo/simulate, "
            "/api/funds/:fundId/companies, did you mean '/api/portfolio/strategies'?"
        ),
    ),
    (
        {"endpoints": {"/mine": {"stages": STAGES}}, "endpointMode": {"/api/monte-carlo/simulate": "warn"}},
        '$.endpointMode["/api/monte-carlo/simulate"]: got a pattern that is no endpoint, expected one of /mine',
    ),
    (
        {"endpoints": {"/a": {"stages": [{"value": "/x"}, {"keys": "/a", "value": "/b"}]}}},
        (
            '$.endpoints["/a"].stages[1]: got {"keys": "/a", "value": "/b"}, '
            "expected an object with exactly one of 'keys', 'each', 'value' and 'query'"
        ),
    ),
    (
        {"endpoints": {"/a": {"stages": [{"each": "/x"}]}}},
        '$.endpoints["/a"].stages[0].field: missing, expected a value here',
    ),
    ({"endpoints": {"/a": {"stages": []}}}, '$.endpoints["/a"].stages: got [], expected at least one'),
    (
        {"endpoints": {"/a": {"stages": [{"keys": "x"}]}}},
        (
            '$.endpoints["/a"].stages[0].keys: got "x", expected a JSON Pointer such as /stageAllocation: '
            "a JSON Pointer is empty or begins with '/'"
        ),
    ),
    (
        {"endpoints": {"/a": {"stages": STAGES, "fundId": {}}}},
        "$.endpoints[\"/a\"].fundId: got {}, expected exactly one of 'path', 'query' and 'body'",
    ),
    (
        {"endpoints": {"/a": {"stages": STAGES, "fundId": {"path": "id"}}}},
        '$.endpoints["/a"].fundId.path: got "id", expected the name of a \':name\' in the pattern',
    ),
    (
        {"endpoints": {"a b": {"stages": STAGES}}},
        "$.endpoints[\"a b\"]: got a pattern that cannot be matched: a pattern begins with '/'",
    ),
    (
        {"endpoints": {"/a/:x": {"stages": STAGES}, "/A/:y/": {"stages": STAGES}}},
        "$.endpoints[\"/A/:y/\"]: matches the same paths as '/a/:x', expected one of the two",
    ),
    (
        {"vocabulary": {"aliases": {"start": "sed"}}},
        (
            "$.vocabulary.aliases[\"start\"]: 'sed' is no canonical value, "
            "expected one of pre-seed, seed, series-a, series-b, series-c, series-c+"
        ),
    ),
    (
        {"vocabulary": {"canonical": ["seed", "angel"], "aliases": {"SEED": "angel"}}},
        "$.vocabulary.aliases[\"SEED\"]: 'seed' is canonical and cannot be an alias of 'angel'",
    ),
    (
        {"vocabulary": {"canonical": ["seed", "Seed"]}},
        "$.vocabulary.canonical[1]: 'Seed' and 'seed' are the same name",
    ),
    ({"vocabulary": {"canonical": []}}, "$.vocabulary.canonical: got [], expected at least one"),
    (
        {"limits": {"maxBodyBytes": 2**53}},
        f"$.limits.maxBodyBytes: got {2**53}, expected at most {2**53 - 1}",
    ),
    ({"metrics": []}, "$.metrics: got [], expected an object"),
]


@pytest.mark.parametrize(("members", "line"), ONE, ids=[row[1] for row in ONE])
def test_one_fault_is_one_line(members: dict[str, Any], line: str) -> None:
    """A single fault is told in a single line that names the place, the value and what was expected."""
    assert told(**members) == [line]


def test_all_faults_are_told_at_once() -> None:
    """Wrong types, unknown and repeated members, contradictions and bad certificates come together."""
    text = """{
      "defaultMode": "loud", "dryRun": true, "dryRun": "yes", "enforcementPercent": 101, "extra": null,
      "upstreams": {"a": {"url": "https://a", "caFile": "/nowhere"}, "b": {"url": 5}},
      "routes": [{"prefix": "/", "upstream": "c"}],
      "endpoints": {"/x": {"stages": [{"value": "/s"}], "fundId": {"path": "id"}}},
      "endpointMode": {"/y": "warn"},
      "vocabulary": {"canonical": ["one"], "aliases": {"two": "three"}},
      "limits": {"heldBytes": 1.5}
    }"""
    places = {problem.split(": ")[0] for problem in problems(text)}
    assert places == {
        *["$.defaultMode", "$.dryRun", "$.enforcementPercent", "$.extra", "$.upstreams.b.url"],
        *["$.routes[0].upstream", '$.endpoints["/x"].fundId.path', '$.endpointMode["/y"]'],
        *['$.vocabulary.aliases["two"]', "$.limits.heldBytes"],
    }
    assert sum(problem.startswith("$.dryRun") for problem in problems(text)) == 2


def test_all_bad_certificates_are_told_at_once() -> None:
    """Every caFile that cannot be used is named, beside whatever else contradicts."""
    upstreams = {"a": {"url": "https://a", "caFile": "/nowhere"}, "b": {"url": "https://b", "caFile": __file__}}
    missing, no_pem, route = sorted(told(upstreams=upstreams, routes=[{"prefix": "/", "upstream": "c"}]), reverse=True)[
        ::-1
    ]
    assert missing.startswith("$.routes[0].upstream")
    assert no_pem == (
        '$.upstreams.a.caFile: got "/nowhere", expected a PEM file of certificates: No such file or directory'
    )
    assert route.startswith("$.upstreams.b.caFile: got ")


REPEATED = [
    ('{"dryRun": true, "dryRun": false}', "$.dryRun: stands more than once, the last time as false, expected one"),
    ('{"limits": {"x/y": 1, "x/y": 2}}', '$.limits["x/y"]: stands more than once, the last time as 2, expected one'),
    (
        '{"routes": [{}, {"prefix": "/", "prefix": "/a"}]}',
        '$.routes[1].prefix: stands more than once, the last time as "/a", expected one',
    ),
]


@pytest.mark.parametrize(("text", "line"), REPEATED)
def test_member_that_stands_twice_is_an_error(text: str, line: str) -> None:
    """A member that stands twice in one object is an error with its place, though JSON readers keep one."""
    assert line in problems(text)


NO_OBJECT = [
    ("", "is empty, expected a JSON object"),
    (" \n", "is empty, expected a JSON object"),
    ("[]", "$: got [], expected an object"),
    ("null", "$: got null, expected an object"),
    ("5", "$: got 5, expected an object"),
]


@pytest.mark.parametrize(("text", "line"), NO_OBJECT)
def test_text_that_is_no_object_is_one_fault(text: str, line: str) -> None:
    """An empty file and one that holds another value than an object are told so."""
    assert problems(text) == [line]


NO_JSON = [
    ("{", 1),
    ('{"upstreams": ', 14),
    ("{'a': 1}", 2),
    ('{"a": 1} x', 10),
    ('{"a": "\\ud800"}', 14),
    ("[" * 100_000, 202),
    ('{"a":' * 900 + "1" + "}" * 900, 1006),
]


@pytest.mark.parametrize(("text", "column"), NO_JSON, ids=["open", "cut", "quotes", "tail", "surrogate", "[[", "{{"])
def test_text_that_is_no_json_is_told_with_its_place(text: str, column: int) -> None:
    """What is cut off, follows the end, is nested too deep or spells no character is one fault with line and column."""
    [line] = problems(text)
    assert line.startswith("is no JSON that can be read: ")
    assert line.endswith(f" at line 1, column {column}")


def test_number_of_thousands_of_digits_is_a_fault_of_the_file() -> None:
    """A number that Python will not read is told as a fault of the file, not as one of the gateway."""
    [line] = problems('{"enforcementPercent": ' + "1" * 5000 + "}")
    assert line.startswith("is no JSON that can be read: ")


def test_path_of_writes_json_paths() -> None:
    """Plain names follow a dot, others stand in brackets as JSON, positions as numbers."""
    assert path_of([]) == "$"
    assert path_of(["a", 0, "$schema", "/x y", 'q"']) == '$.a[0].$schema["/x y"]["q\\""]'


def test_shown_values_are_cut_to_a_line() -> None:
    """A value is shown as JSON, at most 60 characters of it."""
    assert shown({"a": "é"}) == '{"a": "é"}'
    assert len(shown(["x" * 100])) == 60
