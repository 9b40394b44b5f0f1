"""Targets, methods and framing as Express reads them: whatever wrong stage it finds, the gateway has refused it."""

import pytest
from support.express import APPS, Pair, passed
from support.length import LONG
from support.oddities import PATHS, QUERIES
from support.process import BOTH
from support.wire import chunked, request

PROXY_WAYS = BOTH

COMPANIES = "/api/funds/7/companies"
BODY = b'{"stage":"Series A"}'

STAGES = ["Series%20A", "Series+A", "series-c+", "series%2Dz", "%73eed%20", "seed%00", "se%C3%A9d", "se%E9d"]

OVERRIDES = ["X-HTTP-Method-Override", "x-http-method-override", "X-HTTP-Method", "X-Method-Override"]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:40])
def test_query(query: str, pair: Pair) -> None:
    """However a parameter is spelt, a write with a wrong stage in it is refused, and a read means the same."""
    for stage in STAGES if LONG else STAGES[:1]:
        target = f"{COMPANIES}?{query % stage if '%' in query else query}"
        for app in APPS:
            pair.send(app, request("POST", target))
            read = pair.send(app, request("GET", target))
            assert (read.response.status, read.behind) == (200, read.alone)


@pytest.mark.parametrize(
    "query", ["stage=seed", "stage=series-c%2B", "stage[]=seed&stage[]=series-a", "%73tage=se%65d"]
)
def test_right_query_passes(query: str, pair: Pair) -> None:
    """A write with canonical stages in its query passes, and means the same behind the gateway as without it."""
    assert passed(pair.send("4-plain", request("POST", f"{COMPANIES}?{query}")))
    assert passed(pair.send("5-lax", request("DELETE", f"/api/value/?x=1&{query}")))
    assert passed(pair.send("4-lax", request("PUT", f"/api/value?{query}", body=b'{"stage":"seed"}')))


@pytest.mark.parametrize("path", PATHS)
def test_path(path: str, pair: Pair) -> None:
    """However a path is spelt that Express takes for the endpoint, a wrong stage in body or query is refused."""
    pair.send_to_all(request("POST", path, body=BODY))
    pair.send_to_all(request("POST", f"{path}{'&' if '?' in path else '?'}stage=Series+A"))
    pair.send_to_all(request("POST", path, body=b'{"stage":"seed"}'))


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "OPTIONS"])
@pytest.mark.parametrize("meant", ["POST", "PUT", "put", "DELETE", "GET", "POST, GET", "GET, PUT", " PATCH", "", "X"])
def test_method_override(meant: str, method: str, pair: Pair) -> None:
    """No wrong stage becomes a write behind the gateway through a header that names another method."""
    written = set()
    for name in OVERRIDES:
        for target, body in (("/api/value", BODY), (f"{COMPANIES}?stage=Series+A", None)):
            outcomes = pair.send_to_all(request(method, target, (name, meant), body=body))
            written |= {one.alone[0].method for one in outcomes.values()}
            assert not any(outcome.behind for outcome in outcomes.values())
    assert meant.partition(",")[0].upper() in {*written, "", "X", " PATCH"} or method in written


SMUGGLED = request("POST", "/api/value", body=BODY)
FRAMINGS = {
    "chunk extension": (["Transfer-Encoding: chunked"], b'14;a="b"\r\n' + BODY + b"\r\n0;x\r\n\r\n"),
    "zeros before a chunk's size": (["Transfer-Encoding: chunked"], b"00014\r\n" + BODY + b"\r\n000\r\n\r\n"),
    "trailer": (["Transfer-Encoding: chunked"], chunked(BODY)[:-2] + b"Content-Type: text/plain\r\n\r\n"),
    "upper case": (["TRANSFER-ENCODING: CHUNKED"], chunked(BODY)),
    "length and chunks": (["Content-Length: 20", "Transfer-Encoding: chunked"], chunked(BODY)),
    "chunks and length": (["Transfer-Encoding: chunked", "Content-Length: 3"], chunked(BODY)),
    "gzip, chunked": (["Transfer-Encoding: gzip, chunked"], chunked(BODY)),
    "identity": (["Transfer-Encoding: identity", "Content-Length: 20"], BODY),
    "two lengths": (["Content-Length: 20", "Content-Length: 0"], BODY),
    "two equal lengths": (["Content-Length: 20", "Content-Length: 20"], BODY),
    "lengths in one": (["Content-Length: 20, 20"], BODY),
    "plus": (["Content-Length: +20"], BODY),
    "zeros": (["Content-Length: 0000020"], BODY),
    "length zero": (["Content-Length: 0"], BODY + SMUGGLED),
    "short length": (["Content-Length: 2"], b"{}" + SMUGGLED),
    "no length": ([], SMUGGLED),
    "end of chunks, then more": (["Transfer-Encoding: chunked"], b"0\r\n\r\n" + SMUGGLED),
    "bare line feeds in chunks": (["Transfer-Encoding: chunked"], chunked(BODY).replace(b"\r\n", b"\n")),
    "space before the colon": (["Content-Length : 20"], BODY),
    "folded": (["Content-Type: application/json;", " charset=utf-7", "Content-Length: 20"], BODY),
    "named by Connection": (["Connection: content-type, content-encoding", "Content-Length: 20"], BODY),
    "named by Connection too": (["Connection: close, x-app", "Content-Length: 20"], BODY),
    "expects": (["Expect: 100-continue", "Content-Length: 20"], BODY),
    "expects more": (["Expect: 200-maybe", "Content-Length: 20"], BODY),
    "upgrade": (["Connection: upgrade", "Upgrade: websocket", "Content-Length: 20"], BODY),
    "upgrade to something": (["Connection: upgrade", "Upgrade: h2c", "Content-Length: 20"], BODY),
}


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_framing(framing: str, version: str, pair: Pair) -> None:
    """However the body of a write is framed, no wrong stage that Express reads, there or behind it, comes through."""
    fields, content = FRAMINGS[framing]
    lines = [f"POST /api/value {version}", "Host: gateway.test", "Content-Type: application/json", *fields]
    for app in APPS:
        pair.send(app, "\r\n".join([*lines, "", ""]).encode() + content)
