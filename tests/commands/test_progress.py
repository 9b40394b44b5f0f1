"""What a run tells people: a bar on a terminal."""

import io

from rich.console import Console

from gateway.commands.progress import Bar


def test_bar_shows_notes_above_it() -> None:
    """A note is a line of its own."""
    out = io.StringIO()
    with Bar(Console(file=out, force_terminal=True, width=100)) as bar:
        bar.rows(100, 40)
        bar.note("waiting for replica")
    assert "waiting for replica" in out.getvalue()
    assert "40/100" in out.getvalue()
