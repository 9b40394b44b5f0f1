"""A real server for each test process, and for each test a database of its own, cloned from one with tables."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.databases import clone, prepare
from support.migration import Migration
from support.postgres import EMBEDDED, Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    # STAGE_GATEWAY_TEST_POSTGRES names the programs of another version, such as /usr/lib/postgresql/15/bin.
    with Server(Path(os.environ.get("STAGE_GATEWAY_TEST_POSTGRES", EMBEDDED))) as server:
        prepare(server)
        yield server


@pytest.fixture
def bare(server: Server, tmp_path: Path) -> Iterator[Migration]:
    yield from clone(server, tmp_path, "bare")


@pytest.fixture
def migration(server: Server, tmp_path: Path) -> Iterator[Migration]:
    yield from clone(server, tmp_path, "filled")
