"""The private names of aiohttp's connection that are used: there in this release, and said in one place alone."""

import ast
from pathlib import Path

import pytest
from aiohttp import web

import gateway.server
from gateway.server import open_connection
from gateway.server.open_connection import PRIVATE_NAMES

ROOM = Path(gateway.server.__file__).parent


def said_in(path: Path) -> set[str]:
    """Return the attributes of `self` that a module asks for."""
    tree = ast.parse(path.read_text())
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }


def theirs() -> set[str]:
    """Return the private names that aiohttp's connection has."""
    return {
        name for kind in web.RequestHandler.__mro__ for name in vars(kind) if name.startswith("_") and name[1] != "_"
    }


@pytest.mark.parametrize("name", PRIVATE_NAMES)
def test_aiohttp_still_has(name: str) -> None:
    """A private name that is relied upon is one of aiohttp's connection: where this fails, a release has changed it."""
    assert name in theirs()


def test_private_names_are_said_in_one_place() -> None:
    """No module of the server but one asks aiohttp's connection for a private name, and that one for those it lists."""
    assert said_in(Path(open_connection.__file__)) & theirs() == set(PRIVATE_NAMES)
    for name in ("protocol.py", "entrance.py"):
        assert not said_in(ROOM / name) & theirs(), name
