"""What a value should have become, worked out a second time: plain Python over the text, decimals for weights."""

import json
from collections.abc import Mapping
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from typing import Any

from gateway.stages.vocabulary import Vocabulary

TOLERANCE = Decimal("0.000001")
# As exact as PostgreSQL's numeric: 131,072 digits before the point and 16,383 behind it (manual, "Numeric Types").
EXACT = Context(prec=150_000, Emax=MAX_EMAX, Emin=MIN_EMIN)


def rederive(column: Mapping[str, Any], before: str, vocabulary: Vocabulary) -> Any:
    """Return the canonical value of a text as it stood before, None when there is none."""
    if column["shape"] == "value":
        return vocabulary.resolve(before)
    value = parsed(before)
    with localcontext(EXACT):
        if column["shape"] == "keys":
            return _keys(value, vocabulary, weighted=column["weighted"])
        return _each(value, vocabulary, column["field"], column["weight"])


def parsed(text: str) -> Any:
    """Return a JSON text with exact numbers."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def _keys(value: Any, vocabulary: Vocabulary, *, weighted: bool) -> Any:
    made: dict[str, Any] = {}
    for name, weight in value.items():
        stage = vocabulary.resolve(name)
        if stage is None or (stage in made and not weighted):
            return None
        made[stage] = made[stage] + weight if stage in made else weight
    return made


def _marked(number: Decimal) -> list[str]:
    """Return a number as JSON that no text is equal to; numbers of one value are equal, as they are to jsonb."""
    return ["number", str(number.normalize())]


def _each(value: Any, vocabulary: Vocabulary, field: str, weight: str | None) -> Any:
    stages = [vocabulary.resolve(element[field]) for element in value]
    if None in stages:
        return None
    made: list[dict[str, Any]] = []
    groups: dict[str, list[int]] = {}
    for place, element in enumerate(value):
        rest = {name: member for name, member in element.items() if name not in {field, weight}}
        groups.setdefault(json.dumps([stages[place], rest], sort_keys=True, default=_marked), []).append(place)
    for place, element in enumerate(value):
        alike = next(group for group in groups.values() if place in group)
        merges = weight is not None and len({value[other][field] for other in alike}) > 1
        if merges and place != alike[0]:
            continue
        new = {**element, field: stages[place]}
        if merges:
            new[weight or ""] = sum((value[other][weight] for other in alike), Decimal(0))
        made.append(new)
    return made
