"""What the verifier found, as a document and as lines."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.migration.wording import counted


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that does not hold: which check found it, where, and what it is."""

    check: str
    place: str
    what: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.check}: {self.place}: {self.what}"


@dataclass(slots=True)
class Report:
    """Everything that was checked."""

    versions: dict[str, str]
    vocabulary: str
    seed: int
    sample: int
    run: int | None = None
    checks: dict[str, int] = field(default_factory=dict)  # check → violations
    counts: list[dict[str, Any]] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)  # values by column, fund and stage, before and after
    violations: list[Violation] = field(default_factory=list)
    information: list[str] = field(default_factory=list)
    sample_diffs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Return whether all checks hold."""
        return not self.violations

    def check(self, name: str) -> None:
        """Put down that a check was made."""
        self.checks.setdefault(name, 0)

    def add(self, check: str, place: str, what: str) -> None:
        """Put down a violation."""
        self.checks[check] = self.checks.get(check, 0) + 1
        self.violations.append(Violation(check, place, what))

    def document(self) -> dict[str, Any]:
        """Return the report as a document."""
        return {
            "holds": self.holds,
            "versions": self.versions,
            "vocabulary": self.vocabulary,
            "run": self.run,
            "checks": [{"check": name, "violations": count} for name, count in self.checks.items()],
            "counts": self.counts,
            "stages": self.stages,
            "violations": [{"check": v.check, "place": v.place, "what": v.what} for v in self.violations],
            "information": self.information,
            "sample": {"size": self.sample, "seed": self.seed, "diffs": self.sample_diffs},
        }

    def stages_of_columns(self) -> Mapping[tuple[str, str | None], tuple[int, int]]:
        """Return by column and stage how many values there were before, and how many there are, in all funds."""
        made: dict[tuple[str, str | None], tuple[int, int]] = {}
        for count in self.stages:
            before, after = made.get((count["column"], count["stage"]), (0, 0))
            made[count["column"], count["stage"]] = (before + count["before"], after + count["after"])
        return made

    def changelog(self, day: str) -> Iterator[str]:
        """Yield the lines to paste into a CHANGELOG."""
        rows = sum(count["rows"] for count in self.counts)
        changed = sum(count["undoRows"] for count in self.counts)
        result = "passed" if self.holds else f"found {counted(len(self.violations), 'violation')}"
        values, columns = counted(changed, "value"), counted(len(self.counts), "column")
        yield f"- Stored investment stages normalised: {values} changed of {rows:,} in {columns}."
        yield (
            f"- `stage-gateway verify` {result} on {day} (run {self.run}, vocabulary {self.vocabulary}, "
            f"sample {self.sample}, seed {self.seed}, PostgreSQL {self.versions['postgresql']})."
        )
