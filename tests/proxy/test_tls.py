"""Upstreams behind TLS: verified against the system's authorities or the one file that is configured."""

import datetime as dt
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from support.clock import eventually
from support.process import Gateway, Serve, configuration
from support.upstream import RecordingUpstream
from support.wire import Client, exchange, request

AUTHORITY = trustme.CA()
LONG_AGO = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
POST = request("POST", "/api/portfolio/strategies", body=b"{}")


def listening(certificate: trustme.LeafCert) -> RecordingUpstream:
    """Return an upstream that speaks TLS with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return RecordingUpstream(context)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tls") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(file))
    return file


@pytest.fixture
def secure() -> Iterator[RecordingUpstream]:
    upstream = listening(AUTHORITY.issue_cert("127.0.0.1"))
    yield upstream
    upstream.close()


def before(serve: Serve, port: int, authority: Path | None) -> Gateway:
    address = {"url": f"https://127.0.0.1:{port}", **({"caFile": str(authority)} if authority is not None else {})}
    return serve(configuration(port) | {"upstreams": {"portfolio": address, "monteCarlo": address}})


def test_a_private_authority_is_trusted_when_configured(
    serve: Serve, secure: RecordingUpstream, authority: Path
) -> None:
    """A request reaches an upstream whose certificate the configured authority signed, byte for byte."""
    gateway = before(serve, secure.port, authority)
    with Client(gateway.port) as client:
        for _ in range(2):
            assert client.send(POST).response("POST").status == 200
    assert [request.body for request in secure.requests] == [b"{}", b"{}"]
    assert secure.connections == 1


def errors(gateway: Gateway) -> list[str]:
    return [entry["message"] for entry in gateway.logs() if entry["level"] == "error"]


@pytest.mark.parametrize(
    ("certificate", "trusted", "cause"),
    [
        (trustme.CA().issue_cert("127.0.0.1"), True, "its certificate is not trusted"),
        (AUTHORITY.issue_cert("127.0.0.1"), False, "its certificate is not trusted"),
        (AUTHORITY.issue_cert("other.example"), True, "IP address mismatch"),
        (AUTHORITY.issue_cert("127.0.0.1", not_before=LONG_AGO, not_after=LONG_AGO), True, "certificate has expired"),
    ],
    ids=["foreign", "not configured", "other name", "expired"],
)
def test_a_certificate_that_does_not_hold_is_502(
    serve: Serve, authority: Path, certificate: trustme.LeafCert, trusted: bool, cause: str
) -> None:
    """Nothing goes to an upstream that cannot prove who it is; the log says why, the client is not told."""
    upstream = listening(certificate)
    gateway = before(serve, upstream.port, authority if trusted else None)
    answer = exchange(gateway.port, POST)
    assert (answer.status, json.loads(answer.body)["type"]) == (502, "urn:stage-gateway:upstream_failed")
    assert b"certificate" not in answer.body
    eventually(lambda: errors(gateway))
    told = errors(gateway)
    assert len(told) == 1
    assert told[0].startswith("no connection to upstream 'portfolio': ")
    assert cause in told[0]
    assert upstream.requests == []
    upstream.close()


def test_plain_http_behind_an_https_address_is_502(serve: Serve, authority: Path) -> None:
    """An upstream that answers TLS with plain HTTP cannot be reached."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gateway = before(serve, listener.getsockname()[1], authority)
        with Client(gateway.port) as client:
            client.send(POST)
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                assert client.response("POST").status == 502
