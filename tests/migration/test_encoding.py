"""Terminals and pipes that are not UTF-8: names of any script are told in what there is, and no command fails."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.migration import Migration

ENCODINGS: list[Mapping[str, str]] = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "cp1252:strict"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]
NAMES = {1: "Sérié…", 2: "семя", 3: "🌱 seed", 4: "Series A"}


@pytest.fixture
def named(bare: Migration) -> Migration:
    for key, name in NAMES.items():
        bare.execute("INSERT INTO portfoliocompanies VALUES (%s, NULL, 'n', %s, NULL)", [key, name])
    return bare


def ended(migration: Migration, encoding: Mapping[str, str], *arguments: str | Path) -> tuple[int, bytes, bytes]:
    made = subprocess.run(
        [sys.executable, "-m", "gateway", *migration.arguments(*arguments)],
        env={**migration.environment(), **encoding},
        capture_output=True,
        check=False,
    )
    return made.returncode, made.stdout, made.stderr


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda given: " ".join(given.values()))
def test_every_command_is_legible(named: Migration, encoding: Mapping[str, str]) -> None:
    """Plan, run, status, verify and undo end as ever, and what they tell can be read."""
    code, out, err = ended(named, encoding, "migrate", "plan", "--no-trial")
    assert (code, err) == (1, b"")
    assert b"\\u0441\\u0435\\u043c\\u044f" in out
    assert b"\\U0001f331 seed" in out
    code, out, err = ended(named, encoding, "migrate", "run", "--no-snapshot")
    assert code == 1
    assert b"Traceback" not in err
    assert b"\\u0441\\u0435\\u043c\\u044f" in err
    code, out, _ = ended(named, encoding, "migrate", "run", "--no-snapshot", "--on-invalid", "record")
    assert code == 1
    assert all(json.loads(line) for line in out.splitlines())
    for words in (["migrate", "status"], ["verify"], ["migrate", "undo"], ["migrate", "status", "--help"]):
        code, out, err = ended(named, encoding, *words)
        assert code in {0, 1, 2}, err
        assert out.isascii() or "latin" in str(encoding) or "1252" in str(encoding)


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda given: " ".join(given.values()))
def test_json_keeps_names_to_the_letter(named: Migration, encoding: Mapping[str, str]) -> None:
    """JSON escapes what the encoding lacks, so that a reader has the very name."""
    _, out, _ = ended(named, encoding, "migrate", "plan", "--json", "--no-trial")
    changes = json.loads(out)["columns"][0]["changes"]
    assert {change["value"] for change in changes} == set(NAMES.values())


def test_bar_of_a_terminal_that_is_not_utf_8(named: Migration) -> None:
    """A progress bar is drawn in ASCII."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gateway",
            *named.arguments("migrate", "run", "--no-snapshot", "--on-invalid", "record"),
        ],
        env={**named.environment(), "PYTHONIOENCODING": "ascii", "TERM": "xterm"},
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:  # the other end of the terminal is closed
        pass
    os.close(ours)
    assert process.wait() == 1
    assert shown.isascii()
    assert b"done: 1 value made canonical" in shown
