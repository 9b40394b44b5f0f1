"""How long work holds on before others have their turn: counted, which no busy machine changes, and timed."""

import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

_TURNS = 400  # that are looked at; the worst stretches are those at the beginning, or come again and again


def most_calls(work: Callable[[], Iterator[None]]) -> int:
    """Return how many calls of a function, Python's or C's, the longest stretch between two turns made."""
    most = calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        for _ in islice(work(), _TURNS):
            most, calls = max(most, calls), 0
    finally:
        sys.setprofile(None)
    return max(most, calls)


def lines(work: Callable[[], object]) -> int:
    """Return how many lines of Python some work takes."""
    taken = 0

    def count(_frame: object, event: str, _argument: object) -> Any:
        nonlocal taken
        taken += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        work()
    finally:
        sys.settrace(before)
    return taken


def longest(work: Callable[[], Iterator[None]]) -> float:
    """Return the CPU time of the longest stretch, in seconds."""
    most, begin = 0.0, time.thread_time()
    for _ in islice(work(), _TURNS):
        now = time.thread_time()
        most, begin = max(most, now - begin), time.thread_time()
    return max(most, time.thread_time() - begin)
