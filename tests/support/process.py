"""The command `stage-gateway serve` as a process of its own, and what can be asked of it from outside."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from support.clock import PATIENCE, ROOM, eventually

COMMAND = Path(sys.executable).with_name("stage-gateway")
# The two ways that requests may go, and what says so. A test file whose tests are to go both says `PROXY_WAYS = BOTH`.
WAYS: Mapping[str, Mapping[str, str]] = {"lane": {}, "general": {"STAGE_GATEWAY_LANE": "off"}}
BOTH = tuple(WAYS)
STAGES = ["pre-seed", "seed", "series-a", "series-b", "series-c", "series-c+"]


class Samples:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def get(self, name: str, **labels: str) -> float | None:
        """Return the value of exactly this series, None when there is none."""
        return self._samples.get((name, frozenset(labels.items())))

    def series(self, name: str) -> dict[frozenset[tuple[str, str]], float]:
        return {labels: value for (given, labels), value in self._samples.items() if given == name}

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of all series that have these labels among theirs."""
        return sum(value for given, value in self.series(name).items() if labels.items() <= dict(given).items())


def configuration(portfolio: int, monte_carlo: int | None = None, **members: Any) -> dict[str, Any]:
    """Return a configuration file for upstreams on these ports."""
    ports = {"portfolio": portfolio, "monteCarlo": monte_carlo or portfolio}
    return {"upstreams": {name: {"url": f"http://127.0.0.1:{port}"} for name, port in ports.items()}, **members}


class Gateway:
    """A running gateway. Use it as a context; it ends with the context."""

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.file = folder / "gateway.json"
        self.state = folder / "state"
        self.write(config)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("STAGE_GATEWAY_") and k != "DRY_RUN"}
        own = {
            "STAGE_GATEWAY_CONFIG": str(self.file),
            "STAGE_GATEWAY_HOST": "127.0.0.1",
            "STAGE_GATEWAY_PORT": "0",
            "STAGE_GATEWAY_ADMIN_PORT": "0",
            "STAGE_GATEWAY_STATE": str(self.state),
        }
        self.process = subprocess.Popen(
            [COMMAND, "serve", *options],
            env={**inherited, **own, **(environment or {})},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        serving = self.wait_for_log("serving")
        self.port: int = serving["port"]
        self.admin: int = serving["adminPort"]

    def __enter__(self) -> "Gateway":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def write(self, config: Mapping[str, Any] | str) -> None:
        """Replace the configuration file, whole at once."""
        new = self.file.with_suffix(".new")
        new.write_text(config if isinstance(config, str) else json.dumps(config), encoding="utf-8")
        new.replace(self.file)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def logs(self, message: str | None = None) -> list[dict[str, Any]]:
        """Return the log lines, all or those with this message; every line must be a JSON object."""
        entries = [json.loads(line) for line in list(self.lines)]
        return [entry for entry in entries if message in {None, entry["message"]}]

    def wait_for_log(self, message: str, *, count: int = 1, timeout: float = 10) -> dict[str, Any]:
        """Return the `count`-th log line with this message, once it is there."""
        with self._news:
            ended = self._news.wait_for(
                lambda: len(self.logs(message)) >= count or not self._reader.is_alive() or self.process.poll(),
                timeout * ROOM,
            )
            found = self.logs(message)
            assert ended, "".join(self.lines)
            assert len(found) >= count, "".join(self.lines)
            return found[count - 1]

    def call(
        self,
        path: str,
        *,
        method: str = "GET",
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> tuple[int, bytes]:
        """Ask the admin port; returns status and body."""
        bearer = {"Authorization": f"Bearer {token}"} if token is not None else {}
        address = f"http://127.0.0.1:{self.admin}{path}"
        asked = urllib.request.Request(address, data=body, method=method, headers={**bearer, **(headers or {})})
        try:
            with _opener.open(asked, timeout=PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def hold(self, endpoint: str, mode: str | None, **more: object) -> tuple[int, dict[str, Any]]:
        """Set a person's override, or clear it with None; returns status and answer."""
        document = {"endpoint": endpoint, "mode": mode, "reason": "a test", "by": "tester", **more}
        status, answer = self.call("/-/mode", method="POST", token=self.token(), body=json.dumps(document).encode())
        found: dict[str, Any] = json.loads(answer)
        return status, found

    def metrics(self) -> Samples:
        status, body = self.call("/metrics")
        assert status == 200
        return Samples(body.decode())

    def status(self) -> dict[str, Any]:
        status, body = self.call("/status")
        assert status == 200
        document: dict[str, Any] = json.loads(body)
        return document

    def token(self) -> str:
        return (self.state / "admin-token").read_text(encoding="ascii").strip()

    def memory(self) -> int:
        """Return the most bytes that the process has had in memory so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024

    def processor_seconds(self) -> float:
        """Return how long the process has had a processor so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def reload(self) -> None:
        """Send SIGHUP and wait until the file was read."""
        before = self.metrics().total("stage_gateway_config_reloads_total")
        self.signal(signal.SIGHUP)
        eventually(lambda: self.metrics().total("stage_gateway_config_reloads_total") > before)

    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def wait(self, timeout: float = 15) -> int:
        """Return the exit code, once the process has ended."""
        code = self.process.wait(timeout * ROOM)
        self._reader.join(5)
        return code

    def end(self) -> None:
        """End the process, kindly first."""
        if self.process.poll() is None:
            self.process.terminate()
            eventually(lambda: self.logs("draining") or self.process.poll() is not None)
            self.process.terminate()  # the second one ends the drain
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self._reader.join(5)
        if self.process.stderr is not None:
            self.process.stderr.close()


Serve = Callable[..., Gateway]  # starts one with this configuration, for the tests of a module

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
