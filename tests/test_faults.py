"""What people are told of a document that is wrong: in words of ours, whatever is wrong with it."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from gateway.faults import OTHER, Spelt, no_json, type_problems
from gateway.migration.spec import Spec
from gateway.rules.model import File, default_endpoints
from gateway.server.override_service import ModeCall, Webhook
from gateway.settings import Settings

CONFIG = Path("config")
ENDPOINT = {**default_endpoints()["/api/portfolio/strategies"], "enforcementPercent": 5, "weightTolerance": 0.1}
WHOLE: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (
        File,
        {
            **json.loads((CONFIG / "gateway.json").read_text()),
            "endpoints": {"/a": {**ENDPOINT, "autoDemote": True}, **default_endpoints()},
            "vocabulary": {"canonical": ["seed"], "aliases": {"s": "seed"}, "acceptAliases": True},
            "upstreams": {"portfolio": {"url": "https://a", "caFile": "a.pem"}},
        },
    ),
    (Spec, {**json.loads((CONFIG / "migration.json").read_text()), "schema": "public", "lockTimeoutMs": 5}),
    (ModeCall, {"endpoint": "/a", "mode": "warn", "reason": "r", "by": "b", "seconds": 5}),
    (
        Webhook,
        {
            "version": "4",
            "alerts": [
                {"status": "firing", "labels": {"a": "b"}, "annotations": {}, "startsAt": "2026-01-31T12:00:00Z"}
            ],
        },
    ),
    (
        Settings,
        {name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()},
    ),
]
WRONG: list[Any] = [None, True, 0, -1, 1e300, 1.5, "", "%", "x\n", "x" * 600, [], [1], {}, {"unknown": 1}]
# How pydantic begins, its types and errors, a regular expression, a Python list, dict or value.
MACHINE = re.compile(
    r"Input should|should be|Value error|valid |pydantic|unable to|\^|\\Z|\[A-Z|None|True|False|<class|\['|\{'"
)


def places(value: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield way
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in items:
        yield from places(below, (*way, step))


def replaced(document: Any, way: tuple[str | int, ...], value: Any) -> Any:
    if not way:
        return value
    copied = copy.deepcopy(document)
    inner = copied
    for step in way[:-1]:
        inner = inner[step]
    inner[way[-1]] = value
    return copied


def lines(model: type[BaseModel], document: Any) -> list[str]:
    try:
        model.model_validate_json(json.dumps(document, default=str))
    except ValidationError as error:
        return list(type_problems(error, (), echo=False))
    return []


@pytest.mark.parametrize(("model", "document"), WHOLE, ids=[model.__name__ for model, _ in WHOLE])
def test_faults_are_told_in_our_words(model: type[BaseModel], document: dict[str, Any]) -> None:
    """Whatever stands in whatever place, no line has a word of pydantic's, a regular expression or a Python value."""
    told = 0
    for way in places(document):
        for wrong in WRONG:
            for line in lines(model, replaced(document, way, wrong)):
                told += 1
                assert not MACHINE.search(line), line
                assert OTHER not in line, line
    assert told > len(WRONG)


@pytest.mark.parametrize("text", ["", "{", '{"a":', '{"a": 1} 2', '{"a": tru}', "[" * 500, "1" * 5000, "\x00", "'"])
def test_text_that_is_no_json_is_told_in_our_words(text: str) -> None:
    """Of a text that is no JSON the cause is told, with line and column."""
    with pytest.raises(ValidationError) as caught:
        ModeCall.model_validate_json(text)
    [line] = type_problems(caught.value, ())
    assert re.fullmatch(r"is no JSON that can be read: [a-z ]+ at line \d+, column \d+", line)
    assert no_json("some other reader's words").startswith("is no JSON that can be read: it goes wrong")


def test_spelling_is_that_of_the_schema() -> None:
    """A pattern is that of JSON Schema: its end is the end of the text, also before a line break."""
    named = TypeAdapter(Annotated[str, Spelt("^[ab]$", "a or b")])
    assert named.json_schema() == {"type": "string", "pattern": "^[ab]$"}
    assert named.validate_python("a") == "a"
    for text in ("a\n", "c", ""):
        with pytest.raises(ValidationError, match="a or b"):
            named.validate_python(text)
