"""The migration's SQL files as PostgreSQL's own parser sees them: columns without a table, and all names in them."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pglast import ast, parse_plpgsql, parse_sql
from pglast.parser import ParseError
from pglast.visitors import Ancestor, Visitor

ROOM = Path(__file__).parents[2] / "gateway" / "migration"
FILES = sorted(ROOM.rglob("*.sql"))
# Slots that take an expression or a query; what stands in any other slot is an identifier.
_EXPRESSIONS = {
    "value", "fund", "suspect", "off", "where", "broken", "after_exactly", "meant_exactly", "columns", "legacy_columns",
    "field", "weight", "weighted", "canonical", "path", "names", "target", "column_name",
    "child_columns", "parent_columns", "child_period", "parent_period", "condition", "given", "match", "predicate",
    "entries", "grouped", "row_columns",
}  # fmt: skip
_QUERIES = {"cut", "derive", "faults", "new_names", "old_names", "names_before", "names_now", "rows"}
_SPECIAL = {"tg_op", "tg_table_schema", "tg_table_name", "found"}  # PostgreSQL, "Trigger Functions", "Basic Statements"


class _Slots(defaultdict[str, str]):
    """What the parser sees in place of a slot."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def __missing__(self, name: str) -> str:
        if name == "names" and self._file.stem in {"changes", "spellings"}:
            return "SELECT slot.n AS name"
        if name in _QUERIES:
            return "SELECT slot.q AS q"
        if name == "keep":
            return "SELECT true AS added"
        if name in {"undo_joins", "type"}:
            return ""
        if name in {"key_type", "column_type"}:
            return "text"
        if name in {"body", "fingerprint", "home_name", "mark", "relation"} or (
            name == "schema" and self._file.stem == "session"
        ):
            return "'literal'"
        return f"slot.{name}" if name in _EXPRESSIONS else f"slot_{name}"


def _text(file: Path) -> str:
    text = file.read_text(encoding="utf-8").format_map(_Slots(file))
    return re.sub(r"%\(\w+\)s", "$1", text).replace("%%", "%")


def _ways(text: str) -> Iterator[str]:
    """Yield what a file may be: whole statements, an expression, a join, or an item of a list."""
    yield text
    yield f"SELECT ({text})"
    yield f"SELECT FROM slot_table AS t {text}"


def _parsed(text: str) -> tuple[ast.Node, ...]:
    for way in _ways(text):
        try:
            return parse_sql(way)
        except ParseError:
            continue
    return parse_sql(text)  # raises, and says where


def _members(body: str, name: str) -> Iterator[str]:
    """Yield every member of this name in the tree of a PL/pgSQL body."""
    pending: list[Any] = [parse_plpgsql(f"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $slot${body}$slot$")]
    while pending:
        node = pending.pop()
        if isinstance(node, dict) and isinstance(node.get(name), str):
            yield node[name]
        if isinstance(node, dict | list):
            pending.extend(node.values() if isinstance(node, dict) else node)


def _queries(body: str) -> Iterator[str]:
    """Yield every query and expression of a PL/pgSQL body."""
    for query in _members(body, "query"):
        yield re.sub(r"^[\w.]+\s*:=", "", query)


def _trees(file: Path) -> Iterator[tuple[ast.Node, ...]]:
    text = _text(file)
    if file.stem.endswith("_body"):
        for query in _queries(text):
            yield _parsed(query)
    else:
        yield _parsed(text)


class _Bare(Visitor):
    """Collects columns that name no table."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def visit(self, ancestors: Ancestor, node: ast.Node) -> None:
        match node:
            case ast.ColumnRef(fields=[ast.String(sval=name)]) if name not in _SPECIAL:
                pass
            case ast.ColumnRef(fields=[ast.A_Star()]):
                name = "*"
            case _:
                return
        of_its_own_table = ancestors.find_nearest(ast.Constraint) or ancestors.find_nearest(ast.IndexStmt)
        if not of_its_own_table:
            self.found.append(str(name))


class _Names(Visitor):
    """Collects every name: of tables, columns, aliases, outputs, queries in WITH and windows."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.aliases: set[tuple[str, str]] = set()  # alias, and the relation that it stands for

    def visit(self, _: Ancestor, node: ast.Node) -> None:
        match node:
            case ast.ColumnRef(fields=names) | ast.Alias(colnames=[_, *_] as names):
                self.found.update(name.sval for name in names or () if isinstance(name, ast.String) and name.sval)
        match node:
            case ast.RangeVar(relname=str(table), alias=ast.Alias(aliasname=str(alias))):
                self.aliases.add((alias, table))
                self.found.add(table)
            case (
                ast.ResTarget(name=str(name))
                | ast.Alias(aliasname=str(name))
                | ast.CommonTableExpr(ctename=str(name))
                | ast.WindowDef(name=str(name))
                | ast.RangeVar(relname=str(name))
                | ast.ColumnDef(colname=str(name))
            ):
                self.found.add(name)


def bare_columns(file: Path) -> list[str]:
    """Return the columns of a file that name no table: a column of the user's may have the same name."""
    visitor = _Bare()
    for tree in _trees(file):
        visitor(tree)
    return visitor.found


def aliases(file: Path) -> set[tuple[str, str]]:
    """Return every alias of a table in a file, with the table."""
    visitor = _Names()
    for tree in _trees(file):
        visitor(tree)
    return visitor.aliases


def names() -> list[str]:
    """Return every name that occurs in any file, but for those that no column can have."""
    visitor = _Names()
    for file in FILES:
        for tree in _trees(file):
            visitor(tree)
        if file.stem.endswith("_body"):
            visitor.found.update(_members(_text(file), "refname"))
            visitor.found.update(re.findall(r"<<(\w+)>>", _text(file)))
    system = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}
    return sorted(name for name in visitor.found - system if not name.startswith("slot"))
