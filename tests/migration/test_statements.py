"""Every column in an SQL file names its table, so that no column of a user's table can be taken for it."""

from pathlib import Path

import pytest
from support.statements import FILES, aliases, bare_columns

NAMES = [f"{file.parent.parent.name}/{file.stem}" for file in FILES]


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_every_column_names_its_table(file: Path) -> None:
    """A column without its table could be one of the user's that has the same name."""
    assert bare_columns(file) == []


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_t_is_the_table_that_is_migrated(file: Path) -> None:
    """Files that stand in other files speak of `t` as the user's table: no file gives that alias to another."""
    assert {table for alias, table in aliases(file) if alias == "t"} <= {"slot_table"}


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_first_line_says_what_a_file_does(file: Path) -> None:
    """Every file opens with a comment."""
    assert file.read_text(encoding="utf-8").startswith("-- ")
