"""Changes of the file are noticed however it is replaced, once each, and never half."""

import json
import os
from functools import partial
from pathlib import Path

import pytest
from support.clock import eventually
from support.process import Serve, configuration
from support.upstream import RecordingUpstream
from support.wire import exchange, request

from gateway.server.watcher import Watcher

STRATEGIES = "/api/portfolio/strategies"
BAD = request("POST", STRATEGIES, body=b'{"stageAllocation":{"Series A":1}}')


class Watched:
    """A file, a watcher of it, and how often it was called."""

    def __init__(self, file: Path) -> None:
        file.write_text("first")
        self.file = file
        self.calls = 0
        self.watcher = Watcher(file, self._count)

    def _count(self) -> None:
        self.calls += 1

    def look(self, times: int = 2) -> int:
        for _ in range(times):
            self.watcher.check()
        return self.calls


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "file")


def test_change_is_told_once(watched: Watched) -> None:
    """Nothing is told of a file that stays; another content is told once, whether written in place or renamed."""
    assert watched.look(5) == 0
    watched.file.write_text("second")
    assert watched.look(5) == 1
    watched.file.with_suffix(".new").write_text("third")
    watched.file.with_suffix(".new").replace(watched.file)
    assert watched.look(5) == 2


def test_same_content_is_no_change(watched: Watched) -> None:
    """A file that was written anew with what it held is not told."""
    watched.file.with_suffix(".new").write_text("first")
    watched.file.with_suffix(".new").replace(watched.file)
    assert watched.look(5) == 0


def test_file_being_written_is_waited_for(watched: Watched) -> None:
    """While every look finds another file nothing is told."""
    for text in ("s", "se", "sec", "seco"):
        watched.file.write_text(text)
        assert watched.look(1) == 0
    assert watched.look(2) == 1


def test_missing_file_is_a_change(watched: Watched) -> None:
    """A file that is gone is told once, and again when it is back with another content."""
    watched.file.unlink()
    assert watched.look(5) == 1
    watched.file.write_text("second")
    assert watched.look(5) == 2


def test_what_is_noted_is_not_told(watched: Watched) -> None:
    """A change that was read for another reason, such as a signal, is known."""
    watched.file.write_text("second")
    watched.watcher.note()
    assert watched.look(5) == 0


class ConfigMap:
    """A folder that is changed as a kubelet changes a mounted ConfigMap: by swapping the link `..data`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0
        folder.mkdir()

    def put(self, document: object) -> None:
        self._number += 1
        data = self.folder / f"..2026_11_24_{self._number}"
        data.mkdir()
        (data / "gateway.json").write_text(document if isinstance(document, str) else json.dumps(document))
        link, old = self.folder / "..data", self.folder / f"..2026_11_24_{self._number - 1}"
        os.symlink(data.name, self.folder / "..data_tmp")
        (self.folder / "..data_tmp").rename(link)
        if self._number == 1:
            os.symlink("..data/gateway.json", self.folder / "gateway.json")
        else:
            (old / "gateway.json").unlink()
            old.rmdir()


def test_config_map_that_changes(serve: Serve, upstream: RecordingUpstream, tmp_path: Path) -> None:
    """A swapped ConfigMap is in force within two seconds and no request fails; a bad one is told, changes nothing."""
    mounted = ConfigMap(tmp_path / "mounted")
    mounted.put(configuration(upstream.port, defaultMode="warn"))
    environment = {
        "STAGE_GATEWAY_CONFIG": str(mounted.folder / "gateway.json"),
        "STAGE_GATEWAY_WATCH_CONFIG": "true",
    }
    gateway = serve(configuration(upstream.port), environment=environment)

    def answers(status: int) -> bool:
        answered = exchange(gateway.port, BAD).status
        assert answered in {200, 422}
        return answered == status

    assert answers(200)
    for mode, status in (("enforce", 422), ("warn", 200), ("enforce", 422)):
        mounted.put(configuration(upstream.port, defaultMode=mode))
        eventually(partial(answers, status), timeout=2)
    mounted.put("{")
    eventually(lambda: gateway.status()["lastReload"]["errors"], timeout=2)
    assert answers(422)
    samples = gateway.metrics()
    assert samples.get("stage_gateway_config_reloads_total", result="success") == 3
    assert samples.get("stage_gateway_config_reloads_total", result="error") == 1
