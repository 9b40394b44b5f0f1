"""Which endpoint a path is, read as Express reads it, and as a more generous server might."""

import pytest

from gateway.rollout.endpoints import (
    Endpoint,
    EndpointTable,
    FundSource,
    matched_form,
    pattern_problem,
)
from gateway.rollout.policy import Mode, Operation
from gateway.stages.compiled import CompiledPlan
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.vocabulary import Vocabulary

COMPILED = CompiledPlan(Plan.of([Location(Shape.QUERY, name="stage")]), Vocabulary())
STRATEGIES = "/api/portfolio/strategies"
STRATEGY = "/api/portfolio/strategies/:id"
COMPANIES = "/api/funds/:fundId/companies"


def table(**modes: Mode) -> EndpointTable:
    patterns = {"strategies": STRATEGIES, "strategy": STRATEGY, "companies": COMPANIES}
    return EndpointTable(Endpoint(p, modes.get(name, Mode.WARN), COMPILED) for name, p in patterns.items())


def found(endpoints: EndpointTable, path: str) -> tuple[str, bool] | None:
    match = endpoints.match(path)
    return None if match is None else (match.endpoint.pattern, match.ambiguous)


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/api/portfolio/strategies", STRATEGIES),
        ("/api/portfolio/strategies/", STRATEGIES),
        ("/API/Portfolio/STRATEGIES", STRATEGIES),
        ("/api/portfolio/strategies/7", STRATEGY),
        ("/api/portfolio/strategies/7/", STRATEGY),
        ("/api/portfolio/strategies/a%2Fb", STRATEGY),
        ("/api/portfolio/strategies/a%20b", STRATEGY),
        ("/api/portfolio/strategies/x;v=1", STRATEGY),
        ("/api/portfolio/strategies/x.json", STRATEGY),
        ("/api/portfolio/strategies/.hidden", STRATEGY),
        ("/api/funds/7/companies", COMPANIES),
        ("/api/funds/F%C3%A9/Companies/", COMPANIES),
        ("/", None),
        ("/api", None),
        ("/api/portfolio/strategies/7/8", None),
        ("/api/portfolio/strategiesx", None),
        ("/x/api/portfolio/strategies", None),
        ("/api/funds/companies", None),
        ("/other//path/%2e%2e/;x", None),
    ],
)
def test_a_plain_path_is_matched_as_express_does(path: str, pattern: str | None) -> None:
    """Letters of either case and one trailing slash are ignored, and a parameter is any one segment."""
    assert found(table(), path) == (pattern and (pattern, False))


@pytest.mark.parametrize(
    "path",
    [
        "//api/portfolio/strategies",
        "/api//portfolio/strategies",
        "/api/portfolio/strategies//",
        "/./api/portfolio/strategies",
        "/api/./portfolio/strategies",
        "/x/../api/portfolio/strategies",
        "/api/portfolio/x/../strategies",
        "/../api/portfolio/strategies",
        "/api/portfolio/%2e/strategies",
        "/api/x/%2e%2e/portfolio/strategies",
        "/api/x/%2E./portfolio/strategies",
        "/api/portfolio/%73trategies",
        "/api/portfolio/%53TRATEGIES",
        "/api/portfolio/%2573trategies",
        "/api%2fportfolio/strategies",
        "/api/portfolio%2Fstrategies",
        "/api%5cportfolio/strategies",
        "/api\\portfolio\\strategies",
        "/api/portfolio/strategies;x",
        "/api/portfolio/strategies;jsessionid=1/",
        "/api;x/portfolio/strategies",
        "/api/portfolio/strategies%3Bx",
        "/api/portfolio/strategies%20",
        "/api/portfolio/strategies%2F",
        "/api/portfolio/strategies#x",
        "/api/portfolio/strategies#",
        "//x/api/portfolio/strategies",
        "///x/api/portfolio/strategies",
        "/\\x/api/portfolio/strategies",
        "/\\/x/api/portfolio/strategies",
        "//user@x/api/portfolio/strategies",
        "//[::1]:80/api/portfolio/strategies",
        "//x/./api/portfolio/%73trategies",
        "/x/..//y/api/portfolio/strategies",
        "/api/portfolio/strategies;/x/y",
        "/api/portfolio/strategies%3Fx",
    ],
)
def test_a_path_that_needs_normalising_is_ambiguous(path: str) -> None:
    """A path that only a generous server reads as the endpoint is the endpoint, and ambiguous."""
    assert found(table(), path) == (STRATEGIES, True)


