"""Answers of an upstream by their names: a request asks for one in its field `X-Answer`, and gets 200 without it.

They are those of `exchanges`, and others in which it matters when something is sent, or how a connection ends.
"""

import contextlib
import time
from collections.abc import Callable
from types import MappingProxyType

from support.exchanges import HEAD, RESPONSES
from support.upstream import OK, Conversation, Script, answer
from support.wire import BrokenOffError, chunked

_LARGE = 1_500_000
_PAUSE = 0.002


def _in_pieces(*pieces: bytes, close: bool = False) -> Script:
    """Send these with a pause between them, so that each comes by itself."""

    def script(conversation: Conversation) -> None:
        conversation.read_body()
        for piece in pieces:
            conversation.send(piece)
            time.sleep(_PAUSE)
        if close:
            conversation.close()

    return script


def _byte_by_byte(raw: bytes) -> Script:
    return _in_pieces(*(raw[index : index + 1] for index in range(len(raw))))


def _early(raw: bytes, *, reads_on: bool) -> Script:
    """Answer when the head is there, whatever is still to come of the body."""

    def script(conversation: Conversation) -> None:
        conversation.send(raw)
        conversation.read_body()
        if not reads_on:
            conversation.close()

    return script


def _after(then: Callable[[Conversation], None], raw: bytes = b"") -> Script:
    """Read the request, say this, and end the connection so."""

    def script(conversation: Conversation) -> None:
        conversation.read_body()
        conversation.send(raw)
        time.sleep(_PAUSE)
        then(conversation)

    return script


def _dies_when_used(then: Callable[[Conversation], None]) -> Script:
    """End the connection without a word if it has carried a request before, as an idle one that died unnoticed."""

    def script(conversation: Conversation) -> None:
        conversation.read_body()
        if conversation.is_used:
            then(conversation)
        conversation.send(OK)

    return script


def _holds(said: bytes = b"") -> Script:
    """Read the request, say this, and nothing more until the other side ends the connection."""

    def script(conversation: Conversation) -> None:
        conversation.read_body()
        conversation.send(said)
        with contextlib.suppress(BrokenOffError):
            conversation.reader.to_end()
        conversation.close()

    return script


def _switches(conversation: Conversation) -> None:
    """Switch to WebSocket, and say everything back."""
    conversation.read_body()
    conversation.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    while data := conversation.reader.receive():
        conversation.send(data)
    conversation.close()


TROUBLE: MappingProxyType[str, Script] = MappingProxyType(
    {
        "closes at once": _after(Conversation.close),
        "resets at once": _after(Conversation.reset),
        "closes in the status": _after(Conversation.close, b"HTTP/1.1 2"),
        "closes in the head": _after(Conversation.close, HEAD + b"X-A: 1\r\nX-"),
        "resets in the head": _after(Conversation.reset, HEAD + b"X-A: 1\r\n"),
        "closes behind an interim one": _after(Conversation.close, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
        "closes in the body": _after(Conversation.close, HEAD + b"Content-Length: 9\r\n\r\nhello"),
        "resets in the body": _after(Conversation.reset, HEAD + b"Content-Length: 9\r\n\r\nhello"),
        "closes in the chunks": _after(Conversation.close, HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        "closes in the trailers": _after(
            Conversation.close, HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n"
        ),
        "resets to the end": _after(Conversation.reset, HEAD + b"X: 1\r\n\r\nhello"),
        "bad chunk": answer(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"),
        "chunk too long": answer(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n"),
        "garbage in the head": answer(b"\x00\x01\x02 no http\r\n\r\n"),
        "head without end": answer(HEAD + b"X: " + b"x" * 300_000 + b"\r\n\r\n"),
        "switches unasked": answer(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
        "status below 100": answer(b"HTTP/1.1 042 Odd\r\nContent-Length: 0\r\n\r\n"),
        "content behind 103": answer(b"HTTP/1.1 103 Odd\r\nContent-Length: 5\r\n\r\nhello" + OK),
        "length and chunks": answer(HEAD + b"Content-Length: 3\r\n" + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        "negative length": answer(HEAD + b"Content-Length: -1\r\n\r\n"),
        "folded": answer(HEAD + b"X-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok"),
        "bare line feeds": answer((HEAD + b"Content-Length: 2\r\n\r\nok").replace(b"\r\n", b"\n")),
    }
)
UNHURRIED: MappingProxyType[str, Script] = MappingProxyType(
    {
        "byte by byte": _byte_by_byte(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok"),
        "chunks byte by byte": _byte_by_byte(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n"
        ),
        "head, then body": _in_pieces(HEAD + b"Content-Length: 10\r\n\r\n", b"hello", b"world"),
        "hints, then the rest": _in_pieces(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK),
        "to the end, in pieces": _in_pieces(HEAD + b"X: 1\r\n\r\n", b"hello", b"world", close=True),
        "early": _early(OK, reads_on=True),
        "early, then gone": _early(
            b"HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno", reads_on=False
        ),
    }
)
MORE: MappingProxyType[str, Script] = MappingProxyType(
    {
        "created": answer(b"HTTP/1.1 201 Created\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"),
        "reset content": answer(b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
        "no content with a length": answer(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
        "several hints": answer(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK),
        "no chunks": answer(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        "chunks at once": answer(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"a" * 10, b"b" * 70_000)),
        "trailers": answer(
            HEAD + b"Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\nx-t: 2\r\nHost: a\r\n"
            b"X-Stage-Warning: theirs\r\nContent-Length: 9\r\n\r\n"
        ),
        "stage fields": answer(
            HEAD + b"X-Stage-Warning: theirs\r\nx-stage-would-reject: true\r\nContent-Length: 2\r\n\r\nok"
        ),
        "names what is not its own": answer(
            HEAD + b"Connection: close, content-length, x-b\r\nX-B: 1\r\nContent-Length: 2\r\n\r\nok", close=True
        ),
        "keeps alive": answer(HEAD + b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok"),
        "http 1.0 that stays": answer(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
        "very large": answer(HEAD + b"Content-Length: %d\r\n\r\n" % _LARGE + b"z" * _LARGE),
        "says too much": answer(OK + b"more than was asked for"),
        "answers twice": answer(OK + OK),
        "head of 200 KiB": answer(HEAD + b"X: " + b"x" * 200_000 + b"\r\nContent-Length: 2\r\n\r\nok"),
        "long reason": answer(b"HTTP/1.1 200 " + b"r" * 5000 + b"\r\nContent-Length: 2\r\n\r\nok"),
        "dies when used": _dies_when_used(Conversation.close),
        "dies hard when used": _dies_when_used(Conversation.reset),
    }
)
# Those that go on until somebody else ends them.
ENDLESS: MappingProxyType[str, Script] = MappingProxyType(
    {
        "holds": _holds(),
        "holds behind an interim one": _holds(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
        "holds in the head": _holds(HEAD + b"X-A: 1\r\n"),
        "holds in the body": _holds(HEAD + b"Content-Length: 9\r\n\r\nhello"),
        "holds in the chunks": _holds(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        "switches": _switches,
    }
)
ANSWERS: MappingProxyType[str, Script] = MappingProxyType({**RESPONSES, **MORE, **UNHURRIED, **TROUBLE})


def by_name(conversation: Conversation) -> None:
    """Answer as the request asks for."""
    name = conversation.request.value("x-answer")
    script = _PLAIN if name is None else ANSWERS.get(name) or ENDLESS[name]
    script(conversation)


_PLAIN = answer()
