"""Throughput of the gateway beside its peers: `python -m bench [--rounds N] [--seconds S] [--json FILE] …`.

Each proxy runs alone under load, pinned to one core; generator (wrk) and upstream (nginx) share the other. Rounds
are interleaved and medians taken, so that a change of the machine's speed meets all alike. CPU time per request is
that of the proxy process, from /proc; it is steadier than requests per second.
"""

import argparse
import contextlib
import json
import re
import statistics
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench import large, migration, peers
from bench.bodies import BODIES
from bench.decode import decode_milliseconds
from bench.picture import picture

_DONE = re.compile(r"(\d+) requests in")
MODES = ("off", "warn", "enforce")
CONNECTIONS, FEW = 16, 4
LARGE = 1_000_000  # bytes; of longer bodies few at a time, or a peer finishes none within a round
ARRAYS = 1000  # bytes; longer bodies are arrays
DECODE = "msgspec's decode of the array"
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")


class Sample(NamedTuple):
    """Requests per second, and milliseconds of CPU for each: all of it, and the part outside of the kernel."""

    rate: float
    cpu: float
    user: float


Row = dict[str, Sample]  # by peer


def load(peer: peers.Peer, script: Path | None, seconds: int, connections: int) -> Sample:
    """Put one peer under load."""
    before = peer.cpu()
    url = f"http://127.0.0.1:{peer.port}{'/api/other' if script is None else '/api/monte-carlo/simulate'}"
    command = ["taskset", "-c", str(peers.OTHER_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    scripted = [] if script is None else ["-s", str(script)]
    told = subprocess.run([*command, *scripted, url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in told:
        raise RuntimeError(f"{peer.name}: {told}")
    done, rate = _DONE.search(told), _RATE.search(told)
    if done is None or rate is None or done[1] == "0":
        raise RuntimeError(f"wrk said: {told}\nWhere no request was done, --seconds makes a round longer.")
    user, system = (1000 * (now - then) / int(done[1]) for now, then in zip(peer.cpu(), before, strict=True))
    return Sample(float(rate[1]), user + system, user)


def measure(rounds: int, seconds: int, before: Path | None) -> dict[str, Row]:
    """Return the medians of every peer for every body; `before` is a checkout whose gateway is a peer too."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stage-gateway-bench-")))
        upstream = stack.enter_context(peers.nginx("upstream", folder, 1, peers.OTHER_CORE)).port
        others = [
            stack.enter_context(peers.nginx("nginx + lua-cjson", folder, upstream, peers.PROXY_CORE)),
            stack.enter_context(peers.nginx("nginx pass-through", folder, upstream, peers.PROXY_CORE)),
            stack.enter_context(peers.envoy(folder, upstream)),
            stack.enter_context(peers.node_proxy(upstream)),
            stack.enter_context(peers.aiohttp_proxy(upstream)),
            *(stack.enter_context(peers.gateway(mode, folder, upstream)) for mode in MODES),
        ]
        if before is not None:
            others += [stack.enter_context(peers.gateway(m, folder, upstream, checkout=before)) for m in MODES]
        table = {}
        for name, body in BODIES.items():
            script = None if body is None else _script(folder, body)
            samples: dict[str, list[Sample]] = {peer.name: [] for peer in others}
            for number in range(rounds):
                for peer in others:
                    samples[peer.name].append(
                        load(peer, script, seconds, FEW if body and len(body) > LARGE else CONNECTIONS)
                    )
                print(f"  {name}: round {number + 1} of {rounds}", flush=True)
            row = table[name if body is None else f"{name}, {len(body):,} bytes"] = {
                peer: Sample(*map(statistics.median, zip(*got, strict=True))) for peer, got in samples.items()
            }
            if body is not None and len(body) > ARRAYS:
                row[DECODE] = Sample(0, *(2 * [decode_milliseconds(folder / "body.json")]))
        return table


def _script(folder: Path, body: bytes) -> Path:
    """Write wrk's script that posts one body, and the body beside it."""
    (folder / "body.json").write_bytes(body)
    script = folder / "post.lua"
    script.write_text(
        f"""wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{folder / "body.json"}", "rb")
wrk.body = file:read("*a")
file:close()
"""
    )
    return script


def _cpu_per_request(script: Path, seconds: int, connections: int, peer: peers.Peer) -> float:
    return load(peer, script, seconds, connections).cpu


def workers(rounds: int, seconds: int) -> dict[str, Any]:
    """Return CPU milliseconds per small request of one process, of two workers, and of two gateways side by side.

    The last are the control: what two busy cores cost any two processes.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stage-gateway-bench-")))
        upstream = stack.enter_context(peers.nginx("upstream", folder, 1, peers.OTHER_CORE)).port
        script = _script(folder, BODIES["6 stages"] or b"")
        found: dict[str, Any] = {}
        both = f"{peers.PROXY_CORE},{peers.OTHER_CORE}"
        for mode in ("off", "warn"):
            one, other, two = (
                stack.enter_context(peers.gateway(mode, folder, upstream, core=both, workers=n)) for n in (1, 1, 2)
            )
            trials = {"one process": [one], "two workers": [two], "two gateways": [one, other]}
            samples: dict[str, list[float]] = {name: [] for name in trials}
            for _ in range(rounds):
                for name, loaded in trials.items():
                    with ThreadPoolExecutor() as pool:
                        took = pool.map(partial(_cpu_per_request, script, seconds, 32 // len(loaded)), loaded)
                        samples[name].append(statistics.fmean(took))
            cpu = {name: statistics.median(took) for name, took in samples.items()}
            ratios = {name: round(cpu["one process"] / took, 3) for name, took in cpu.items()}
            found[mode] = {"CPU ms per request": cpu, "requests per CPU-second, over one process": ratios}
    return found


def show(table: dict[str, Row]) -> None:
    """Print the table and the ratios that are aimed for."""
    for body, row in table.items():
        print(f"\n{body}")
        lua, off, plain = row["nginx + lua-cjson"], row["gateway off"], row["aiohttp + orjson"]
        decode = row.get(DECODE)
        if decode is not None:
            print(f"  {DECODE}: {decode.cpu:.3f} ms CPU")
        for peer, (rate, cpu, user) in row.items():
            if peer == DECODE:
                continue
            print(
                f"  {peer:20} {rate:10,.1f} req/s {cpu:9.3f} ms CPU ({user:.3f} user)"
                f"   {rate / lua.rate:5.2f} × lua-cjson ({lua.cpu / cpu:5.2f} by CPU)"
                f"   {rate / off.rate:5.2f} × off ({off.cpu / cpu:5.2f} by CPU)"
                f"   {rate / plain.rate:5.2f} × aiohttp ({plain.cpu / cpu:5.2f} by CPU)"
                + (f"   adds {(cpu - off.cpu) / decode.cpu:5.2f} × {DECODE} to off" if decode is not None else "")
            )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--before", type=Path, help="a checkout whose gateway is measured beside this one")
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    parser.add_argument(
        "--only", choices=["throughput", "latency", "memory", "stretches", "flatness", "workers", "migration"]
    )
    given = parser.parse_args()
    kept: dict[str, Any] = {}
    if given.only in {None, "throughput"}:
        kept["throughput"] = measure(given.rounds, given.seconds, given.before)
        show(kept["throughput"])
        rates = {
            body: {peer: sample.rate for peer, sample in row.items() if peer != DECODE}
            for body, row in kept["throughput"].items()
        }
        drawn = given.json.with_suffix(".svg")
        drawn.write_text(picture(rates, "nginx + lua-cjson"))
        print(f"\ndrawn in {drawn}")
    for name, work in (
        ("latency", large.latency),
        ("memory", large.memory),
        ("stretches", large.stretches),
        ("flatness", large.flatness),
        ("workers", lambda: workers(given.rounds, given.seconds)),
        ("migration", migration.migration),
    ):
        if given.only in {None, name}:
            print(f"\n{name}: {(work.__doc__ or 'as the README says').splitlines()[0]}", flush=True)
            kept[name] = work()
            print(json.dumps(kept[name], indent=2, ensure_ascii=False), flush=True)
    given.json.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")
    print(f"\nkept in {given.json}")


if __name__ == "__main__":
    main()
