"""The image: what its Dockerfile says, and the gateway in an image that was really built."""

import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.clock import PATIENCE, eventually
from support.image import ROOT, Builder, Container, Image, missing
from support.process import configuration
from support.upstream import Conversation, RecordingUpstream
from support.wire import Client, exchange, request

from gateway import __version__
from gateway.settings import PREFIX, Settings

DOCKERFILE = (ROOT / "Dockerfile").read_text()
STRATEGIES = "/api/portfolio/strategies"
WRONG = json.dumps({"stageAllocation": {"Series A": 1}}).encode()
CONFIG, STATE = "/etc/stage-gateway", "/var/lib/stage-gateway"


def test_hadolint_has_nothing_to_say() -> None:
    """Hadolint accepts the Dockerfile."""
    hadolint = Path(sys.executable).with_name("hadolint")
    made = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")


def test_every_default_version_is_this_one() -> None:
    """The version that the Dockerfile takes without being told one is the package's."""
    assert set(re.findall(r"^ARG VERSION=(.*)$", DOCKERFILE, re.MULTILINE)) == {__version__}


def test_every_setting_of_the_dockerfile_is_one() -> None:
    """The Dockerfile sets variables that the gateway reads, and exposes the ports it serves on."""
    named = set(re.findall(rf"\b{PREFIX}(\w+)=", DOCKERFILE))
    assert named
    assert named <= {name.upper() for name in Settings.model_fields}
    ports = [str(Settings.model_fields[name].default) for name in ("port", "admin_port")]
    assert f"EXPOSE {' '.join(ports)}\n" in DOCKERFILE


def test_only_what_the_image_is_made_of_goes_into_the_build() -> None:
    """.dockerignore lets in what the Dockerfile copies, and nothing else."""
    let_in = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    named = {path for line in copied for path in line.split()}
    assert all(any(Path(path).match(pattern) for pattern in let_in) for path in named)
    assert all(any(Path(path).match(pattern) for path in named) for pattern in let_in)


@pytest.fixture
def builder() -> Iterator[Builder]:
    if reason := missing():
        pytest.skip(f"the image is not built: {reason}")
    with tempfile.TemporaryDirectory(prefix="image-") as folder, ExitStack() as last:
        made = Builder(Path(folder))
        last.callback(made.close)
        try:
            made.make_base()
        except (AssertionError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"the image is not built: there is no base to build it on: {error}")
        yield made


def test_the_built_image(builder: Builder, recorder: RecordingUpstream, tmp_path: Path) -> None:
    """The image serves, reloads and drains as number 1, read-only and as nobody in particular; the larger one migrates.

    One test, since the image is built once.
    """
    image = builder.build()
    assert image.labels["org.opencontainers.image.version"] == __version__
    assert image.described["StopSignal"] == "SIGTERM"
    assert image.user > 0
    _is_small(image)
    config, state = tmp_path / "config", tmp_path / "state"
    for folder in (config, state):
        folder.mkdir()
    state.chmod(0o777)  # as a volume of an orchestrator that knows the user
    _write(config, configuration(recorder.port, endpointMode={STRATEGIES: "enforce"}))
    environment = {f"{PREFIX}PORT": "0", f"{PREFIX}ADMIN_PORT": "0", f"{PREFIX}WORKERS": "2"}
    with image.running({CONFIG: config, STATE: state}, environment) as container:
        _is_confined(container)
        _answers(container, image)
        _reloads(container, config, configuration(recorder.port, endpointMode={STRATEGIES: "off"}))
        _drains(container, recorder)
    _migrates(builder.build("migration"), config, state)


def _is_small(image: Image) -> None:
    """Want neither pip nor a compiler nor what was needed to build left in the image."""
    files = {path.name for path in image.root.glob("opt/stage-gateway/bin/*")}
    assert "stage-gateway" in files
    assert not {name for name in files if name.startswith("pip")}
    assert not list(image.root.glob("usr/bin/*gcc*"))
    assert not any((image.root / name).exists() for name in ("source", "build", "wheel"))
    assert not list(image.root.glob("opt/stage-gateway/lib/python3*/site-packages/psycopg*"))


