"""Every row of the table of reasons in every mode, seen from both sides of a real gateway."""

import gzip
import json
import uuid
import zlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.process import STAGES, Gateway, Samples, Serve, configuration
from support.upstream import RecordingUpstream
from support.wire import Response, exchange, request

LIMIT = 4000
JSON = "application/json"


def document(*stages: Any, **members: Any) -> bytes:
    share = 1 / len(stages)
    return json.dumps({"stages": [{"stage": stage, "weight": share} for stage in stages], **members}).encode()


GOOD = document("seed")


@dataclass(frozen=True)
class Row:
    """A request that is invalid for one reason, and what enforcement answers."""

    name: str
    reason: str
    status: int = 422
    body: bytes = GOOD
    chunks: tuple[bytes, ...] = ()
    content_type: str | None = JSON
    fields: tuple[tuple[str, str], ...] = ()
    path: str = "/{}/items"
    values: int = 1
    finds_on_reads: bool = True
    blocks_reads: bool = False
    places: tuple[str, ...] = field(default=())

    def raw(self, mode: str, identity: str, method: str = "POST") -> bytes:
        return request(
            method,
            self.path.format(mode),
            ("X-Request-Id", identity),
            *self.fields,
            body=None if self.chunks else self.body,
            chunks=list(self.chunks) or None,
            content_type=self.content_type,
        )


ROWS = [
    Row("unknown value", "disallowed_value", body=document("Series Z"), places=("/stages/0/stage",)),
    Row("unknown value in chunks", "disallowed_value", chunks=(b'{"stages":[{"stage":"x",', b'"weight":1}]}')),
    Row("empty value", "disallowed_value", body=document(""), places=("/stages/0/stage",)),
    Row("alias", "alias", body=document("Series A"), places=("/stages/0/stage",)),
    Row("alias compressed", "alias", body=gzip.compress(document("Series A")), fields=(("Content-Encoding", "gzip"),)),
    Row("number for a stage", "wrong_type", body=document(5), places=("/stages/0/stage",)),
    Row("object for the array", "wrong_type", body=b'{"stages":{}}', places=("/stages",)),
    Row("null element", "wrong_type", body=b'{"stages":[null]}', values=2),
    Row("required location absent", "missing", body=b"{}", places=("/stages",), finds_on_reads=False),
    Row("field absent", "missing", body=b'{"stages":[{"weight":1}]}', places=("/stages/0/stage",)),
    Row("weights", "weight_sum", body=b'{"stages":[{"stage":"seed","weight":0.5}]}'),
    Row("no JSON", "unparseable", body=b'{"stages":[}'),
    Row("BOM", "unparseable", body=b"\xef\xbb\xbf" + GOOD),
    Row("bad UTF-8", "unparseable", body=b'{"x":"\xff","stages":[]}'),
    Row("too deep", "unparseable", body=b"[" * 1500 + b"]" * 1500),
    Row("key twice", "ambiguous_json", body=b'{"stages":[],"stages":[]}'),
    Row("field twice", "ambiguous_json", body=b'{"stages":[{"stage":"seed","\\u0073tage":"seed","weight":1}]}'),
    Row("prototype", "ambiguous_json", body=b'{"__proto__":{},"stages":[]}'),
    Row("no content type", "content_type", 415, content_type=None),
    Row("text", "content_type", 415, content_type="text/plain"),
    Row("charset", "charset", 415, content_type="application/json; charset=utf-16"),
    Row("brotli", "encoding", 415, fields=(("Content-Encoding", "br"),)),
    Row("gzip twice", "encoding", 415, fields=(("Content-Encoding", "gzip, gzip"),)),
    Row("gzip cut short", "encoding_bad", body=gzip.compress(GOOD)[:-3], fields=(("Content-Encoding", "gzip"),)),
    Row("gzip and more", "encoding_bad", body=gzip.compress(GOOD) + b"!", fields=(("Content-Encoding", "gzip"),)),
    Row("no deflate", "encoding_bad", body=GOOD, fields=(("Content-Encoding", "deflate"),)),
    Row("large", "too_large", 413, body=document("seed", pad="x" * LIMIT)),
    Row("large in chunks", "too_large", 413, chunks=(b'{"pad":"', b"x" * 2500, b"x" * 2500, b'"}')),
    Row("inflates", "too_large", 413, body=zlib.compress(b" " * 9000), fields=(("Content-Encoding", "deflate"),)),
    Row("two slashes", "ambiguous_path", 400, path="//{}/items"),
    Row("escaped letter", "ambiguous_path", 400, path="/{}/%69tems"),
    Row("dot segment", "ambiguous_path", 400, path="/{}/x/../items"),
    Row("path parameter", "ambiguous_path", 400, path="/{}/items;v=1"),
    Row("override", "method_override", 400, fields=(("X-HTTP-Method-Override", "PUT"),), blocks_reads=True),
]
WHOLE = {"unparseable", "ambiguous_json", "content_type", "charset", "encoding", "encoding_bad", "too_large"} | {
    "ambiguous_path",
    "method_override",
}

rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "-"))


def config(port: int) -> dict[str, Any]:
    stages = [{"each": "/stages", "field": "stage", "weight": "weight", "required": True}]
    modes = ("off", "warn", "enforce")
    return configuration(
        port,
        endpoints={f"/{mode}/items": {"stages": stages, "weightTolerance": 0.001} for mode in modes},
        endpointMode={f"/{mode}/items": mode for mode in modes},
        limits={"maxBodyBytes": LIMIT},
    )


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(config(recorder.port))


@pytest.fixture(scope="module")
def dry(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(config(recorder.port), {"DRY_RUN": "true"})


def counted(before: Samples, after: Samples) -> dict[tuple[str, ...], float]:
    """Return what the two counters that rules build on have counted in between."""
    changes = {}
    for name in ("stage_validation_validations_total", "stage_validation_errors_total"):
        old = before.series(name)
        for labels, value in after.series(name).items():
            if value != old[labels]:
                changes[tuple(dict(sorted(labels)).values())] = value - old[labels]
    return changes


def one(pattern: str, mode: str, result: str, reason: str) -> dict[tuple[str, ...], float]:
    return {(pattern, mode, result): 1, (pattern, reason): 1}


def send(gateway: Gateway, raw: bytes) -> tuple[Response, dict[tuple[str, ...], float]]:
    before = gateway.metrics()
    response = exchange(gateway.port, raw)
    return response, counted(before, gateway.metrics())


def assert_forwarded(upstream: RecordingUpstream, raw: bytes, identity: str) -> None:
    """Assert that the upstream got exactly this request: line, length or chunks' content, body bytes."""
    (received,) = upstream.of(identity)
    head, _, sent = raw.partition(b"\r\n\r\n")
    assert received.line == head.split(b"\r\n")[0]
    assert received.complete.wait(5)
    if received.value("transfer-encoding") is None:
        assert received.framed == sent
    else:
        assert received.body == b"".join(part.partition(b"\r\n")[2] for part in _chunks(sent))
    for name in ("content-type", "content-encoding", "content-length"):
        assert received.values(name) == [
            line.partition(b": ")[2].decode() for line in head.split(b"\r\n") if line.lower().startswith(name.encode())
        ]


def _chunks(framed: bytes) -> list[bytes]:
    parts = []
    while (size := int(framed.partition(b"\r\n")[0], 16)) > 0:
        start = framed.index(b"\r\n") + 2
        parts.append(framed[: start + size])
        framed = framed[start + size + 2 :]
    return parts


@rows
def test_off_passes_through(row: Row, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """With `off` the upstream gets the request byte for byte, the client its answer, and nothing is counted."""
    identity = str(uuid.uuid4())
    raw = row.raw("off", identity)
    response, changes = send(gateway, raw)
    assert (response.status, response.body) == (200, b"ok")
    assert response.value("X-Stage-Warning") is None
    assert_forwarded(upstream, raw, identity)
    assert changes == {}


@rows
def test_warn_passes_and_says_so(row: Row, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """With `warn` the upstream gets the request byte for byte, and the answer names the reason."""
    identity = str(uuid.uuid4())
    raw = row.raw("warn", identity)
    response, changes = send(gateway, raw)
    assert (response.status, response.body) == (200, b"ok")
    assert response.values("X-Stage-Warning") == [f"reason={row.reason}; count=1"]
    assert response.value("X-Stage-Would-Reject") is None
    assert_forwarded(upstream, raw, identity)
    assert changes == one("/warn/items", "warn", "warn", row.reason)


@rows
def test_enforce_refuses(row: Row, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """With `enforce` the upstream gets nothing, and the client a problem document with status and reason."""
    identity = str(uuid.uuid4())
    response, changes = send(gateway, row.raw("enforce", identity))
    assert response.status == row.status
    assert response.value("Content-Type") == "application/problem+json"
    assert response.value("X-Request-Id") == identity
    assert upstream.requests == []
    assert changes == one("/enforce/items", "enforce", "reject", row.reason)
    assert_problem(row, json.loads(response.body), identity)


def assert_problem(row: Row, problem: dict[str, Any], identity: str) -> None:
    whole = row.reason in WHOLE
    assert problem["type"] == f"urn:stage-gateway:{row.reason if whole else 'invalid-stage'}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["status"] == row.status
    assert problem["instance"] == row.path.format("enforce")
    assert problem["requestId"] == identity
    assert problem["endpoint"] == "/enforce/items"
    assert problem["reason"] == row.reason
    assert problem["count"] == 1
    assert problem["truncated"] is False
    assert problem["allowed"] == STAGES
    assert ("violations" in problem) is not whole
    if row.places:
        assert [found["pointer"] for found in problem["violations"]] == list(row.places)
        assert [found["reason"] for found in problem["violations"]] == [row.reason]


@rows
@pytest.mark.parametrize("mode", ["warn", "enforce"])
def test_dry_run_marks_what_would_be_refused(row: Row, mode: str, dry: Gateway, upstream: RecordingUpstream) -> None:
    """Under dry run a warned request is marked as one that would be refused; `enforce` refuses as ever."""
    identity = str(uuid.uuid4())
    raw = row.raw(mode, identity)
    response, changes = send(dry, raw)
    if mode == "enforce":
        assert response.status == row.status
        assert upstream.requests == []
        assert changes == one("/enforce/items", "enforce", "reject", row.reason)
        return
    assert response.status == 200
    assert response.values("X-Stage-Warning") == [f"reason={row.reason}; count=1"]
    assert response.values("X-Stage-Would-Reject") == ["true"]
    assert_forwarded(upstream, raw, identity)
    assert changes == one("/warn/items", "warn", "would_reject", row.reason)


@rows
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reads_are_never_refused(row: Row, method: str, dry: Gateway, upstream: RecordingUpstream) -> None:
    """A read at an endpoint in `enforce` is at most warned, not even marked under dry run, whatever is wrong."""
    identity = str(uuid.uuid4())
    raw = row.raw("enforce", identity, method)
    response, changes = send(dry, raw)
    if row.blocks_reads:
        assert response.status == row.status
        assert upstream.requests == []
        return
    assert response.status == 200
    assert_forwarded(upstream, raw, identity)
    assert response.value("X-Stage-Would-Reject") is None
    if row.finds_on_reads:
        assert response.values("X-Stage-Warning") == [f"reason={row.reason}; count=1"]
        assert changes == one("/enforce/items", "warn", "warn", row.reason)
    else:
        assert changes == {("/enforce/items", "warn", "pass"): 1}


@pytest.mark.parametrize("mode", ["warn", "enforce"])
def test_valid_request_passes_without_a_word(mode: str, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A valid request reaches the upstream byte for byte, is counted as `pass`, and its answer has no X-Stage field."""
    identity = str(uuid.uuid4())
    raw = request("POST", f"/{mode}/items", ("X-Request-Id", identity), body=document(*STAGES))
    response, changes = send(gateway, raw)
    assert (response.status, response.body) == (200, b"ok")
    assert not [name for name, _ in response.fields if name.lower().startswith(b"x-stage")]
    assert_forwarded(upstream, raw, identity)
    assert changes == {(f"/{mode}/items", mode, "pass"): 1}


def test_values_are_counted_and_cut_in_the_problem(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """The problem document groups equal findings, lists at most 20, cuts long values, and counts all."""
    stages = ["Series A"] * 3 + [f"wrong {number}" for number in range(25)] + ["seed"]
    body = json.dumps({"stages": [{"stage": stage, "weight": 1 / 29} for stage in stages]}).encode()
    response = exchange(gateway.port, request("POST", "/enforce/items", body=body))
    problem = json.loads(response.body)
    assert problem["detail"] == "28 of 29 stage values are not canonical"
    assert (problem["reason"], problem["count"], problem["truncated"]) == ("alias", 28, True)
    assert len(problem["violations"]) == 20
    assert problem["violations"][0] == {
        "pointer": "/stages/0/stage",
        "value": "Series A",
        "reason": "alias",
        "suggestion": "series-a",
        "occurrences": 3,
    }
    long = exchange(gateway.port, request("POST", "/enforce/items", body=document("y" * 300)))
    assert json.loads(long.body)["violations"][0]["value"] == "y" * 64
    assert upstream.requests == []
