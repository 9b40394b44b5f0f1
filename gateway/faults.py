"""What is wrong with a document from outside, in words for people: the one translator of pydantic's errors.

A line reads `$.endpoints["/api/x"].operation: got "reed", expected 'read' or 'write'`. The words are ours: a library's
own change with its releases and speak of its types. For a kind of error that is not known here they are "another
value", which a test over every model keeps from happening.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, core_schema

_PLAIN_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_PLACE = re.compile(r"line (\d+),? column (\d+)")
_MAX_SHOWN = 60
OURS = "ours"  # the type of an error whose message a model of ours gives
OTHER = "another value"
_CAUSES: Mapping[str, str] = MappingProxyType(
    {
        "EOF": "it ends too early",
        "unexpected end": "it ends too early",
        "recursion limit": "it is nested too deep",
        "number out of range": "a number is too long",
        "trailing characters": "it goes on behind its end",
    }
)
_Expected = str | Callable[[Mapping[str, Any]], str]


def _characters(count: int) -> str:
    return f"{count} character" if count == 1 else f"{count} characters"


def _number(bound: float) -> str:
    return str(int(bound) if float(bound).is_integer() else bound)


_EXPECTED: Mapping[str, _Expected] = MappingProxyType(
    {
        **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
        **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
        **dict.fromkeys(("float_type", "float_parsing"), "a number"),
        "finite_number": "a finite number",
        **dict.fromkeys(("string_type", "string_unicode"), "a text"),
        **dict.fromkeys(("path_type",), "a path"),
        **dict.fromkeys(("dict_type", "model_type", "model_attributes_type", "mapping_type"), "an object"),
        **dict.fromkeys(("list_type", "tuple_type"), "a list"),
        **dict.fromkeys(
            ("datetime_type", "datetime_parsing", "datetime_from_date_parsing", "timezone_aware"),
            "a time with its zone, such as 2026-01-31T12:00:00Z",
        ),
        "greater_than": lambda context: f"more than {_number(context['gt'])}",
        "greater_than_equal": lambda context: f"at least {_number(context['ge'])}",
        "less_than": lambda context: f"less than {_number(context['lt'])}",
        "less_than_equal": lambda context: f"at most {_number(context['le'])}",
        "string_too_short": lambda context: f"a text of at least {_characters(context['min_length'])}",
        "string_too_long": lambda context: f"a text of at most {_characters(context['max_length'])}",
        "too_short": "at least one",
        "too_long": lambda context: f"at most {context['max_length']}",
        **dict.fromkeys(("literal_error", "enum"), lambda context: str(context["expected"])),
        "value_error": lambda context: str(context["error"]),
    }
)


def path_of(steps: Sequence[str | int]) -> str:
    """Return a JSON path: `$` for the document, `.name`, `["other name"]`, `[0]`."""
    path = "$"
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif _PLAIN_NAME.fullmatch(step):
            path += f".{step}"
        else:
            path += f"[{json.dumps(step, ensure_ascii=False)}]"
    return path


def shown(value: Any) -> str:
    """Return a value as JSON, cut to one line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def quoted(names: Iterable[str]) -> str:
    """Return names as a text lists them."""
    return ", ".join(f"'{name}'" for name in names)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question to put behind a message about an unknown name, empty when none of the known ones is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean '{near[0]}'?" if near else ""


def members_of(*parts: type[BaseModel]) -> set[str]:
    """Return the names that the members of these models have in a document."""
    return {field.alias or name for part in parts for name, field in part.model_fields.items()}


def type_problems(
    error: ValidationError,
    known: Iterable[str],
    *,
    steps_of: Callable[[Sequence[str | int]], Sequence[str | int]] = list,
    echo: bool = True,
) -> Iterator[str]:
    """Yield one line for each fault that a model found in a document; `known` are the names of all its members.

    `steps_of` makes of pydantic's place that in the document. `echo` false leaves out the values that were given.
    """
    for fault in error.errors(include_url=False):
        steps = steps_of(fault["loc"])
        got = f"got {shown(fault['input'])}, " if echo else ""
        match fault["type"]:
            case "too_short" if fault["input"]:
                continue  # its members are faulty, and each of them is told
            case "default_factory_not_called":
                continue  # what the default is made of is faulty, and told
            case "json_invalid":
                yield no_json(str(fault["ctx"]["error"]))
            case "missing":
                yield f"{path_of(steps)}: missing, expected a value here"
            case "extra_forbidden":
                hint = did_you_mean(str(steps[-1]), known)
                yield f"{path_of(steps)}: unknown member, {got}expected none of this name{hint}"
            case _:
                yield f"{path_of(steps)}: {got}expected {expectation(fault)}"


def expectation(fault: ErrorDetails) -> str:
    """Return what was expected in the place of a faulty value, in words that follow "expected"."""
    if fault["type"] == OURS:
        return fault["msg"]
    expected = _EXPECTED.get(fault["type"], OTHER)
    return expected if isinstance(expected, str) else expected(fault.get("ctx", {}))


def no_json(message: str) -> str:
    """Return the line about a text that is no JSON; of the reader's own message only cause and place are taken."""
    cause = next((words for mark, words in _CAUSES.items() if mark in message), "it goes wrong")
    place = _PLACE.search(message)
    return f"is no JSON that can be read: {cause}" + (f" at line {place[1]}, column {place[2]}" if place else "")


@dataclass(frozen=True, slots=True)
class Spelt:
    """Marks a text in a model that has to match `pattern`, of which people are told in `words`."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the pattern, after what is checked anyway."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Put the pattern into the JSON Schema."""
        return {**handler(schema), "pattern": self.pattern}

    def _check(self, text: str) -> str:
        # A dollar of Python's also matches before a last line break; JSON Schema's does not.
        if re.search(re.sub(r"\$$", r"\\Z", self.pattern), text) is None:
            raise ValueError(self.words)
        return text
