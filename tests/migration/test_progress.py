"""What a run tells: a bar on a terminal, lines elsewhere."""

import json
import os
import pty
import re
import subprocess
import sys

from support.clock import PATIENCE
from support.migration import Migration

from gateway.migration.progress import JsonLines


def test_terminal_gets_a_bar(migration: Migration) -> None:
    """On a terminal the run draws a bar with rows, pace and time left, and no JSON."""
    reading, writing = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", *migration.arguments("migrate", "run", "--no-snapshot")],
        env={**migration.environment(), "TERM": "xterm", "COLUMNS": "120"},
        stdout=writing,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    os.close(writing)
    seen = b""
    while True:
        try:
            got = os.read(reading, 65536)
        except OSError:  # the other end is gone
            break
        if not got:
            break
        seen += got
    os.close(reading)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    text = seen.decode()
    assert re.search(r"[\d,]+ rows/s", text)
    assert "– rows/s" not in text
    assert "100%" in text
    assert "values made canonical in" in text
    assert '{"table"' not in text


def test_note_is_json_elsewhere() -> None:
    """Without a terminal a note is a JSON object too, so that every line is one."""
    lines: list[str] = []
    JsonLines(lines.append).note("paused")
    assert [json.loads(line) for line in lines] == [{"message": "paused"}]
