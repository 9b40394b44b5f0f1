"""Overrides: an endpoint held at a less strict mode while the process runs.

Rules of the room:

- The mode in force is the least strict of the file's and every override of the endpoint. So a reload never makes it
  stricter, and clearing is the only way back.
- A person and an alert each hold an endpoint by themselves. What an alert holds is latched: it has no end.
- A person's clearing stands where an alert would hold the endpoint, as an override in `enforce`, which holds nothing.
  So it is stored and followed as any other, and the alert that it answered demotes nowhere again, restart or not.
- A change is in force here at once, then stored. What could not be stored stays in force and is stored later.
- An override ends by the clock of whoever holds it. Its end is no change to store: in the meantime another replica
  may have stored the next one in its place.
- State that cannot be read at the start might have held anything: every endpoint in `enforce` acts as in `warn`
  until it can be read, or a person clears the endpoint. State that is lost later changes nothing: it is stored again.
"""

import logging
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from gateway.rollout.endpoints import Endpoint
from gateway.rollout.policy import Mode, less_strict
from gateway.telemetry.logs import utc

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

    def lasts(self, now: float) -> bool:
        """Whether it has not come to its end."""
        return self.until is None or self.until > now

    @property
    def holds(self) -> bool:
        """Whether it can make an endpoint less strict; a clearing cannot."""
        return self.mode is not Mode.ENFORCE

    def as_document(self) -> dict[str, Any]:
        """Return it as it is stored."""
        return {**self._asdict(), "mode": self.mode.value}

    def told(self) -> dict[str, Any]:
        """Return it as people are shown it, times as ISO 8601; `since` is None when it holds since the start."""
        times = {"since": utc(self.since) if self.since else None, "until": utc(self.until) if self.until else None}
        return {**self.as_document(), **times}

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


OverrideKey = tuple[str, Source]  # an endpoint's pattern, and who holds it
OverrideTable = dict[OverrideKey, Override]


class Overrides:
    """All overrides of this process, and what they make of an endpoint's mode.

    `changed` is called after every change of what is in force. `pending` are the changes that are not stored yet.
    """

    def __init__(self, changed: Callable[[], None], now: Callable[[], float] = time.time) -> None:
        self._changed = changed
        self._now = now
        # At (pattern, damaged_state) stands that a person has cleared the endpoint since the damage.
        self._held: OverrideTable = {}
        self.damage: str | None = None
        self.pending: dict[OverrideKey, Override | None] = {}

    def of(self, endpoint: Endpoint) -> dict[Source, Override]:
        """Return what holds an endpoint now, by source."""
        pattern, now = endpoint.pattern, self._now()
        held = {}
        for source in (Source.PERSON, Source.ALERT):
            override = self._held.get((pattern, source))
            if override is not None and override.holds and override.lasts(now):
                held[source] = override
        if self.damage is not None and endpoint.mode is Mode.ENFORCE and not self._is_released(pattern):
            held[Source.DAMAGED_STATE] = Override(Mode.WARN, self.damage, "stage-gateway", 0)
        return held

    def mode(self, endpoint: Endpoint) -> Mode | None:
        """Return the least strict mode that an endpoint is held at, None when nothing holds it."""
        mode: Mode | None = None
        for override in self.of(endpoint).values():
            mode = less_strict(override.mode, mode)
        return mode

    def knows(self, pattern: str) -> bool:
        """Whether anything holds this pattern, be it an endpoint now or not."""
        found = (self._held.get((pattern, source)) for source in (Source.PERSON, Source.ALERT))
        return any(override is not None and override.holds for override in found)

    def was_cleared_since(self, pattern: str, moment: float) -> bool:
        """Whether a person has let go of an endpoint after a moment, on any replica, and no alert holds it since."""
        answer = self._held.get((pattern, Source.ALERT))
        return answer is not None and not answer.holds and answer.since >= moment

    def set(self, pattern: str, source: Source, override: Override) -> None:
        """Hold an endpoint."""
        self._held[pattern, source] = self.pending[pattern, source] = override
        self._tell("override set", pattern, source, override)
        self._changed()

    def clear(self, pattern: str, by: str) -> None:
        """Let go of an endpoint, whoever holds it."""
        cleared = Override(Mode.ENFORCE, "cleared", by, self._now())
        for source in (Source.PERSON, Source.ALERT):
            override = self._held.pop((pattern, source), None)
            if override is not None and override.holds:
                self._tell("override cleared", pattern, source, override, clearedBy=by)
        self.pending[pattern, Source.PERSON] = None  # also what is not held here may be stored
        self._held[pattern, Source.ALERT] = self.pending[pattern, Source.ALERT] = cleared
        if self.damage is not None and not self._is_released(pattern):
            key = pattern, Source.DAMAGED_STATE
            self._held[key] = self.pending[key] = cleared
            self._tell("override cleared", *key, None, clearedBy=by)
        self._changed()

    def let_go(self, pattern: str, reason: str, by: str) -> bool:
        """Let go of what a person holds for just this reason, and of nothing else; returns whether that was held."""
        override = self._held.get((pattern, Source.PERSON))
        if override is None or override.reason != reason:
            return False
        del self._held[pattern, Source.PERSON]
        self.pending[pattern, Source.PERSON] = None
        self._tell("override cleared", pattern, Source.PERSON, override, clearedBy=by)
        self._changed()
        return True

    def take_over(self, stored: OverrideTable, *, whole: bool = True) -> None:
        """Make what is stored, and what is still to be stored, all that is held.

        `whole` False: what was stored before is lost. Then what is held stays, and is to be stored again.
        """
        self.expire()
        if not whole:
            lost = {key: override for key, override in self._held.items() if key not in stored}
            self.pending = {**lost, **self.pending}
        now, before, mended = self._now(), self._held, self.damage is not None
        for key in {**stored, **before}:
            if key[1] is Source.DAMAGED_STATE:
                self.pending[key] = None
        merged = {**stored, **self.pending}
        self._held = {key: override for key, override in merged.items() if override and override.lasts(now)}
        self.damage = None
        if mended:
            _audit.warning("the stored overrides can be read again")
        for key in before.keys() | self._held.keys():
            self._note_difference(key, before.get(key), self._held.get(key))
        if mended or before != self._held:
            self._changed()

    def cannot_read(self, error: str, understood: OverrideTable) -> None:
        """Note that what is stored was not to be read at the start, but for a part that was understood."""
        if self.damage == error:
            return
        if self.damage is None:
            _audit.error("the stored overrides cannot be read; enforce acts as warn", extra={"error": error})
            self._held = {**understood, **self._held}
        self.damage = error
        self._changed()

    def expire(self) -> None:
        """Let go of what has come to its end."""
        now = self._now()
        over = [key for key, held in self._held.items() if not held.lasts(now)]
        for key in over:
            self._tell("override expired", *key, self._held.pop(key))
        if over:
            self._changed()

    def _is_released(self, pattern: str) -> bool:
        return (pattern, Source.DAMAGED_STATE) in self._held

    def _note_difference(self, key: OverrideKey, before: Override | None, after: Override | None) -> None:
        if before == after or key[1] is Source.DAMAGED_STATE:
            return
        if after is not None and after.holds:
            self._tell("override taken over", *key, after)
        elif before is not None and before.holds:
            self._tell("override gone", *key, before)

    def _tell(self, message: str, pattern: str, source: Source, override: Override | None, **more: str) -> None:
        document = override.told() if override is not None else {}
        _audit.warning(message, extra={"endpoint": pattern, "source": source.value, **document, **more})
