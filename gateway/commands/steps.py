"""The steps of a command that tries each whatever the others gave: what came of one, in which time."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.errors import GatewayError, UnreachableError


class Outcome(StrEnum):
    """What became of a step; the values are those of `--json`."""

    DONE = "done"
    FAILED = "failed"
    VIOLATIONS = "violations"  # a check was made, and not all of it holds


@dataclass(frozen=True, slots=True)
class Result:
    """What a step comes to when nothing stands in its way: a line for people, more for machines, lines below it."""

    told: str
    details: Mapping[str, Any] = field(default_factory=dict)
    below: tuple[str, ...] = ()
    outcome: Outcome = Outcome.DONE


@dataclass(frozen=True, slots=True)
class Step:
    """One step that was tried. `told` names, when it failed, what stood in its way and the cure.

    `fault` is an error that nobody foresaw.
    """

    name: str
    place: str
    seconds: float
    outcome: Outcome
    told: str
    details: Mapping[str, Any]
    below: tuple[str, ...] = ()
    fault: Exception | None = None

    def line(self) -> str:
        """Return it as one line for people."""
        took = f"{self.seconds * 1000:,.0f} ms" if self.seconds < 10 else f"{self.seconds:,.0f} s"
        where = self.told if self.told.startswith(self.place) else f"{self.place}: {self.told}"
        return f"{took:>8}  {self.name:<6}  {'FAILED  ' if self.outcome is Outcome.FAILED else ''}{where}"

    def document(self) -> dict[str, Any]:
        """Return it for machines."""
        told = {"step": self.name, "place": self.place, "outcome": self.outcome.value, "told": self.told}
        return {**told, "seconds": round(self.seconds, 3), **self.details}


async def tried(name: str, place: str, work: Awaitable[Result]) -> Step:
    """Do a step to its end, whatever comes of it."""
    began = time.monotonic()
    fault = None
    try:
        result = await work
    except GatewayError as error:
        result = Result("; ".join(str(error).splitlines()), outcome=Outcome.FAILED)
    except Exception as error:  # the others are to be tried, and told, all the same
        result, fault = Result(f"a fault of ours: {type(error).__name__}", outcome=Outcome.FAILED), error
    took = time.monotonic() - began
    return Step(name, place, took, result.outcome, result.told, result.details, result.below, fault)


async def in_background(work: Callable[[], Result], seconds: float, otherwise: str) -> Result:
    """Do what waits by itself in a thread; raises UnreachableError, with `otherwise`, when it takes longer than that.

    The thread is left to itself then, and does not keep the process from its end.
    """
    future: Future[Result] = Future()

    def run() -> None:
        future.set_running_or_notify_cancel()
        try:
            result = work()
        except BaseException as error:  # it is raised where the result is waited for
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.wrap_future(future)
    except TimeoutError:
        raise UnreachableError(f"gave no answer within {seconds:g} s; {otherwise}") from None
