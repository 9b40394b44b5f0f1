"""Whether one request to an endpoint at `enforce` is enforced: by its method and operation, then by the percentage.

What is asked before the body is read can only be answered with what is known by then: the key of the percentage may
be the fund id, and that may stand in the body.
"""

from gateway.rollout.cohort import BUCKETS, bucket_of, is_inside
from gateway.rollout.decision import Enforcement
from gateway.rollout.endpoints import Endpoint
from gateway.rollout.head import Head
from gateway.rollout.policy import Exemption, Mode, Policy, exemption


class Gate:
    """The gate that one request to an endpoint at `enforce` comes to."""

    __slots__ = ("_exempt", "_head", "_key", "_key_may_be_in_body", "_percent")

    def __init__(self, head: Head, endpoint: Endpoint, policy: Policy, *, method_override: bool) -> None:
        self._head = head
        operation = endpoint.operation_of(head.method)
        self._exempt = exemption(head.method, operation, policy, method_override=method_override)
        self._key = policy.enforcement_key
        self._percent = endpoint.percent
        self._key_may_be_in_body = self._key == "fundId" and endpoint.fund.body is not None

    def may_enforce(self, fund: str | None, *, body_is_known: bool) -> bool:
        """Whether the request could still be enforced; `fund` is what is known of its fund id."""
        if self._exempt is not None:
            return False
        if self._key_may_be_in_body and not body_is_known:
            return round(self._percent * 100) > 0
        return is_inside(self._key_of(fund), self._percent)

    def surely_enforces(self, fund: str | None, *, body_is_known: bool) -> bool:
        """Whether the request is enforced, whatever is still to come of it."""
        if not self.may_enforce(fund, body_is_known=body_is_known):
            return False
        return body_is_known or not self._key_may_be_in_body or round(self._percent * 100) >= BUCKETS

    def enforcement(self, fund: str | None) -> Enforcement:
        """Return how the request, of which all is known now, stands."""
        if self._exempt is not None:
            return Enforcement(Mode.ENFORCE, Mode.WARN, self._exempt)
        key = self._key_of(fund)
        if is_inside(key, self._percent):
            return Enforcement(Mode.ENFORCE, Mode.ENFORCE, None, key, bucket_of(key))
        return Enforcement(Mode.ENFORCE, Mode.WARN, Exemption.OUTSIDE_PERCENTAGE, key, bucket_of(key))

    def enforcement_of_all(self) -> Enforcement | None:
        """Return how every such request stands, whatever its key; None where that depends on it."""
        if self._exempt is not None:
            return Enforcement(Mode.ENFORCE, Mode.WARN, self._exempt)
        inside = round(self._percent * 100)
        if inside >= BUCKETS:
            return Enforcement(Mode.ENFORCE, Mode.ENFORCE)
        return Enforcement(Mode.ENFORCE, Mode.WARN, Exemption.OUTSIDE_PERCENTAGE) if inside == 0 else None

    def _key_of(self, fund: str | None) -> str:
        return key_of(self._key, self._head, fund)


def key_of(enforcement_key: str, head: Head, fund: str | None) -> str:
    """Return what the percentage goes by for a request of this fund: its id where what is named is absent."""
    value: str | None = None
    if enforcement_key == "fundId":
        value = fund
    elif enforcement_key.startswith("header:"):
        value = head.header(enforcement_key.removeprefix("header:").lower().encode())
    return value or head.request_id
