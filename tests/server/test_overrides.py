"""What overrides make of an endpoint's mode. Time is passed in."""

import logging
from itertools import product

import pytest

from gateway.rollout.endpoints import Endpoint
from gateway.rollout.policy import Mode, less_strict
from gateway.server.overrides import Override, Overrides, Source
from gateway.stages.compiled import CompiledPlan
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.vocabulary import Vocabulary

PATTERN = "/api/portfolio/strategies"
COMPILED = CompiledPlan(Plan.of([Location(Shape.QUERY, name="stage")]), Vocabulary())
PERSON, ALERT = (PATTERN, Source.PERSON), (PATTERN, Source.ALERT)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class Room:
    """Overrides on a clock of their own, and how often they told of a change."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.changes = 0
        self.overrides = Overrides(self._changed, self.clock)

    def _changed(self) -> None:
        self.changes += 1

    def mode(self, configured: Mode = Mode.ENFORCE, pattern: str = PATTERN) -> Mode:
        """Return the mode in force of an endpoint that the file has at `configured`."""
        return less_strict(configured, self.overrides.mode(endpoint(configured, pattern)))

    def sources(self) -> set[Source]:
        return set(self.overrides.of(endpoint()))


@pytest.fixture
def room() -> Room:
    return Room()


def clearing(by: str = "somebody", since: float = 1000) -> Override:
    """Return what stands for a person's clearing where an alert would hold the endpoint."""
    return Override(Mode.ENFORCE, "cleared", by, since)


def endpoint(mode: Mode = Mode.ENFORCE, pattern: str = PATTERN) -> Endpoint:
    return Endpoint(pattern, mode, COMPILED)


def held(mode: Mode = Mode.WARN, until: float | None = None, since: float = 1000) -> Override:
    return Override(mode, "why", "who", since, until)


def audit(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "gateway.audit"]


@pytest.mark.parametrize(("configured", "override"), list(product(Mode, [Mode.OFF, Mode.WARN])))
def test_least_strict_is_in_force(room: Room, configured: Mode, override: Mode) -> None:
    """Of the file's mode and the override's the less strict one is in force, and another endpoint is not touched."""
    room.overrides.set(*PERSON, held(override))
    assert room.mode(configured) is less_strict(configured, override)
    assert room.mode(configured, "/other") is configured


def test_two_that_hold_one_endpoint(room: Room) -> None:
    """When a person's override ends, what an alert holds stays, and the other way round."""
    room.overrides.set(*ALERT, held())
    room.overrides.set(*PERSON, held(Mode.OFF, until=1010))
    assert (room.mode(), room.sources()) == (Mode.OFF, {Source.PERSON, Source.ALERT})
    room.clock.time = 1010
    assert (room.mode(), room.sources()) == (Mode.WARN, {Source.ALERT})


