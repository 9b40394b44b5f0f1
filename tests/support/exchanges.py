"""Exchanges that show how faithful a proxy is: requests, and responses of an upstream to a plain request."""

from support.upstream import OK, Script, answer
from support.wire import chunked, request

HEAD = b"HTTP/1.1 200 OK\r\n"
BODY = b'{"stageAllocation":{"seed":1}}'


def raw(line: str, *fields: bytes, content: bytes = b"") -> bytes:
    """Return the bytes of a request that `request` would not make."""
    return b"\r\n".join([line.encode("latin-1"), *fields, b"", content])


HOST = b"Host: gateway.test"
REQUESTS = {
    "plain": request("GET", "/x"),
    "head": request("HEAD", "/x"),
    "options": request("OPTIONS", "/x"),
    "options of all": request("OPTIONS", "*"),
    "unusual method": request("PROPFIND", "/x"),
    "unknown method": request("FROBNICATE", "/x"),
    "trace": request("TRACE", "/x"),
    "connect": raw("CONNECT a:1 HTTP/1.1", HOST),
    "empty line first": b"\r\n" + request("GET", "/x"),
    "counted": request("POST", "/x", body=BODY),
    "counted nothing": request("POST", "/x", body=b""),
    "no length": request("POST", "/x"),
    "counted on a get": request("GET", "/x", body=BODY),
    "counted on a delete": request("DELETE", "/x", body=BODY),
    "chunked": request("POST", "/x", chunks=[BODY]),
    "several chunks": request("PUT", "/x", chunks=[BODY[:4], BODY[4:5], BODY[5:]]),
    "no chunk": request("POST", "/x", chunks=[]),
    "chunk extension": raw(
        "POST /x HTTP/1.1", HOST, b"Transfer-Encoding: chunked", content=b"2;a=b\r\n{}\r\n0;c\r\n\r\n"
    ),
    "trailer": raw(
        "POST /x HTTP/1.1",
        HOST,
        b"Transfer-Encoding: chunked",
        b"Trailer: X-T",
        content=b"2\r\n{}\r\n0\r\nX-T: 1\r\n\r\n",
    ),
    "expects": request("POST", "/x", ("Expect", "100-continue"), body=BODY),
    "expects something": request("POST", "/x", ("Expect", "more"), body=BODY),
    "repeated fields": request("GET", "/x", b"X-A: 1", b"x-a: 2", b"Cookie: a=1", b"Cookie: b=2", b"Accept: */*"),
    "order": request("GET", "/x", b"Zebra: 1", b"Accept: a", b"B: 2", b"Accept: b"),
    "bytes": request("GET", "/x", b"X-Raw: \xe9\xff\x80 \xc3\xa9"),
    "space": request("GET", "/x", b"X-A:1", b"X-B:\t2 \t", b"X-C:", b"X-D: a  b"),
    "control byte": request("GET", "/x", b"X-A: a\x01b"),
    "nul": request("GET", "/x", b"X-A: a\x00b"),
    "odd name": request("GET", "/x", b"X!#$%&'*+.^_`|~: 1"),
    "bad name": request("GET", "/x", b"X(a): 1"),
    "space in a name": request("GET", "/x", b"X a: 1"),
    "space before the colon": request("GET", "/x", b"X-A : 1"),
    "folded": request("GET", "/x", b"X-A: 1\r\n 2"),
    "no colon": request("GET", "/x", b"nonsense"),
    "connection names a field": request("GET", "/x", b"Connection: X-Mine", b"X-Mine: 1"),
    "connection close": request("GET", "/x", b"Connection: close"),
    "keep-alive": request("GET", "/x", b"Connection: keep-alive", b"Keep-Alive: timeout=5"),
    "proxy-connection": request("GET", "/x", b"Proxy-Connection: keep-alive"),
    "te": request("GET", "/x", b"TE: trailers"),
    "upgrade": request("GET", "/x", b"Connection: upgrade", b"Upgrade: websocket"),
    "forwarded": request("GET", "/x", b"X-Forwarded-For: 192.0.2.1", b"Via: 1.0 a", b"X-Forwarded-Proto: https"),
    "own request id": request("GET", "/x", b"X-Request-Id: mine"),
    "raw target": request("GET", "/a//b/%2e%2e/c/%41%2f;x=1?q=%zz&a[]=1&|^`{}"),
    "dots": request("GET", "/a/../b/./c"),
    "dots above the root": request("GET", "/../x"),
    "backslash": request("GET", "/a\\b"),
    "question marks": request("GET", "/x??y?"),
    "empty query": request("GET", "/x?"),
    "absolute": request("GET", "http://api.test:81/x%41?y"),
    "absolute without a path": request("GET", "http://api.test"),
    "fragment": request("GET", "/x#y"),
    "nul in the target": request("GET", "/x%00y"),
    "bad escape": request("GET", "/x%zz"),
    "byte in the target": raw("GET /\xe9 HTTP/1.1", HOST),
    "space in the target": raw("GET /a b HTTP/1.1", HOST),
    "no path": raw("GET x HTTP/1.1", HOST),
    "no host": raw("GET /x HTTP/1.1"),
    "two hosts": raw("GET /x HTTP/1.1", HOST, HOST),
    "empty host": raw("GET /x HTTP/1.1", b"Host:"),
    "bad host": raw("GET /x HTTP/1.1", b"Host: a/b"),
    "http 1.0": raw("GET /x HTTP/1.0", HOST),
    "http 1.0 without a host": raw("GET /x HTTP/1.0"),
    "http 1.0 that stays": raw("GET /x HTTP/1.0", HOST, b"Connection: keep-alive"),
    "http 1.0 in chunks": raw("POST /x HTTP/1.0", HOST, b"Transfer-Encoding: chunked", content=chunked(b"{}")),
    "http 1.2": raw("GET /x HTTP/1.2", HOST),
    "http 2.0": raw("GET /x HTTP/2.0", HOST),
    "length and chunks": raw(
        "POST /x HTTP/1.1", HOST, b"Content-Length: 2", b"Transfer-Encoding: chunked", content=chunked(b"{}")
    ),
    "two lengths": raw("POST /x HTTP/1.1", HOST, b"Content-Length: 2", b"Content-Length: 2", content=b"{}"),
    "length with a plus": raw("POST /x HTTP/1.1", HOST, b"Content-Length: +2", content=b"{}"),
    "length with zeros": raw("POST /x HTTP/1.1", HOST, b"Content-Length: 002", content=b"{}"),
    "gzip, chunked": raw("POST /x HTTP/1.1", HOST, b"Transfer-Encoding: gzip, chunked", content=chunked(b"{}")),
    "identity": raw("POST /x HTTP/1.1", HOST, b"Transfer-Encoding: identity", b"Content-Length: 2", content=b"{}"),
    "two content types": request("POST", "/x", b"Content-Type: text/plain", body=BODY),
    "bare line feeds": request("GET", "/x", b"X-A: 1").replace(b"\r\n", b"\n"),
    "long target": request("GET", "/" + "x" * 20_000),
    "long field": request("GET", "/x", ("X-A", "x" * 20_000)),
    "many fields": request("GET", "/x", *[b"X-A: 1"] * 300),
}
RESPONSES: dict[str, Script] = {
    "fields": answer(
        HEAD + b"X-A: 1\r\nx-a: 2\r\nSet-Cookie: b\r\nSet-Cookie: a\r\nX-Raw: \xe9\r\nContent-Length: 2\r\n\r\nok"
    ),
    "about itself": answer(HEAD + b"Server: s\r\nDate: d\r\nVia: 1.1 u\r\nContent-Length: 2\r\n\r\nok"),
    "other names": answer(HEAD + b"content-LENGTH: 2\r\nCONTENT-type: a/b\r\nETag: x\r\nX_Y: 1\r\n\r\nok"),
    "cached": answer(
        HEAD + b"Last-Modified: x\r\nExpires: y\r\nCache-Control: z\r\nVary: *\r\nContent-Length: 2\r\n\r\nok"
    ),
    "ranges": answer(HEAD + b"Accept-Ranges: bytes\r\nContent-Range: x\r\nContent-Length: 2\r\n\r\nok"),
    "reason": answer(b"HTTP/1.1 299 Quite \xe9 Fine\r\nContent-Length: 2\r\n\r\nok"),
    "no reason": answer(b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"),
    "unknown status": answer(b"HTTP/1.1 799 What\r\nContent-Length: 2\r\n\r\nok"),
    "error": answer(b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nok"),
    "redirect": answer(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/x\r\nContent-Length: 2\r\n\r\nok"),
    "authenticate": answer(b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nok"),
    "nothing": answer(HEAD + b"Content-Length: 0\r\n\r\n"),
    "no content": answer(b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n"),
    "not modified": answer(b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 50\r\n\r\n"),
    "in chunks": answer(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"),
    "to the end": answer(HEAD + b"X: 1\r\n\r\nhello", close=True),
    "closing": answer(HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", close=True),
    "http 1.0": answer(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", close=True),
    "hop by hop": answer(HEAD + b"Connection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: a\r\nContent-Length: 2\r\n\r\nok"),
    "proxy fields": answer(
        HEAD + b"Proxy-Connection: a\r\nTE: b\r\nTrailer: X-T\r\nUpgrade: c\r\nContent-Length: 2\r\n\r\nok"
    ),
    "early hints": answer(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK),
    "continue": answer(b"HTTP/1.1 100 Continue\r\n\r\n" + OK),
    "compressed": answer(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok"),
    "meant for nginx": answer(HEAD + b"X-Accel-Buffering: no\r\nX-Accel-Expires: 0\r\nContent-Length: 2\r\n\r\nok"),
    "request id": answer(HEAD + b"X-Request-ID: theirs\r\nContent-Length: 2\r\n\r\nok"),
    "space": answer(HEAD + b"X-A:1\r\nX-B: \t2 \r\nX-C:\r\nContent-Length: 2\r\n\r\nok"),
    "two lengths": answer(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok", close=True),
    "no http": answer(b"SSH-2.0-OpenSSH\r\n", close=True),
    "bad field": answer(HEAD + b"nonsense\r\nContent-Length: 2\r\n\r\nok"),
    "nothing at all": answer(b"", close=True),
    "other coding": answer(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    "large": answer(HEAD + b"Content-Length: 300000\r\n\r\n" + b"z" * 300_000),
}
