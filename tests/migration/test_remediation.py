"""What cannot be mapped: the first of it on the terminal, all of it in a file that is never out of date."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.migration import Ended, Migration

KEY = 10000000003
THREE_ALIASES = {"preseed": "pre-seed", "series a": "series-a", "series c+": "series-c+"}


def listed(migration: Migration) -> list[dict[str, Any]]:
    return [json.loads(line) for line in migration.remediation.read_text().splitlines()]


def told(made: Ended) -> list[str]:
    """Return the lines about single values, wherever the command printed them."""
    text = made.out + made.err
    return [line.strip() for line in text.splitlines() if line.startswith("  ")]


@pytest.mark.parametrize("command", ["plan", "run"])
def test_terminal_names_the_first_values(migration: Migration, command: str) -> None:
    """Table, column, a key, value, reason and suggestion stand on the terminal, equal ones once, before the file."""
    migration.execute("UPDATE portfoliocompanies SET stage = 'Sereis A' WHERE id < %s", [KEY + 6])
    migration.execute("UPDATE portfoliocompanies SET current_stage = 'growth' WHERE id = %s", [KEY])
    made = migration.run() if command == "run" else migration.command("migrate", "plan")
    assert made.code == 1
    assert told(made) == [
        "public.portfoliocompanies.stage, key 10000000000: 'Sereis A', disallowed_value, suggestion series-a, 3 times",
        "public.portfoliocompanies.current_stage, key 10000000003: 'growth', disallowed_value, no suggestion",
    ]
    text = made.out + made.err
    assert "4 values cannot be mapped:\n" in text
    assert text.index("growth") < text.rindex(f"listed in {migration.remediation}")
    assert len(listed(migration)) == 4


def test_unknown_names_come_first_and_ten_are_told(migration: Migration) -> None:
    """Names that nobody knows are told before weights that are wrong, ten lines in all; the file has every one."""
    migration.execute("UPDATE fund_strategy_models SET stage_allocation = '{\"Seed\": 0.5}'")
    migration.execute("UPDATE tags SET stages = jsonb_build_object('unheard-of ' || id, 1) WHERE id < 7")
    made = migration.run()
    reasons = [line.split(", ")[2] for line in told(made)]
    assert reasons == ["disallowed_value"] * 7 + ["weight_sum"]
    migration.execute("UPDATE tags SET stages = jsonb_build_object('unheard-of ' || id, 1)")
    assert len(told(migration.run())) == 10
    assert "120 values cannot be mapped, among them:" in migration.run().err
    assert len(listed(migration)) == 120


def test_long_plan_begins_with_what_cannot_be_mapped(migration: Migration) -> None:
    """Where a plan shows only its first lines, those that somebody must look at are among them."""
    migration.execute("INSERT INTO tags SELECT n, jsonb_build_object('SEED', 1) FROM generate_series(1000, 1001) n")
    migration.execute("UPDATE tags SET stages = jsonb_build_object('unheard-of', 1) WHERE id = 1001")
    rows = [line for line in migration.command("migrate", "plan").out.splitlines() if line.startswith("│")]
    assert "'unheard-of'" in rows[0]
    assert "cannot be mapped" in rows[0]
    assert "cannot be mapped" not in rows[1]


def test_one_value_is_one_value(migration: Migration) -> None:
    """One value is told in the singular."""
    migration.execute("UPDATE portfoliocompanies SET stage = 'growth' WHERE id = %s", [KEY])
    for made in (migration.run(), migration.command("migrate", "plan")):
        assert "1 value cannot be mapped:\n" in made.out + made.err


def test_series_b_gets_a_suggestion_from_every_vocabulary(migration: Migration) -> None:
    """A name of another separator is nearer to its own stage than an alias of another stage is."""
    migration.vocabulary(aliases=THREE_ALIASES)
    migration.run()
    suggested = {(line["value"], line["suggestion"]) for line in listed(migration) if line["reason"] != "collision"}
    assert ("Series B", "series-b") in suggested


@pytest.mark.parametrize("command", ["plan", "run"])
def test_stale_file_does_not_survive(migration: Migration, command: str) -> None:
    """After a run or a plan that finds nothing, there is no file from before that says otherwise."""
    migration.execute("UPDATE portfoliocompanies SET stage = 'growth' WHERE id = %s", [KEY])
    assert migration.run().code == 1
    assert migration.remediation.exists()
    migration.execute("UPDATE portfoliocompanies SET stage = 'seed' WHERE id = %s", [KEY])
    made = migration.run() if command == "run" else migration.command("migrate", "plan")
    assert made.code == 0
    assert not migration.remediation.exists()


@pytest.mark.parametrize("text", ['{"tables": []}', "a diary\n"])
def test_file_of_somebody_else_is_kept(migration: Migration, text: str) -> None:
    """A file that is no list of such values is neither overwritten nor taken away."""
    migration.remediation.write_text(text)
    made = migration.run()
    assert (made.code, made.err) == (
        2,
        f"{migration.remediation}: is no list of values that cannot be mapped, and is kept; name another file\n",
    )
    assert migration.remediation.read_text() == text
    migration.remediation.write_text("")
    assert migration.run().code == 0


def test_recorded_values_are_told_at_the_end(migration: Migration) -> None:
    """With --on-invalid record the file holds what was left in the end: also what a trigger kept from being written."""
    migration.execute("UPDATE portfoliocompanies SET stage = 'Sereis A' WHERE id = %s", [KEY])
    migration.execute("""
        CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER keep BEFORE UPDATE ON tags FOR EACH ROW WHEN (OLD.id = 3) EXECUTE FUNCTION keep()""")
    migration.execute("UPDATE tags SET stages = '{\"Seed\": 1}' WHERE id = 4")
    made = migration.run("--on-invalid", "record")
    assert made.code == 1
    assert {(line["key"], line["reason"], line["suggestion"]) for line in listed(migration)} == {
        (str(KEY), "disallowed_value", "series-a"),
        ("3", "suppressed_by_trigger", None),
    }
    messages = [line["message"] for line in made.lines if "message" in line]
    assert any("'Sereis A', disallowed_value, suggestion series-a" in message for message in messages)
    [fund] = migration.execute("SELECT fund_id::text FROM portfoliocompanies WHERE id = %s", [KEY])
    assert [line["fund"] for line in listed(migration) if line["key"] == str(KEY)] == list(fund)


def test_special_file_takes_the_list(migration: Migration) -> None:
    """A device, or a link such as /dev/stdout, can take the lines; it is written to and stays."""
    migration.execute("UPDATE portfoliocompanies SET stage = 'growth' WHERE id = %s", [KEY])
    migration.remediation = Path("/dev/null")
    assert migration.run().code == 1
    migration.execute("UPDATE portfoliocompanies SET stage = 'seed' WHERE id = %s", [KEY])
    assert migration.run().code == 0
    assert Path("/dev/null").exists()
    migration.remediation = migration.folder / "log"
    migration.remediation.symlink_to(migration.folder / "target")
    (migration.folder / "target").touch()
    assert migration.run().code == 0
    assert migration.remediation.is_symlink()
