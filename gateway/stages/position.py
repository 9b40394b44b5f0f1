"""Where a text stops being JSON, for whoever has to mend it."""

from typing import NamedTuple

import orjson


class Position(NamedTuple):
    """A place in a text: `byte` counts from 0, `line` and `column` (in characters) from 1."""

    byte: int
    line: int
    column: int


def position_of_fault(body: bytes) -> Position | None:
    """Return where a body that is no JSON in UTF-8 goes wrong, None when that cannot be told.

    Parses the body again, so for what one parse takes no time over.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        return _position(body[: error.start].decode())
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _position(text[: error.pos])
    return None


def _position(before: str) -> Position:
    line = before.rpartition("\n")[2]
    return Position(len(before.encode()), before.count("\n") + 1, len(line) + 1)
