"""What a migration tells while it goes: a bar on a terminal, JSON lines elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

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

from gateway.commands.encoding import holds_everything
from gateway.commands.output import say
from gateway.migration.catalog import Target
from gateway.migration.progress import JsonLines, Reporter
from gateway.migration.writing import Batch, Written


@contextmanager
def reporter() -> Iterator[Reporter]:
    """Yield what tells of progress on standard output."""
    if sys.stdout.isatty():
        with Bar(Console(highlight=False, markup=False)) as bar:
            yield bar
    else:
        yield JsonLines(say, ascii_only=not holds_everything())


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
