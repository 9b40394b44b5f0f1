"""Numbers that several processes count together: each writes its own, all of them may read the sum.

A limit on the sum holds without a lock: who adds first and looks at the sum afterwards may be told too early that
there is no room, never too late.
"""

import os
import tempfile
from array import array
from mmap import mmap


class SharedCounter:
    """Our part of one number. `numbers` holds every process's, as 64-bit integers; `own` is ours."""

    __slots__ = ("_numbers", "_own")

    def __init__(self, numbers: memoryview | None = None, own: int = 0) -> None:
        self._numbers = memoryview(array("q", [0])) if numbers is None else numbers
        self._own = own

    def add(self, amount: int) -> None:
        """Count `amount` more, or less."""
        self._numbers[self._own] += amount

    def clear(self) -> None:
        """Count nothing any more."""
        self._numbers[self._own] = 0

    @property
    def total(self) -> int:
        """What all processes count."""
        return sum(self._numbers)


class SharedCounters:
    """The numbers under a limit: bytes of bodies that are held, and connections of clients."""

    def __init__(self, held: SharedCounter | None = None, connections: SharedCounter | None = None) -> None:
        self.held = held or SharedCounter()
        self.connections = connections or SharedCounter()

    @classmethod
    def among(cls, processes: int, own: int, file: int) -> "SharedCounters":
        """Return the counters of process `own` in a `shared_file`, which all of them map."""
        numbers = memoryview(mmap(file, _size_among(processes))).cast("q")
        return cls(SharedCounter(numbers[:processes], own), SharedCounter(numbers[processes:], own))

    def give_up(self) -> None:
        """Count nothing any more: what our process counted is gone with it."""
        self.held.clear()
        self.connections.clear()


def shared_file(processes: int) -> int:
    """Return the descriptor of a file for the counters of so many processes, all 0; whoever asks for it closes it.

    It is in memory where the system has such files: the root file system may be mounted read-only.
    """
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("stage-gateway")
    else:
        file, path = tempfile.mkstemp()
        os.unlink(path)
    os.ftruncate(file, _size_among(processes))
    return file


def _size_among(processes: int) -> int:
    return 2 * 8 * processes
