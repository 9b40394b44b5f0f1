"""An event loop that counts what is done on it: tasks and futures made, callbacks asked for, turns taken."""

import asyncio
import selectors
from contextvars import Context
from typing import Any, NamedTuple


class Counts(NamedTuple):
    """How much was done so far."""

    tasks: int
    futures: int
    callbacks: int
    turns: int

    def __sub__(self, before: "Counts") -> "Counts":
        return Counts(*(now - then for now, then in zip(self, before, strict=True)))


class _Selector(selectors.DefaultSelector):
    turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Count one turn of the loop, which asks once in each."""
        self.turns += 1
        return super().select(timeout)


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts, and does as any other loop does."""

    def __init__(self) -> None:
        self._asked = _Selector()
        self._made = {"tasks": 0, "futures": 0, "callbacks": 0}
        super().__init__(self._asked)
        self.set_task_factory(self._make_task)

    def _make_task(self, loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Future[Any]:
        self._made["tasks"] += 1
        return asyncio.Task(work, loop=loop, **more)

    def create_future(self) -> asyncio.Future[Any]:
        self._made["futures"] += 1
        return super().create_future()

    def call_soon(  # type: ignore[override]  # its own signature ties the arguments to the callback
        self, callback: Any, *arguments: Any, context: Context | None = None
    ) -> asyncio.Handle:
        self._made["callbacks"] += 1
        return super().call_soon(callback, *arguments, context=context)

    @property
    def counts(self) -> Counts:
        return Counts(**self._made, turns=self._asked.turns)
