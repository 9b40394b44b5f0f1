"""A gateway with workers, and its processes as the system knows them."""

from pathlib import Path
from typing import Any

from support.process import Gateway, configuration
from support.wire import request

STRATEGIES = "/api/portfolio/strategies"
BAD = request("POST", STRATEGIES, body=b'{"stageAllocation":{"Series A":1}}')
GOOD = request("POST", STRATEGIES, body=b'{"stageAllocation":{"seed":1}}')
TWO = {"STAGE_GATEWAY_WORKERS": "2"}


def config(port: int, **members: Any) -> dict[str, Any]:
    """Return a configuration in which BAD is refused."""
    return configuration(port, endpointMode={STRATEGIES: "enforce"}, **members)


def children(gateway: Gateway) -> list[int]:
    """Return the process ids of the workers, in the order of their slots."""
    return workers_of(gateway.process.pid)


def workers_of(process: int) -> list[int]:
    """Return the process ids of the workers that a process has started, in the order of their slots."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            parent = folder.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            words = folder.joinpath("cmdline").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue
        if parent == str(process) and b"gateway.server.worker" in words:
            found[int(words[-2])] = int(folder.name)
    return [found[slot] for slot in sorted(found)]


def is_running(process: int) -> bool:
    """Whether a process is there, and not only its exit code."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
