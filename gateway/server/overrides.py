"""Overrides: an endpoint held at a less strict mode while the process runs.

Rules of the room:

- The mode in force is the least strict of the file's and every override of the endpoint. So a reload never makes it
  stricter, and clearing is the only way back.
- A person and an alert each hold an endpoint by themselves. What an alert holds is latched: it has no end.
- A change is in force here at once, then stored. What could not be stored stays in force and is stored later.
- State that cannot be read at the start might have held anything: every endpoint in `enforce` acts as in `warn`
  until it can be read, or a person clears the endpoint. State that is lost later changes nothing.
"""

import logging
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from gateway.rollout.endpoints import Endpoint
from gateway.rollout.policy import Mode, less_strict

_audit = logging.getLogger("gateway.audit")


class Source(StrEnum):
    """Who holds an endpoint; the values are the metrics' label."""

    PERSON = "person"
    ALERT = "alert"
    DAMAGED_STATE = "damaged_state"


class Override(NamedTuple):
    """One hold. `since` and `until` are seconds since the epoch; `until` None is without end."""

    mode: Mode
    reason: str
    by: str
    since: float
    until: float | None = None

    def as_document(self) -> dict[str, Any]:
        """Return it as it is stored and shown."""
        return {**self._asdict(), "mode": self.mode.value}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Override":
        """Return the override that a stored document means. Raises ValueError, KeyError or TypeError for none."""
        until = document["until"]
        return cls(
            Mode(document["mode"]),
            str(document["reason"]),
            str(document["by"]),
            float(document["since"]),
            None if until is None else float(until),
        )


Place = tuple[str, Source]  # an endpoint's pattern, and who holds it
Held = dict[Place, Override]


class Overrides:
    """All overrides of this process, and what they make of an endpoint's mode.

    `changed` is called after every change of what is in force. `pending` are the changes that are not stored yet.
    """

    def __init__(self, changed: Callable[[], None], now: Callable[[], float] = time.time) -> None:
        self._changed = changed
        self._now = now
        self._held: Held = {}
        self._released: set[str] = set()
        self.damage: str | None = None
        self.pending: dict[Place, Override | None] = {}

    def of(self, endpoint: Endpoint) -> dict[Source, Override]:
        """Return what holds an endpoint now, by source."""
        held = {source: self._held[endpoint.pattern, source] for source in Source if self._holds(endpoint, source)}
        if self.damage is not None and endpoint.mode is Mode.ENFORCE and endpoint.pattern not in self._released:
            held[Source.DAMAGED_STATE] = Override(Mode.WARN, self.damage, "stage-gateway", 0)
        return held

    def mode(self, endpoint: Endpoint) -> Mode | None:
        """Return the least strict mode that an endpoint is held at, None when nothing holds it."""
        mode: Mode | None = None
        for override in self.of(endpoint).values():
            mode = less_strict(override.mode, mode)
        return mode

    def set(self, pattern: str, source: Source, override: Override) -> None:
        """Hold an endpoint."""
        self._held[pattern, source] = self.pending[pattern, source] = override
        if source is Source.PERSON:
            self._released.add(pattern)  # a person has looked at it
        self._tell("override set", pattern, source, override)
        self._changed()

    def clear(self, pattern: str, by: str) -> None:
        """Let go of an endpoint, whoever holds it."""
        for source in (Source.PERSON, Source.ALERT):
            # Also what is not held here may be stored.
            self.pending[pattern, source] = None
            override = self._held.pop((pattern, source), None)
            if override is not None:
                self._tell("override cleared", pattern, source, override, clearedBy=by)
        if self.damage is not None and pattern not in self._released:
            self._released.add(pattern)
            _audit.warning("override cleared", extra=_told(pattern, Source.DAMAGED_STATE, clearedBy=by))
        self._changed()

    def take_over(self, stored: Held) -> None:
        """Make what is stored, and what is still to be stored, all that is held."""
        held = {**stored, **{place: override for place, override in self.pending.items() if override is not None}}
        for place in [place for place, override in self.pending.items() if override is None]:
            held.pop(place, None)
        self._mend()
        if held == self._held:
            return
        for place in self._held.keys() | held.keys():
            if self._held.get(place) != held.get(place):
                override = held.get(place)
                self._tell("override taken over" if override else "override gone", *place, override)
        self._held = held
        self._changed()

    def cannot_read(self, error: str) -> None:
        """Note that what is stored was not to be read at the start."""
        if self.damage is None:
            _audit.error("the stored overrides cannot be read; enforce acts as warn", extra={"error": error})
        self.damage = error
        self._changed()

    def expire(self) -> None:
        """Let go of what has come to its end."""
        now = self._now()
        over = [place for place, held in self._held.items() if held.until is not None and held.until <= now]
        for place in over:
            self.pending[place] = None
            self._tell("override expired", *place, self._held.pop(place))
        if over:
            self._changed()

    def _mend(self) -> None:
        if self.damage is not None:
            self.damage = None
            self._released.clear()
            _audit.warning("the stored overrides can be read again")
            self._changed()

    def _holds(self, endpoint: Endpoint, source: Source) -> bool:
        override = self._held.get((endpoint.pattern, source))
        return override is not None and (override.until is None or override.until > self._now())

    def _tell(self, message: str, pattern: str, source: Source, override: Override | None, **more: str) -> None:
        document = override.as_document() if override is not None else {}
        _audit.warning(message, extra=_told(pattern, source, **document, **more))


def _told(pattern: str, source: Source, **more: Any) -> dict[str, Any]:
    return {"endpoint": pattern, "source": source.value, **more}
