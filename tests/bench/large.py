"""What large bodies cost: latency of a lone request, memory, stretches of the event loop, cost per byte."""

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import peers
from bench.bodies import simulate_body
from bench.clients import at_once, generated, lone_latency, post

MB = 1_000_000


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


@contextlib.contextmanager
def _place() -> Iterator[tuple[Path, int]]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stage-gateway-bench-")))
        upstream = stack.enter_context(peers.nginx("upstream", folder, 1, peers.OTHER_CORE)).port
        yield folder, upstream


def latency() -> dict[str, Any]:
    """Return the median and p99 of a lone request with 5,000 entries, and what judging adds to `off`."""
    body = simulate_body(5_000, wide=False)
    samples: dict[str, list[float]] = {mode: [] for mode in ("off", "warn", "enforce")}
    with _place() as (folder, upstream), contextlib.ExitStack() as stack:
        gateways = {mode: stack.enter_context(peers.gateway(mode, folder, upstream)) for mode in samples}
        for _ in range(5):
            for mode, peer in gateways.items():
                samples[mode] += lone_latency(peer.port, body, 100)
    median = {mode: statistics.median(took) for mode, took in samples.items()}
    return {
        "median ms": median,
        "p99 ms": {mode: sorted(took)[int(len(took) * 0.99)] for mode, took in samples.items()},
        "added ms": {mode: median[mode] - median["off"] for mode in ("warn", "enforce")},
    }


def memory() -> dict[str, Any]:
    """Return by how much the resident size grows while 16 bodies of 100 MB are carried at once."""
    result: dict[str, Any] = {}
    with _place() as (folder, upstream):
        for mode, held in (("warn", 2**28), ("enforce", 2**31), ("enforce", 2**28)):
            with peers.gateway(mode, folder, upstream, heldBytes=held) as peer:
                at_once(peer.port, 2, MB)
                before = peer.resident()
                _forget_peak(peer.pid)
                statuses = at_once(peer.port, 16, 100 * MB)
                grown = _peak(peer.pid) - before
            name = f"{mode}, {held // 2**20} MiB may be held"
            counted = {str(status): statuses.count(status) for status in sorted(set(statuses))}
            result[name] = {"grown MB": round(grown / MB, 1), "statuses": counted}
    return result


def stretches() -> dict[str, Any]:
    """Return the longest stretches of the event loop while four bodies of 100 MB are carried at once."""
    result = {}
    with _place() as (_, upstream):
        for mode in ("warn", "enforce"):
            for shape, size in (("array", 100 * MB), ("star", 10 * MB), ("empty", 2 * MB)):
                command = [sys.executable, "-m", "bench.stretches", str(upstream), "4", str(size), mode, shape]
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
                result[f"{mode}, {shape}"] = json.loads(done.stdout.splitlines()[-1])
    return result


def flatness() -> dict[str, Any]:
    """Return the CPU nanoseconds per byte of one body, from 1 MB to 1 GB."""
    result = {}
    with _place() as (folder, upstream), peers.gateway("warn", folder, upstream) as peer:
        for size in (MB, 10 * MB, 100 * MB, 1000 * MB):
            repeat = max(1, 100 * MB // size)
            before = sum(peer.cpu())
            for _ in range(repeat):
                pieces, length = generated(size)
                post(peer.port, pieces, length)
            result[f"{size // MB:,} MB"] = round((sum(peer.cpu()) - before) / repeat / size * 1e9, 3)
    return result
