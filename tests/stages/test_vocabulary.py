"""The vocabulary: what is canonical, what is an alias, and what is neither."""

import json
import re
import sys
import unicodedata

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from gateway.stages.reasons import Reason
from gateway.stages.vocabulary import (
    DEFAULT_ALIASES,
    DEFAULT_CANONICAL,
    MAX_SPELLING_LENGTH,
    Vocabulary,
    default_aliases,
    fingerprint,
    may_normalise_to,
    normalise,
    vocabulary_problems,
)

CANONICAL = ("pre-seed", "seed", "series-a", "series-b", "series-c", "series-c+")


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary()


def test_the_default_canonical_values_are_six_in_order() -> None:
    """The canonical values are the six of every day, in their order."""
    assert Vocabulary().canonical == DEFAULT_CANONICAL == CANONICAL


@pytest.mark.parametrize("value", CANONICAL)
def test_a_canonical_value_passes(vocabulary: Vocabulary, value: str) -> None:
    """A canonical value is itself and nothing is objected to it."""
    assert vocabulary.objection(value) is None
    assert vocabulary.resolve(value) == value


@pytest.mark.parametrize(
    ("spelling", "stage"),
    [
        ("preseed", "pre-seed"),
        ("pre_seed", "pre-seed"),
        ("pre seed", "pre-seed"),
        ("series a", "series-a"),
        ("seriesa", "series-a"),
        ("series_a", "series-a"),
        ("series b", "series-b"),
        ("seriesb", "series-b"),
        ("series_b", "series-b"),
        ("series c", "series-c"),
        ("series_c", "series-c"),
        ("series c+", "series-c+"),
        ("seriesc+", "series-c+"),
        ("series_c+", "series-c+"),
        ("Series A", "series-a"),
        ("SERIES-A", "series-a"),
        ("Seed", "seed"),
        (" seed", "seed"),
        ("seed\n", "seed"),
        ("  Series \t\u00a0 B ", "series-b"),
        ("ｓｅｒｉｅｓ－ａ", "series-a"),
        ("ＳＥＥＤ", "seed"),
        ("\u017feed", "seed"),  # long s: NFKC makes it an s
        ("ⓢeed", "seed"),
    ],
)
def test_an_alias_is_objected_to_and_names_its_canonical_value(
    vocabulary: Vocabulary, spelling: str, stage: str
) -> None:
    """An alias, in any case, width and white space, is a violation that suggests what it means."""
    assert vocabulary.objection(spelling) is Reason.ALIAS
    assert vocabulary.suggestion(spelling) == stage


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "seriesc",
        "SeriesC",
        "series",
        "series-d",
        "series--a",
        "series–a",  # an en dash
        "se ed",
        "seed\u200b",
        "ѕeed",  # Cyrillic dze
        "sеed",  # Cyrillic ie
        "series-а",  # Cyrillic a
        "series-с",  # Cyrillic es
        "ꜱeed",
        "seed\x00",
        "growth",
    ],
)
def test_an_unknown_value_stays_unknown(value: str) -> None:
    """Nothing is guessed: look-alikes and near misses are unknown even when aliases are accepted."""
    for accept in (False, True):
        vocabulary = Vocabulary(accept_aliases=accept)
        assert vocabulary.resolve(value) is None
        assert vocabulary.objection(value) is Reason.DISALLOWED_VALUE


def test_an_accepted_alias_passes() -> None:
    """With acceptAliases an alias passes and an unknown value still does not."""
    vocabulary = Vocabulary(accept_aliases=True)
    assert vocabulary.objection("Series A") is None
    assert vocabulary.objection("Series X") is Reason.DISALLOWED_VALUE


def test_a_text_too_long_for_a_stage_is_unknown(vocabulary: Vocabulary) -> None:
    """Normalising stays cheap: beyond its bound a text is no spelling of anything."""
    assert vocabulary.resolve("Seed".ljust(MAX_SPELLING_LENGTH)) == "seed"
    assert vocabulary.resolve("Seed".ljust(MAX_SPELLING_LENGTH + 1)) is None


@pytest.mark.parametrize(
    ("value", "suggestion"),
    [
        ("sead", "seed"),
        ("pre-sed", "pre-seed"),
        ("series-aa", "series-a"),
        ("serise-b", "series-b"),
        ("growth", None),
        ("", None),
        ("series-", None),  # a, b and c are equally near
        ("seed" * 100, None),
    ],
)
def test_an_unknown_value_gets_the_nearest_as_suggestion_when_one_is_near(
    vocabulary: Vocabulary, value: str, suggestion: str | None
) -> None:
    """Only a single near canonical value is suggested."""
    assert vocabulary.suggestion(value) == suggestion


@pytest.mark.parametrize("separator", " -_")
@pytest.mark.parametrize("stage", ["pre-seed", "series-a", "series-b", "series-c", "series-c+"])
def test_another_separator_is_nearest_to_its_own_stage(stage: str, separator: str) -> None:
    """A name with another separator is suggested its own stage, also where only other stages have such an alias."""
    others = {alias: name for alias, name in Vocabulary().aliases.items() if name != stage}
    assert Vocabulary(aliases=others).suggestion(stage.replace("-", separator)) == stage


@given(st.text(max_size=20))
def test_a_suggestion_is_canonical_or_none(value: str) -> None:
    """Whatever the client sends, only a canonical value is ever suggested."""
    assert Vocabulary().suggestion(value) in {*CANONICAL, None}


