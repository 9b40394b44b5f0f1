"""Heads on their way through: checked, taken apart, put together."""

import uuid
from itertools import islice

import pytest

from gateway.proxy.answers import AnswerError
from gateway.proxy.headers import Fields, IndexedFields, response_head, values
from gateway.proxy.request import RequestHead, check_head, fresh_ids, head_for_upstream, origin_form, request_id

HOST = (b"Host", b"gateway.test")


def written(fields: Fields, *, new_id: str | None = None, host: bytes | None = None, inspected: bool = False) -> bytes:
    identity, own = (new_id, False) if new_id is not None else ("an-id", True)
    head = RequestHead.of("GET", "/a?b", (1, 1), fields, "192.0.2.7", fresh_ids())
    head = head._replace(host=host, request_id=identity, has_own_id=own)
    return head_for_upstream(head, b"127.0.0.1:3001", inspected=inspected)


def check(method: str, target: str, version: tuple[int, int], fields: Fields) -> None:
    check_head(RequestHead.of(method, target, version, fields, "192.0.2.7", fresh_ids()), 1024)


def lines(head: bytes) -> list[bytes]:
    return head.removesuffix(b"\r\n\r\n").split(b"\r\n")


@pytest.mark.parametrize(
    ("status", "method", "target", "version", "fields"),
    [
        (505, "GET", "/", (2, 0), [HOST]),
        (505, "GET", "/", (0, 9), []),
        (414, "GET", "/" + "a" * 2000, (1, 1), [HOST]),
        (431, "GET", "/", (1, 1), [HOST, (b"A", b"x" * 600), (b"B", b"x" * 600)]),
        (405, "CONNECT", "a:443", (1, 1), [HOST]),
        (405, "TRACE", "/", (1, 1), [HOST]),
        (400, "GET", "/a#b", (1, 1), [HOST]),
        (400, "GET", "/a b", (1, 1), [HOST]),
        (400, "GET", "a", (1, 1), [HOST]),
        (400, "GET", "*", (1, 1), [HOST]),
        (400, "GET", "/", (1, 1), []),
        (400, "GET", "/", (1, 1), [HOST, HOST]),
        (400, "GET", "/", (1, 1), [(b"Host", b"a/b")]),
        (400, "POST", "/", (1, 0), [HOST, (b"Transfer-Encoding", b"chunked")]),
        (501, "POST", "/", (1, 1), [HOST, (b"Transfer-Encoding", b"gzip, chunked")]),
        (417, "POST", "/", (1, 1), [HOST, (b"Expect", b"a-miracle")]),
        (400, "POST", "/", (1, 1), [HOST, (b"Content-Type", b"a/b"), (b"content-type", b"a/b")]),
        (400, "GET", "/", (1, 1), [HOST, (b"Connection", b"close, Host")]),
        (400, "GET", "/", (1, 1), [HOST, (b"Connection", b"Content-Encoding")]),
        (400, "GET", "/", (1, 1), [HOST, (b"Connection", b"authorization")]),
        (400, "GET", "/", (1, 1), [HOST, (b"Connection", b"X-Stage-Warning")]),
    ],
)
def test_head_that_cannot_be_carried(
    status: int, method: str, target: str, version: tuple[int, int], fields: Fields
) -> None:
    """A head that two servers could read differently, or that is too large, is refused with its own status."""
    with pytest.raises(AnswerError) as refusal:
        check(method, target, version, fields)
    assert refusal.value.status == status


@pytest.mark.parametrize("target", ["/", "//x//", '/%zz/[]{}|\\^`"?a=%41&&b', "/a?", "/a?b#".removesuffix("#")])
def test_any_visible_target_is_carried(target: str) -> None:
    """Every target of visible ASCII characters is fine, well-formed or not."""
    check("GET", target, (1, 1), [HOST])


def test_options_for_the_server_itself() -> None:
    """`OPTIONS *` is a request, and HTTP/1.0 needs no Host."""
    check("OPTIONS", "*", (1, 1), [HOST])
    check("GET", "/", (1, 0), [])


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        ("/a?b=http://c", "/a?b=http://c", None),
        ("http://api.test/a?b", "/a?b", b"api.test"),
        ("HTTPS://api.test:8443?b", "/?b", b"api.test:8443"),
        ("http://[::1]:80", "/", b"[::1]:80"),
        ("ftp://api.test/a", "ftp://api.test/a", None),
        ("http://user@api.test/a", "http://user@api.test/a", None),
        ("http:///a", "http:///a", None),
    ],
)
def test_absolute_target(target: str, path: str, host: bytes | None) -> None:
    """An absolute target becomes a path and its host the Host; what names no valid host stays and is refused."""
    assert origin_form(target) == (path, host)


@pytest.mark.parametrize("given", [b"a", b"x" * 128, b"!~\x7d"])
def test_valid_request_id_is_kept(given: bytes) -> None:
    """A client's request id of 1 to 128 visible ASCII characters is its own."""
    assert request_id(IndexedFields([(b"x-request-ID", given)]), iter(())) == (given.decode(), True)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"X-Request-Id", b"")],
        [(b"X-Request-Id", b"a b")],
        [(b"X-Request-Id", b"x" * 129)],
        [(b"X-Request-Id", b"\xe9")],
        [(b"X-Request-Id", b"a"), (b"X-Request-Id", b"b")],
    ],
)
def test_request_id_is_made(fields: Fields) -> None:
    """Without exactly one valid id a new one is made, different every time."""
    assert request_id(IndexedFields(fields), iter(["new"])) == ("new", False)


