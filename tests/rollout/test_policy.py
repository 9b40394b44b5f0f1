"""Modes, and what makes enforce act as warn."""

import itertools

import pytest

from gateway.rollout.policy import (
    Exemption,
    Mode,
    Operation,
    Policy,
    blocks_by_method,
    exemption,
    less_strict,
    stricter,
)
from gateway.stages.vocabulary import Vocabulary

ORDER = [Mode.OFF, Mode.WARN, Mode.ENFORCE]


@pytest.mark.parametrize(("low", "high"), list(itertools.combinations_with_replacement(ORDER, 2)))
def test_off_is_below_warn_is_below_enforce(low: Mode, high: Mode) -> None:
    """Of two modes the less strict and the stricter are found in either order."""
    assert less_strict(low, high) is less_strict(high, low) is low
    assert stricter(low, high) is stricter(high, low) is high


@pytest.mark.parametrize("mode", ORDER)
def test_no_override_changes_nothing(mode: Mode) -> None:
    """Without a runtime override the file's mode is in force."""
    assert less_strict(mode, None) is mode


@pytest.mark.parametrize(
    ("method", "blocks"),
    [
        *[(method, False) for method in ("GET", "HEAD", "OPTIONS")],
        *[(method, True) for method in ("POST", "PUT", "PATCH", "DELETE", "PURGE", "get")],
    ],
)
def test_reads_never_block(method: str, blocks: bool) -> None:
    """GET, HEAD and OPTIONS never block, unless a method-override header may turn them into something else."""
    assert blocks_by_method(method, method_override=False) is blocks
    assert blocks_by_method(method, method_override=True)


@pytest.mark.parametrize(
    ("method", "operation", "write_only", "override", "expected"),
    [
        ("GET", Operation.WRITE, False, False, Exemption.READ_METHOD),
        ("GET", Operation.WRITE, True, False, Exemption.READ_METHOD),
        ("GET", Operation.READ, True, False, Exemption.READ_METHOD),
        ("GET", Operation.WRITE, True, True, None),
        ("GET", Operation.READ, True, True, Exemption.READ_OPERATION),
        ("POST", Operation.READ, True, False, Exemption.READ_OPERATION),
        ("POST", Operation.READ, False, False, None),
        ("POST", Operation.WRITE, True, False, None),
        ("DELETE", Operation.WRITE, False, False, None),
    ],
)
def test_what_makes_enforce_act_as_warn(
    method: str, operation: Operation, write_only: bool, override: bool, expected: Exemption | None
) -> None:
    """A read method demotes, and a read operation does while enforceWriteOnly is on."""
    policy = Policy(Vocabulary(), enforce_write_only=write_only)
    assert exemption(method, operation, policy, method_override=override) is expected