@given(st.text(max_size=20))
def test_only_the_six_texts_themselves_are_canonical(value: str) -> None:
    """No other text than the canonical ones passes, and the rest is an alias by exact look-up alone."""
    known = {**{name: name for name in CANONICAL}, **DEFAULT_ALIASES}
    plain = re.sub(r"\s+", " ", unicodedata.normalize("NFKC", value).casefold()).strip()
    expected = None if value in CANONICAL else Reason.ALIAS if plain in known else Reason.DISALLOWED_VALUE
    assert Vocabulary().objection(value) is expected


def test_normalising_is_nfkc_casefold_and_single_spaces() -> None:
    """Normalising takes its four steps in order."""
    assert normalise(" Straße\u2003\t ﬁn ") == "strasse fin"


def test_the_fingerprint_is_that_of_the_compact_json() -> None:
    """The fingerprint is xxh3-64 of the sorted, compact JSON, and the default one never changes."""
    document = json.dumps(
        {"aliases": dict(sorted(DEFAULT_ALIASES.items())), "canonical": list(CANONICAL)},
        separators=(",", ":"),
        ensure_ascii=False,
    )
    assert document.startswith('{"aliases":{"pre seed":"pre-seed","pre_seed":')
    assert Vocabulary().fingerprint == f"{xxhash.xxh3_64_intdigest(document.encode()):016x}" == "62f5f7e29e601c54"


def test_the_fingerprint_is_of_utf_8() -> None:
    """Letters beyond ASCII stand in the fingerprinted JSON as UTF-8, not escaped."""
    text = '{"aliases":{"graine":"semé"},"canonical":["semé"]}'
    assert fingerprint(["semé"], {"graine": "semé"}) == xxhash.xxh3_64_hexdigest(text.encode())


def test_the_fingerprint_minds_the_order_of_canonical_values_only() -> None:
    """Another order of aliases is the same vocabulary, another order of canonical values is not."""
    aliases = {"sa": "series-a", "s": "seed"}
    turned = dict(reversed(aliases.items()))
    assert fingerprint(CANONICAL, aliases) == fingerprint(CANONICAL, turned)
    assert fingerprint(CANONICAL, aliases) != fingerprint(CANONICAL[::-1], aliases)
    assert Vocabulary(accept_aliases=True).fingerprint == Vocabulary().fingerprint


def test_default_aliases_follow_the_canonical_values() -> None:
    """With other canonical values only the default aliases that lead to one of them are kept."""
    assert set(default_aliases(["seed", "series-a"])) == {"series a", "seriesa", "series_a"}
    assert default_aliases(["series-a", "Series A"]).keys() == {"seriesa", "series_a"}


@pytest.mark.parametrize(
    ("canonical", "aliases", "places"),
    [
        (CANONICAL, DEFAULT_ALIASES, []),
        (["seed"], {"s": "sead"}, ['.aliases["s"]']),
        (["seed", "series-a"], {"SEED": "series-a"}, ['.aliases["SEED"]']),
        (["seed", "series-a"], {"s": "seed", "S": "series-a"}, ['.aliases["S"]']),
        (["seed", "Seed"], {}, [".canonical[1]"]),
        (["", "seed"], {}, [".canonical[0]"]),
        (["seed"], {"  ": "seed"}, ['.aliases["  "]']),
    ],
)
def test_contradictions_are_all_named(canonical: list[str], aliases: dict[str, str], places: list[str]) -> None:
    """Every alias that leads nowhere, or away from a canonical value, is named by its place."""
    assert [place for place, _ in vocabulary_problems(canonical, aliases)] == places


def test_characters_keep_to_what_the_bound_on_spellings_takes_for_granted() -> None:
    """No character composes more than four, casefolds to nothing, or turns into white space altogether."""
    every = [chr(code) for code in range(sys.maxunicode + 1)]
    assert max(len(unicodedata.normalize("NFD", one)) for one in every) == 4
    assert all(one.casefold() for one in every)
    assert all(one.isspace() or unicodedata.normalize("NFKC", one).strip() for one in every)


@given(
    st.text(
        st.one_of(st.characters(), st.sampled_from("\ufdfa\u0345\u0301\u1fb7 \u2003\u1100\u1161\u11a8\u00a8")),
        max_size=60,
    )
)
def test_what_cannot_become_so_short_does_not(text: str) -> None:
    """A text is never said to be too long for what it normalises to."""
    assert may_normalise_to(text, len(normalise(text)))


def test_a_long_spelling_with_room_around_and_marks_is_found() -> None:
    """The bound keeps no alias out: wide letters, marks that compose, and white space around."""
    vocabulary = Vocabulary(["ᾷ-seed"], {"ﷺ": "ᾷ-seed"})
    assert vocabulary.resolve("\u2003" * 50 + "α\u0342\u0345－ＳＥＥＤ" + " " * 50) == "ᾷ-seed"
    assert vocabulary.resolve(unicodedata.normalize("NFKD", "ﷺ").replace(" ", "\u2003 ")) == "ᾷ-seed"


def test_a_text_that_expands_is_not_normalised() -> None:
    """Of a text that NFKC makes two thousand characters of, no more is looked at than shows that it is no alias."""
    assert not may_normalise_to("\ufdfa" * 20, 70)
    assert Vocabulary().suggestion("\ufdfa" * 123) is None
