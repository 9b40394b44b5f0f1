"""Bodies on their way in, read as they came.

Rules of the room:

- Bytes stay as received; only the framing kind is taken apart and put together again.
- A client that keeps us waiting is answered 408. Only the time spent waiting for it counts, so an upstream that
  takes its time is never held against it.
"""

import asyncio
from typing import Protocol

from aiohttp import StreamReader
from aiohttp.web_protocol import RequestPayloadError

from gateway.proxy.answers import BodyError
from gateway.proxy.held import SMALL
from gateway.proxy.minimum_rate import MinimumRate

_TAKEN_AT_ONCE = 64 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Body(Protocol):
    """The body of one request.

    `exists` is false when the head says there is none; `length` is its Content-Length, None when chunked. `sent_on`
    says whether anything of its request is on its way to an upstream.
    """

    length: int | None
    chunked: bool
    exists: bool
    sent_on: bool

    @property
    def at_hand(self) -> bool:
        """Whether the whole body has arrived, so that reading it does not wait."""

    @property
    def read_to_end(self) -> bool:
        """Whether everything was read."""

    @property
    def left(self) -> int:
        """How many bytes are still to be read, as far as the head told; 0 when it did not."""

    @property
    def never_turned_away(self) -> bool:
        """Whether the whole body has arrived and is so small that there is always room for it."""

    async def read(self, held: int = 0) -> bytes:
        """Return the next bytes, b"" at the end; `held` of those before are held. Raises BodyError."""


class Arrived:
    """A body that was whole when its request began; it has been read."""

    at_hand = read_to_end = never_turned_away = True
    chunked = False
    left = 0

    def __init__(self, size: int) -> None:
        self.length: int | None = size
        self.exists = size > 0
        self.sent_on = False

    async def read(self, held: int = 0) -> bytes:  # noqa: ARG002 - as for any body
        """Return b"": everything was read."""
        return b""


class Incoming:
    """A body as it arrives in `content`, at no less than a `minimum` rate.

    A client that waits to be asked for it (RFC 9110, section 10.1.1) is asked on `asks`.
    """

    def __init__(
        self,
        content: StreamReader,
        minimum: MinimumRate,
        *,
        length: int | None,
        chunked: bool,
        asks: asyncio.Transport | None,
    ) -> None:
        self._content = content
        self._minimum = minimum
        self._asks = asks
        self._received = 0
        self._allowance = minimum.grace
        self._last = 0  # bytes that the last read gave, for which no time was gained yet
        self.length = length
        self.chunked = chunked
        self.exists = chunked or bool(length)
        self.sent_on = False

    @property
    def at_hand(self) -> bool:
        """Whether the whole body has arrived, so that reading it does not wait."""
        return self._content.is_eof()

    @property
    def read_to_end(self) -> bool:
        """Whether everything was read."""
        return self._content.at_eof()

    @property
    def left(self) -> int:
        """How many bytes are still to be read, as far as the head told; 0 when it did not."""
        return 0 if self.length is None else self.length - self._received

    @property
    def never_turned_away(self) -> bool:
        """Whether the whole body has arrived and is so small that there is always room for it."""
        return self._content.is_eof() and self._content.total_bytes <= SMALL

    async def read(self, held: int = 0) -> bytes:
        """Return the next bytes, b"" at the end; `held` of those before are held. Raises BodyError."""
        if self._minimum.rate:
            self._allowance = self._minimum.allowance(self._allowance, self._last, held)
        try:
            chunk = await self._read()
        except RequestPayloadError:
            raise BodyError(400, "malformed", "the body is not framed as its head says") from None
        self._last = len(chunk)
        self._received += self._last
        return chunk

    async def _read(self) -> bytes:
        content = self._content
        if not content.is_eof():
            return await self._read_as_it_comes()
        if content.total_bytes - self._received <= _TAKEN_AT_ONCE:
            return content.read_nowait()
        return await self._next()

    async def _read_as_it_comes(self) -> bytes:
        if self._asks is not None:
            self._asks.write(CONTINUE)
            self._asks = None
        waits = self._content.total_bytes == self._received  # a timer takes longer than to read what is at hand
        return await (self._read_in_time() if waits and self._minimum.rate else self._next())

    async def _next(self) -> bytes:
        """Return the next bytes as they were parsed: `readany` would join, and so copy, what is waiting."""
        content = self._content
        while True:
            chunk, _ = await content.readchunk()
            if chunk or content.at_eof():
                return chunk

    async def _read_in_time(self) -> bytes:
        now = asyncio.get_running_loop().time
        begin = now()
        try:
            async with asyncio.timeout(self._allowance):
                chunk = await self._next()
        except TimeoutError:
            raise BodyError(408, "request_timeout", "the body came too slowly") from None
        self._allowance -= now() - begin
        return chunk
