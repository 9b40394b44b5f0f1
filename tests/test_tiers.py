"""The unit tier is told by imports, and held to what it promises."""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.tiers import TESTS, Guard, reaches_out

# By their names, since an import of them would put this file into another tier.
sockets, processes = (importlib.import_module(name) for name in ("socket", "subprocess"))


@pytest.fixture(autouse=True)
def guarded() -> None:
    """Stand in for the fixture of this name: these tests watch themselves."""


def opened(how: str, port: int) -> None:
    with sockets.socket() as one:
        getattr(one, how)(("127.0.0.1", port))


@pytest.mark.parametrize(
    "reach",
    [
        lambda: opened("bind", 0),
        lambda: opened("connect", 1),
        lambda: sockets.getaddrinfo("localhost", 80),
        lambda: processes.run([sys.executable, "--version"], check=False),
        lambda: os.system("true"),
        lambda: os.posix_spawn("/bin/true", ["true"], {}),
    ],
    ids=["listen", "connect", "resolve", "process", "shell", "spawn"],
)
def test_guard_refuses(reach: Callable[[], object], guard: Guard) -> None:
    """A unit test that reaches out fails there, and at its end when it caught that."""
    caught = pytest.raises(AssertionError, match="opens no socket and starts no process")
    with pytest.raises(AssertionError, match="a unit test reached out"), guard.watching(), caught:
        reach()


def test_guard_lets_be(guard: Guard) -> None:
    """What is done before and after a unit test is nobody's business."""
    with guard.watching():
        pass
    sockets.getaddrinfo("127.0.0.1", 80)


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("import json", False),
        ("import socket", True),
        ("from urllib.request import urlopen", True),
        ("from urllib import request", True),
        ("from urllib.parse import quote", False),
        ("def f():\n    import subprocess", True),
        ("import psycopg.errors", True),
        ("from support.far import away", True),
        ("from support import far", True),
        ("from support.near import by", False),
    ],
)
def test_tier_is_told_by_imports(source: str, out: bool, tmp_path: Path) -> None:
    """A file reaches out when it imports what opens sockets or starts processes, itself or through `support`."""
    (tmp_path / "support").mkdir()
    (tmp_path / "support" / "far.py").write_text("from support.near import by\nimport redis\n")
    (tmp_path / "support" / "near.py").write_text("import json\n")
    file = tmp_path / "test_it.py"
    file.write_text(source)
    assert reaches_out(file, tmp_path) is out


@pytest.mark.parametrize("room", ["stages", "rollout", "rules"])
def test_pure_rooms_are_of_the_unit_tier(room: str) -> None:
    """Every test of a room that does no I/O is of the quick tier."""
    assert [file.name for file in (TESTS / room).rglob("test_*.py") if reaches_out(file)] == []
