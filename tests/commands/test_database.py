"""The commands as they are where the PostgreSQL driver was not installed."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.clock import PATIENCE

# None in sys.modules is how Python itself marks a module that cannot be found.
WITHOUT_DRIVER = "import sys; sys.modules['psycopg'] = None; from gateway.cli import main; sys.exit(main())"
ROOT = Path(__file__).parents[2]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_DRIVER, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [["migrate", "plan", "--spec", "x"], ["migrate", "--help"], ["migrate"], ["verify", "--json"], ["reads", "legacy"]],
    ids=" ".join,
)
def test_database_command_without_driver_names_the_cure(arguments: list[str]) -> None:
    """Without the driver each of them ends with 2 and one line that says what to install."""
    made = command(*arguments)
    assert (made.returncode, made.stdout, made.stderr.count("\n")) == (2, "", 1)
    assert made.stderr.startswith(f"{arguments[0]} needs the PostgreSQL driver")
    assert "pip install 'stage-gateway[migration]'" in made.stderr


def test_the_gateway_needs_no_driver() -> None:
    """Without the driver the file is checked, the demo serves, and the help lists every command."""
    assert command("check").returncode == 0
    assert command("demo", "--once", "--port", "0", "--admin-port", "0").returncode == 0
    listed = command("--help")
    assert listed.returncode == 0
    assert all(f"\n  {name} " in listed.stdout for name in ("serve", "migrate", "verify", "reads"))
