"""Bodies on their way in: read as they came, held where a refusal is still possible.

Rules of the room:

- Bytes stay as received; only the framing kind is taken apart and put together again.
- What is held is counted at its real size, as it arrives, under one budget for the whole gateway. A body that does
  not fit is not read on: its request is answered 503. One that is small and there whole is never turned away.
- A client that keeps us waiting is answered 408. Only the time spent waiting for it counts, so an upstream that
  takes its time is never held against it.
- A held body has to grow by a share of what it holds, second by second, and what it hurried before counts for no
  more than `grace` seconds. So room can be kept only by who sends `heldBytes / 60` bytes a second (4.5 MB/s by
  default), and only until each body is whole.
"""

import asyncio
import math
from dataclasses import dataclass
from mmap import mmap
from typing import TypeAlias

from aiohttp import StreamReader, web

from gateway.proxy.shares import Share

Block: TypeAlias = bytes | memoryview
_BLOCK = 256 * 1024
_LET_GO_AT_ONCE = 8  # blocks: half a millisecond
_TAKEN_AT_ONCE = 64 * 1024
_NEVER_TURNED_AWAY = 64 * 1024  # bytes of a body that is there whole; it is gone again before the next is read
_HOLD_SECONDS = 60  # a held body must not take longer than this to send as much again
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class NoRoomError(Exception):
    """The budget for held bodies is used up."""


class TooSlowError(Exception):
    """The client sends its body slower than it has to."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a body must come: `rate` bytes a second (0: at any pace) after `grace` seconds.

    A body of which `held` bytes are held has to come at `held / 60` bytes a second where that is more, and cannot
    save up more than `grace` seconds of patience.
    """

    grace: float
    rate: int

    def patience(self, left: float, size: int, held: int) -> float:
        """Return how many seconds a client may keep us waiting that had `left` and has sent `size` bytes more."""
        gained = left + size / max(self.rate, held / _HOLD_SECONDS)
        return min(gained, self.grace) if held else gained


class Budget:
    """How many bytes of bodies may be held at once, and how many are. The limit is the configuration's."""

    def __init__(self, held: Share) -> None:
        self._held = held

    @property
    def used(self) -> int:
        """How many bytes are held."""
        return self._held.total

    def take(self, size: int, limit: float) -> None:
        """Count `size` more bytes as held. Raises NoRoomError when they do not fit under `limit`."""
        self._held.add(size)
        if self.used > limit:
            self._held.add(-size)
            raise NoRoomError

    def give_back(self, size: int) -> None:
        """Count `size` bytes as no longer held."""
        self._held.add(-size)


class Held:
    """A body being held, or the part of it that came so far.

    Chunks are joined into blocks: held one by one small ones would take many times their size. Each block is a
    mapping of its own, which the system takes back at once, and they are let go of a few at a time: giving back a
    hundred megabytes takes 20 ms.
    """

    def __init__(self, budget: Budget, limit: int) -> None:
        self._budget = budget
        self.limit = limit
        self._blocks: list[Block] = []
        self._tail = bytearray()
        self.size = 0  # bytes that are held

    def append(self, chunk: bytes, *, always: bool = False) -> None:
        """Hold one more chunk. Raises NoRoomError when the budget does not allow it, and it need not `always`."""
        self._budget.take(len(chunk), math.inf if always else self.limit)
        self.size += len(chunk)
        self._tail += chunk
        if len(self._tail) >= _BLOCK:
            block = mmap(-1, len(self._tail))
            block.write(self._tail)
            self._blocks.append(memoryview(block))
            self._tail = bytearray()

    def hand_over(self) -> list[Block]:
        """Return what is held, in order. Whoever sends it takes blocks out of the list; `release` sees to the rest."""
        if self._tail:
            self._blocks.append(bytes(self._tail))
            self._tail = bytearray()
        return self._blocks

    def release(self) -> None:
        """Let go of what is still held, and give the budget back."""
        del self._blocks[-_LET_GO_AT_ONCE:]
        if self._blocks:
            asyncio.get_running_loop().call_soon(self.release)
            return
        self._tail = bytearray()
        self._budget.give_back(self.size)
        self.size = 0


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
        return self._content.is_eof() and self._content.total_bytes <= _NEVER_TURNED_AWAY

    async def read(self, held: int = 0) -> bytes:
        """Return the next bytes, b"" at the end. `held` bytes before them are held. Raises TooSlowError.

        Asks the client for the body first when it waits to be asked (RFC 9110, section 10.1.1).
        """
        content = self._content
        if not content.is_eof():
            chunk = await self._read_as_it_comes()
        elif content.total_bytes - self._received <= _TAKEN_AT_ONCE:
            chunk = content.read_nowait()
        else:
            chunk = await self._next()
        self._received += len(chunk)
        if self._pace.rate:
            self._patience = self._pace.patience(self._patience, len(chunk), held)
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
