"""The migration file: what is wrong with it, where, and what was expected."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.migration.spec import load_spec

STAGE: dict[str, Any] = {"column": "stage", "shape": "value"}
TABLE: dict[str, Any] = {"table": "t", "key": "id", "columns": [STAGE]}
COMMITTED = Path(__file__).parents[2] / "config" / "migration.json"


def test_committed_file_is_good() -> None:
    """config/migration.json names three tables and four columns."""
    spec = load_spec(COMMITTED)
    assert [(table.table, len(table.columns)) for table in spec.tables] == [
        ("portfoliocompanies", 2),
        ("fund_strategy_models", 1),
        ("fund_baselines", 1),
    ]
    assert (spec.batch_rows, spec.target_batch_ms, spec.lag.max_bytes) == (5000, 500, 16 * 1024 * 1024)


def test_everything_but_tables_has_a_default(tmp_path: Path) -> None:
    """A file with tables alone is complete."""
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"tables": [TABLE]}))
    spec = load_spec(path)
    assert (spec.schema_, spec.batch_rows, spec.lock_timeout_ms) == ("public", 5000, 2000)


def test_list_of_faulty_members_is_not_called_short(tmp_path: Path) -> None:
    """Where a table is faulty its own fault is told, and not that there is no table."""
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"tables": [{**TABLE, "key": "a%s"}]}))
    with pytest.raises(ConfigurationError) as caught:
        load_spec(path)
    assert len(str(caught.value).splitlines()) == 1


WRONG: list[tuple[Any, str]] = [
    ({}, "$.tables: missing, expected a value here"),
    ({"tables": []}, "$.tables: got [], expected at least one"),
    ({"tables": [{**TABLE, "size": 1}]}, "$.tables[0].size: unknown member, got 1, expected none of this name"),
    (
        {"tables": [{**TABLE, "keys": 1}]},
        "$.tables[0].keys: unknown member, got 1, expected none of this name, did you mean 'key'?",
    ),
    ({"tables": [{"table": "t", "columns": [STAGE]}]}, "$.tables[0].key: missing, expected a value here"),
    ({"tables": [{**TABLE, "columns": [{**STAGE, "shape": "list"}]}]}, '.shape: got "list", expected'),
    ({"tables": [{**TABLE, "columns": [{"column": "c", "shape": "each"}]}]}, "expected a field with the shape each"),
    ({"tables": [{**TABLE, "columns": [{**STAGE, "weights": True}]}]}, "expected no weights but with the shape keys"),
    ({"tables": [{**TABLE, "columns": [{**STAGE, "weight": "w"}]}]}, "expected no weight but with the shape each"),
    ({"tables": [{**TABLE, "key": "a%s"}]}, '$.tables[0].key: got "a%s", expected a name without %'),
    ({"tables": [TABLE, TABLE]}, "expected 't' once, it stands twice"),
    ({"tables": [{**TABLE, "columns": [STAGE, STAGE]}]}, "expected 'stage' once, it stands twice"),
    ({"tables": [{**TABLE, "view": "v"}, {**TABLE, "table": "u", "view": "v"}]}, "expected 'v' once, it stands twice"),
    ({"tables": [TABLE, {**TABLE, "table": "public.t"}]}, "expected 'public.t' once, it stands twice"),
    ({"tables": [TABLE, {**TABLE, "table": '"t"'}]}, "expected '\"t\"' once, it stands twice"),
    ({"tables": [TABLE, {**TABLE, "table": "u", "view": "t_stages"}]}, "expected 't_stages' once, it stands twice"),
    ({"tables": [TABLE, {**TABLE, "table": "u", "view": "t"}]}, "expected another name for the view 't', a table has"),
    ({"tables": [{**TABLE, "view": "stage_read_mode"}]}, "another name than public.stage_read_mode, the migration"),
    ({"tables": [{**TABLE, "table": "stage_migration_undo_1"}]}, "another name than public.stage_migration_undo_1"),
    ({"tables": [{**TABLE, "view": "ä" * 32}]}, "expected at most 63 bytes in the name of the view"),
    ({"tables": [{**TABLE, "table": "a.b.c"}]}, "expected a name or schema.name without %, in double quotes what"),
    ({"tables": [{**TABLE, "table": '"a"b'}]}, "expected a name or schema.name without %, in double quotes what"),
    ({"tables": [TABLE], "batchRows": "5"}, '$.batchRows: got "5", expected a whole number'),
    ({"tables": [TABLE], "batchRows": 0}, "$.batchRows: got 0, expected at least 1"),
    ({"tables": [TABLE], "lag": {"source": "guess"}}, '$.lag.source: got "guess", expected \'pg_stat_replication\''),
]  # fmt: skip


@pytest.mark.parametrize(("document", "message"), WRONG, ids=[message for _, message in WRONG])
def test_fault_has_place_and_cure(tmp_path: Path, document: Any, message: str) -> None:
    """Each fault is a line with its JSON path, what was given and what was expected."""
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigurationError) as caught:
        load_spec(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ("t", ("public", "t")),
        ("App.T", ("App", "T")),
        ('a"b', ("public", 'a"b')),
        ('"a.b"', ("public", "a.b")),
        ('app."a.b"', ("app", "a.b")),
        ('"my ""own"".app"."t"', ('my "own".app', "t")),
    ],
)
def test_table_may_name_its_schema(tmp_path: Path, table: str, place: tuple[str, str]) -> None:
    """A name with a dot in it stands in double quotes, as in SQL; letters keep their case."""
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"tables": [{**TABLE, "table": table}]}))
    spec = load_spec(path)
    assert spec.place(spec.tables[0]) == place


def test_tables_of_one_name_in_two_schemas(tmp_path: Path) -> None:
    """Their views stand in their schemas and may have one name; names of ours are free outside our schema."""
    path = tmp_path / "spec.json"
    tables = [TABLE, {**TABLE, "table": "app.t"}, {**TABLE, "table": "app.stage_migration_runs"}]
    path.write_text(json.dumps({"tables": tables}))
    assert [load_spec(path).view(table) for table in load_spec(path).tables[:2]] == ["t_stages", "t_stages"]


def test_view_of_a_long_name_is_told_from_its_table(tmp_path: Path) -> None:
    """The name of a view that is made from a table's fits into 63 bytes and keeps its end."""
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"tables": [{**TABLE, "table": "ä" * 31}]}))
    spec = load_spec(path)
    assert spec.view(spec.tables[0]) == "ä" * 28 + "_stages"


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, and one that is no JSON, are told in one line."""
    with pytest.raises(ConfigurationError, match="no such file; name another with --spec"):
        load_spec(tmp_path / "none.json")
    path = tmp_path / "spec.json"
    path.write_text("{")
    with pytest.raises(ConfigurationError, match="is no JSON that can be read"):
        load_spec(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_spec(path)
