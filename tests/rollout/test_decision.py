"""Every cell of mode, method, operation, dry run and percentage; what is expected is written out here."""

import itertools
from typing import NamedTuple

import pytest
import xxhash
from support.fields import by_name

from gateway.rollout.decision import Decision, Enforcement, Result
from gateway.rollout.endpoints import Endpoint, Match
from gateway.rollout.head import Head
from gateway.rollout.inspection import Inspection
from gateway.rollout.policy import Mode, Operation, Policy
from gateway.stages.compiled import CompiledPlan
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.reasons import Reason
from gateway.stages.verdict import Verdict, whole_request
from gateway.stages.vocabulary import Vocabulary

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
COMPILED = CompiledPlan(Plan.of([Location(Shape.VALUE, ("stage",))]), Vocabulary())
PERCENT = 50
IDS = [f"request-{i}" for i in range(100)]
INSIDE = next(i for i in IDS if xxhash.xxh3_64_intdigest(i.encode()) % 10_000 < 5000)
OUTSIDE = next(i for i in IDS if xxhash.xxh3_64_intdigest(i.encode()) % 10_000 >= 5000)


class Cell(NamedTuple):
    """One combination of everything the decision depends on; `method` comes from the test's parameter."""

    mode: str
    runtime: str | None
    override_header: bool
    operation: str | None
    write_only: bool
    inside: bool
    dry_run: bool
    valid: bool


CELLS = [
    Cell(mode, runtime, override_header, operation, write_only, inside, dry_run, valid)
    for mode in ("off", "warn", "enforce")
    for runtime in (None, "off", "warn", "enforce")
    for operation in (None, "read", "write")
    for override_header, write_only, inside, dry_run, valid in itertools.product((False, True), repeat=5)
]


def expected_of(method: str, cell: Cell) -> tuple[str, str | None]:
    """Return (effective mode, result) by the rules of modes, step by step."""
    ranks = ["off", "warn", "enforce"]
    mode = min(cell.mode, cell.runtime or "enforce", key=ranks.index)
    if mode == "off":
        return "off", None
    reads = method in ("GET", "HEAD", "OPTIONS")
    operation = cell.operation or ("read" if reads else "write")
    never_blocks = reads and not cell.override_header
    effective = mode
    if never_blocks or (cell.write_only and operation == "read") or not cell.inside:
        effective = "warn"
    if cell.valid and not cell.override_header:  # the header itself is a violation
        return effective, "pass"
    if effective == "enforce":
        return effective, "reject"
    return effective, "would_reject" if cell.dry_run and not never_blocks else "warn"


def inspected(method: str, cell: Cell) -> Inspection:
    endpoint = Endpoint(
        "/e",
        Mode(cell.mode),
        COMPILED,
        operation=Operation(cell.operation) if cell.operation else None,
        percent=PERCENT,
    )
    policy = Policy(Vocabulary(), enforce_write_only=cell.write_only, dry_run=cell.dry_run)
    headers = [(b"Content-Type", b"application/json")]
    if cell.override_header:
        headers.append((b"X-HTTP-Method-Override", b"PUT"))
    body = b'{"stage":"seed"}' if cell.valid else b'{"stage":"Seed"}'
    head = Head(
        method, "/e", "", by_name(headers), INSIDE if cell.inside else OUTSIDE, has_body=True, content_length=len(body)
    )
    inspection = Inspection(head, Match(endpoint, {}), policy, Mode(cell.runtime) if cell.runtime else None)
    inspection.feed(body)
    return inspection


def test_the_table_is_whole() -> None:
    """Every combination stands in the table once."""
    assert len(set(CELLS)) == len(CELLS) == 3 * 4 * 3 * 2**5