def test_fresh_ids_are_never_the_same() -> None:
    """Made ids are UUIDs without hyphens, each another, however many are asked for."""
    ids = list(islice(fresh_ids(), 1000))
    assert len(set(ids)) == len(ids)
    assert all(uuid.UUID(identity).hex == identity for identity in ids)


def test_fields_go_up_as_they_came() -> None:
    """Order, case, repetition and bytes of the fields stay; the gateway's own follow."""
    fields = [(b"hOST", b"a"), (b"X-B", b"2"), (b"x-a", b"\xe9\xff"), (b"X-B", b"1"), (b"Cookie", b"a=b; c")]
    assert lines(written(fields, new_id="id")) == [
        b"GET /a?b HTTP/1.1",
        b"hOST: a",
        b"X-B: 2",
        b"x-a: \xe9\xff",
        b"X-B: 1",
        b"Cookie: a=b; c",
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Host: a",
        b"X-Request-Id: id",
        b"X-Forwarded-For: 192.0.2.7",
        b"Via: 1.1 stage-gateway",
    ]


def test_hop_by_hop_fields_stay_here() -> None:
    """Neither the fields of RFC 9110, section 7.6.1, nor those that Connection names go on, up or down."""
    hop = [
        (b"Connection", b"close, X-Mine"),
        (b"X-Mine", b"1"),
        (b"Keep-Alive", b"1"),
        (b"Proxy-Connection", b"1"),
        (b"TE", b"trailers"),
        (b"Upgrade", b"websocket"),
    ]
    names = {name.lower() for name, _ in hop}
    up = written([HOST, *hop, (b"Expect", b"100-continue"), (b"Trailer", b"X")])
    framed = (b"Transfer-Encoding", b"chunked")  # of a request that has it, the framing is written anew
    down = response_head(200, b"OK", IndexedFields([*hop, framed, (b"Server", b"x")]), added=(), inspected=False)
    assert b"chunked" not in down
    for head in (up, down):
        assert not {line.partition(b":")[0].lower() for line in lines(head)[1:]} & {*names, b"expect", b"trailer"}
    assert lines(down) == [b"HTTP/1.1 200 OK", b"Server: x"]


def test_connection_of_a_response_cannot_unframe_it() -> None:
    """A response whose Connection names Content-Length keeps it: without it the client would not find the end."""
    fields = [(b"Connection", b"content-length, X-Mine"), (b"Content-Length", b"2"), (b"X-Mine", b"1")]
    assert lines(response_head(200, b"OK", IndexedFields(fields), added=(), inspected=False))[1:] == [
        b"Content-Length: 2"
    ]


def test_lists_are_appended_to() -> None:
    """Via and X-Forwarded-For grow where they last stand; X-Forwarded-Proto and -Host stay the client's."""
    given = [
        HOST,
        (b"via", b"1.0 first"),
        (b"x-forwarded-for", b"198.51.100.1"),
        (b"Via", b"1.1 second"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Host", b"outside.test"),
    ]
    assert lines(written(given))[1:] == [
        b"Host: gateway.test",
        b"via: 1.0 first",
        b"x-forwarded-for: 198.51.100.1, 192.0.2.7",
        b"Via: 1.1 second, 1.1 stage-gateway",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: outside.test",
    ]


def test_host_of_an_absolute_target_replaces_the_field() -> None:
    """The authority of the target is the Host that goes up, and the Host that was forwarded."""
    head = lines(written([(b"Accept", b"*/*"), HOST], host=b"api.test"))
    assert head[1:3] == [b"Host: api.test", b"Accept: */*"]
    assert b"X-Forwarded-Host: api.test" in head
    assert not [line for line in head if b"gateway.test" in line]


def test_request_without_host_gets_the_upstreams() -> None:
    """HTTP/1.0 needs no Host but HTTP/1.1 does, so the upstream's own name stands in, and is not said forwarded."""
    head = lines(written([]))
    assert head[1] == b"Host: 127.0.0.1:3001"
    assert not [line for line in head if line.startswith(b"X-Forwarded-Host")]


@pytest.mark.parametrize("inspected", [True, False])
def test_stage_fields_are_the_gateways_where_it_inspects(inspected: bool) -> None:
    """X-Stage fields of others are removed at inspected endpoints, both ways, and left alone elsewhere."""
    fields = [(b"x-stage-WARNING", b"mine"), (b"X-Stage-Would-Reject", b"true"), (b"X-Stage-Other", b"stays")]
    up = written([HOST, *fields], inspected=inspected)
    down = response_head(200, b"OK", IndexedFields(fields), added=[(b"X-Stage-Warning", b"own")], inspected=inspected)
    for head in (up, down):
        assert (b"x-stage-WARNING: mine" in lines(head)) is not inspected
        assert (b"X-Stage-Would-Reject: true" in lines(head)) is not inspected
        assert b"X-Stage-Other: stays" in lines(head)
    assert b"X-Stage-Warning: own" in lines(down)


def test_values_of_a_field() -> None:
    """All values of a name come in order, whatever its case."""
    assert values([(b"A", b"1"), (b"b", b"2"), (b"a", b"3")], b"a") == [b"1", b"3"]
