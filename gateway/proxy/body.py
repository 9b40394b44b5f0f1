"""Bodies on their way in, read as they came.

Rules of the room:

- Bytes stay as received; only the framing kind is taken apart and put together again.
- A client that keeps us waiting is answered 408. Only the time spent waiting for it counts, so an upstream that
  takes its time is never held against it.
"""

import asyncio

from aiohttp import StreamReader, web

from gateway.proxy.held import SMALL
from gateway.proxy.pace import Pace

_TAKEN_AT_ONCE = 64 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class TooSlowError(Exception):
    """The client sends its body slower than it has to."""


class Incoming:
    """The body of one request, as it arrives.

    `exists` is false when the head says there is none; `length` is its Content-Length, None when chunked.
    """

    def __init__(
        self, request: web.BaseRequest, pace: Pace, *, expects_continue: bool, length: int | None, chunked: bool
    ) -> None:
        self._request = request
        self._pace = pace
        self._received = 0
        self._patience = pace.grace
        self._last = 0  # bytes that the last read gave, for which no patience was gained yet
        self._content: StreamReader = request.content
        self._expects_continue = expects_continue
        self.length = length
        self.chunked = chunked
        self.exists = chunked or bool(length)
        self.sent_on = False  # whether anything of its request is on its way to an upstream

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
        """Return the next bytes, b"" at the end. Raises TooSlowError.

        `held` is how many bytes are held of what was read before.

        Asks the client for the body first when it waits to be asked (RFC 9110, section 10.1.1).
        """
        content = self._content
        if self._pace.rate:
            self._patience = self._pace.patience(self._patience, self._last, held)
        if not content.is_eof():
            chunk = await self._read_as_it_comes()
        elif content.total_bytes - self._received <= _TAKEN_AT_ONCE:
            chunk = content.read_nowait()
        else:
            chunk = await self._next()
        self._last = len(chunk)
        self._received += self._last
        return chunk

    async def _read_as_it_comes(self) -> bytes:
        if self._expects_continue:
            self._expects_continue = False
            transport = self._request.transport
            if transport is not None:
                transport.write(CONTINUE)
        return await (self._read_in_time() if self._pace.rate else self._next())

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
            async with asyncio.timeout(self._patience):
                chunk = await self._next()
        except TimeoutError:
            raise TooSlowError from None
        self._patience -= now() - begin
        return chunk