@pytest.mark.parametrize("method", METHODS)
def test_every_cell_of_the_decision(method: str) -> None:
    """Effective mode and result are as expected in every cell, and a request is held exactly while it may refuse."""
    for cell in CELLS:
        effective, result = expected_of(method, cell)
        inspection = inspected(method, cell)
        assert inspection.may_refuse is (effective == "enforce"), cell
        if effective == "off":
            assert inspection.mode is Mode.OFF, cell
            continue
        decision = inspection.finish()
        assert decision is not None, cell
        assert (decision.enforcement.effective, decision.result) == (effective, result), cell
        assert decision.refused is (result == "reject"), cell
        assert decision.status == ((400 if cell.override_header else 422) if result == "reject" else None), cell
        assert (decision.enforcement.exempt is None) is (effective == decision.enforcement.mode), cell


@pytest.mark.parametrize(
    ("cell", "method", "expected"),
    [
        # A few cells in plain sight, so that an error in the function above does not hide one in the code.
        (Cell("enforce", None, False, "write", True, True, False, False), "POST", ("enforce", "reject")),
        (Cell("enforce", None, False, "write", True, True, True, False), "POST", ("enforce", "reject")),
        (Cell("warn", None, False, "write", True, True, True, False), "POST", ("warn", "would_reject")),
        (Cell("warn", None, False, "write", True, True, False, False), "POST", ("warn", "warn")),
        (Cell("enforce", "warn", False, "write", True, True, True, False), "POST", ("warn", "would_reject")),
        (Cell("warn", "enforce", False, "write", False, True, False, False), "POST", ("warn", "warn")),
        (Cell("enforce", None, False, "read", True, True, True, False), "POST", ("warn", "would_reject")),
        (Cell("enforce", None, False, "read", False, True, False, False), "POST", ("enforce", "reject")),
        (Cell("enforce", None, False, "write", False, False, True, False), "PUT", ("warn", "would_reject")),
        (Cell("enforce", None, False, "write", False, True, True, False), "GET", ("warn", "warn")),
        (Cell("enforce", None, True, "write", True, True, False, True), "GET", ("enforce", "reject")),
        (Cell("enforce", None, False, "write", False, True, False, True), "DELETE", ("enforce", "pass")),
        (Cell("warn", None, False, None, False, False, True, True), "PATCH", ("warn", "pass")),
        (Cell("enforce", "off", False, "write", False, True, True, False), "POST", ("off", None)),
    ],
)
def test_cells_in_plain_sight(cell: Cell, method: str, expected: tuple[str, str | None]) -> None:
    """The cells that a reader asks about first, written as literals."""
    assert expected_of(method, cell) == expected


@pytest.mark.parametrize("reason", Reason)
def test_the_status_of_a_refusal_is_that_of_its_reason(reason: Reason) -> None:
    """Each reason has its status; what is not refused has none."""
    special = {
        **dict.fromkeys(("content_type", "charset", "encoding"), 415),
        **dict.fromkeys(("ambiguous_path", "method_override"), 400),
        "too_large": 413,
        "internal_error": 500,
    }
    enforcement = Enforcement(Mode.ENFORCE, Mode.ENFORCE)
    verdict = whole_request(reason)
    assert Decision("/e", enforcement, verdict, Result.REJECT, None).status == special.get(reason, 422)
    for result in (Result.PASS, Result.WARN, Result.WOULD_REJECT):
        assert Decision("/e", enforcement, Verdict(), result, None).status is None


def test_the_gate_is_asked_only_when_it_decides() -> None:
    """Key and bucket are told when the percentage was asked, and not when something else decided before."""
    asked = inspected("POST", Cell("enforce", None, False, "write", False, False, False, True)).finish()
    assert asked is not None
    assert asked.enforcement.key == OUTSIDE
    assert asked.enforcement.bucket == xxhash.xxh3_64_intdigest(OUTSIDE.encode()) % 10_000
    unasked = inspected("POST", Cell("warn", None, False, "write", False, False, False, True)).finish()
    assert unasked is not None
    assert unasked.enforcement == Enforcement(Mode.WARN, Mode.WARN)
