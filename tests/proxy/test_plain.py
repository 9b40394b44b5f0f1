"""Requests that every reader takes for the same: what the lane calls plain, aiohttp's parser reads alike."""

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from hypothesis import given, settings
from hypothesis import strategies as st
from support.length import examples

from gateway.proxy.answers import AnswerError
from gateway.proxy.parser import parser_settings
from gateway.proxy.plain import LARGEST, PlainRequest, plain_request
from gateway.proxy.request import RequestHead, check_head, fresh_ids

PLAIN = b"POST /a?b=c HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def parsed(raw: bytes, loop: asyncio.AbstractEventLoop) -> list[RawRequestMessage]:
    """Return the heads that the server's parser finds."""
    parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16, **parser_settings(16_384))
    try:
        messages, _, _ = parser.feed_data(raw)
    except HttpProcessingError:
        return []
    return [message for message, _ in messages]


def is_let_through(request: PlainRequest) -> bool:
    try:
        check_head(RequestHead.of(request.method, request.target, (1, 1), request.fields, "", fresh_ids()), 16_384)
    except AnswerError:
        return False
    return True


@pytest.mark.parametrize(
    "raw",
    [
        PLAIN.replace(b"POST", b"BREW"),
        PLAIN.replace(b"POST", b"post"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"/a?b=c", b"http://a/b"),
        PLAIN.replace(b"/a?b=c", b"/a#b"),
        PLAIN.replace(b"/a?b=c", b"/a\\b"),
        PLAIN.replace(b"/a?b=c", b"/a b"),
        PLAIN.replace(b"Host: a", b"Host:a"),
        PLAIN.replace(b"Host: a", b"Host:  a"),
        PLAIN.replace(b"Host: a", b"Host: a "),
        PLAIN.replace(b"Host: a", b"Host : a"),
        PLAIN.replace(b"Host: a", b"Host: \xe9"),
        PLAIN.replace(b"Host: a", b"Host: a\r\n b"),
        PLAIN.replace(b"Host: a", b"Host: a\r\nHost: b"),
        PLAIN.replace(b"Host: a", b"Host: a\r\nhost: a"),
        PLAIN.replace(b"Host: a", b"Host: a\r\nX:"),
        PLAIN.replace(b"Host: a", b"Host: a\r\nConnection: close"),
        PLAIN.replace(b"Host: a", b"Host: a\r\nConnection: keep-alive, X-A"),
        PLAIN.replace(b"Host: a", b"Host: a\r\nExpect: 100-continue"),
        PLAIN.replace(b"Host: a", b"Host: a\r\nUpgrade: websocket"),
        PLAIN.replace(b"Host: a", b"Host: a\r\nTransfer-Encoding: chunked"),
        PLAIN.replace(b": 2", b": +2"),
        PLAIN.replace(b": 2", b": 02"),
        PLAIN.replace(b": 2", b": 2, 2"),
        PLAIN.replace(b": 2", b": %d" % (LARGEST + 1)),
        PLAIN.replace(b"\r\n", b"\n"),
        b"\r\n" + PLAIN,
        PLAIN.partition(b"\r\n\r\n")[0],
    ],
)
def test_what_is_odd_is_not_plain(raw: bytes) -> None:
    """Whatever could be read in two ways, or says how the message is to be read, is left to the server's parser."""
    assert plain_request(raw) is None


def test_plain_request() -> None:
    """Method, target, fields and body are those that stand there, and the size tells where the request ends."""
    found = plain_request(PLAIN + b"GET ")
    assert found == PlainRequest("POST", "/a?b=c", ((b"Host", b"a"), (b"Content-Length", b"2")), len(PLAIN), 2)  # type: ignore[arg-type]  # equal as tuples
    assert found.body(PLAIN) == b"hi"


token = st.text("abcXYZ019-_!#$%&'*+.^`|~", min_size=1, max_size=12).map(str.encode)
piece = st.binary(max_size=8) | st.sampled_from(
    [b"", b"a", b"keep-alive", b"0", b"7", b"chunked", b"a b", b"\tx", b"x "]
)
name = token | st.sampled_from(
    [
        b"Host",
        b"Connection",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Expect",
        b"Upgrade",
        b"TE",
        b"Sec-WebSocket-Key1",
    ]
)
line = st.tuples(name, st.sampled_from([b": ", b":", b":  ", b" : "]), piece).map(b"".join)
first = st.tuples(
    st.sampled_from([b"GET", b"POST", b"OPTIONS", b"get", b"CONNECT", b"PRI"]),
    st.sampled_from([b"/", b"/a?b", b"//h/p", b"/%zz", b"*", b"/a;b=c", b"/\xc3\xa9", b"h:1"]),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 "]),
).map(b" ".join)
head = st.tuples(first, st.lists(line, max_size=5)).map(
    lambda parts: b"\r\n".join([parts[0], b"Host: a", *parts[1], b"", b""])
)


@settings(max_examples=examples(1_500, 100_000), deadline=None, database=None)
@given(raw=head)
def test_plain_is_what_the_server_reads(raw: bytes, loop: asyncio.AbstractEventLoop) -> None:
    """What is called plain is one request to the server's parser too, with the same method, target, fields and body."""
    found = plain_request(raw)
    if found is None or not is_let_through(found):
        return
    whole = raw + b"x" * found.length
    (message,) = parsed(whole + PLAIN, loop)[:1]
    assert (message.method, message.path, message.raw_headers) == (found.method, found.target, tuple(found.fields))
    assert (message.version, message.chunked, message.should_close, message.upgrade) == ((1, 1), False, False, False)
    assert len(parsed(whole + PLAIN, loop)) == 2, "the next request begins where this one is said to end"
