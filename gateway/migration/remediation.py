"""The list of what cannot be mapped: all of it in a file, the first of it for a terminal."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gateway.errors import GatewayError
from gateway.migration.faults import Fault
from gateway.migration.wording import counted

MOST_TOLD = 10  # lines on a terminal; the file has all
_MOST_SHOWN = 64  # characters of a value on a terminal
_ANOTHER = "name another file"


@dataclass(slots=True)
class _Told:
    """Equal values of one column: the first of them, and how many there are."""

    first: Fault
    times: int

    def __str__(self) -> str:
        """Return one line."""
        fault = self.first
        value = repr(fault.value)
        shown = value if len(value) <= _MOST_SHOWN else value[: _MOST_SHOWN - 1] + "…"
        near = f"suggestion {fault.suggestion}" if fault.suggestion else "no suggestion"
        times = f", {self.times:,} times" if self.times > 1 else ""
        return f"{fault.table}.{fault.column}, key {fault.key}: {shown}, {fault.reason}, {near}{times}"


class Remediation:
    """The list, one JSON object a line in a file that is made with the first line. Use it as a context.

    A list from before goes when the context is entered, so that none is ever out of date. Raises GatewayError for a
    file that is no such list: it is kept, as is a link.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file: IO[str] | None = None
        self._names: dict[tuple[str, str, str | None, str], _Told] = {}
        self._others: dict[tuple[str, str, str | None, str], _Told] = {}

    def __enter__(self) -> "Remediation":
        try:
            if self.path.is_file() and not self.path.is_symlink():  # /dev/stdout may lead to a file
                self._want_a_list()
                self.path.unlink()
        except OSError as error:
            raise GatewayError(f"{self.path}: cannot be replaced: {error.strerror}; {_ANOTHER}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def _want_a_list(self) -> None:
        with self.path.open("rb") as file:
            line = file.readline()
        try:
            is_list = not line or set(json.loads(line)) == set(Fault.__slots__)
        except (ValueError, TypeError):
            is_list = False
        if not is_list:
            raise GatewayError(f"{self.path}: is no list of values that cannot be mapped, and is kept; {_ANOTHER}")

    def add(self, fault: Fault) -> None:
        """Write one line. Raises GatewayError when the file cannot be written."""
        line = {name: getattr(fault, name) for name in Fault.__slots__}
        try:
            if self._file is None:
                self._file = self.path.open("w", encoding="utf-8")
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        except OSError as error:
            raise GatewayError(f"{self.path}: cannot be written: {error.strerror}; {_ANOTHER}") from error
        self.count += 1
        self._remember(fault)

    def _remember(self, fault: Fault) -> None:
        told = self._names if fault.reason == "disallowed_value" else self._others
        key = (fault.table, fault.column, fault.value, fault.reason)
        if key in told:
            told[key].times += 1
        elif len(told) < MOST_TOLD:
            told[key] = _Told(fault, 1)

    def told(self) -> Iterator[str]:
        """Yield lines for people: the number, the first values, names that nobody knows before all else, the file."""
        first = [*self._names.values(), *self._others.values()][:MOST_TOLD]
        whole = self.count == sum(one.times for one in first)
        yield f"{counted(self.count, 'value')} cannot be mapped{':' if whole else ', among them:'}"
        yield from (f"  {one}" for one in first)
        yield f"listed in {self.path}"
