"""Requests of all kinds, each with an id in a bucket of its own, and what one gateway after another makes of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import msgspec
import orjson

from gateway.rollout.cohort import bucket_of
from gateway.telemetry.records import Record
from support.bodies import ENDPOINTS, Bodies
from support.process import Gateway
from support.wire import Response, exchange

MARK = "m4rker"  # stands wherever nothing may be recorded
_PATHS: Mapping[str, list[str]] = MappingProxyType(
    {
        "/api/strategies": [
            "/api/strategies",
            "/API/strategies/",
            "//api/strategies",
            "/api/%73trategies",
            "/api/x;m4rker/../strategies",
        ],
        "/api/strategies/:id": ["/api/strategies/m4rker"],
        "/api/simulate": ["/api/simulate", "/api/./simulate"],
        "/api/value": ["/api/value", "/api/value;m4rker=1"],
        "/api/nested": ["/api/nested"],
        "/api/funds/:fundId/companies": [
            "/api/funds/7/companies",
            "/api/funds/a%20fund/companies",
            f"/api/funds/{'9' * 80}/companies",
        ],
        "/off": ["/off"],
        "/some": ["/some"],
        "/none": ["/none"],
    }
)
_STAGES = ["seed", "Series+A", "seriesc", "series-c%2B", "", "%00", "x" * 90, "Series%20A" + "+" * 80]


@dataclass(frozen=True)
class Sent:
    """One request as bytes."""

    raw: bytes
    bucket: int


def requests(number: int, seed: int) -> list[Sent]:
    """Return so many requests."""
    random = Random(seed)
    pick, bodies, used = random.choice, Bodies(random), set[int]()
    made: list[Sent] = []
    while len(made) < number:
        identity = f"id-{random.getrandbits(48):x}"
        bucket = bucket_of(identity)
        if bucket in used:
            continue
        used.add(bucket)
        pattern = pick(list(ENDPOINTS))
        path = pick(_PATHS[pattern]) if random.random() < 0.3 else _PATHS[pattern][0]
        query = [f"m4rker={MARK}"]
        has_stages = "value" in pattern or "funds" in pattern
        query += [f"stage={pick(_STAGES)}" for _ in range(pick([0, 0, 1, 1, 2]) if has_stages else 0)]
        query += [f"fundId={pick(['7', 'b%20c', '9' * 70])}"] * (random.random() < 0.5)
        method = pick(["POST", "POST", "POST", "PUT", "PATCH", "DELETE", "GET"])
        head = [f"{method} {path}?{'&'.join(query)} HTTP/1.1", "Host: a"]
        head += [f"X-Request-Id: {identity}", f"X-Other: {MARK}"]
        head += [f"X-Tenant: {MARK}-{random.randrange(40)}"] * (random.random() < 0.8)
        head += [f"X-HTTP-Method-Override: {MARK}"] * (random.random() < 0.03)
        fields, content = [line.encode() for line in head], b""
        if random.random() < 0.9:
            body = bodies.one(pattern)
            content = body.content.replace(b'"note"', b'"m4rker"').replace(b'"name": "x"', b'"m4rker": "m4rker"')
            fields += body.fields
            if random.random() < 0.2:
                fields.append(b"Transfer-Encoding: chunked")
                content = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (content[:7], content[7:]) if part)
                content += b"0\r\n\r\n"
            else:
                fields.append(b"Content-Length: %d" % len(content))
        made.append(Sent(b"\r\n".join(fields) + b"\r\nConnection: close\r\n\r\n" + content, bucket))
    return made


def result_of(response: Response) -> tuple[str, str | None]:
    """Return what became of a request as its client sees it, and the reason; `pass` where nothing was found."""
    warning = response.value("x-stage-warning")
    if warning is not None:
        would = response.value("x-stage-would-reject") is not None
        return "would_reject" if would else "warn", warning.partition("reason=")[2].partition(";")[0]
    if response.value("content-type") == "application/problem+json":
        problem = orjson.loads(response.body)
        return "reject", problem.get("reason") or problem["type"].rpartition(":")[2].replace("-", "_")
    return "pass", None


def answers(gateway: Gateway, sent: list[Sent]) -> dict[int, tuple[str, str | None]]:
    """Send all, one after another, and return what became of each, by its bucket."""
    return {one.bucket: result_of(exchange(gateway.port, one.raw)) for one in sent}


def records(*files: Path) -> list[Record]:
    """Return what is in the files."""
    return [msgspec.json.decode(line, type=Record) for file in files for line in file.read_bytes().splitlines()]


def config(port: int, mode: str, **members: Any) -> Mapping[str, Any]:
    """Return a configuration with all endpoints in a mode, but for the one that is off."""
    modes = {pattern: "off" if pattern == "/off" else mode for pattern in ENDPOINTS}
    upstreams = {"api": {"url": f"http://127.0.0.1:{port}"}}
    return {"upstreams": upstreams, "endpoints": dict(ENDPOINTS), "endpointMode": modes, **members}