def _is_confined(container: Container) -> None:
    """Want number 1 and its children to be the image's user, without a right to anything, on files that stay."""
    processes = container.processes()
    assert 1 in processes
    assert len(processes) >= 3  # it has two workers
    for status in processes.values():
        assert set(status["Uid"].split()) == {str(container.image.user)}
        assert "0" not in status["Gid"].split()
        assert set(status["CapEff"]) == set(status["CapBnd"]) == {"0"}
    mounts = Path(f"/proc/{container.pid}/mountinfo").read_text()
    assert re.search(r"^\S+ \S+ \S+ \S+ / ro,", mounts, re.MULTILINE)


def _answers(container: Container, image: Image) -> None:
    """Want it to refuse and to pass on, to be found healthy, and to have one version in all places."""
    assert exchange(container.port, request("POST", STRATEGIES, body=WRONG)).status == 422
    assert exchange(container.port, request("GET", "/elsewhere")).status == 200
    said = container.execute("--version")
    assert said.stdout.strip() == f"stage-gateway {image.labels['org.opencontainers.image.version']}"
    assert _status(container)["version"] == image.labels["org.opencontainers.image.version"]
    kind, program, *rest = image.described["Healthcheck"]["Test"]
    assert (kind, [program]) == ("CMD", image.described["Entrypoint"])
    healthy = container.execute(*rest, **{f"{PREFIX}ADMIN_PORT": str(container.admin)})
    assert healthy.returncode == 0, healthy.stderr
    assert container.execute(*rest, **{f"{PREFIX}ADMIN_PORT": "9"}).returncode == 3
    cure = container.execute("migrate", "plan")
    assert (cure.returncode, "stage-gateway[migration]" in cure.stderr) == (2, True)


def _reloads(container: Container, config: Path, new: dict[str, Any]) -> None:
    """Want SIGHUP to number 1 to put the file in force that was replaced in the mounted directory."""
    _write(config, new)
    container.signal(signal.SIGHUP)
    eventually(lambda: exchange(container.port, request("POST", STRATEGIES, body=WRONG)).status == 200)


def _drains(container: Container, recorder: RecordingUpstream) -> None:
    """Want SIGTERM to number 1 to let the request under way end, and the gateway then to end with 0."""
    going_on = threading.Event()

    def slow(conversation: Conversation) -> None:
        conversation.read_body()
        going_on.wait(10)
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")

    before = len(recorder.requests)
    with recorder.scripted(slow), Client(container.port) as client:
        client.send(request("GET", "/slow"))
        recorder.wait_for(before + 1)
        container.signal(signal.SIGTERM)
        container.wait_for_log("draining")
        going_on.set()
        assert client.response().body == b"late"
    assert container.wait() == 0


def _migrates(image: Image, config: Path, state: Path) -> None:
    """Want the driver in the image with the extra: it looks for a database where it is told to, and finds none."""
    assert list(image.root.glob("opt/stage-gateway/lib/python3*/site-packages/psycopg*"))
    assert image.described["Cmd"][0] == "migrate"
    assert "Healthcheck" not in image.described
    for folder in (CONFIG, STATE):
        (image.root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for name in ("gateway.json", "migration.json"):
        (image.root / CONFIG.lstrip("/") / name).write_bytes((ROOT / "config" / name).read_bytes())
    nowhere = {f"{PREFIX}DATABASE_URL": "postgresql://someone@127.0.0.1:9/app"}
    made = subprocess.run(
        image.command(image.described["Cmd"], nowhere), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert made.returncode == 3, made.stderr


def _write(folder: Path, document: dict[str, Any]) -> None:
    new = folder / "new"
    new.write_text(json.dumps(document))
    new.replace(folder / "gateway.json")


def _status(container: Container) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{container.admin}/status", timeout=PATIENCE) as answer:
        document: dict[str, Any] = json.load(answer)
    return document
