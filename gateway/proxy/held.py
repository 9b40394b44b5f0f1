"""Bodies that are held while a refusal is still possible, and the room for them.

Rules of the room:

- What is held is counted at its real size, as it arrives, under one limit for the whole gateway. What is announced
  takes no room. A body that does not fit is not read on: its request is answered 503.
- Large bodies cannot shut small ones out: those of up to 64 KiB have a quarter more room, and one that has arrived
  whole is never turned away, since it is gone again before the next is read.
- A body that was let go of cannot be handed over, so it can never be forwarded in part.
"""

import asyncio
import contextlib
import math
import weakref
from functools import partial
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import TypeAlias

from gateway.proxy.answers import no_room
from gateway.proxy.shared_counters import SharedCounter

Block: TypeAlias = bytes | memoryview
SMALL = 64 * 1024
BLOCK = 256 * 1024
_KEPT = 32  # blocks: 8 MiB
_GATHERED = 16 * 1024 * 1024
_LET_GO_AT_ONCE = 8  # blocks: a quarter of a millisecond
_LOOK_SECONDS = 0.5


class Blocks:
    """Mappings of 256 KiB for what is held, used again while they are wanted.

    A new mapping costs more than all the copying: the system clears each of its pages when it is touched. So it gets
    them back, but for a few, where nobody has asked for them for half a second.
    """

    def __init__(self) -> None:
        self._free: list[mmap] = []
        self._unwanted = 0  # how many of those were free all the time since the last look
        self._timer: asyncio.TimerHandle | None = None
        self._lent: dict[int, weakref.ref[memoryview]] = {}  # by the block's id

    @property
    def free(self) -> int:
        """How many blocks are kept for the next bodies."""
        return len(self._free)

    def take(self) -> mmap:
        """Return a block to fill."""
        if not self._free:
            return mmap(-1, BLOCK, flags=MAP_PRIVATE | MAP_ANONYMOUS)  # shared ones take twice as long
        block = self._free.pop()
        self._unwanted = min(self._unwanted, len(self._free))
        return block

    def lend(self, block: mmap, size: int) -> memoryview:
        """Return what a block holds. It comes back when nothing looks at that any more."""
        view = memoryview(block)[:size]
        self._lent[id(block)] = weakref.ref(view, partial(self._take_back, block))
        return view

    def _take_back(self, block: mmap, _: "weakref.ref[memoryview]") -> None:
        del self._lent[id(block)]
        with contextlib.suppress(BufferError):  # another view of it is still to be sent
            block.resize(BLOCK)  # changes nothing, and is refused while there is any
            self._free.append(block)
            self._look_later()

    def _look_later(self) -> None:
        if self._timer is None and len(self._free) > _KEPT:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self.look)

    def look(self) -> None:
        """Let go of what nobody has wanted since the last look."""
        self._timer = None
        self._let_go(min(self._unwanted, len(self._free) - _KEPT))
        self._unwanted = len(self._free)
        self._look_later()

    def _let_go(self, number: int) -> None:
        del self._free[: max(0, min(number, _LET_GO_AT_ONCE))]
        if number > _LET_GO_AT_ONCE:
            asyncio.get_running_loop().call_soon(self._let_go, number - _LET_GO_AT_ONCE)


class Budget:
    """How many bytes of bodies may be held at once, and how many are. The limit is the configuration's."""

    def __init__(self, held: SharedCounter) -> None:
        self._held = held
        self.blocks = Blocks()

    @property
    def used(self) -> int:
        """How many bytes are held."""
        return self._held.total

    def take(self, size: int, limit: float) -> None:
        """Count `size` more bytes as held. Raises AnswerError when they do not fit under `limit`."""
        self._held.add(size)
        if self.used > limit:
            self._held.add(-size)
            raise no_room()

    def give_back(self, size: int) -> None:
        """Count `size` bytes as no longer held."""
        self._held.add(-size)


class Gathering:
    """The room for requests that arrive in pieces, and are waited for a moment before anything is done with them."""

    def __init__(self) -> None:
        self._left = _GATHERED

    @property
    def any(self) -> bool:
        """Whether any request is gathered."""
        return self._left < _GATHERED

    def begin(self, size: int) -> bool:
        """Count a request of `size` bytes, if there is room for it; returns whether."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def end(self, size: int) -> None:
        """Count a request of `size` bytes no more."""
        self._left += size


class HeldBody:
    """A body being held, or the part of it that came so far.

    Chunks are joined into blocks: held one by one small ones would take many times their size. A body shorter than
    a block has none. Blocks are let go of a few at a time: giving back a hundred megabytes takes 20 ms.
    """

    def __init__(self, budget: Budget, limit: int) -> None:
        self._budget = budget
        self.limit = limit
        self._blocks: list[Block] = []
        self._tail = bytearray()
        self._block: mmap | None = None  # that is being filled
        self._filled = 0
        self._let_go = False
        self.size = 0  # bytes that are held

    def append(self, chunk: bytes, *, always: bool = False) -> None:
        """Hold one more chunk. Raises AnswerError when the budget does not allow it, and it need not `always`."""
        size = self.size + len(chunk)
        limit = self.limit if size > SMALL else self.limit + self.limit // 4
        self._budget.take(len(chunk), math.inf if always else limit)
        self.size = size
        if size < BLOCK:
            self._tail += chunk
            return
        for data in (self._tail, chunk):
            self._fill(memoryview(data))
        self._tail = bytearray()

    def _fill(self, data: memoryview) -> None:
        while data:
            if self._block is None:
                self._block, self._filled = self._budget.blocks.take(), 0
            piece = data[: BLOCK - self._filled]
            self._block[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            data = data[len(piece) :]
            if self._filled == BLOCK:
                self._close_block()

    def _close_block(self) -> None:
        if self._block is not None:
            self._blocks.append(self._budget.blocks.lend(self._block, self._filled))
            self._block = None

    def hand_over(self) -> list[Block]:
        """Return what is held, in order. Whoever sends it takes blocks out of the list; `release` sees to the rest.

        Raises RuntimeError when it was let go of.
        """
        if self._let_go:
            raise RuntimeError("a body was let go of, since its refusal was certain, and is to be forwarded")
        self._close_block()
        if self._tail:
            self._blocks.append(bytes(self._tail))
            self._tail = bytearray()
        return self._blocks

    def let_go(self) -> None:
        """Release a body that will never be forwarded."""
        self._let_go = True
        self.release()

    def release(self) -> None:
        """Let go of what is still held, and give the budget back."""
        self._close_block()
        del self._blocks[-_LET_GO_AT_ONCE:]
        if self._blocks:
            asyncio.get_running_loop().call_soon(self.release)
            return
        self._tail = bytearray()
        self._budget.give_back(self.size)
        self.size = 0
