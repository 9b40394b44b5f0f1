"""A real server for each test process, and for each test a database of its own, cloned from one with tables."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.databases import clone, prepare
from support.migration import Migration
from support.postgres import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server() as server:
        prepare(server)
        yield server


@pytest.fixture
def bare(server: Server, tmp_path: Path) -> Iterator[Migration]:
    yield from clone(server, tmp_path, "bare")


@pytest.fixture
def migration(server: Server, tmp_path: Path) -> Iterator[Migration]:
    yield from clone(server, tmp_path, "filled")
