"""The vocabulary: which stage names are canonical, which spellings are aliases, and what is near.

Rules of the room:

- A value is canonical only if it is exactly one of `canonical`.
- An alias is found by `normalise` and an exact look-up. Nothing is guessed: an unknown value stays unknown.
- `nearest` only ever suggests. No decision rests on it.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import orjson
import xxhash
from rapidfuzz.distance import Indel

from gateway.stages.reasons import Reason

DEFAULT_CANONICAL = ("pre-seed", "seed", "series-a", "series-b", "series-c", "series-c+")

# "seriesc" is left out on purpose: whether it means c or c+ nobody knows.
DEFAULT_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "preseed": "pre-seed",
        "pre_seed": "pre-seed",
        "pre seed": "pre-seed",
        "series a": "series-a",
        "seriesa": "series-a",
        "series_a": "series-a",
        "series b": "series-b",
        "seriesb": "series-b",
        "series_b": "series-b",
        "series c": "series-c",
        "series_c": "series-c",
        "series c+": "series-c+",
        "seriesc+": "series-c+",
        "series_c+": "series-c+",
    }
)

# A longer text is no spelling of a stage; the bound keeps normalising cheap whatever a client sends.
MAX_SPELLING_LENGTH = 128

# 2 × characters in common, in order / characters of both: one slip in a word of four reaches 0.75.
NEAR = 0.75
_SEPARATORS = str.maketrans("-_", "  ")

# No character decomposes canonically into more (Unicode's stability policy keeps it so), so composing n characters
# leaves n / 4 at least.
_COMPOSED = 4
_AT_ONCE = 8  # characters that are decomposed together


def normalise(text: str) -> str:
    """Return `text` in NFKC, casefolded, runs of white space made one space, trimmed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def may_normalise_to(text: str, length: int) -> bool:
    """Whether `normalise` could make of `text` one of so many characters; false is certain.

    Some characters become eighteen, and putting hundreds of those in order takes milliseconds. NFKC decomposes every
    character, reorders, and composes again; casefolding leaves no character out, and white space is not counted here.
    So what decomposes into more than four times the characters does not become as short as that. It is counted a few
    characters at a time, and no further than needed.
    """
    if text.isascii():
        return True
    bare = "".join(text.split())
    left = _COMPOSED * length
    if len(bare) > left:
        return False
    for start in range(0, len(bare), _AT_ONCE):
        left -= sum(map(len, unicodedata.normalize("NFKD", bare[start : start + _AT_ONCE]).split()))
        if left < 0:
            return False
    return True


def default_aliases(canonical: Sequence[str]) -> dict[str, str]:
    """Return the default aliases that make sense beside these canonical values.

    A file that names its own canonical values need not repeat the aliases that lead to them, and is not
    blamed for those that lead to none.
    """
    own = {normalise(value) for value in canonical}
    return {
        spelling: value
        for spelling, value in DEFAULT_ALIASES.items()
        if value in canonical and normalise(spelling) not in own
    }


def fingerprint(canonical: Sequence[str], aliases: Mapping[str, str]) -> str:
    """Return xxh3-64, 16 hex digits, of the vocabulary as compact JSON with sorted aliases.

    `acceptAliases` is left out: it says what to do with an alias, not what a name means.
    """
    document = {"aliases": dict(sorted(aliases.items())), "canonical": list(canonical)}
    return xxhash.xxh3_64_hexdigest(orjson.dumps(document))


def vocabulary_problems(canonical: Sequence[str], aliases: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return every contradiction as (member path below `vocabulary`, what is wrong), in a stable order."""
    problems: list[tuple[str, str]] = []
    owner: dict[str, str] = {}
    for index, value in enumerate(canonical):
        place = f".canonical[{index}]"
        plain = normalise(value)
        if not plain:
            problems.append((place, f"{value!r} is empty: a canonical stage needs a name"))
        elif plain in owner:
            problems.append((place, f"{value!r} and {owner[plain]!r} are the same name"))
        owner.setdefault(plain, value)
    leads: dict[str, str] = {}
    for spelling, value in aliases.items():
        place = f'.aliases["{spelling}"]'
        plain = normalise(spelling)
        if not plain:
            problems.append((place, f"{spelling!r} is empty: an alias needs a spelling"))
        if value not in canonical:
            problems.append((place, f"{value!r} is no canonical value, expected one of {', '.join(canonical)}"))
        elif owner.get(plain, value) != value:
            problems.append((place, f"{owner[plain]!r} is canonical and cannot be an alias of {value!r}"))
        elif leads.setdefault(plain, value) != value:
            problems.append((place, f"leads to {value!r}, but the same spelling also leads to {leads[plain]!r}"))
    return problems


class Vocabulary:
    """An immutable vocabulary.

    `canonical` is the exact set of allowed names in their order, `aliases` maps spellings (any case, any white
    space) to canonical names, `accept_aliases` lets an alias pass. The arguments are taken to be free of
    `vocabulary_problems`; the configuration reports those.
    """

    __slots__ = ("_longest", "_spellings", "accept_aliases", "aliases", "canonical", "fingerprint", "names")

    def __init__(
        self,
        canonical: Iterable[str] = DEFAULT_CANONICAL,
        aliases: Mapping[str, str] | None = None,
        *,
        accept_aliases: bool = False,
    ) -> None:
        self.canonical = tuple(canonical)
        self.names = frozenset(self.canonical)
        self.aliases = MappingProxyType(dict(default_aliases(self.canonical) if aliases is None else aliases))
        self.accept_aliases = accept_aliases
        self.fingerprint = fingerprint(self.canonical, self.aliases)
        spellings = {normalise(spelling): value for spelling, value in self.aliases.items()}
        spellings.update({normalise(value): value for value in self.canonical})
        self._spellings = MappingProxyType(spellings)
        self._longest = max(map(len, spellings), default=0)

    def resolve(self, value: str) -> str | None:
        """Return the canonical name that `value` is or is an alias of, None when it is unknown."""
        if value in self.names:
            return value
        if len(value) > MAX_SPELLING_LENGTH or not may_normalise_to(value, self._longest):
            return None
        return self._spellings.get(normalise(value))

    def objection(self, value: str) -> Reason | None:
        """Return what is wrong with `value` as a stage, None when it may pass."""
        if value in self.names:
            return None
        if self.resolve(value) is None:
            return Reason.DISALLOWED_VALUE
        return None if self.accept_aliases else Reason.ALIAS

    def suggestion(self, value: str) -> str | None:
        """Return the canonical name to suggest for `value`: its own, else the nearest when one alone is near."""
        return self.resolve(value) or self.nearest(value)

    def nearest(self, value: str) -> str | None:
        """Return the one canonical name nearest to an unknown `value`, None when none or several are near.

        Names that differ in the separator alone are as near as can be: `series b` is `series-b` to it, whether or not
        some other stage has an alias with a space.
        """
        value, longest = value[:MAX_SPELLING_LENGTH], 2 * self._longest
        if not may_normalise_to(value, longest):
            return None
        plain = normalise(value).translate(_SEPARATORS)
        if not plain or len(plain) > longest:
            return None
        best: dict[str, float] = {}
        for spelling, name in self._spellings.items():
            ratio = Indel.normalized_similarity(plain, spelling.translate(_SEPARATORS), score_cutoff=NEAR)
            best[name] = max(best.get(name, 0.0), ratio)
        top = max(best.values(), default=0.0)
        winners = [name for name, ratio in best.items() if ratio == top]
        return winners[0] if top >= NEAR and len(winners) == 1 else None
