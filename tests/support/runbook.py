"""The blocks of the runbook, as somebody pastes them, and what each has to answer."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from support.prometheus import DEPLOY

PAGE = DEPLOY / "runbook.md"
_BLOCK = re.compile(r"^(#+ [^\n]+)$|^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ANSWER = re.compile(r"# exits (\d+): (.+)")


class Part(NamedTuple):
    """A part of a block that ends with an answer: its section, its lines, the exit code, and a word of what it says."""

    section: str
    script: str
    code: int = 0
    word: str = ""

    @property
    def only_asks(self) -> bool:
        """Whether it asks a gate: then it is asked again until it gives its answer, as the page says."""
        return self.script.startswith("stage-gateway readiness") and "\n" not in self.script.strip()

    @property
    def leads_back(self) -> bool:
        """Whether endpoints may be held at warn on the way."""
        return any(words in self.script for words in ("rollout back", "stage-gateway rollback", "stage-gateway mode"))


def parts() -> Iterator[Part]:
    """Yield all parts in order. Raises AssertionError for a block of another language."""
    section = ""
    for heading, language, text in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if heading:
            section = heading.lstrip("# ")
            continue
        assert language == "sh", f"{section}: {language}"
        lines: list[str] = []
        for line in text.splitlines():
            answer = _ANSWER.fullmatch(line)
            if answer is None:
                lines.append(line)
                continue
            yield Part(section, "\n".join(lines), int(answer[1]), answer[2])
            lines = []
        if lines:
            yield Part(section, "\n".join(lines))
