"""Content codings: the JSON bytes inside a body as it came.

Rules of the room:

- One gzip (RFC 1952) or one deflate (RFC 9110, section 8.4.1.2: the zlib format, RFC 1950) is opened for judging.
- Members of a gzip body that follow each other are one text (RFC 1952, section 2.2); any other byte after the
  end, and an end that never comes, is `encoding_bad`.
- A body that inflates past the limit, or to more than 100 times its size past 8 MiB, is `too_large`.
- Output comes in pieces of bounded size, however small the input: a bomb costs no memory.
"""

import zlib
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Protocol

from gateway.stages.reasons import Reason

MAX_RATIO = 100
RATIO_COUNTS_FROM = 8 * 1024 * 1024  # repetitive bodies compress 284 times; it matters only past some size
OUTPUT = 64 * 1024
_SLICE = 4 * 1024


class Coding(StrEnum):
    """The content codings that can be looked into."""

    IDENTITY = "identity"
    GZIP = "gzip"
    DEFLATE = "deflate"


class EncodingError(Exception):
    """The bytes cannot be opened; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.value)


class Decoder(Protocol):
    """Opens a body as it arrives."""

    def feed(self, chunk: bytes) -> Iterable[bytes]:
        """Yield the JSON bytes that `chunk` completes, b"" where only work was done. Raises EncodingError."""

    def finish(self) -> None:
        """Say that the body has ended. Raises EncodingError when the coded stream has not."""


def decoder(coding: Coding, limit: int) -> Decoder:
    """Return a decoder for one body that may inflate to `limit` bytes."""
    return _Identity() if coding is Coding.IDENTITY else _Inflater(coding, limit)


class _Identity:
    def feed(self, chunk: bytes) -> Iterable[bytes]:
        return (chunk,)

    def finish(self) -> None:
        pass


class _Inflater:
    def __init__(self, coding: Coding, limit: int) -> None:
        self._wbits = 31 if coding is Coding.GZIP else 15
        self._gzip = coding is Coding.GZIP
        self._limit = limit
        self._taken = 0
        self._given = 0
        self._stream = zlib.decompressobj(self._wbits)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        # Short slices: zlib copies what it has not used, and a chunk may hold thousands of tiny members.
        for start in range(0, len(chunk), _SLICE):
            yield from self._inflate(chunk[start : start + _SLICE])
            yield b""

    def _inflate(self, rest: bytes) -> Iterator[bytes]:
        self._taken += len(rest)
        held_back = False
        while rest or held_back:
            if self._stream.eof:
                if not self._gzip:
                    raise EncodingError(Reason.ENCODING_BAD)
                self._stream = zlib.decompressobj(self._wbits)
            try:
                piece = self._stream.decompress(rest, OUTPUT)
            except zlib.error as error:
                raise EncodingError(Reason.ENCODING_BAD) from error
            rest = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            # zlib may have taken all input and still have more to say than one piece holds.
            held_back = len(piece) == OUTPUT and not self._stream.eof
            if piece:
                self._count(len(piece))
                yield piece

    def _count(self, size: int) -> None:
        self._given += size
        bomb = self._given > RATIO_COUNTS_FROM and self._given > MAX_RATIO * self._taken
        if self._given > self._limit or bomb:
            raise EncodingError(Reason.TOO_LARGE)

    def finish(self) -> None:
        if not self._stream.eof:
            raise EncodingError(Reason.ENCODING_BAD)
