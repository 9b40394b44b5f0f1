"""What a candidate configuration would do to recorded requests, decided with the very code of the gateway.

Pure. The head and the body are made again of what was recorded, and go through an `Inspection`. Where there is nothing
to judge again (a reason about the whole request, a body that was not kept, a text that was cut) the verdict of then
stands, as long as what it depends on is the same; where it is not, that request cannot be told.

A request's key is not recorded, but its bucket is, so any key of that bucket stands for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from urllib.parse import urlencode

import msgspec
import orjson

from gateway.errors import GatewayError
from gateway.rollout.cohort import BUCKETS, bucket_of
from gateway.rollout.decision import Decision
from gateway.rollout.endpoints import Endpoint, Match, strictest
from gateway.rollout.head import Head
from gateway.rollout.inspection import Inspection
from gateway.rollout.policy import Mode
from gateway.rules.load import Rules
from gateway.stages.pruning import restored
from gateway.stages.reasons import Reason
from gateway.stages.verdict import MAX_VALUE_LENGTH, Scalar, Verdict, Violation, whole_request
from gateway.telemetry.records import Record, judging_of, places_of

PASS_THROUGH = "pass_through"  # noqa: S105 - a result, not a password

_REASONS = MappingProxyType({reason.value: reason for reason in Reason})
_CARRIED = frozenset(
    {
        Reason.UNPARSEABLE,
        Reason.AMBIGUOUS_JSON,
        Reason.ENCODING_BAD,
        Reason.TOO_LARGE,
        Reason.INTERNAL_ERROR,
    }
)
_MEDIA: Mapping[str | None, bytes] = MappingProxyType(
    {
        None: b"application/json",
        Reason.CONTENT_TYPE: b"text/plain",
        Reason.CHARSET: b"application/json; charset=latin1",
    }
)


class UntoldError(GatewayError):
    """What the candidate would do to a request cannot be told; the text says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the candidate does to one request. `is_exact` is false where only the share of such requests is right."""

    result: str
    reason: str | None = None
    violations: tuple[tuple[Scalar, str, int], ...] = ()
    is_exact: bool = True


class Keys:
    """Finds a key of each bucket, the same one every time."""

    def __init__(self) -> None:
        self._found: dict[int, str] = {}
        self._next = 0

    def of(self, bucket: int) -> str:
        """Return a key that is in this bucket."""
        if not 0 <= bucket < BUCKETS:
            raise UntoldError("its bucket is none")
        while bucket not in self._found:
            key = str(self._next)
            self._found.setdefault(bucket_of(key), key)
            self._next += 1
        return self._found[bucket]


class Candidate:
    """A configuration that recorded requests are decided under."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._keys = Keys()
        patterns = rules.endpoints.endpoints
        self._places = {pattern: places_of(rules, pattern) for pattern in patterns}
        self._judging = {pattern: judging_of(rules, pattern) for pattern in patterns}

    def decide(self, record: Record) -> Outcome:
        """Return what becomes of a request. Raises UntoldError."""
        endpoint = self._endpoint(record)
        if endpoint.mode is Mode.OFF:
            return Outcome(PASS_THROUGH)
        again = _Again(record, endpoint, self._rules, self._judging[endpoint.pattern], self._places[endpoint.pattern])
        decision = again.decision(self._keys)
        if decision is None:
            return Outcome(PASS_THROUGH)
        verdict = decision.verdict
        found = tuple((one.value, str(one.reason), one.occurrences) for one in verdict.violations)
        return Outcome(
            str(decision.result), verdict.reason, found, again.is_exact or decision.enforcement.bucket is None
        )

    def _endpoint(self, record: Record) -> Endpoint:
        """Return the endpoint that the request is under the candidate. Raises UntoldError."""
        endpoints = self._rules.endpoints.endpoints
        patterns = record.readings or [record.endpoint]
        matches = [Match(endpoints[pattern], {}, True) for pattern in patterns if pattern in endpoints]
        if not matches:
            raise UntoldError("its endpoint is not in the candidate")
        return strictest(matches, lambda endpoint: endpoint.mode).endpoint


