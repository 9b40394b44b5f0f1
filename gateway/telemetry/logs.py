"""Logs on standard error: one JSON object a line for machines, one line of text for people."""

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
MAX_TEXT_LENGTH = 64


def utc(moment: datetime | float) -> str:
    """Return a moment, also one in seconds since the epoch, in UTC as ISO 8601 has it, to the millisecond."""
    when = moment if isinstance(moment, datetime) else datetime.fromtimestamp(moment, UTC)
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time (UTC, RFC 3339), level, logger, message, and the fields of `extra`.

    `always` are fields of every line.
    """

    def __init__(self, always: Mapping[str, object] | None = None) -> None:
        super().__init__()
        self._always = always or {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._always,
        }
        line.update(_fields(record))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class TextFormatter(logging.Formatter):
    """A record as a line for people: time (UTC), level, message, then the fields of `extra` as name=value.

    `always` are fields of every line. A traceback follows below.
    """

    def __init__(self, always: Mapping[str, object] | None = None) -> None:
        super().__init__()
        self._always = always or {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time_of_day = utc(record.created)[11:19]
        fields = "  ".join(f"{name}={_plain(value)}" for name, value in {**self._always, **_fields(record)}.items())
        line = f"{time_of_day} {record.levelname.lower():<7} {_plain(record.getMessage(), spaces=True)}"
        traceback = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return line + (f"  {fields}" if fields else "") + traceback


def _plain(value: object, *, spaces: bool = False) -> str:
    """Return a value as it stands in a line; as JSON where it would not stay one word, or could act on a terminal."""
    if isinstance(value, str) and value.isprintable() and value and (spaces or not set(' "=') & set(value)):
        return value
    return orjson.dumps(value, default=str).decode()


def set_up(level: str, form: str = "json", **always: object) -> None:
    """Send every log record of this process, from `level` up and all of the audit, to standard error.

    `form` is `json`, `text`, or `auto`: text when standard error is a terminal. `always` are fields of every line.
    """
    handler = logging.StreamHandler(sys.stderr)
    people = form == "text" or (form == "auto" and sys.stderr is not None and sys.stderr.isatty())
    handler.setFormatter(TextFormatter(always) if people else JsonFormatter(always))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("gateway.audit").setLevel("INFO")  # who changed what is not left out at any level


def cut(text: str) -> str:
    """Return a text from outside, short enough for a log line."""
    return text if len(text) <= MAX_TEXT_LENGTH else text[:MAX_TEXT_LENGTH] + "…"
