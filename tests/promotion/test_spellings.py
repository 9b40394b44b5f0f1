"""Which unknown values are certainly a spelling of one stage, and which are a person's decision."""

import pytest

from gateway.promotion.spellings import Decision, merged, ruling, with_aliases
from gateway.stages.vocabulary import Vocabulary, vocabulary_problems

DEFAULT = Vocabulary()


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("Series.A", "series-a"),
        ("SERIES - A", "series-a"),
        ("series\u2013b", "series-b"),
        ("ｓｅｒｉｅｓ＿.Ｂ", "series-b"),
        ("Pre.Seed", "pre-seed"),
        ("p r e s e e d", "pre-seed"),
        ("s_e_e_d", "seed"),
        ("series\u2212a", "series-a"),
    ],
)
def test_certain(value: str, meaning: str) -> None:
    """A canonical name but for case, width and separators is certain, and resolves once its alias is pasted."""
    ruled = ruling(value, DEFAULT)
    assert (ruled.decision, ruled.meaning) == (Decision.CERTAIN, meaning)
    aliases = with_aliases(DEFAULT, [value])
    assert Vocabulary(aliases=aliases).resolve(value) == meaning
    assert vocabulary_problems(DEFAULT.canonical, aliases) == []


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("seriesc", "series-c or series-c+?"),
        ("series.c", "series-c or series-c+?"),
        ("series.c+", "series-c or series-c+?"),
        ("seed+", "is only near seed"),
        ("sreies-a", "is only near series-a"),
        ("ѕeries-a", "has letters that are not those of any name"),
        ("ѕeries.\u0430", "has letters that are not those of any name"),
        ("Growth", "is near no name"),
        ("", "is near no name"),
        ("---", "is near no name"),
        ("s" + " " * 62 + "eed", "has 64 characters or more, and may be cut"),
        ("series\u200b-a", "is only near series-a"),
    ],
)
def test_person(value: str, why: str) -> None:
    """Whatever could mean two stages, is merely near, looks alike or was cut is a person's decision, never pasted."""
    ruled = ruling(value, DEFAULT)
    assert (ruled.decision, ruled.meaning, ruled.why) == (Decision.PERSON, None, why)
    assert with_aliases(DEFAULT, [value]) == dict(DEFAULT.aliases)


def test_known() -> None:
    """An alias is known already, and pasted by nobody."""
    assert ruling("Series A", DEFAULT).decision is Decision.KNOWN
    assert with_aliases(DEFAULT, ["Series A"]) == dict(DEFAULT.aliases)


def test_alias_that_leads_elsewhere() -> None:
    """A spelling that some alias gives another meaning is not certain."""
    odd = Vocabulary(("series-a", "series-b"), {"series_a": "series-b"})
    assert ruling("Series.A", odd).decision is Decision.PERSON


def entry(value: str, count: int, endpoint: str, fund: str, seen: str) -> dict[str, object]:
    return {
        "value": value,
        "reason": "disallowed_value",
        "count": count,
        "endpoint": endpoint,
        "funds": [fund],
        "firstSeen": seen,
        "lastSeen": seen,
        "suggestion": None,
    }


def test_merged() -> None:
    """What several gateways and endpoints saw of one value is one entry, from the first time to the last."""
    one, other = "2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"
    lists = [[entry("x", 1, "/a", "7", other), entry("y", 2, "/a", "7", one)], [entry("x", 3, "/b", "8", one)]]
    x, y = merged(lists)
    assert (x.value, x.count, x.endpoints, x.funds, x.first, x.last) == ("x", 4, {"/a", "/b"}, {"7", "8"}, one, other)
    assert (y.value, y.count) == ("y", 2)
