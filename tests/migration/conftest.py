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


@pytest.fixture(scope="session")
def template_after_a_run(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    name = "after_a_run"
    Migration(server.create(name, "filled"), tmp_path_factory.mktemp(name)).migrated()
    return name


@pytest.fixture
def migrated(server: Server, template_after_a_run: str, tmp_path: Path) -> Iterator[Migration]:
    yield from clone(server, tmp_path, template_after_a_run)
