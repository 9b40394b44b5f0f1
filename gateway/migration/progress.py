"""What a run tells while it goes: a bar on a terminal, one JSON line per batch elsewhere."""

import json
from collections.abc import Callable
from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

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
    """One JSON object a line."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

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
        self._write(json.dumps(line, ensure_ascii=False))

    def note(self, text: str) -> None:
        """Write a message."""
        self._write(json.dumps({"message": text}, ensure_ascii=False))


def _number(text: str | None, is_number: bool) -> Any:
    return int(text) if text is not None and is_number else text


class _TimeLeft(TimeRemainingColumn):
    """The time that is left, once it can be told."""

    def render(self, task: Task) -> Text:
        """Return the time and what it is, nothing as long as nobody knows it."""
        return Text() if task.time_remaining is None else Text.assemble(super().render(task), " left")


class Bar:
    """A progress bar with rows a second and the time that is left. Use it as a context."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            _TimeLeft(),
            console=console,
        )
        self._task = self._progress.add_task("rows", total=None, pace="")

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def rows(self, total: int, done: int) -> None:
        """Set the bar's length and place."""
        self._progress.update(self._task, total=total, completed=done)

    def batch(self, target: Target, batch: Batch, written: Written) -> None:  # noqa: ARG002 - a bar tells no counts
        """Move the bar on."""
        speed = self._progress.tasks[0].speed
        self._progress.update(
            self._task,
            advance=batch.row_count,
            description=target.name,
            pace="" if speed is None else f"{speed:,.0f} rows/s",
        )

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(text)