@pytest.mark.parametrize(
    "path",
    ["/api/portfolio/strategies/.", "/api/portfolio/strategies/x%2F..", "/api/portfolio/strategies/;x"],
)
@pytest.mark.parametrize(
    ("strategies", "strategy", "expected"),
    [
        (Mode.ENFORCE, Mode.WARN, STRATEGIES),
        (Mode.WARN, Mode.ENFORCE, STRATEGY),
        (Mode.OFF, Mode.WARN, STRATEGY),
        (Mode.ENFORCE, Mode.ENFORCE, STRATEGY),
    ],
)
def test_two_readings_are_judged_by_the_stricter(path: str, strategies: Mode, strategy: Mode, expected: str) -> None:
    """A path that is two endpoints by two readings is ambiguous, at the stricter of them."""
    assert found(table(strategies=strategies, strategy=strategy), path) == (expected, True)


def test_the_mode_in_force_decides_between_two_readings() -> None:
    """A runtime override counts when two readings of a path are compared."""
    endpoints = table(strategies=Mode.ENFORCE, strategy=Mode.WARN)
    match = endpoints.match("/api/portfolio/strategies/.", lambda e: Mode.OFF if e.pattern == STRATEGIES else e.mode)
    assert match is not None
    assert (match.endpoint.pattern, match.ambiguous) == (STRATEGY, True)


@pytest.mark.parametrize("path", ["/./api/portfolio/strategies/a%2Fb", "//x/api/portfolio/strategies/a%2Fb"])
def test_a_server_that_does_less_is_looked_for_as_well(path: str) -> None:
    """One that resolves dots or an authority, but leaves an escaped slash alone, reads a parameter that holds it."""
    assert found(table(), path) == (STRATEGY, True)


@pytest.mark.parametrize(
    ("path", "ambiguous"),
    [
        ("/api/funds/7;stage=x/companies", True),
        ("/api/funds/7;x=1&stage[]=x/companies", True),
        ("/api/funds/7;stages=x/companies", False),
        ("/api/funds/7;/companies", False),
    ],
)
def test_what_may_be_a_query_to_others_is_ambiguous(path: str, ambiguous: bool) -> None:
    """A stage behind a semicolon is in the query to servers that separate it there."""
    assert found(table(), path) == (COMPANIES, ambiguous)


@pytest.mark.parametrize("path", ["/api/funds//companies", "/api/funds//companies/", "/./api/funds//companies"])
def test_a_parameter_may_be_empty_to_others(path: str) -> None:
    """A path with nothing in a parameter's place is the endpoint to some routers."""
    assert found(table(), path) == (COMPANIES, True)


def test_an_endpoint_that_only_some_read_wins_when_it_is_stricter() -> None:
    """Of three readings, the endpoint of the strictest decides."""
    path = "/api/portfolio/strategies;/7"
    assert found(table(strategies=Mode.ENFORCE, strategy=Mode.OFF), path) == (STRATEGIES, True)
    assert found(table(strategies=Mode.OFF, strategy=Mode.ENFORCE), path) == (STRATEGY, True)


@pytest.mark.parametrize(
    "beginning", ["/" + "/.%2e;x\\" * 2000, "/" + "%25" * 4000, "//" * 8000, "/./%2e\\//;x/%2573/x"]
)
def test_a_path_with_too_many_readings_is_ambiguous_where_it_names_an_endpoint(beginning: str) -> None:
    """What cannot be followed to its end is refused if it could be an endpoint, and passes if it could not."""
    assert found(table(), beginning + "/api/monte-carlo/strategies") is None
    match = found(table(), beginning + "/api/portfolio/strategies/x/;x//..%2f/../%2e%2e;/\\..")
    assert match is not None
    assert match[1]


