"""Cooperative steps: work that gives way to others.

A judge of a large body yields between bounded stretches, and whoever drives it decides what happens there. So this
package needs no event loop, and the process that has one never stands still.

    reason = yield from judge.finish()            # within such work
    reason = run_to_completion(judge.finish())    # where nobody waits
"""

from collections.abc import Generator
from typing import TypeAlias, TypeVar

Result = TypeVar("Result")
Steps: TypeAlias = Generator[None, None, Result]


def run_to_completion(work: Steps[Result]) -> Result:
    """Do the work to its end, and return what it returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # StopIteration is not generic
