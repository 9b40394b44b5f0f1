"""How commands print: tables for people, JSON for machines."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def print_json(document: Any) -> None:
    """Print a document as JSON."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def show(*parts: RenderableType) -> None:
    """Print texts, each as one line however long, and tables."""
    console = Console(highlight=False, markup=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))