@pytest.mark.parametrize(
    "path", ["/static/a//b", "/static/a%20b", "/x/../y", "//cdn/x.js", "/api//other", "/a;b/c", "/\\x"]
)
def test_a_path_that_nobody_reads_as_an_endpoint_is_none(path: str) -> None:
    """Being written oddly makes no path an endpoint."""
    assert found(table(), path) is None


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/a/b/c", "/a/b/:y"),
        ("/a/x/c", "/a/:x/c"),
        ("/a/x/d", "/:w/x/d"),
        ("/a/x/e", "/:w/:x/:y"),
        ("/z/b/c", "/:w/:x/:y"),
    ],
)
def test_the_leftmost_literal_segment_decides(path: str, pattern: str) -> None:
    """Between patterns that match, the one with a literal segment further left wins, in any order of them."""
    patterns = ["/:w/:x/:y", "/:w/x/d", "/a/:x/c", "/a/b/:y"]
    for order in (patterns, patterns[::-1]):
        assert found(EndpointTable(Endpoint(p, Mode.WARN, COMPILED) for p in order), path) == (pattern, False)


@pytest.mark.parametrize(
    ("path", "fund"),
    [
        ("/api/funds/7/companies", "7"),
        ("/API/FUNDS/Ab/COMPANIES", "Ab"),
        ("/api/funds/a%2Fb/companies", "a/b"),
        ("/api/funds/%C3%A9/companies", "é"),
    ],
)
def test_parameters_come_decoded_in_their_own_case(path: str, fund: str) -> None:
    """A parameter's value is decoded and keeps its case; a slash escaped within it is part of it."""
    match = table().match(path)
    assert match is not None
    assert match.parameters == {"fundId": fund}


def test_the_root_can_be_an_endpoint() -> None:
    """The pattern `/` matches the root alone."""
    endpoints = EndpointTable([Endpoint("/", Mode.WARN, COMPILED)])
    assert found(endpoints, "/") == ("/", False)
    assert found(endpoints, "//") == ("/", True)
    assert found(endpoints, "/x") is None


@pytest.mark.parametrize("pattern", ["/", "/api/x", "/a/:id", "/a/:id/b_c/:other", "/a-b.c~d/"])
def test_a_good_pattern_has_no_problem(pattern: str) -> None:
    """Literal segments and parameters make a pattern."""
    assert pattern_problem(pattern) is None


@pytest.mark.parametrize(
    "pattern", ["", "a", "//", "/a//b", "/:", "/:1", "/a:b", "/:a/:a", "/a b", "/%61", "/a/..", "/a*?"]
)
def test_a_bad_pattern_is_told(pattern: str) -> None:
    """A pattern that could not match, or not clearly, is told with a reason."""
    assert pattern_problem(pattern)


def test_patterns_of_one_shape_match_the_same_paths() -> None:
    """Case, a trailing slash and the names of parameters make no difference to what a pattern matches."""
    assert matched_form("/A/:x/") == matched_form("/a/:other") != matched_form("/a/x")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
def test_the_operation_follows_the_method_unless_it_is_set(method: str) -> None:
    """Without an operation GET, HEAD and OPTIONS read and the others write."""
    expected = Operation.READ if method in {"GET", "HEAD", "OPTIONS"} else Operation.WRITE
    assert Endpoint("/", Mode.WARN, COMPILED).operation_of(method) is expected
    for operation in Operation:
        assert Endpoint("/", Mode.WARN, COMPILED, operation=operation).operation_of(method) is operation


def test_a_fund_id_stands_nowhere_by_default() -> None:
    """An endpoint without a fund source has none."""
    assert Endpoint("/", Mode.WARN, COMPILED).fund == FundSource(None, None, None)
