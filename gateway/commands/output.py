"""How commands print: tables for people, JSON for machines."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table

from gateway.commands.encoding import holds_everything

_ANY_WIDTH = 100_000  # more than any row has

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def print_json(document: Any) -> None:
    """Print a document as JSON; what could act on a terminal, or is not seen there, as its escape."""
    text = json.dumps(document, indent=2, ensure_ascii=not holds_everything())
    say("\n".join("".join(map(_visible, line)) if not line.isprintable() else line for line in text.split("\n")))


def printable(text: str) -> str:
    """Return a text from outside in quotes, as JSON has it, what could act on a terminal as its escape."""
    return "".join(map(_visible, json.dumps(text, ensure_ascii=False)))


def _visible(sign: str) -> str:
    return sign if sign.isprintable() else json.dumps(sign)[1:-1].replace("\x7f", "\\u007f")


def say(text: str, *, err: bool = False) -> None:
    """Print a line at once, on standard error with `err`."""
    print(text, file=sys.stderr if err else sys.stdout, flush=True)


def show(*parts: RenderableType) -> None:
    """Print texts, each as one line however long, and tables, of which nothing is cut off.

    On a terminal a table with headers that is too wide goes below one another, row by row; what of that is still too
    wide, and other text, goes on in the next line. Elsewhere a row is one line, so that grep finds it.
    """
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _ANY_WIDTH
    for part in parts:
        if isinstance(part, Table):
            for column in part.columns:
                column.overflow = "fold"
            needed = Measurement.get(console, console.options.update(width=_ANY_WIDTH), part).maximum
            console.print(_rows(part) if part.show_header and needed > console.width else part)
        else:
            console.print(part, soft_wrap=isinstance(part, str))


def _rows(table: Table) -> Group:
    """Return a table's rows as blocks: the first cell in a line, below it the others with their headers before them."""
    first, *others = table.columns
    blocks: list[RenderableType] = []
    for number, name in enumerate(first.cells):
        cells = [f"{column.header} {list(column.cells)[number]}" for column in others]
        blocks += [f"{name}", Padding(Columns(cells, padding=(0, 3)), (0, 0, 0, 2))]
    return Group(*blocks)
