"""How things are counted, everywhere in the migration."""

import re
from pathlib import Path

import pytest
from support.migration import Migration

from gateway.migration.wording import counted

SOURCES = [
    *Path("gateway/migration").rglob("*.py"),
    *(Path("gateway/commands") / f"{name}.py" for name in ("migration", "plan", "reads", "verify")),
]
# A number that is followed by a noun in the plural, whatever the number.
ALWAYS_PLURAL = re.compile(
    r"(?<!mode)\} (?:undo )?(values|rows|batches|violations|names|places|NULLs|columns|keys)\b(?!/s)"
)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 batches"), (1, "1 batch"), (2, "2 batches"), (1200, "1,200 batches")]
)
def test_one_is_singular(number: int, text: str) -> None:
    """One thing is told in the singular, any other number in the plural."""
    assert counted(number, "batch", "batches") == text
    assert counted(number, "value").removesuffix("s") == text.replace("batches", "value").replace("batch", "value")


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.stem)
def test_no_message_has_a_plural_of_its_own(file: Path) -> None:
    """Every message counts by the one function, so that none says 1 values."""
    assert not [line for line in file.read_text().splitlines() if ALWAYS_PLURAL.search(line)]


def test_a_migration_of_one_value_is_told_in_the_singular(bare: Migration) -> None:
    """Plan, run, status, verify, undo and finish of one row say one value, one row, one batch."""
    bare.execute("INSERT INTO tags VALUES (1, '{\"Seed\": 1}')")
    told = [
        bare.command("migrate", "plan").out,
        bare.run().out,
        bare.command("migrate", "status").out,
        bare.verify("--output", bare.folder / "report.json").out,
        bare.command("migrate", "finish").out,
        bare.command("migrate", "undo").out,
    ]
    wrong = re.compile(r"(?<![\d,])1 (values|rows|batches|violations|names|places|columns)\b")
    assert not [text for text in told if wrong.search(text)]
    assert "1 value made canonical in 1 batch" in told[1]
