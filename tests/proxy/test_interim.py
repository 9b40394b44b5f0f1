"""Interim responses and trailers of the upstream, passed on."""

import pytest
from support.process import BOTH, Gateway, Serve, configuration
from support.upstream import Conversation, RecordingUpstream, answer
from support.wire import BrokenOffError, Client, request

PROXY_WAYS = BOTH

PATH = "/api/portfolio/hints"
INSPECTED = "/api/monte-carlo/simulate"
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-hop\r\nX-Hop: 1\r\nX-Stage-Warning: forged\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TRAILED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Digest\r\n\r\n2\r\nok\r\n0\r\n"
    b"Digest: sha\xff\r\nDigest: two\r\nKeep-Alive: 7\r\nX-Stage-Warning: forged\r\n\r\n"
)


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(configuration(recorder.port))


@pytest.mark.parametrize("body", [None, b"{}", b"x" * 300_000], ids=["no body", "small", "large"])
def test_interim_responses_are_passed_on(gateway: Gateway, upstream: RecordingUpstream, body: bytes | None) -> None:
    """Every interim response but 100 reaches the client before the response, less what is not for the client."""
    raw = request("POST" if body else "GET", PATH, body=body)
    with upstream.scripted(answer(b"HTTP/1.1 100 Continue\r\n\r\n" + HINT + HINT + OK)), Client(gateway.port) as client:
        for _ in range(2):
            response = client.send(raw).response()
            assert (response.status, response.body) == (200, b"ok")
            lines = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nX-Stage-Warning: forged\r\n\r\n"
            assert response.interim == [lines, lines]


def test_the_gateway_alone_speaks_in_its_fields(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """At an inspected endpoint an interim response and a trailer carry no X-Stage field of the upstream's."""
    raw = request("POST", INSPECTED, body=b'{"stageDistribution":[]}')
    with upstream.scripted(answer(HINT + TRAILED)), Client(gateway.port) as client:
        head = client.send(raw).head()
        assert head.interim == [b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"]
        assert client.reader.until(b"\r\n\r\n") == b"2\r\nok\r\n0\r\nDigest: sha\xff\r\nDigest: two\r\n\r\n"


def test_old_clients_get_no_interim_response(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A client of HTTP/1.0 knows nothing of them (RFC 9110, section 15.2), nor of trailers."""
    with upstream.scripted(answer(HINT + TRAILED)), Client(gateway.port) as client:
        response = client.send(b"GET /api/portfolio/hints HTTP/1.0\r\nHost: a\r\n\r\n").response()
        assert (response.status, response.body, response.interim) == (200, b"ok", [])


def test_trailers_are_passed_on(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Trailers follow the last chunk byte for byte, announced as they were, less what belongs to one hop."""
    with upstream.scripted(answer(TRAILED)), Client(gateway.port) as client:
        for _ in range(2):
            assert client.send(request("GET", PATH)).head().values("trailer") == ["Digest"]
            wanted = b"2\r\nok\r\n0\r\nDigest: sha\xff\r\nDigest: two\r\nX-Stage-Warning: forged\r\n\r\n"
            assert client.reader.until(b"\r\n\r\n") == wanted


def test_trailers_without_end_break_off(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Trailers past a bound are not collected."""

    def script(conversation: Conversation) -> None:
        conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")
        for _ in range(10):
            conversation.send(b"X: %b\r\n" % (b"x" * 20_000))
        conversation.close()

    with upstream.scripted(script), Client(gateway.port) as client:
        client.send(request("GET", PATH))
        with pytest.raises(BrokenOffError):
            client.reader.to_end()
