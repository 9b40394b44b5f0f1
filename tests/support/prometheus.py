"""Prometheus and Alertmanager, as commands that check files and as servers on ports of their own."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.clock import PATIENCE

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus"
FILES = ["recording.yml", "alerts.yml"]
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def binary(name: str) -> str:
    """Return the path of a program; skips the test where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}, which `make test` installs on Debian")
    return found


def run(name: str, *arguments: object, folder: Path = RULES) -> tuple[int, str]:
    """Run a program in a folder to its end; returns its exit code and everything it said."""
    command = [binary(name), *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False
    )
    return done.returncode, done.stdout


def generate(output: Path, **numbers: object) -> None:
    """Write the rules into a folder: those of the committed numbers, but for the ones given."""
    changed = {**tomllib.loads((RULES / "numbers.toml").read_text(encoding="utf-8")), **numbers}
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in changed.items())
    (output / "numbers.toml").write_text(text, encoding="utf-8")
    command = [sys.executable, RULES / "generate.py", "--output", output, "--numbers", output / "numbers.toml"]
    subprocess.run(list(map(str, command)), check=True, timeout=PATIENCE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


class Server:
    """A running Prometheus or Alertmanager."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self.log = log

    def get(self, path: str, **parameters: str | float) -> Any:
        """Return the JSON of a GET. Raises AssertionError with what it said when it refuses."""
        address = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with _opener.open(address, timeout=PATIENCE) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression has now."""
        found: list[dict[str, Any]] = self.get("/api/v1/query", query=expression)["data"]["result"]
        return found

    def history(self, expression: str, seconds: float) -> list[dict[str, Any]]:
        """Return the series that an expression had in the last seconds, in steps of one."""
        now = time.time()
        answer = self.get("/api/v1/query_range", query=expression, start=now - seconds, end=now, step=1)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


@contextlib.contextmanager
def _serving(program: str, port: int, folder: Path, *arguments: object) -> Iterator[Server]:
    command = [binary(program), f"--web.listen-address=127.0.0.1:{port}", *map(str, arguments)]
    log = folder / f"{program}.log"
    with log.open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, cwd=folder)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                _opener.open(f"http://127.0.0.1:{port}/-/ready", timeout=PATIENCE).close()
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        else:
            raise AssertionError(log.read_text())
        yield Server(port, log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


@contextlib.contextmanager
def prometheus(
    folder: Path, targets: Mapping[str, Sequence[int]], alertmanager: int, **numbers: object
) -> Iterator[Server]:
    """Run Prometheus on the committed configuration, made quick, with these ports as the targets of its jobs."""
    generate(folder, evaluation_interval="1s", **numbers)
    document = yaml.safe_load((RULES / "prometheus.yml").read_text())
    document["global"].update(scrape_interval="1s", evaluation_interval="1s")
    for job in document["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in targets[job["job_name"]]]}]
    document["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
    storage = f"--storage.tsdb.path={folder / 'prometheus'}"
    with _serving("prometheus", free_port(), folder, "--config.file=prometheus.yml", storage) as server:
        yield server


@contextlib.contextmanager
def remembering(folder: Path, samples: str) -> Iterator[Server]:
    """Run Prometheus with the committed rules, on samples in OpenMetrics' text and nothing that it scrapes."""
    generate(folder, evaluation_interval="1s")
    (folder / "samples").write_text(samples)
    code, said = run("promtool", "tsdb", "create-blocks-from", "openmetrics", "samples", "data", folder=folder)
    assert code == 0, said
    document = {"global": {"evaluation_interval": "1s"}, "rule_files": FILES}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
    own = ["--config.file=prometheus.yml", f"--storage.tsdb.path={folder / 'data'}", "--storage.tsdb.retention.time=1y"]
    with _serving("prometheus", free_port(), folder, *own) as server:
        yield server


@contextlib.contextmanager
def alertmanager(folder: Path, gateway: str, token: Path) -> Iterator[Server]:
    """Run Alertmanager on the committed configuration, with this gateway and its token file."""
    document = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
    [receiver] = [receiver for receiver in document["receivers"] if receiver["name"] == "gateways"]
    [hook] = receiver["webhook_configs"]
    hook["url"] = gateway + urllib.parse.urlsplit(hook["url"]).path
    hook["http_config"]["authorization"]["credentials_file"] = str(token)
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(document))
    storage = f"--storage.path={folder / 'alertmanager'}"
    own = ["--config.file=alertmanager.yml", storage, "--cluster.listen-address="]
    with _serving("prometheus-alertmanager", free_port(), folder, *own) as server:
        yield server
