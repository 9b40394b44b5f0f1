"""The gateway beside nginx as a plain proxy: each difference in what they carry is known, and has its reason."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support import nginx
from support.comparison import Difference, differences
from support.exchanges import REQUESTS, RESPONSES
from support.process import BOTH, Gateway, Serve, configuration
from support.upstream import Received, RecordingUpstream, answer
from support.wire import BrokenOffError, Client, Response, request

PROXY_WAYS = BOTH

ASKED_BOTH_WAYS = ["fields", "nothing", "no content", "not modified", "in chunks", "to the end", "large"]


@dataclass(frozen=True)
class Known:
    """Differences that have a reason: which way, what, the two sides as lines (patterns), and in which exchanges."""

    reason: str
    way: str
    what: str
    gateway: bytes = b".*"
    other: bytes = b".*"
    cases: tuple[str, ...] = ()

    def explains(self, case: str, difference: Difference) -> bool:
        return (
            difference.way == self.way
            and re.fullmatch(self.what, difference.what) is not None
            and re.fullmatch(self.gateway, b"\n".join(difference.gateway), re.DOTALL) is not None
            and re.fullmatch(self.other, b"\n".join(difference.other), re.DOTALL) is not None
            and (not self.cases or case.partition(" to ")[0] in self.cases)
        )


def added(reason: str, field: str, value: bytes) -> Known:
    return Known(reason, "up", f"field {field}", gateway=value, other=b"")


def refused(reason: str, *cases: str) -> tuple[Known, Known]:
    """Explain that only nginx carries these requests."""
    return (
        Known(reason, "up", "arrived", gateway=b"", cases=cases),
        Known(reason, "down", "status", gateway=b"4..|505", other=b"200", cases=cases),
    )


def carried(reason: str, *cases: str) -> tuple[Known, Known]:
    """Explain that only the gateway carries these requests."""
    return (
        Known(reason, "up", "arrived", other=b"", cases=cases),
        Known(reason, "down", "status", gateway=b"200", other=b"4..", cases=cases),
    )


CHUNKED = ("chunked", "several chunks", "no chunk", "chunk extension", "trailer")
KNOWN = [
    # What is added to a request; nginx adds nothing that it is not told to.
    added("the request gets an id", "x-request-id", rb"X-Request-Id: [0-9a-f]{32}"),
    added("the upstream is told the scheme", "x-forwarded-proto", b"X-Forwarded-Proto: http"),
    added("the upstream is told the host", "x-forwarded-host", rb"X-Forwarded-Host: [a-z.:0-9]+"),
    added("the upstream is told the client", "x-forwarded-for", b"X-Forwarded-For: 127.0.0.1"),
    added("a proxy says that it was here", "via", b"Via: 1.[01] stage-gateway"),
    Known(
        "the client comes after those before it",
        *("up", "field x-forwarded-for"),
        gateway=b"X-Forwarded-For: 192.0.2.1, 127.0.0.1",
        other=b"X-Forwarded-For: 192.0.2.1",
    ),
    Known("so does the proxy", "up", "field via", b"Via: 1.0 a, 1.1 stage-gateway", b"Via: 1.0 a"),
    # How a request is written.
    Known(
        "nginx writes Host and Content-Length first; the gateway keeps the order",
        *("up", "order"),
        other=rb"host\ncontent-length\n.*",
    ),
    Known(
        "nginx counts chunks that are all there; the gateway keeps the framing",
        *("up", "field transfer-encoding|field content-length|framing"),
        cases=CHUNKED,
    ),
    Known("nginx writes a length anew", "up", "field content-length", b"Content-Length: 002", b"Content-Length: 2"),
    Known("nginx takes a tab for part of a value", "up", "field x-b", b"X-B: 2", b"X-B: \t2 \t", ("space",)),
    Known(
        "the host of an absolute target counts (RFC 9112, section 3.2.2)",
        *("up", "field host"),
        gateway=rb"Host: api\.test(:81)?",
        other=b"Host: gateway.test",
    ),
    Known(
        "HTTP/1.1 needs a Host",
        *("up", "field host"),
        gateway=rb"Host: 127\.0\.0\.1:\d+",
        other=b"",
        cases=("http 1.0 without a host",),
    ),
    # What concerns one connection only goes no further (RFC 9110, section 7.6.1); nginx knows some of it.
    Known("hop-by-hop", "up", "field (proxy-connection|trailer)", b"", cases=("proxy-connection", "trailer")),
    Known("named by Connection", "up", "field x-mine", b"", b"X-Mine: 1"),
    Known("named by Connection", "down", "field x-mine", b"", b"X-Mine: 1"),
    Known("hop-by-hop", "down", "field (proxy-connection|te|upgrade)", b"", cases=("proxy fields",)),
    # Requests that only one of them carries.
    *carried("a server may know `*` (RFC 9110, section 9.3.7); nginx has no place for it", "options of all"),
    *carried("nginx resolves the path to find its location; the gateway changes nothing", "dots above the root"),
    *carried("nginx opens escapes to find its location; here they are the upstream's to judge", "nul in the target"),
    *carried("nginx opens escapes to find its location; here they are the upstream's to judge", "bad escape"),
    *carried("an empty Host is valid (RFC 9112, section 3.2)", "empty host"),
    *refused("llhttp knows a list of methods", "unknown method"),
    *refused("no expectation but 100-continue can be met", "expects something"),
    *refused("no such byte in a value (RFC 9110, section 5.5)", "control byte"),
    *refused("no such byte in a name (RFC 9110, section 5.1)", "bad name"),
    *refused("a line without a colon is no field", "no colon"),
    *refused("a fragment is never sent (RFC 9112, section 3.2)", "fragment"),
    *refused("a target is ASCII (RFC 3986, section 2)", "byte in the target"),
    *refused("only 1.0 and 1.1 are spoken", "http 1.2"),
    *refused("two content types could be read either way", "two content types"),
    *refused("a line ends in CR LF, whatever a lenient recipient might take", "bare line feeds"),
    *refused("a head has at most 256 fields", "many fields"),
    # Refusals in other words.
    Known("CONNECT is a method, only not one for here", "down", "status", b"405", b"400", ("connect",)),
    Known("a length beside a transfer coding is malformed", "down", "status", b"400", b"501", ("identity",)),
    Known("RFC 6585 has a status for large heads", "down", "status", b"431", b"400", ("long field",)),
    # What is added to a response.
    Known(
        "the client gets the id of its request",
        "down",
        "field x-request-id",
        rb"X-Request-Id: (mine|[0-9a-f]{32})",
        b"",
    ),
    Known(
        "HTTP/1.1 keeps connections without a word",
        *("down", "field connection"),
        gateway=b"",
        other=b"Connection: keep-alive",
    ),
    Known("nothing was kept waiting for it: the body had come", "down", "interim", b"", cases=("expects",)),
    # How a response is written.
    Known(
        "nginx writes some fields first; the gateway keeps the order",
        *("down", "order"),
        other=rb"(content-type\n)?(content-length|transfer-encoding)\n.*",
    ),
    Known(
        "nginx writes some names its own way",
        *("down", "field content-(type|length)"),
        cases=("other names",),
    ),
    Known(
        "nginx takes a tab for part of a value, and llhttp a space behind it",
        *("down", "field x-b", b"X-B: 2 ", b"X-B: \t2"),
        cases=("space",),
    ),
    Known(
        "what is meant for nginx goes on to nobody", "down", "field x-accel-.*", other=b"", cases=("meant for nginx",)
    ),
    Known(
        "the framing that a GET would have is told", "down", "field transfer-encoding", other=b"", cases=("in chunks",)
    ),
    Known(
        "nginx makes chunks of what ends with its connection; the gateway keeps the framing",
        *("down", "field (connection|transfer-encoding)"),
        cases=("to the end",),
    ),
    # Upstreams that are hard to understand.
    Known("100 is the gateway's own to say", "down", "interim", b"", cases=("continue",)),
    Known(
        "nginx adds a field to interim responses",
        *("down", "interim"),
        other=rb".*\r\nConnection: keep-alive\r\n.*",
        cases=("early hints", "early hints to GET", "early hints to HEAD"),
    ),
    Known(
        "the upstream is asked to switch protocols as the client asks",
        "up",
        "field (connection|upgrade)",
        other=b"",
        cases=("upgrade",),
    ),
    Known(
        "what could be read two ways, or not at all, is a failure of the upstream",
        *("down", "status"),
        gateway=b"502",
        cases=("two lengths", "no http", "bad field", "other coding"),
    ),
]


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(configuration(recorder.port, endpoints={}))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, recorder: RecordingUpstream) -> Iterator[int]:
    with nginx.running(tmp_path_factory.mktemp("nginx"), recorder.port) as port:
        yield port


@pytest.fixture(scope="module")
def found(gateway: Gateway, other: int, recorder: RecordingUpstream) -> list[tuple[str, Difference]]:
    """Return every difference, with the exchange that it belongs to."""
    recorder.reset()
    all_of_them = []
    for case, sent in REQUESTS.items():
        both = (seen(gateway.port, sent, recorder), seen(other, sent, recorder))
        all_of_them += [(case, difference) for difference in differences(*both)]
    for case, script in RESPONSES.items():
        for method in ["GET", "HEAD"] if case in ASKED_BOTH_WAYS else ["GET"]:
            recorder.script = script
            both = (seen(gateway.port, request(method, "/x"), recorder), seen(other, request(method, "/x"), recorder))
            all_of_them += [(f"{case} to {method}", difference) for difference in differences(*both)]
    recorder.script = answer()
    return all_of_them


def seen(port: int, sent: bytes, upstream: RecordingUpstream) -> tuple[list[Received], Response]:
    """Return what arrives of a request, and what comes back."""
    upstream.requests = []
    with Client(port, timeout=2) as client:
        try:
            response = client.send(sent).response(sent.lstrip().partition(b" ")[0].decode())
        except (BrokenOffError, TimeoutError) as error:
            response = Response(b"HTTP/1.1 0 No response\r\n\r\n", repr(error).encode())
    return upstream.requests, response


def test_every_difference_has_its_reason(found: list[tuple[str, Difference]]) -> None:
    """What arrives and what comes back differs from nginx in nothing but what is listed, byte for byte."""
    unexplained = [one for one in found if not any(known.explains(*one) for known in KNOWN)]
    assert not unexplained, "\n".join(map(str, unexplained))


def test_no_reason_is_idle(found: list[tuple[str, Difference]]) -> None:
    """Each listed difference is there: the list says nothing that is no longer so."""
    idle = [known for known in KNOWN if not any(known.explains(*one) for one in found)]
    assert not idle, "\n".join(map(str, idle))
