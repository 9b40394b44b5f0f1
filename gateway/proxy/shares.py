"""Numbers that several processes count together: each writes its own, all of them may read the sum.

A limit on the sum holds without a lock: who adds first and looks at the sum afterwards may be told too early that
there is no room, never too late.
"""

from array import array


class Share:
    """Our part of one number. `numbers` holds every process's, as 64-bit integers; `own` is ours."""

    __slots__ = ("_numbers", "_own")

    def __init__(self, numbers: memoryview | None = None, own: int = 0) -> None:
        self._numbers = memoryview(array("q", [0])) if numbers is None else numbers
        self._own = own

    def add(self, amount: int) -> None:
        """Count `amount` more, or less."""
        self._numbers[self._own] += amount

    @property
    def total(self) -> int:
        """What all processes count."""
        return sum(self._numbers)


class Shares:
    """The numbers under a limit: bytes of bodies that are held, and connections of clients."""

    def __init__(self, held: Share | None = None, connections: Share | None = None) -> None:
        self.held = held or Share()
        self.connections = connections or Share()