def test_override_ends_by_the_clock(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """An override holds until its end, then no longer; that is told once and is nothing to store."""
    room.overrides.set(*PERSON, held(until=1010))
    room.overrides.pending.clear()
    room.clock.time = 1009.9
    room.overrides.expire()
    assert (room.mode(), room.changes) == (Mode.WARN, 1)
    room.clock.time = 1010
    assert room.mode() is Mode.ENFORCE
    room.overrides.expire()
    room.overrides.expire()
    assert (room.changes, room.overrides.pending) == (2, {})
    assert audit(caplog) == ["override set", "override expired"]


def test_ended_override_that_is_still_stored(room: Room) -> None:
    """What has come to its end is not taken over again."""
    room.overrides.take_over({PERSON: held(until=999)})
    assert (room.sources(), room.changes) == (set(), 0)


def test_clearing_lets_go_of_all(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """Clearing takes away what a person and an alert hold, says who did it, and leaves that to be stored."""
    room.overrides.set(*PERSON, held(Mode.OFF))
    room.overrides.set(*ALERT, held())
    room.overrides.clear(PATTERN, "somebody")
    assert (room.mode(), room.overrides.pending) == (Mode.ENFORCE, {PERSON: None, ALERT: clearing()})
    assert (room.sources(), room.overrides.knows(PATTERN)) == (set(), False)
    cleared = [record for record in caplog.records if record.getMessage() == "override cleared"]
    assert [(vars(one)["source"], vars(one)["clearedBy"]) for one in cleared] == [
        ("person", "somebody"),
        ("alert", "somebody"),
    ]


def test_clearing_nothing(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """Clearing an endpoint that nothing holds here is to be stored all the same, and no change to tell."""
    room.overrides.clear(PATTERN, "somebody")
    assert (room.overrides.pending, audit(caplog)) == ({PERSON: None, ALERT: clearing()}, [])


def test_what_is_stored_is_taken_over(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """What another replica stored or cleared is followed, each difference told once."""
    room.overrides.take_over({ALERT: held()})
    room.overrides.take_over({ALERT: held()})
    assert (room.mode(), room.changes) == (Mode.WARN, 1)
    room.overrides.take_over({})
    assert (room.mode(), room.changes) == (Mode.ENFORCE, 2)
    assert audit(caplog) == ["override taken over", "override gone"]


def test_what_is_not_stored_yet_wins(room: Room) -> None:
    """What was set or cleared here and could not be stored outlasts what is stored."""
    room.overrides.set(*PERSON, held(Mode.OFF))
    room.overrides.take_over({PERSON: held()})
    assert room.mode() is Mode.OFF
    room.overrides.clear(PATTERN, "somebody")
    room.overrides.take_over({PERSON: held(), ALERT: held()})
    assert room.mode() is Mode.ENFORCE


def test_stored_overrides_that_were_lost(room: Room) -> None:
    """When what was stored is lost, the last known stays and is to be stored again."""
    room.overrides.take_over({ALERT: held()})
    other = ("/other", Source.PERSON)
    room.overrides.take_over({other: held()}, whole=False)
    assert (room.mode(), room.mode(pattern="/other"), room.overrides.pending) == (
        Mode.WARN,
        Mode.WARN,
        {ALERT: held()},
    )


def test_damage(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """State that cannot be read holds what is in `enforce` at warn until it can be read; told at begin and end."""
    for _ in range(3):
        room.overrides.cannot_read("broken", {})
    assert (room.mode(), room.sources(), room.changes) == (Mode.WARN, {Source.DAMAGED_STATE}, 1)
    assert (room.mode(Mode.WARN), room.mode(Mode.OFF)) == (Mode.WARN, Mode.OFF)
    assert room.overrides.of(endpoint(Mode.WARN)) == {}
    room.overrides.take_over({})
    assert (room.mode(), room.changes, room.overrides.pending) == (Mode.ENFORCE, 2, {})
    assert audit(caplog) == [
        "the stored overrides cannot be read; enforce acts as warn",
        "the stored overrides can be read again",
    ]


def test_understood_part_of_damage(room: Room) -> None:
    """What of damaged state was understood is held, `off` as well."""
    room.overrides.cannot_read("broken", {PERSON: held(Mode.OFF)})
    assert (room.mode(), room.mode(pattern="/other")) == (Mode.OFF, Mode.WARN)


def test_person_clears_a_damaged_endpoint(room: Room) -> None:
    """While state is damaged, clearing lets go of one endpoint and of no other, and that is to be stored."""
    room.overrides.cannot_read("broken", {})
    room.overrides.clear(PATTERN, "somebody")
    assert (room.mode(), room.mode(pattern="/other")) == (Mode.ENFORCE, Mode.WARN)
    released = room.overrides.pending[PATTERN, Source.DAMAGED_STATE]
    assert released is not None
    later = Room()
    later.overrides.cannot_read("broken", {(PATTERN, Source.DAMAGED_STATE): released})
    assert (later.mode(), later.mode(pattern="/other")) == (Mode.ENFORCE, Mode.WARN)


def test_clearance_ends_with_the_damage(room: Room) -> None:
    """When state can be read again, nothing of the clearance is left, here and in the store."""
    room.overrides.cannot_read("broken", {})
    room.overrides.clear(PATTERN, "somebody")
    room.overrides.take_over({(PATTERN, Source.DAMAGED_STATE): held(Mode.ENFORCE)})
    assert room.overrides.pending[PATTERN, Source.DAMAGED_STATE] is None
    room.overrides.cannot_read("broken again", {})
    assert room.mode() is Mode.WARN


def test_holding_a_damaged_endpoint_is_no_clearing(room: Room) -> None:
    """When a person's override of an endpoint ends, the damage still holds it."""
    room.overrides.cannot_read("broken", {})
    room.overrides.set(*PERSON, held(Mode.OFF, until=1010))
    assert room.mode() is Mode.OFF
    room.clock.time = 1010
    assert room.mode() is Mode.WARN


def test_when_an_endpoint_was_cleared(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """A clearing is remembered, here and by who takes over what is stored of it; an override's own end is none."""
    room.overrides.set(*PERSON, held(until=1001))
    room.clock.time = 1001
    room.overrides.expire()
    assert not room.overrides.was_cleared_since(PATTERN, 0)
    room.overrides.clear(PATTERN, "somebody")
    assert room.overrides.was_cleared_since(PATTERN, 1001)
    assert not room.overrides.was_cleared_since(PATTERN, 1001.1)
    stored = {place: override for place, override in room.overrides.pending.items() if override is not None}
    for before in ({}, {ALERT: held()}):
        other = Room()
        other.overrides.take_over(before)
        other.overrides.take_over(stored)
        assert (other.mode(), other.sources()) == (Mode.ENFORCE, set())
        assert other.overrides.was_cleared_since(PATTERN, 1001)
        assert not other.overrides.was_cleared_since(PATTERN, 1001.1)
    assert audit(caplog)[-2:] == ["override taken over", "override gone"]


def test_next_alert_after_a_clearing(room: Room) -> None:
    """What an alert holds after a clearing takes its place, and is held whoever takes it over."""
    room.overrides.clear(PATTERN, "somebody")
    room.overrides.set(*ALERT, held())
    assert (room.mode(), room.overrides.pending[ALERT]) == (Mode.WARN, held())
    assert not room.overrides.was_cleared_since(PATTERN, 0)


@pytest.mark.parametrize("until", [None, 1010.5])
def test_document_of_an_override(until: float | None) -> None:
    """What is stored of an override means it again."""
    override = held(Mode.OFF, until)
    assert Override.of(override.as_document()) == override


def test_audit_line(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """A change is told with endpoint, source, mode, reason, who and until when."""
    room.overrides.set(*PERSON, held(until=1010))
    [record] = caplog.records
    told = {name: vars(record)[name] for name in ("endpoint", "source", "mode", "reason", "by", "since", "until")}
    assert told == {"endpoint": PATTERN, "source": "person", **held(until=1010).told()}
    assert told["until"] == "1970-01-01T00:16:50.000Z"
    assert record.levelno == logging.WARNING
