"""What real servers and libraries make of a request's target: which endpoint, or which path for the next in a chain."""

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse, urlsplit

import pytest
from yarl import URL

from support import nginx
from support.wire import BrokenOffError, Client, Response, request

FOLDER = Path(__file__).parent.parent / "differential"
_SENDABLE = re.compile(r"/[\x21\x22\x24-\x7e]*")
LIBRARIES: tuple[Callable[[str], str], ...] = (
    lambda target: urlsplit(target).path,
    lambda target: urlparse(target).path,
    unquote,
    lambda target: URL(target).path,
    lambda target: URL(target).raw_path,
    lambda target: URL(target, encoded=True).path,
)


def answers(port: int, requests: Iterable[bytes], *, at_once: int = 200) -> list[Response | None]:
    """Return the responses to requests, None where the connection was closed instead.

    So many are on their way at once: aiohttp's parser forgets those that came with one it refuses.
    """
    left = list(requests)
    found: list[Response | None] = []
    while left:
        with Client(port) as client:
            got = _answered(client, left, found, at_once)
        del left[:got]
    return found


def _answered(client: Client, requests: list[bytes], found: list[Response | None], at_once: int) -> int:
    """Add the responses of one connection to `found`, until it ends; returns how many requests are done with."""
    before = len(found)
    for begin in range(0, len(requests), at_once):
        batch = requests[begin : begin + at_once]
        try:
            client.send(*batch)
            for _ in batch:
                response = client.response()
                found.append(response)
                if (response.value("connection") or "").lower() == "close":
                    return len(found) - before
        except (BrokenOffError, ConnectionError):
            found.append(None)
            break
    return len(found) - before


@dataclass
class Readers:
    """The readers of targets, for one set of patterns. `routers` answer with a pattern, by name and port."""

    patterns: dict[str, "re.Pattern[str]"]
    urls: int
    routers: dict[str, int]
    proxies: dict[str, int]

    def endpoint_of(self, path: str) -> str | None:
        """Return the pattern of a path as it stands."""
        return next((pattern for pattern, found in self.patterns.items() if found.fullmatch(path)), None)

    def read(self, targets: Iterable[str], chain: int) -> dict[str, dict[str, str]]:
        """Return for each target the endpoints that it is read as, and who does, in chains of so many readers."""
        next_paths: dict[str, dict[str, str]] = {}
        endpoints: dict[str, dict[str, str]] = {}
        wanted = set(targets)
        for _ in range(chain):
            self._ask(wanted - endpoints.keys(), endpoints, next_paths)
            wanted = {path for paths in next_paths.values() for path in paths}
        return {target: _joined(target, chain, endpoints, next_paths) for target in targets}

    def _ask(
        self, targets: set[str], endpoints: dict[str, dict[str, str]], next_paths: dict[str, dict[str, str]]
    ) -> None:
        for target in targets:
            path = target.partition("?")[0]
            found = self.endpoint_of(path)
            endpoints[target] = {found: "as it stands"} if found else {}
            next_paths[target] = {}
            for library in LIBRARIES:
                with contextlib.suppress(ValueError):
                    next_paths[target][library(target)] = "a library of Python"
        sendable = sorted(target for target in targets if _SENDABLE.fullmatch(target))
        gets = [request("GET", target) for target in sendable]
        for target, response in zip(sendable, answers(self.urls, gets), strict=True):
            if response is not None and response.status == 200:
                next_paths[target] |= dict.fromkeys(json.loads(response.body), "Node's URL")
        for name, port in self.routers.items():
            for target, response in zip(sendable, answers(port, gets), strict=True):
                if response is not None and response.body.decode() in self.patterns:
                    endpoints[target].setdefault(response.body.decode(), name)
        for name, port in self.proxies.items():
            for target, response in zip(sendable, answers(port, gets), strict=True):
                if response is not None and response.status == 200:
                    pattern, _, path = response.body.decode("utf-8", "replace").partition(" ")
                    next_paths[target][path] = name
                    if pattern != "-":
                        endpoints[target].setdefault(pattern, name)


def _joined(
    target: str, chain: int, endpoints: dict[str, dict[str, str]], next_paths: dict[str, dict[str, str]]
) -> dict[str, str]:
    found = dict(endpoints.get(target, {}))
    if chain > 1:
        for path, reader in next_paths.get(target, {}).items():
            for pattern, last in _joined(path, chain - 1, endpoints, next_paths).items():
                found.setdefault(pattern, f"{reader} ({path}), {last}")
    return found


def _locations(patterns: Iterable[str]) -> str:
    """Return nginx's locations of the patterns, each answering with the pattern and the path it read."""
    named = [
        f'location ~* "^{re.sub(r":[A-Za-z]+", "[^/]+", pattern)}/?$" {{ return 200 "{pattern} $uri"; }}'
        for pattern in patterns
    ]
    return "\n".join([*named, 'location / { return 200 "- $uri"; }'])


@contextlib.contextmanager
def running(folder: Path, patterns: Iterable[str]) -> Iterator[Readers]:
    """Run all readers; skips the test where Node, its modules or nginx are not installed."""
    patterns = tuple(patterns)
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules" / "fastify").is_dir():
        pytest.skip("needs Node and `npm ci` in tests/differential, which `make test` sees to")
    command = [node, "readers.js", json.dumps(patterns)]
    locations = _locations(patterns)
    with (
        nginx.routing(folder, {"on": locations, "off": locations}) as (merging, literal),
        subprocess.Popen(command, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        try:
            ports = json.loads(process.stdout.readline())
            found = {p: re.compile(re.sub(r":[A-Za-z]+", "[^/]+", p) + "/?", re.IGNORECASE) for p in patterns}
            yield Readers(found, ports.pop("urls"), ports, {"nginx": merging, "nginx, merge_slashes off": literal})
        finally:
            process.terminate()
