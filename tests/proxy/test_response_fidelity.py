"""Random responses on their way down: every byte arrives, but for the additions and removals listed here."""

import string
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.length import examples
from support.process import BOTH, Gateway, Serve, configuration
from support.upstream import RecordingUpstream, answer
from support.wire import Client, chunked, request

PROXY_WAYS = BOTH

OFF, WARN, ELSEWHERE = "/api/off", "/api/warn", "/x"
TOKEN = string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~"
VALUE = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])

# What concerns one connection only (RFC 9110, section 7.6.1).
REMOVED = {"connection", "proxy-connection", "keep-alive", "te", "transfer-encoding", "upgrade"}
STAGE_FIELDS = {"x-stage-warning", "x-stage-would-reject"}
SPECIAL = {*REMOVED, *STAGE_FIELDS, "content-length", "x-request-id"}
NO_BODY = (204, 304)

Line = tuple[bytes, bytes]


class Said(NamedTuple):
    """A response of the upstream. `kind` is how its body ends: counted, chunked, or with the connection."""

    status: int
    reason: bytes
    fields: list[Line]
    kind: str
    body: bytes

    @property
    def raw(self) -> bytes:
        lines = [b"HTTP/1.1 %d %b" % (self.status, self.reason), *(name + b": " + value for name, value in self.fields)]
        content = b"" if self.status in NO_BODY else self.body
        if self.kind == "chunked" and self.status not in NO_BODY:
            content = chunked(*filter(None, [content[:7], content[7:]]))
        return b"\r\n".join([*lines, b"", content])

    def arriving(self, method: str, *, inspected: bool) -> bytes:
        """Return the head that has to arrive at a client whose request had the id `mine`."""
        named = [value for name, value in self.fields if name.lower() == b"connection"]
        options = {option.strip().lower().decode() for value in named for option in value.split(b",")}
        removed = REMOVED | options | (STAGE_FIELDS if inspected else set())
        fields = [(name, value) for name, value in self.fields if name.decode().lower() not in removed]
        if self.kind == "chunked" and self.status not in NO_BODY:
            fields.append((b"Transfer-Encoding", b"chunked"))
        if not any(name.lower() == b"x-request-id" for name, _ in fields):
            fields.append((b"X-Request-Id", b"mine"))
        if self.kind == "to the end" and self.status not in NO_BODY and method != "HEAD":
            fields.append((b"Connection", b"close"))
        lines = [b"HTTP/1.1 %d %b" % (self.status, self.reason), *(name + b": " + value for name, value in fields)]
        return b"\r\n".join([*lines, b"", b""])


_values = st.lists(st.sampled_from(VALUE), max_size=40).map(lambda codes: bytes(codes).strip(b" \t"))
_names = st.one_of(
    st.sampled_from(
        ["Set-Cookie", "set-cookie", "X-A", "x-a", "Server", "server", "Date", "Content-Type", "ETag", "Via"]
    ),
    st.text(TOKEN, min_size=1, max_size=20).filter(lambda name: name.lower() not in SPECIAL),
)
_odd = st.sampled_from(
    [
        *[(b"X-Request-Id", b"theirs"), (b"x-request-id", b"not mine"), (b"Keep-Alive", b"timeout=5"), (b"TE", b"x")],
        *[(b"Connection", b"x-a, keep-alive"), (b"CONNECTION", b"Server"), (b"Proxy-Connection", b"close")],
        *[(b"X-Stage-Warning", b"reason=none"), (b"x-stage-would-reject", b"true"), (b"Trailer", b"X-T")],
    ]
)


@st.composite
def _responses(draw: st.DrawFn) -> Said:
    fields = [(name.encode(), draw(_values)) for name in draw(st.lists(_names, max_size=8))]
    fields += draw(st.lists(_odd, max_size=3, unique=True))
    body = draw(st.binary(max_size=60))
    kind = draw(st.sampled_from(["counted", "chunked", "to the end"]))
    if kind == "counted":
        fields.append((draw(st.sampled_from([b"Content-Length", b"content-length"])), b"%d" % len(body)))
    elif kind == "chunked":
        fields.append((draw(st.sampled_from([b"Transfer-Encoding", b"transfer-encoding"])), b"chunked"))
    status = draw(st.sampled_from([200, 201, 204, 206, 299, 301, 304, 400, 404, 422, 500, 503, 599, 799]))
    return Said(status, draw(_values), draw(st.permutations(fields)), kind, body)


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    stages = [{"keys": "/stageAllocation"}]
    return serve(
        configuration(
            recorder.port,
            endpoints={OFF: {"stages": stages}, WARN: {"stages": stages}},
            endpointMode={OFF: "off", WARN: "warn"},
        )
    )


@given(
    said=_responses(), place=st.sampled_from([OFF, WARN, ELSEWHERE]), method=st.sampled_from(["GET", "HEAD", "POST"])
)
@settings(
    max_examples=examples(250, 2000),
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_byte_comes_back(
    said: Said, place: str, method: str, gateway: Gateway, recorder: RecordingUpstream
) -> None:
    """Status, reason, names, values, order, repetition and body of any response come back byte for byte."""
    recorder.reset()
    raw = said.raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == "HEAD" else said.raw
    recorder.script = answer(raw, close=said.kind == "to the end")
    with Client(gateway.port) as client:
        client.send(request(method, place, ("X-Request-Id", "mine")))
        response = client.response(method)
        assert response.head == said.arriving(method, inspected=place == WARN), said.raw
        assert response.body == (b"" if method == "HEAD" or said.status in NO_BODY else said.body)
        if b"Connection: close" not in response.head:
            recorder.script = answer()
            assert client.send(request("GET", "/x")).response().body == b"ok"
