"""What the main process tells a worker, and a worker that process. Both are of one release."""

from typing import TypeAlias

import msgspec

from gateway.rollout.policy import Mode
from gateway.telemetry.reports import Report


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag=str.lower):
    """One message; its kind goes with it."""


class Apply(Message, frozen=True):
    """Carry requests under these rules and modes from now on; `document` None leaves the rules as they are."""

    document: str | None
    source: str
    dry_run: bool | None
    authorities: dict[str, str] | None
    modes: dict[str, Mode]


class Ask(Message, frozen=True):
    """Say what was counted, with this number."""

    number: int


class Drain(Message, frozen=True):
    """Make every response the last on its connection."""


class Finish(Message, frozen=True):
    """Carry what was handed over to its end, and end."""


class Leave(Message, frozen=True):
    """End at once."""


class Counted(Message, frozen=True):
    """What was counted since the last time, and recorded. `number` is that of the question, 0 when nobody asked.

    Behind the one that `is_last` nothing comes, and the worker waits for the channel's end: were it to close its own
    end first, what is told to it meanwhile would lose what it told last.
    """

    report: Report
    in_flight: int
    number: int
    recorded: list[str] = []
    is_last: bool = False


Order: TypeAlias = Apply | Ask | Drain | Finish | Leave
