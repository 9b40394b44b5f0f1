"""A response of an upstream, read without a socket: where it stands after which bytes."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.failures import UpstreamError
from gateway.proxy.reader import _NEXT, Phase, ResponseReader
from gateway.proxy.response import ResponseHead

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Trailer: t\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhi"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
HEAD_ONLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
ALL = {"counted": OK, "chunked": CHUNKED, "until close": UNTIL_CLOSE, "empty": EMPTY, "hints first": HINTS + OK}


def read(pieces: Iterable[bytes], method: str = "GET", *, may_switch: bool = False) -> ResponseReader:
    reader = ResponseReader(method, may_switch=may_switch)
    for piece in pieces:
        reader.feed(piece)
    return reader


@pytest.mark.parametrize(
    ("raw", "method", "phase", "body", "may_be_followed"),
    [
        (OK[:10], "GET", Phase.HEAD, b"", False),
        (HINTS, "GET", Phase.HEAD, b"", False),
        (HEAD_ONLY, "GET", Phase.BODY, b"", False),
        (OK[:-1], "GET", Phase.BODY, b"h", False),
        (UNTIL_CLOSE, "GET", Phase.BODY, b"hi", False),
        (OK, "GET", Phase.COMPLETE, b"hi", True),
        (CHUNKED, "GET", Phase.COMPLETE, b"hi", True),
        (EMPTY, "GET", Phase.COMPLETE, b"", True),
        (HINTS + OK, "GET", Phase.COMPLETE, b"hi", True),
        (HEAD_ONLY, "HEAD", Phase.COMPLETE, b"", True),
        (OK, "HEAD", Phase.COMPLETE, b"", False),  # the body that HEAD does not have comes behind the response
        (OK + b"H", "GET", Phase.COMPLETE, b"hi", False),
        (OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), "GET", Phase.COMPLETE, b"hi", False),
        (b"nonsense\r\n\r\n", "GET", Phase.FAILED, b"", False),
        (b"HTTP/1.1 99 X\r\n\r\n", "GET", Phase.FAILED, b"", False),
        (SWITCH, "GET", Phase.FAILED, b"", False),
    ],
)
def test_phase(raw: bytes, method: str, phase: Phase, body: bytes, may_be_followed: bool) -> None:
    """A response is in one phase after each byte, and only a whole one in good order may be followed."""
    reader = read([raw], method)
    assert (reader.phase, reader.take(), reader.may_be_followed) == (phase, body, may_be_followed)
    assert reader.is_whole == (phase is Phase.COMPLETE)
    assert (reader.error is not None) == (phase is Phase.FAILED)


@given(name=st.sampled_from(sorted(ALL)), cuts=st.lists(st.integers(0, 120), max_size=6))
def test_cuts_change_nothing(name: str, cuts: list[int]) -> None:
    """However a response is cut into pieces, the same is read."""
    raw = ALL[name]
    borders = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    cut = read(raw[begin:end] for begin, end in pairwise(borders))
    whole = read([raw])
    assert (cut.phase, cut.head, cut.take(), cut.trailers) == (whole.phase, whole.head, whole.take(), whole.trailers)


@pytest.mark.parametrize(
    ("raw", "phase"),
    [
        (b"", Phase.FAILED),
        (HINTS, Phase.FAILED),
        (OK[:-1], Phase.FAILED),
        (CHUNKED[:-2], Phase.FAILED),
        (UNTIL_CLOSE, Phase.COMPLETE),
        (OK, Phase.COMPLETE),
    ],
)
def test_end_of_the_connection(raw: bytes, phase: Phase) -> None:
    """The connection's end is the body's only where nothing else marks that; elsewhere the response broke off."""
    reader = read([raw])
    reader.end()
    assert reader.phase is phase
    assert isinstance(reader.error, UpstreamError) == (phase is Phase.FAILED)


def test_tunnel() -> None:
    """Behind a switch that was asked for every byte is the tunnel's, until the upstream sends no more."""
    reader = read([SWITCH + b"HTTP/1.1 ", b"what ever"], may_switch=True)
    assert (reader.phase, reader.take(), reader.is_tunnel) == (Phase.TUNNEL, b"HTTP/1.1 what ever", True)
    reader.end()
    assert (reader.phase, reader.is_tunnel, reader.is_whole) == (Phase.ENDED_TUNNEL, True, True)


def test_interim_responses_are_told() -> None:
    """Every interim response but 100 is handed on as it comes, before the response itself."""
    told: list[ResponseHead] = []
    reader = ResponseReader("GET", told.append)
    reader.feed(b"HTTP/1.1 100 Continue\r\n\r\n" + HINTS + OK)
    assert [(head.status, list(head.headers)) for head in told] == [(103, [(b"Link", b"</a>")])]


@pytest.mark.parametrize(
    ("behind", "fails"),
    [(b"", False), (b"X-Long: " + b"x" * 256 * 1024 + b"\r\n", True)],
    ids=["within", "over"],
)
def test_head_has_a_bound(behind: bytes, fails: bool) -> None:
    """A head of 256 KiB is the longest, and the body that comes with its last bytes does not count."""
    raw = b"HTTP/1.1 200 OK\r\n" + behind + b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000
    assert (read([raw]).phase is Phase.FAILED) == fails


def test_what_is_whole_stays_so() -> None:
    """No error and no end changes a response that is whole."""
    reader = read([OK])
    reader.fail(UpstreamError("too late"))
    reader.end()
    assert (reader.phase, reader.error, reader.take()) == (Phase.COMPLETE, None, b"hi")


def test_every_phase_has_its_next_ones() -> None:
    """The table knows every phase, no phase follows itself, and nothing follows an end."""
    assert set(_NEXT) == set(Phase)
    assert all(phase not in following for phase, following in _NEXT.items())
    assert {phase for phase, following in _NEXT.items() if not following} == {
        Phase.COMPLETE,
        Phase.ENDED_TUNNEL,
        Phase.FAILED,
    }
