"""Logs: one JSON object a line."""

import json
import logging
import sys

import pytest

from gateway.telemetry.logs import JsonFormatter, cut, set_up


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
