"""Tiers of all tests, and fixtures of those that speak HTTP. Being here, this file lets tests import `support`."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from support import express
from support.process import BOTH, WAYS, Gateway, Serve
from support.tiers import guard as guard
from support.tiers import guarded as guarded
from support.tiers import is_unit, varies
from support.upstream import RecordingUpstream


def pytest_configure() -> None:
    """Let processes that tests start hear Ctrl-C, also where these tests run in the background.

    A shell without job control starts background commands with SIGINT ignored, and children inherit that (POSIX.1-2017,
    Shell Command Language, section 2.11).
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before -m chooses by the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the tiers that it is of."""
    for item in items:
        item.add_marker("unit" if is_unit(item) else "service")
        if varies(item.path):
            item.add_marker("varies")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let the tests of a file that says `PROXY_WAYS` go through gateways of each of these ways."""
    ways = getattr(metafunc.module, "PROXY_WAYS", None)
    if ways is not None and "way" in metafunc.fixturenames:
        metafunc.parametrize("way", ways, indirect=True, scope="session")


@pytest.fixture(scope="session")
def way(request: pytest.FixtureRequest) -> str:
    """Give the way that requests go through the gateways of a test: by default the one that they go in use."""
    return getattr(request, "param", BOTH[0])


@pytest.fixture(scope="module")
def recorder() -> Iterator[RecordingUpstream]:
    upstream = RecordingUpstream()
    yield upstream
    upstream.close()


@pytest.fixture
def upstream(recorder: RecordingUpstream) -> RecordingUpstream:
    recorder.reset()
    return recorder


@pytest.fixture(scope="module")
def serve(way: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(config: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Gateway:
            chosen = {**WAYS[way], **(environment or {})}
            return stack.enter_context(Gateway(tmp_path_factory.mktemp("gateway"), config, chosen))

        yield start


@pytest.fixture(scope="session")
def pair(way: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[express.Pair]:
    with express.running() as alone:
        config = express.enforcing(alone.port)
        with Gateway(tmp_path_factory.mktemp("gateway"), config, WAYS[way]) as gateway:
            yield express.Pair(alone, gateway)
