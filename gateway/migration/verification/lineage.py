"""The vocabularies under which the runs were made, one after another."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.migration.verification.rederive import rederive
from gateway.stages.vocabulary import Vocabulary


class Lineage:
    """The vocabularies of all runs since the last undo or finish, in the order of the runs."""

    def __init__(self, runs: Sequence[Mapping[str, Any]]) -> None:
        self._vocabularies: list[Vocabulary] = []
        self._last: dict[int, int] = {}  # run → how many vocabularies there were up to it
        for run in runs:
            known = self._vocabularies[-1].fingerprint if self._vocabularies else None
            if run["fingerprint"] != known:
                self._vocabularies.append(Vocabulary(run["vocabulary"]["canonical"], run["vocabulary"]["aliases"]))
            self._last[run["run_id"]] = len(self._vocabularies)

    @property
    def is_one(self) -> bool:
        """Return whether all runs were made under one vocabulary."""
        return len(self._vocabularies) == 1

    def resolve(self, name: str) -> str | None:
        """Return the stage that a name, from whichever time, is now; None when no run knew it."""
        for first in reversed(range(len(self._vocabularies))):
            stage = self._vocabularies[first].resolve(name)
            if stage is not None:
                for later in self._vocabularies[first + 1 :]:
                    stage = later.resolve(stage) or stage
                return stage
        return None

    def expected(self, column: Mapping[str, Any], before: str, run: int) -> Iterator[Any]:
        """Yield what a run may have made of a value: by its own vocabulary, or of what a run before it had made.

        An undo row keeps the oldest text, and not which of the runs was the first to change it.
        """
        known = self._vocabularies[: self._last.get(run, 0)]
        for first in reversed(range(len(known))):
            yield rederive(column, before, known[first:])
