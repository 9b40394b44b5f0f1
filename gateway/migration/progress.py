"""What a run tells while it goes, and the one JSON line per batch that it tells to machines."""

import json
from collections.abc import Callable
from typing import Any, Protocol

from gateway.migration.catalog import Target
from gateway.migration.writing import Batch, Written


class Reporter(Protocol):
    """Is told of a run's progress."""

    def rows(self, total: int, done: int) -> None:
        """Take how many rows there are to look at, and how many of them were."""

    def batch(self, target: Target, batch: Batch, written: Written) -> None:
        """Take a batch that is done."""

    def note(self, text: str) -> None:
        """Take a line for people."""


class JsonLines:
    """One JSON object a line, with escapes for all but ASCII if so asked."""

    def __init__(self, write: Callable[[str], None], *, ascii_only: bool = False) -> None:
        self._write = write
        self._ascii_only = ascii_only

    def rows(self, total: int, done: int) -> None:
        """Say nothing; the lines of the batches do."""

    def batch(self, target: Target, batch: Batch, written: Written) -> None:
        """Write the line of a batch."""
        line = {
            "table": target.table_name,
            "column": target.column,
            "fundId": _number(batch.fund, target.fund_is_number),
            "joined": batch.joined,
            "startPk": _number(batch.range_start, target.key_is_number),
            "endPk": _number(batch.range_end, target.key_is_number),
            "updated": written.updated,
            "skipped_invalid": written.skipped_invalid,
            "duration_ms": written.duration_ms,
        }
        self._write(json.dumps(line, ensure_ascii=self._ascii_only))

    def note(self, text: str) -> None:
        """Write a message."""
        self._write(json.dumps({"message": text}, ensure_ascii=self._ascii_only))


def _number(text: str | None, is_number: bool) -> Any:
    return int(text) if text is not None and is_number else text
