"""Two gateways in enforce and a migrated database, from which there is a way back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.databases import clone, prepare
from support.migration import Migration
from support.postgres import Server
from support.process import Gateway, Serve, configuration
from support.rollback import MODES, TOKEN, Rollback, address, hold
from support.upstream import RecordingUpstream


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        prepare(server)
        yield server


@pytest.fixture(scope="module")
def template(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    Migration(server.create("after_a_run", "filled"), tmp_path_factory.mktemp("after")).migrated()
    return "after_a_run"


@pytest.fixture
def migrated(server: Server, template: str, tmp_path: Path) -> Iterator[Migration]:
    yield from clone(server, tmp_path, template)


@pytest.fixture
def untouched(server: Server, tmp_path: Path) -> Iterator[Migration]:
    yield from clone(server, tmp_path, "bare")


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(TOKEN)
    return file


@pytest.fixture(scope="module")
def pair(serve: Serve, recorder: RecordingUpstream, token: Path) -> tuple[Gateway, Gateway]:
    environment = {"STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(token)}
    config = configuration(recorder.port, endpointMode=MODES)
    return serve(config, environment), serve(config, environment)


@pytest.fixture
def gateways(pair: tuple[Gateway, Gateway]) -> tuple[Gateway, Gateway]:
    """Let go of everything that a test has left."""
    for gateway in pair:
        for endpoint in MODES:
            assert hold(gateway, endpoint, None) == 200
    return pair


@pytest.fixture
def both(gateways: tuple[Gateway, Gateway], migrated: Migration, token: Path) -> Rollback:
    return Rollback(migrated, token, tuple(map(address, gateways)))
