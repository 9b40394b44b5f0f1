"""The checkers that come with Prometheus and Alertmanager."""

import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus"


def binary(name: str) -> str:
    """Return the path of a program; skips the test where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}, which `make test` installs on Debian")
    return found


def run(name: str, *arguments: object, folder: Path = RULES) -> tuple[int, str]:
    """Run a program in a folder to its end; returns its exit code and everything it said."""
    command = [binary(name), *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout
