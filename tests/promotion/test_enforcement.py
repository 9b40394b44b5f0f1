"""Whether a configuration protects writes less than another: held against what each does with single paths."""

import json
from collections.abc import Mapping
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.length import examples

from gateway.promotion.enforcement import enforcement, raised, weakened
from gateway.rollout.endpoints import matched_form
from gateway.rules.load import Rules, parse

SEGMENTS = ("a", "x", "xx", ":p", ":q")
VALUES = ("a", "x", "xx", "xxx", "other")


def configuration(modes: Mapping[str, str]) -> Rules:
    return parse(
        json.dumps(
            {
                "upstreams": {"one": {"url": "http://127.0.0.1:1"}},
                "endpointMode": modes,
                "endpoints": {pattern: {"stages": [{"value": "/stage"}]} for pattern in modes},
            }
        )
    )


def refused(rules: Rules, path: str) -> tuple[int, float]:
    """Return how strictly writes to a path are treated."""
    match = rules.endpoints.match(path)
    if match is None:
        return 0, 0.0
    found = enforcement(rules)[match.endpoint.pattern]
    return ["off", "warn", "enforce"].index(found.mode), found.percent


def unlike(patterns: list[str]) -> bool:
    return len({matched_form(pattern) for pattern in patterns}) == len(patterns)


PATTERNS = st.lists(
    st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3)
    .filter(lambda segments: len({s for s in segments if s[0] == ":"}) == sum(s[0] == ":" for s in segments))
    .map(lambda segments: "/" + "/".join(segments)),
    min_size=1,
    max_size=4,
).filter(unlike)
CONFIGURATIONS = PATTERNS.flatmap(
    lambda patterns: st.fixed_dictionaries(
        {pattern: st.sampled_from(["off", "warn", "enforce"]) for pattern in patterns}
    )
)
PATHS = ["/" + "/".join(values) for length in (1, 2, 3) for values in product(VALUES, repeat=length)]


@settings(max_examples=examples(150, 5_000), deadline=None)
@given(CONFIGURATIONS, CONFIGURATIONS)
def test_a_path_that_is_protected_less_is_told(before: dict[str, str], after: dict[str, str]) -> None:
    """Something is told just where writes to some path are treated less strictly, however the patterns overlap."""
    old, new = configuration(before), configuration(after)
    falls = [path for path in PATHS if refused(new, path) < refused(old, path)]
    rises = [path for path in PATHS if refused(new, path) > refused(old, path)]
    assert bool(list(weakened(old, new))) == bool(falls), falls[:3]
    assert bool(raised(old, new)) == bool(rises), rises[:3]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"/:x/b": "enforce"}, {"/:x/b": "enforce", "/a/:y": "warn"}, "/a/b falls from enforce at 100 % to warn"),
        ({"/:id": "enforce"}, {"/:id": "enforce", "/x": "warn"}, "/x falls from enforce at 100 % to warn"),
        ({"/:id": "enforce"}, {"/:name": "warn"}, "/:id falls from enforce at 100 % to warn"),
        ({"/a/:id": "enforce"}, {}, "/a/:id falls from enforce at 100 % to off"),
    ],
)
def test_what_patterns_have_in_common_is_named(before: dict[str, str], after: dict[str, str], told: str) -> None:
    """A pattern that takes requests from another one is told by what both match."""
    assert list(weakened(configuration(before), configuration(after or {"/elsewhere": "off"}))) == [told]
