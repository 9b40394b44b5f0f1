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
from mmap import mmap
from typing import TypeAlias

from gateway.proxy.answers import no_room
from gateway.proxy.shared_counters import SharedCounter

Block: TypeAlias = bytes | memoryview
SMALL = 64 * 1024
_BLOCK = 256 * 1024
_KEPT = 32  # blocks: 8 MiB
_GATHERED = 16 * 1024 * 1024
_LET_GO_AT_ONCE = 8  # blocks: half a millisecond


class Blocks:
    """Mappings of 256 KiB for what is held. The system takes each back at once, but for a few that are used again.

    A new mapping costs more than all the copying: the system clears each of its pages when it is touched.
    """

    def __init__(self) -> None:
        self._free: list[mmap] = []
        self._lent: dict[int, weakref.ref[memoryview]] = {}  # by the block's id

    def filled(self, data: memoryview) -> memoryview:
        """Return a block that holds a copy of these 256 KiB, for as long as anything looks at it."""
        block = self._free.pop() if self._free else mmap(-1, _BLOCK)
        block[:] = data
        view = memoryview(block)
        self._lent[id(block)] = weakref.ref(view, partial(self._take_back, block))
        return view

    def _take_back(self, block: mmap, _: "weakref.ref[memoryview]") -> None:
        del self._lent[id(block)]
        if len(self._free) < _KEPT:
            with contextlib.suppress(BufferError):  # another view of it is still to be sent
                block.resize(_BLOCK)  # changes nothing, and is refused while there is any
                self._free.append(block)


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

    Chunks are joined into blocks: held one by one small ones would take many times their size. They are let go of a
    few at a time: giving back a hundred megabytes takes 20 ms.
    """

    def __init__(self, budget: Budget, limit: int) -> None:
        self._budget = budget
        self.limit = limit
        self._blocks: list[Block] = []
        self._tail = bytearray()
        self._let_go = False
        self.size = 0  # bytes that are held

    def append(self, chunk: bytes, *, always: bool = False) -> None:
        """Hold one more chunk. Raises AnswerError when the budget does not allow it, and it need not `always`."""
        size = self.size + len(chunk)
        limit = self.limit if size > SMALL else self.limit + self.limit // 4
        self._budget.take(len(chunk), math.inf if always else limit)
        self.size = size
        self._tail += chunk
        while len(self._tail) >= _BLOCK:
            with memoryview(self._tail) as tail:
                self._blocks.append(self._budget.blocks.filled(tail[:_BLOCK]))
                rest = bytearray(tail[_BLOCK:])
            self._tail = rest

    def hand_over(self) -> list[Block]:
        """Return what is held, in order. Whoever sends it takes blocks out of the list; `release` sees to the rest.

        Raises RuntimeError when it was let go of.
        """
        if self._let_go:
            raise RuntimeError("a body was let go of, since its refusal was certain, and is to be forwarded")
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
        del self._blocks[-_LET_GO_AT_ONCE:]
        if self._blocks:
            asyncio.get_running_loop().call_soon(self.release)
            return
        self._tail = bytearray()
        self._budget.give_back(self.size)
        self.size = 0