class _Again:
    """One request under one configuration."""

    def __init__(self, record: Record, endpoint: Endpoint, rules: Rules, judging: str, places: list[str]) -> None:
        self._record = record
        self._endpoint = endpoint
        self._policy = rules.policy
        self._is_same = judging == record.judging
        stages, self._fund_place = _split(places)
        had, had_fund = _split(record.places)
        self._places_are_same = sorted(stages) == sorted(had)
        self._fund_is_same = self._fund_place == had_fund
        if not set(stages) <= set(had):
            raise UntoldError("the candidate looks for stages or weights where was not looked before")

    @property
    def is_exact(self) -> bool:
        """Whether the request is in the very bucket that it would be in."""
        record, key = self._record, self._policy.enforcement_key
        if key == "fundId" and key != record.enforcement_key:
            return self._fund_is_same and not self._fund_is_cut
        return key in {"requestId", record.enforcement_key}

    def decision(self, keys: Keys) -> Decision | None:
        """Return the decision, None where there is nothing to inspect. Raises UntoldError."""
        policy = self._policy
        if policy.enforcement_key == "fundId" and not self._fund_is_same:
            raise UntoldError("the candidate looks for the fund, which is its enforcementKey, in another place")
        if policy.enforcement_key == "fundId" and self._fund_is_cut and self._fund_is_stage:
            raise UntoldError("its fund, which is the candidate's enforcementKey and a stage as well, was cut")
        inspection = Inspection(self._head(keys), self._match, policy)
        if inspection.ended:
            return inspection.finish()
        verdict = self._verdict_of_then()
        if verdict is not None:
            return inspection.decision_on(verdict)
        body = self._body()
        inspection.feed(body)
        return inspection.finish()

    def _verdict_of_then(self) -> Verdict | None:
        """Return the verdict that stands, None where the request is judged again. Raises UntoldError."""
        record = self._record
        reason = _reason(record.reason)
        has_body = self._endpoint.compiled.plan.root is not None and record.has_body
        if reason is not None and reason in _CARRIED and has_body:
            return self._carried(reason)
        if record.unkept is not None and has_body and not self._is_same:
            if max(record.size, record.length or 0) > self._policy.max_body_bytes:
                return whole_request(Reason.TOO_LARGE)
            raise UntoldError(f"its body was not kept ({record.unkept}), and the candidate judges otherwise")
        if record.cut and not self._is_same:
            raise UntoldError("a value was cut, and the candidate judges otherwise")
        if record.cut or (record.unkept is not None and has_body):
            violations = tuple(
                Violation(None, None, value, why, None, times)
                for value, name, times in record.violations
                if (why := _reason(name)) is not None
            )
            return Verdict(reason=reason, count=record.count, violations=violations)
        return None

    def _carried(self, reason: Reason) -> Verdict:
        record, limit = self._record, self._policy.max_body_bytes
        if reason is Reason.TOO_LARGE and limit > record.max_body_bytes:
            raise UntoldError("its body was too large, and the candidate allows larger ones")
        if reason is Reason.AMBIGUOUS_JSON and not (self._places_are_same and self._fund_is_same):
            raise UntoldError("its body was ambiguous, and the candidate looks in other places")
        if reason is Reason.INTERNAL_ERROR and not self._is_same:
            raise UntoldError("the validator failed, and the candidate judges otherwise")
        return whole_request(Reason.TOO_LARGE if record.size > limit else reason)

    @cached_property
    def _fund_is_cut(self) -> bool:
        return self._record.fund is not None and len(self._record.fund) > MAX_VALUE_LENGTH

    @property
    def _fund_is_stage(self) -> bool:
        """Whether the query parameter that is the fund is a stage as well."""
        plan, name = self._endpoint.compiled.plan, self._endpoint.fund.query
        return any(location.name == name for _, location in plan.queries)

    def _head(self, keys: Keys) -> Head:
        record = self._record
        headers = {b"content-type": [_MEDIA[record.media]]} if record.media in _MEDIA else {}
        if record.coding == "other":
            headers[b"content-encoding"] = [b"br"]
        if record.method_override:
            headers[b"x-http-method-override"] = [b"PUT"]
        left_out = self._endpoint.fund.query if self._fund_is_cut and not self._fund_is_stage else None
        query = urlencode([(name, value) for name, value in record.query if name != left_out])
        uses_bucket = self._policy.enforcement_key == record.enforcement_key
        key = keys.of(record.bucket if uses_bucket else record.request_bucket)
        return Head(record.method, "/", query, headers, key, record.has_body, record.length)

    @property
    def _match(self) -> Match:
        record, name = self._record, self._endpoint.fund.path
        known = name is not None and record.fund is not None and not self._fund_is_cut and self._fund_is_same
        parameters = {name: record.fund} if known and name is not None and record.fund is not None else {}
        return Match(self._endpoint, parameters, record.ambiguous)

    def _body(self) -> bytes:
        """Return a body in which the same decides. It is as long as it was where that is over the limit."""
        record, limit = self._record, self._policy.max_body_bytes
        looks = self._endpoint.compiled.plan.root is not None and record.media is None and record.coding != "other"
        if looks and record.has_body and not any(map(_is_in_body, record.places)):
            raise UntoldError("the candidate looks into the body, where was not looked before")
        if record.body is msgspec.UNSET:
            return b"x" if record.size else b""  # of one that the head objects to
        try:
            body = orjson.dumps(restored(record.body))
        except (ValueError, TypeError, RecursionError) as error:
            raise UntoldError("its body cannot be read") from error
        longest = max(record.size, record.inflated or 0)
        return body.ljust(limit + 1) if longest > limit else body


def _reason(name: str | None) -> Reason | None:
    if name is not None and name not in _REASONS:
        raise UntoldError("its reason is none that this release knows")
    return None if name is None else _REASONS[name]


def _is_in_body(place: str) -> bool:
    return not place.startswith(('{"query"', '{"weights"', '{"fundId":{"query"', '{"fundId":{"path"'))


def _split(places: list[str]) -> tuple[list[str], str | None]:
    """Return the places of stages and weights, and that of the fund."""
    funds = [place for place in places if place.startswith('{"fundId"')]
    return [place for place in places if place not in funds], funds[0] if funds else None
