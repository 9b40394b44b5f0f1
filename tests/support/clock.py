"""The one place where tests look at a clock: a machine with better things to do is no fault of the project's.

A promise of time is held with ten times its room. What promises nothing is waited for with patience, which costs
nothing where it comes at once. Where the order of two events says the same, a test asserts that, and needs no clock.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ROOM = 10
PATIENCE = 100.0  # seconds, for what will come


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Hold what is done here to a promise of so many seconds, with room for a busy machine."""
    begin = time.monotonic()
    yield
    took = time.monotonic() - begin
    assert took < seconds * ROOM, f"it took {took:.2f} s; {seconds} s are promised"


@contextmanager
def at_least(seconds: float) -> Iterator[None]:
    """Assert that what is done here takes so many seconds or more."""
    begin = time.monotonic()
    yield
    took = time.monotonic() - begin
    assert took >= seconds, f"it took only {took:.2f} s, less than {seconds} s"


def eventually(condition: Callable[[], object], timeout: float = PATIENCE / ROOM) -> None:
    """Wait until a condition holds, for as long as is promised (`timeout`), with room for a busy machine."""
    deadline = time.monotonic() + timeout * ROOM
    while not condition():
        assert time.monotonic() < deadline, f"it never came to be; {timeout} s are promised"
        time.sleep(0.01)


async def until(condition: Callable[[], object]) -> None:
    """Wait on the loop until a condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nothing tells of the conditions that tests wait for
            await asyncio.sleep(0.01)
