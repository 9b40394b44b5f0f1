"""One request at one endpoint: judge what arrives, then decide. The proxy and `explain` both go this way.

The order in which a request is looked at is the order in which it arrives: its path, its method, its query, the
headers that describe its body, the body. A reason about the whole request ends the inspection; a finding about
a single stage does not.

    inspection = Inspection(head, match, policy, override)
    for chunk in body:
        for _ in inspection.steps(chunk):   # bounded stretches of work; others may go on between them
            ...
    for _ in inspection.closing():          # the same; `finish` does it where nobody waits
        ...
    decision = inspection.finish()          # None: there was nothing to inspect

Most bodies are short and good. One that is at hand whole may be judged by one look, without steps:

    if inspection.judge_whole(body):        # False: nothing was taken, go the way above
        decision = inspection.finish()
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import NamedTuple

from gateway.rollout.cohort import BUCKETS, bucket_of, is_inside
from gateway.rollout.decision import Decision, Enforcement, decide
from gateway.rollout.endpoints import Match
from gateway.rollout.media import coding_of, objection_to_media
from gateway.rollout.policy import REQUIRING_METHODS, Exemption, Mode, Policy, exemption, less_strict
from gateway.stages.encoding import Coding, Decoder, EncodingError, decoder
from gateway.stages.locators import Node, Pointer, Shape
from gateway.stages.query import judge_query, named
from gateway.stages.reasons import Reason
from gateway.stages.steps import Steps, run_to_completion
from gateway.stages.verdict import Findings, Verdict, whole_request
from gateway.stages.windows import BodyJudge

# To CGI and its kin - and _ are one, so every spelling of these names counts.
METHOD_OVERRIDE_HEADERS = frozenset(
    b"".join(spelling)
    for name in (b"x-http-method-override", b"x-http-method", b"x-method-override")
    for spelling in product(*((b"-", b"_") if part == b"-" else (part,) for part in re.split(rb"(-)", name)))
)


_WITHOUT_GATE = MappingProxyType({mode: Enforcement(mode, mode) for mode in Mode})


class Head(NamedTuple):
    """What the decision needs of a request's head.

    `path` and `query` are raw, without the `?` between them. `headers` are raw values by name, as of `by_name`.
    `content_length` is None when the body is chunked or there is none; `has_body` tells these apart as far as
    the head can: a chunked body may still turn out empty.
    """

    method: str
    path: str
    query: str
    headers: Mapping[bytes, Sequence[bytes]]
    request_id: str
    has_body: bool = False
    content_length: int | None = None

    def header(self, name: bytes) -> str | None:
        """Return the values of a header (lower-case `name`) as one text, None when it is absent."""
        values = self.headers.get(name)
        return b", ".join(values).decode("utf-8", "surrogateescape") if values else None


def by_name(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    """Return the values of raw header fields, in order, by their names in lower case."""
    named: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        named.setdefault(name.lower(), []).append(value)
    return named


class Inspection:
    """The inspection of one request whose endpoint is not off."""

    __slots__ = (
        "_body",
        "_closing",
        "_coding",
        "_compiled",
        "_decoder",
        "_findings",
        "_fund_in_query",
        "_head",
        "_match",
        "_policy",
        "_reason",
        "_received",
        "_required",
        "_taken_whole",
        "fault",
        "method_override",
        "mode",
    )

    def __init__(self, head: Head, match: Match, policy: Policy, override: Mode | None = None) -> None:
        self._head = head
        self._match = match
        self._policy = policy
        self.mode = less_strict(match.endpoint.mode, override)
        self.method_override = not METHOD_OVERRIDE_HEADERS.isdisjoint(head.headers)
        self.fault: Exception | None = None
        self._required = head.method in REQUIRING_METHODS
        self._findings = Findings()
        self._received = 0
        self._taken_whole = False
        self._compiled = match.endpoint.compiled
        self._body: BodyJudge | None = None
        self._closing: Steps[None] | None = None
        self._coding: Coding | None = None
        self._decoder: Decoder | None = None
        self._reason: Reason | None = None
        self._fund_in_query: str | None = None
        try:
            self._reason = self._judge_head()
        except Exception as error:  # whatever fails in the judge must become a decision
            self._fail(error)

    @property
    def wants_body(self) -> bool:
        """Whether the body has to be fed for the decision to be right."""
        return self._compiled.plan.root is not None and self._head.has_body

    @property
    def ended(self) -> bool:
        """Whether a reason about the whole request is known, so that more of the body changes nothing."""
        return self._reason is not None

    @property
    def may_refuse(self) -> bool:
        """Whether the request could still be refused, so that nothing of it may go upstream yet."""
        if self.mode is not Mode.ENFORCE or self._exemption() is not None:
            return False
        return not self._surely_outside()

    @property
    def certain(self) -> bool:
        """Whether the request will be refused, whatever is still to come of its body."""
        body = self._body
        wrong = self.ended or self._findings.count > 0 or (body is not None and body.certain)
        return (
            wrong and self.may_refuse and (self._key_is_known or round(self._match.endpoint.percent * 100) >= BUCKETS)
        )

    @property
    def enough(self) -> bool:
        """Whether as many different findings are known as a report lists."""
        return self._body is not None and self._body.enough

    def judge_whole(self, body: bytes) -> bool:
        """Judge a body that is at hand whole, as it came, by one fast look that can only say "all good".

        True says that the body was taken and is good: `finish` has the decision at once. False says nothing of the
        body, and nothing was taken or changed: it has to be fed then.
        """
        if not body or self.ended or self._received or not self._is_open(len(body)):
            return False
        compiled, findings = self._compiled, self._findings
        if len(body) > compiled.sizes.whole:
            return False
        try:
            seen = compiled.fast.document(body, required=self._required)
        except Exception:  # fed, it fails again, and that becomes the decision
            return False
        if seen is None:
            return False
        self._received = len(body)
        self._taken_whole = True
        findings.values += seen.values
        findings.fund = seen.fund
        return True

    def _is_open(self, size: int) -> bool:
        """Whether the head lets a body of this size be looked into as it is."""
        coding = self._coding
        if coding is None:  # a chunked body's fields are looked at when it is certain that there is a body
            if objection_to_media(self._head.header(b"content-type")) is not None:
                return False
            coding = coding_of(self._head.header(b"content-encoding"))
        return coding is Coding.IDENTITY and size <= self._policy.max_body_bytes

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body, as they came."""
        run_to_completion(self.steps(chunk))

    def steps(self, chunk: bytes) -> Steps[None]:
        """Take the next bytes as `feed` does, but in steps."""
        if not chunk or self._reason is not None or self._compiled.plan.root is None:
            return
        try:
            yield from self._take(chunk, self._compiled.plan.root)
        except EncodingError as error:
            self._end(error.reason)
        except Exception as error:
            self._fail(error)

    def closing(self, *, whole: bool = True) -> Steps[None]:
        """Judge in steps what is left of the body; what was done of that before is not done again.

        `whole` false says that the body was not seen to its end: what was found is a lower bound then.
        """
        if self._closing is None:
            self._closing = self._close(whole=whole)
        return self._closing

    def _close(self, *, whole: bool) -> Steps[None]:
        yield from self._close_body(whole=whole)
        if self._reason is None:
            try:
                yield from self._findings.settle()
            except Exception as error:
                self._fail(error)

    def _close_body(self, *, whole: bool) -> Steps[None]:
        opened, body = self._decoder, self._body
        if self._reason is not None or opened is None or body is None:
            return
        try:
            if whole:
                opened.finish()
            self._reason = yield from body.finish() if whole else body.give_up()
        except EncodingError as error:
            self._end(error.reason)
        except Exception as error:
            self._fail(error)
        self._body = None

    def finish(self, *, whole: bool = True) -> Decision | None:
        """Return the decision on what was fed, None when there was nothing to inspect; `whole` as in `closing`."""
        if not (self._taken_whole and self._findings.count == 0):  # then there is nothing left to do
            run_to_completion(self.closing(whole=whole))
        try:
            verdict = self._verdict(whole=whole)
        except Exception as error:
            self._fail(error)
            verdict = self._verdict(whole=whole)  # it says so
        if verdict is None:
            return None
        fund = self._fund_so_far()
        enforcement = self._enforcement(fund)
        result = decide(verdict, enforcement, self._policy, self._head.method, method_override=self.method_override)
        return Decision(self._match.endpoint.pattern, enforcement, verdict, result, fund)

    def close(self) -> None:
        """Let go of what is kept of a body that is not judged any further."""
        self._body = None

    def _judge_head(self) -> Reason | None:
        fund = self._match.endpoint.fund.query
        if fund is not None:
            self._fund_in_query = next((value for _, value in named(self._head.query, {fund})), None)
        if self._match.ambiguous:
            return Reason.AMBIGUOUS_PATH
        if self.method_override:
            return Reason.METHOD_OVERRIDE
        compiled = self._compiled
        judge_query(self._head.query, compiled.plan, compiled.vocabulary, self._findings, required=self._required)
        length = self._head.content_length
        if self.wants_body and length:
            return self._objection_to_body(length)
        return None

    def _objection_to_body(self, length: int) -> Reason | None:
        """Return what the head says against a body that is there, None when it can be looked into."""
        objection = objection_to_media(self._head.header(b"content-type"))
        if objection is not None:
            return objection
        self._coding = coding_of(self._head.header(b"content-encoding"))
        if self._coding is None:
            return Reason.ENCODING
        return Reason.TOO_LARGE if length > self._policy.max_body_bytes else None

    def _take(self, chunk: bytes, root: Node) -> Steps[None]:
        if self._decoder is None:
            if self._coding is None:
                # Only now is it certain that a chunked body is not empty.
                objection = self._objection_to_body(len(chunk))
                if objection is not None:
                    self._end(objection)
                    return
            self._decoder = decoder(self._coding or Coding.IDENTITY, self._policy.max_body_bytes)
            self._body = BodyJudge(self._compiled, root, self._findings, required=self._required)
        # What is within the limit is looked at first, so that chunk borders do not decide between two reasons.
        within = self._policy.max_body_bytes - self._received
        self._received += len(chunk)
        for piece in self._decoder.feed(chunk[:within]):
            if self._body is not None and piece:
                yield from self._body.feed(piece)
            yield
        if len(chunk) > within:
            self._end(Reason.TOO_LARGE)

    def _end(self, reason: Reason) -> None:
        self._reason = reason
        self._body = None

    def _fail(self, error: Exception) -> None:
        self.fault = error
        self._end(Reason.INTERNAL_ERROR)

    def _verdict(self, *, whole: bool) -> Verdict | None:
        had_body = self._decoder is not None or self._taken_whole
        if self._reason is None and not had_body and whole:
            self._report_absent_body()
        findings = self._findings
        if self._reason is not None:
            position = findings.position if self._reason is Reason.UNPARSEABLE else None
            return whole_request(self._reason, values=findings.values, fund=findings.fund, position=position)
        if not had_body and findings.values == 0:
            return None
        return findings.verdict(lower_bound=not whole)

    def _report_absent_body(self) -> None:
        if not self._required:
            return
        for number, location in enumerate(self._compiled.plan.locations):
            if location.required and location.shape is not Shape.QUERY:
                self._findings.values += 1
                self._findings.add(number, Reason.MISSING, None, Pointer.of(location.path))

    def _exemption(self) -> Exemption | None:
        method = self._head.method
        operation = self._match.endpoint.operation_of(method)
        return exemption(method, operation, self._policy, method_override=self.method_override)

    def _enforcement(self, fund: str | None) -> Enforcement:
        if self.mode is not Mode.ENFORCE:
            return _WITHOUT_GATE[self.mode]
        exempt = self._exemption()
        if exempt is not None:
            return Enforcement(self.mode, Mode.WARN, exempt)
        key = self._key(fund)
        if is_inside(key, self._match.endpoint.percent):
            return Enforcement(self.mode, Mode.ENFORCE, None, key, bucket_of(key))
        return Enforcement(self.mode, Mode.WARN, Exemption.OUTSIDE_PERCENTAGE, key, bucket_of(key))

    @property
    def _key_is_known(self) -> bool:
        """Whether the key of the percentage is known before the body."""
        in_body = self._policy.enforcement_key == "fundId" and self._match.endpoint.fund.body is not None
        return not in_body or not self.wants_body or self.ended

    def _surely_outside(self) -> bool:
        """Whether the head alone shows that the request is outside the percentage."""
        percent = self._match.endpoint.percent
        if not self._key_is_known:
            return round(percent * 100) == 0
        return not is_inside(self._key(self._fund_so_far()), percent)

    def _key(self, fund: str | None) -> str:
        key = self._policy.enforcement_key
        value: str | None = None
        if key == "fundId":
            value = fund
        elif key.startswith("header:"):
            value = self._head.header(key.removeprefix("header:").lower().encode())
        return value or self._head.request_id

    def _fund_so_far(self) -> str | None:
        return self._findings.fund or self._fund_in_head()

    def _fund_in_head(self) -> str | None:
        source = self._match.endpoint.fund
        if source.path is not None:
            return self._match.parameters.get(source.path)
        return self._fund_in_query
