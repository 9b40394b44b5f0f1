"""How long an upstream may keep us waiting."""

import asyncio
from collections.abc import Callable


class InactivityTimeout:
    """Calls `give_up` once nothing was noted for so many seconds. While `is_excused` says so, time does not count.

    A timer that goes off too soon is left alone and set again then: one for each exchange costs more.
    """

    def __init__(self, give_up: Callable[[], None], is_excused: Callable[[], bool]) -> None:
        self._loop = asyncio.get_running_loop()
        self._give_up = give_up
        self._is_excused = is_excused
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = 0.0  # when the timer goes off
        self._noted = 0.0
        self._seconds = 0.0
        self._waiting = False

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self._seconds

    def begin(self, seconds: float) -> None:
        """Wait from now on."""
        self._seconds = seconds
        self._waiting = True
        self.note()
        self._look_by(self._noted + seconds)

    def note(self) -> None:
        """Something has moved."""
        self._noted = self._loop.time()

    def rest(self) -> None:
        """Wait no more, until it begins anew."""
        self._waiting = False

    def stop(self) -> None:
        """Wait no more."""
        self._waiting = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_by(self, due: float) -> None:
        if self._timer is not None:
            if self._looks_at <= due:
                return
            self._timer.cancel()
        self._looks_at = due
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        if self._is_excused():
            self.note()
        due = self._noted + self._seconds
        if self._loop.time() >= due:
            self._waiting = False
            self._give_up()
        else:
            self._look_by(max(due, self._loop.time() + 0.01))
