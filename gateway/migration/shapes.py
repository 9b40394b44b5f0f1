"""The three shapes in which stages are stored, as parts of statements.

Each shape has four files: `suspect` (is this value anything but canonical, a fast look), `names` (the names in it),
`derive` (the canonical value, NULL when there is none) and `faults` (why there is none).
"""

import json
from collections.abc import Mapping
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from gateway.migration.catalog import Target
from gateway.migration.statements import statement
from gateway.stages.vocabulary import Vocabulary

_PARAMETERS = ("canonical", "weighted", "path", "names", "field")


def fragments(target: Target, value: sql.Composable | None = None) -> dict[str, sql.Composable]:
    """Return a column's slots: its identifiers, and the four parts about `value`, by default `t.column`."""
    value = value or sql.SQL("t.") + sql.Identifier(target.column)
    holes = {name: sql.Placeholder(name) for name in _PARAMETERS}
    parts = {
        part: statement(f"{part}_{target.shape}", value=value, **holes)
        for part in ("suspect", "names", "derive", "faults")
    }
    return {**target.slots(), **parts}


def literal_suspect(target: Target, vocabulary: Vocabulary, value: sql.Composable) -> sql.Composed:
    """Return `suspect` for DDL, which takes no parameters: the driver quotes the values."""
    given = parameters(target, vocabulary, {})
    holes = {name: sql.Literal(given[name]) for name in _PARAMETERS}
    return statement(f"suspect_{target.shape}", value=value, **holes)


def parameters(target: Target, vocabulary: Vocabulary, mapping: Mapping[str, str]) -> dict[str, Any]:
    """Return the values that statements about this column take; `mapping` is raw name → canonical name."""
    return {
        "canonical": list(vocabulary.canonical),
        "names": Jsonb({"names": list(vocabulary.canonical)}),
        "path": _path(target),
        "map": Jsonb({**mapping, **{name: name for name in vocabulary.canonical}}),
        "field": target.field,
        "weight": target.weight,
        "weighted": target.weighted,
    }


def _path(target: Target) -> str | None:
    """Return the JSON path to the elements that are not canonical.

    Strict, since the lax mode looks through arrays in arrays; there an absent member is an error, which a filter
    turns into `unknown` (PostgreSQL, "The SQL/JSON Path Language").
    """
    if target.field is None:
        return None
    good = f"@.{json.dumps(target.field)} == $names[*]"
    if target.weight is not None:
        good += f' && @.{json.dumps(target.weight)}.type() == "number"'
    return f"strict $[*] ? (!({good}) || ({good}) is unknown)"


def off(target: Target, value: sql.Composable | None = None) -> sql.Composed:
    """Return the condition that the weights in `value` do not sum to 1."""
    value = value or sql.SQL("t.") + sql.Identifier(target.column)
    return statement(f"off_{target.shape}", value=value)


def exactly(target: Target) -> dict[str, sql.Composable]:
    """Return what was stored and what was meant, as they are compared: text by its bytes, JSON by its value."""
    # The collation of a column may take different texts for equal.
    end = sql.SQL('::text COLLATE "C"' if target.shape == "value" else "")
    return {"after_exactly": sql.SQL("w.after") + end, "meant_exactly": sql.SQL("w.meant") + end}


def broken(target: Target) -> sql.Composed:
    """Return the condition that `w.after`, as it was stored, is not what a migration may leave behind."""
    after = sql.SQL("w.after")
    return sql.SQL("({}) OR ({})").format(fragments(target, after)["suspect"], off(target, after))
