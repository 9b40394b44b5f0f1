"""Logs: one JSON object a line."""

import json
import logging
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.telemetry.logs import JsonFormatter, TextFormatter, cut, set_up


def line(message: str, *arguments: object, **extra: object) -> dict[str, object]:
    record = logging.getLogger("some.logger").makeRecord(
        "some.logger", logging.WARNING, "file.py", 1, message, arguments, None, extra=extra
    )
    record.created = 1_700_000_000.25
    text = JsonFormatter().format(record)
    assert "\n" not in text
    document: dict[str, object] = json.loads(text)
    return document


def test_record_is_one_object() -> None:
    """A record has time, level, logger and message, and the fields that were given besides."""
    assert line("it %s", "is\nso", requestId="x", count=2) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "logger": "some.logger",
        "message": "it is\nso",
        "requestId": "x",
        "count": 2,
    }


def test_values_of_any_type() -> None:
    """A field that JSON has no type for is written as its text."""
    assert line("m", error=ValueError("why"))["error"] == "why"


def test_traceback_stays_in_the_line() -> None:
    """A traceback is a field of its line."""
    try:
        raise ValueError("why")
    except ValueError:
        record = logging.LogRecord("l", logging.ERROR, "f", 1, "m", None, sys.exc_info())
    assert "ValueError: why" in json.loads(JsonFormatter().format(record))["traceback"]


def test_long_text_is_cut() -> None:
    """A text from outside is cut to 64 characters, and shows that it was."""
    assert cut("x" * 64) == "x" * 64
    assert cut("x" * 65) == "x" * 64 + "…"


def test_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    """Every logger writes to standard error from the chosen level up, as JSON."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    try:
        set_up("warning")
        logging.getLogger("any").info("not this")
        logging.getLogger("any").warning("this")
        written = capsys.readouterr().err
    finally:
        root.handlers, root.level = before, level
    assert json.loads(written)["message"] == "this"


def test_audit_is_never_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Changes of what is in force are told whatever the level."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    try:
        set_up("error")
        logging.getLogger("gateway.server").warning("not this")
        logging.getLogger("gateway.audit").warning("this")
        written = capsys.readouterr().err
    finally:
        root.handlers, root.level = before, level
    assert json.loads(written)["message"] == "this"


def test_line_for_people() -> None:
    """A line of text has time, level, message and fields; what is no plain word stands as JSON, a traceback below."""
    record = logging.getLogger("l").makeRecord(
        "l",
        logging.WARNING,
        "f",
        1,
        "it is so",
        (),
        None,
        extra={"a": "plain", "b": "two words", "c": 3, "d": ["\x1b["]},
    )
    record.created = 1_700_000_000.25
    line = '22:13:20 warning it is so  worker=1  a=plain  b="two words"  c=3  d=["\\u001b["]'
    assert TextFormatter({"worker": 1}).format(record) == line
    try:
        raise ValueError("why")
    except ValueError:
        record.exc_info = sys.exc_info()
    first, *below = TextFormatter({"worker": 1}).format(record).splitlines()
    assert (first, below[-1]) == (line, "ValueError: why")


@pytest.mark.parametrize(
    ("form", "terminal", "text"),
    [("auto", True, True), ("auto", False, False), ("json", True, False), ("text", False, True)],
)
def test_form_of_the_logs(form: str, terminal: bool, text: bool, tmp_path: Path) -> None:
    """`auto` is text on a terminal and JSON elsewhere; `json` and `text` are what they say everywhere."""
    script = (
        f"import logging; from gateway.telemetry.logs import set_up; set_up('info', {form!r}); logging.info('hello')"
    )
    ours, theirs = pty.openpty()
    with (tmp_path / "file").open("wb") as file:
        subprocess.run([sys.executable, "-c", script, form], stderr=theirs if terminal else file, check=True)
    said = os.read(ours, 1000).decode() if terminal else (tmp_path / "file").read_text()
    os.close(ours)
    os.close(theirs)
    assert said.startswith("{") is not text
    assert "hello" in said
