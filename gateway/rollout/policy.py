"""Modes, and what makes an endpoint in `enforce` act as if it were in `warn`.

Rules of the room:

- The mode of an endpoint is the less strict of the file's and the runtime override.
- Reads never block: GET, HEAD and OPTIONS (RFC 9110, section 9.2.1, the safe methods that carry requests here),
  unless a method-override header may turn them into something else behind the gateway.
- Nothing here makes a request stricter than its endpoint's mode.
"""

from dataclasses import dataclass
from enum import StrEnum

from gateway.stages.vocabulary import Vocabulary

READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
REQUIRING_METHODS = frozenset({"POST", "PUT"})


class Mode(StrEnum):
    """What happens to an invalid request at an endpoint, from the least to the most strict."""

    OFF = "off"
    WARN = "warn"
    ENFORCE = "enforce"


_STRICTNESS = {Mode.OFF: 0, Mode.WARN: 1, Mode.ENFORCE: 2}


def less_strict(first: Mode, second: Mode | None) -> Mode:
    """Return the less strict of two modes; None says nothing."""
    return first if second is None else min(first, second, key=_STRICTNESS.__getitem__)


def stricter(first: Mode, second: Mode) -> Mode:
    """Return the stricter of two modes."""
    return max(first, second, key=_STRICTNESS.__getitem__)


class Operation(StrEnum):
    """Whether an endpoint only computes (`read`) or persists (`write`)."""

    READ = "read"
    WRITE = "write"


class Exemption(StrEnum):
    """Why `enforce` becomes `warn` for one request."""

    READ_METHOD = "GET, HEAD and OPTIONS never block"
    READ_OPERATION = "enforceWriteOnly is on and the endpoint only reads"
    OUTSIDE_PERCENTAGE = "the request is outside the enforcement percentage"


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decide for every endpoint.

    `enforcement_key` is `requestId`, `fundId` or `header:NAME`; `max_body_bytes` bounds a body that can be
    refused, as sent and inflated.
    """

    vocabulary: Vocabulary
    enforce_write_only: bool = False
    dry_run: bool = False
    enforcement_key: str = "requestId"
    max_body_bytes: int = 104_857_600


def blocks_by_method(method: str, *, method_override: bool) -> bool:
    """Whether a request of this method may be refused at all."""
    return method not in READ_METHODS or method_override


def exemption(method: str, operation: Operation, policy: Policy, *, method_override: bool) -> Exemption | None:
    """Return why `enforce` does not refuse this request whatever the percentage, None when it may."""
    if not blocks_by_method(method, method_override=method_override):
        return Exemption.READ_METHOD
    if policy.enforce_write_only and operation is Operation.READ:
        return Exemption.READ_OPERATION
    return None
