"""The commands about stored stages as people meet them: help, usage and what they need."""

import shlex

import pytest
from support.migration import Migration

COMMANDS = [
    *(["migrate", name] for name in ("plan", "run", "status", "pause", "resume", "undo", "guard", "finish")),
    ["verify"],
    *(["reads", name] for name in ("legacy", "canonical", "status", "grant")),
]


@pytest.fixture
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Migration:
    return Migration("", tmp_path_factory.mktemp("nowhere"))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_of_every_command_has_an_example(nowhere: Migration, command: list[str]) -> None:
    """`--help` shows an example that stands on one line and is that command."""
    made = nowhere.plainly(*command, "--help")
    assert made.code == 0
    [example] = [line.strip() for line in made.out.splitlines() if line.strip().startswith("Example: ")]
    words = shlex.split(example.removeprefix("Example: "))
    assert words[: 1 + len(command)] == ["stage-gateway", *command]


@pytest.mark.parametrize("group", ["migrate", "reads"])
def test_group_lists_its_commands(nowhere: Migration, group: str) -> None:
    """The help of a group names all its commands."""
    made = nowhere.plainly(group, "--help")
    assert made.code == 0
    names = [command[1] for command in COMMANDS if command[0] == group]
    assert all(f"\n  {name} " in made.out for name in names)


@pytest.mark.parametrize(
    "arguments", [["migrate", "guard", "maybe"], ["migrate", "run", "--on-invalid", "x"], ["verify", "--sample", "-1"]]
)
def test_wrong_usage_is_2(nowhere: Migration, arguments: list[str]) -> None:
    """A word that is not among the choices ends with 2 and one line."""
    made = nowhere.command(*arguments)
    assert (made.code, made.err.count("\n")) == (2, 1)


def test_migration_file_that_is_wrong_is_2(nowhere: Migration) -> None:
    """Faults of the migration file are told by every command, each in a line."""
    nowhere.specify(tables=[], batchRows=0)
    for command in (["migrate", "plan"], ["verify"], ["reads", "status"]):
        made = nowhere.command(*command)
        assert (made.code, len(made.err.splitlines())) == (2, 2)
