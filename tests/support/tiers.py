"""The quick tier: which tests are of it, seen from what their files import, and the guard that holds them to it.

A test is of the unit tier when neither its file nor a fixture of it can reach a module through which sockets are
opened or processes are started. Nothing is listed by hand, and what the imports do not show the guard refuses.
"""

import ast
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOORS = {"aiohttp", "multiprocessing", "psycopg", "redis", "socket", "subprocess", "urllib.request", "uvloop"}
# Audit events (Python's library reference, "Audit events table") of what a unit test does not do.
REFUSED = {
    *("socket.bind", "socket.connect", "socket.getaddrinfo", "socket.sendto"),
    *("subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"),
}


def imports(source: str) -> set[str]:
    """Return the modules that a file imports, and what it takes from them, by their full names."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@cache
def reaches_out(file: Path, root: Path = TESTS) -> bool:
    """Whether a file imports a door, itself or by what it takes from `support`."""
    names = imports(file.read_text(encoding="utf-8"))
    if any(name == door or name.startswith(f"{door}.") for name in names for door in DOORS):
        return True
    inner = {root.joinpath(*name.split(".")).with_suffix(".py") for name in names if name.startswith("support.")}
    return any(reaches_out(one, root) for one in inner if one.exists())


@cache
def varies(file: Path) -> bool:
    """Whether a file asks how long its tests may take, and so has a long form."""
    return any(name.startswith("support.length") for name in imports(file.read_text(encoding="utf-8")))


def is_unit(item: pytest.Item) -> bool:
    """Whether neither the test's file nor the file of a fixture that it asks for reaches out."""
    info = getattr(item, "_fixtureinfo", None)
    made = [definition for found in info.name2fixturedefs.values() for definition in found] if info else []
    files = {Path(definition.func.__code__.co_filename) for definition in made}
    return not any(reaches_out(file) for file in {item.path, *(file for file in files if TESTS in file.parents)})


class Guard:
    """Refuses what a unit test does not do. Threads of tests before it, which may still be at work, are let be."""

    def __init__(self) -> None:
        self._watching = False
        self._strangers: set[int | None] = set()
        self._seen: list[str] = []
        sys.addaudithook(self._hear)  # it stays for as long as the process does

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch what is done meanwhile, and fail at the end also when the refusal was caught."""
        own = threading.get_ident()
        self._strangers = {thread.ident for thread in threading.enumerate()} - {own}
        self._seen = []
        self._watching = True
        try:
            yield
        finally:
            self._watching = False
        assert not self._seen, f"a unit test reached out: {', '.join(self._seen)}"

    def _hear(self, event: str, _: tuple[object, ...]) -> None:
        if self._watching and event in REFUSED and threading.get_ident() not in self._strangers:
            self._seen.append(event)
            raise AssertionError(f"a unit test opens no socket and starts no process: {event}")


@pytest.fixture(scope="session")
def guard() -> Guard:
    return Guard()


@pytest.fixture(autouse=True)
def guarded(request: pytest.FixtureRequest, guard: Guard) -> Iterator[None]:
    """Hold unit tests to what their tier promises."""
    if request.node.get_closest_marker("unit") is None:
        yield
        return
    with guard.watching():
        yield
