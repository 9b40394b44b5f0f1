"""What a value should have become, worked out a second time: plain Python over the text, decimals for weights."""

import json
from collections.abc import Mapping, Sequence
from decimal import MAX_EMAX, MIN_EMIN, Decimal, localcontext
from typing import Any

from gateway.stages.vocabulary import Vocabulary

# As exact as PostgreSQL's numeric: 131,072 digits before the point and 16,383 behind it (manual, "Numeric Types").
_DIGITS = 150_000


def rederive(column: Mapping[str, Any], before: str, vocabularies: Sequence[Vocabulary]) -> Any:
    """Return what vocabularies make of a text, one after another: None when none of them makes a canonical value.

    One under which a value cannot be mapped leaves it as it is.
    """
    value, made = (before if column["shape"] == "value" else parsed(before)), None
    with localcontext(prec=_DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN):
        for vocabulary in vocabularies:
            new = _derived(column, value, vocabulary)
            if new is not None:
                value = made = new
    return made


def _derived(column: Mapping[str, Any], value: Any, vocabulary: Vocabulary) -> Any:
    if column["shape"] == "value":
        return vocabulary.resolve(value)
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
    groups: dict[str, list[int]] = {}
    for place, element in enumerate(value):
        rest = {name: member for name, member in element.items() if name not in {field, weight}}
        groups.setdefault(json.dumps([stages[place], rest], sort_keys=True, default=_marked), []).append(place)
    merged: dict[int, Any] = {}  # place of each element that takes others in → weight of all
    taken_in: set[int] = set()
    for alike in groups.values():
        if weight is not None and len({value[place][field] for place in alike}) > 1:
            merged[alike[0]] = sum((value[place][weight] for place in alike), Decimal(0))
            taken_in.update(alike[1:])
    return [
        {**element, field: stages[place], **({weight: merged[place]} if place in merged else {})}
        for place, element in enumerate(value)
        if place not in taken_in
    ]
