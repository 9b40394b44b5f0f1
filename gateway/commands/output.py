"""How commands print: tables for people, JSON for machines."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.table import Table

_ANY_WIDTH = 100_000  # more than any row has

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def print_json(document: Any) -> None:
    """Print a document as JSON."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def show(*parts: RenderableType) -> None:
    """Print texts, each as one line however long, and tables, of which nothing is cut off.

    On a terminal what is too wide goes on in the next line; elsewhere a row is one line, so that grep finds it.
    """
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _ANY_WIDTH
    for part in parts:
        if isinstance(part, Table):
            for column in part.columns:
                column.overflow = "fold"
        console.print(part, soft_wrap=isinstance(part, str))
