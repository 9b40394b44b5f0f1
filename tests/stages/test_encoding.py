"""Content codings: what opens, what is bad, what is too large."""

import gzip
import random
import zlib
from collections.abc import Iterator

import pytest

from gateway.stages.encoding import MAX_RATIO, OUTPUT, RATIO_COUNTS_FROM, Coding, EncodingError, decoder
from gateway.stages.reasons import Reason

TEXT = b'{"stage": "seed", "pad": "' + bytes(random.Random(1).choices(b"abcdefgh", k=200_000)) + b'"}'
GZIP = gzip.compress(TEXT, mtime=0)  # the time would stand in the names of the tests
DEFLATE = zlib.compress(TEXT)
RAW_DEFLATE = zlib.compress(TEXT, wbits=-15)
MIB = 1024 * 1024


def opened(coding: Coding, chunks: Iterator[bytes] | list[bytes], limit: int = 64 * MIB) -> bytes:
    stream = decoder(coding, limit)
    text = b"".join(piece for chunk in chunks for piece in stream.feed(chunk))
    stream.finish()
    return text


def refusal(coding: Coding, body: bytes, limit: int = 64 * MIB) -> Reason:
    with pytest.raises(EncodingError) as caught:
        opened(coding, [body], limit)
    return caught.value.reason


def cut(body: bytes, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    while body:
        size = chance.choice((1, 2, 10, 1000, 50_000))
        yield body[:size]
        body = body[size:]


@pytest.mark.parametrize(
    ("coding", "body", "text"),
    [
        (Coding.IDENTITY, TEXT, TEXT),
        (Coding.GZIP, GZIP, TEXT),
        (Coding.DEFLATE, DEFLATE, TEXT),
        (Coding.GZIP, GZIP + GZIP + gzip.compress(b"") + gzip.compress(b"x"), TEXT + TEXT + b"x"),
        (Coding.GZIP, gzip.compress(b""), b""),
        (Coding.GZIP, b"".join(gzip.compress(bytes([c])) for c in b"[1]" * 500), b"[1]" * 500),
        (Coding.GZIP, gzip.compress(bytes(OUTPUT)), bytes(OUTPUT)),
        (Coding.GZIP, gzip.compress(bytes(3 * OUTPUT)), bytes(3 * OUTPUT)),
    ],
    ids=["identity", "gzip", "deflate", "members", "empty", "many members", "one piece", "three pieces"],
)
@pytest.mark.parametrize("seed", range(4))
def test_a_coded_body_opens_at_any_chunk_borders(coding: Coding, body: bytes, text: bytes, seed: int) -> None:
    """A body opens to the same text, whole or in pieces; gzip members that follow each other are one text."""
    assert opened(coding, [body]) == text
    assert opened(coding, cut(body, seed)) == text


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (Coding.GZIP, GZIP[:-1]),
        (Coding.GZIP, GZIP[:9]),
        (Coding.GZIP, GZIP + b"\x00"),
        (Coding.GZIP, GZIP + b"\n"),
        (Coding.GZIP, GZIP + b"\x1f"),
        (Coding.GZIP, GZIP + GZIP[:20]),
        (Coding.GZIP, GZIP + TEXT),
        (Coding.GZIP, GZIP[:-8] + bytes(8)),
        (Coding.GZIP, TEXT),
        (Coding.GZIP, DEFLATE),
        (Coding.DEFLATE, DEFLATE[:-1]),
        (Coding.DEFLATE, DEFLATE + b" "),
        (Coding.DEFLATE, DEFLATE + DEFLATE),
        (Coding.DEFLATE, RAW_DEFLATE),
        (Coding.DEFLATE, GZIP),
    ],
)
def test_a_broken_or_trailed_body_is_bad(coding: Coding, body: bytes) -> None:
    """A truncated body, one with a wrong check sum, bytes after the end, or another format is bad."""
    assert refusal(coding, body) is Reason.ENCODING_BAD


@pytest.mark.parametrize(("size", "fits"), [(1000, True), (1001, False)])
def test_a_body_may_inflate_to_the_limit(size: int, fits: bool) -> None:
    """The limit itself still passes."""
    body = gzip.compress(bytes(size))
    if fits:
        assert opened(Coding.GZIP, [body], limit=1000) == bytes(size)
    else:
        assert refusal(Coding.GZIP, body, limit=1000) is Reason.TOO_LARGE


def test_a_bomb_is_too_large_before_it_is_open() -> None:
    """A body past 8 MiB and 100 times its size is refused, in pieces that never grow beyond their bound."""
    bomb = gzip.compress(bytes(64 * MIB))
    assert len(bomb) * MAX_RATIO < 64 * MIB
    pieces: list[int] = []
    with pytest.raises(EncodingError) as caught:
        pieces.extend(map(len, decoder(Coding.GZIP, 1 << 40).feed(bomb)))
    assert caught.value.reason is Reason.TOO_LARGE
    assert max(pieces) <= OUTPUT
    assert sum(pieces) <= max(RATIO_COUNTS_FROM, MAX_RATIO * len(bomb)) + OUTPUT


def test_a_repetitive_body_below_eight_mib_opens() -> None:
    """A ratio above 100 alone is no bomb."""
    body = gzip.compress(bytes(8 * MIB))
    assert len(body) * MAX_RATIO < 8 * MIB
    assert len(opened(Coding.GZIP, [body])) == 8 * MIB


def test_members_that_hold_nothing_are_opened_in_turns() -> None:
    """A chunk of thousands of empty members, which open to nothing, is no one stretch of work."""
    body = gzip.compress(b"", mtime=0) * 10_000
    stream = decoder(Coding.GZIP, MIB)
    assert list(stream.feed(body)) == [b""] * -(-len(body) // 4096)
    stream.finish()
