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
from itertools import product
from types import MappingProxyType

from gateway.rollout.decision import Decision, Enforcement, decide
from gateway.rollout.endpoints import Match
from gateway.rollout.gate import Gate
from gateway.rollout.good import GoodRequests
from gateway.rollout.head import Head
from gateway.rollout.media import coding_of, objection_to_media
from gateway.rollout.policy import REQUIRING_METHODS, Mode, Policy, less_strict
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


class Inspection:
    """The inspection of one request whose endpoint is not off."""

    __slots__ = (
        "_body",
        "_closing",
        "_coding",
        "_compiled",
        "_decoder",
        "_findings",
        "_fund_in_head",
        "_gate",
        "_head",
        "_match",
        "_policy",
        "_reason",
        "_received",
        "_required",
        "_taken_whole",
        "_whole",
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
        self._whole = True
        self._compiled = match.endpoint.compiled
        self._body: BodyJudge | None = None
        self._closing: Steps[None] | None = None
        self._coding: Coding | None = None
        self._decoder: Decoder | None = None
        self._reason: Reason | None = None
        self._fund_in_head: str | None = None
        self._gate: Gate | None = None
        if self.mode is Mode.ENFORCE:
            self._gate = Gate(head, match.endpoint, policy, method_override=self.method_override)
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
        gate = self._gate
        return gate is not None and gate.may_enforce(self._fund, body_is_known=self._body_is_known)

    @property
    def certain(self) -> bool:
        """Whether the request will be refused, whatever is still to come of its body."""
        body = self._body
        wrong = self.ended or self._findings.count > 0 or (body is not None and body.certain)
        gate = self._gate
        return wrong and gate is not None and gate.surely_enforces(self._fund, body_is_known=self._body_is_known)

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

    def good_requests(self) -> GoodRequests | None:
        """Return what becomes of every good request with such a head, None where that depends on more than its body.

        To be asked before anything of a body was taken.
        """
        gate = self._gate
        enforcement = _WITHOUT_GATE[self.mode] if gate is None else gate.enforcement_of_all()
        is_plain = self._coding is Coding.IDENTITY and self._reason is None and self._findings.count == 0
        if enforcement is None or not is_plain or not self.wants_body:
            return None
        return GoodRequests(
            self._match.endpoint.pattern,
            self._compiled,
            enforcement,
            required=self._required,
            values=self._findings.values,
            fund=self._fund_in_head,
            largest=self._policy.max_body_bytes,
        )

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

        `whole` false says that the body was not seen to its end: what was found is a lower bound then. The first call
        says so for all that come after it.
        """
        if self._closing is None:
            self._whole = whole
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
            verdict = self._verdict()
        except Exception as error:
            self._fail(error)
            verdict = self._verdict()  # it says so
        return None if verdict is None else self.decision_on(verdict)

    def decision_on(self, verdict: Verdict) -> Decision:
        """Return the decision on the request when this is the verdict on it."""
        fund = self._fund
        gate = self._gate
        enforcement = _WITHOUT_GATE[self.mode] if gate is None else gate.enforcement(fund)
        result = decide(verdict, enforcement, self._policy, self._head.method, method_override=self.method_override)
        return Decision(self._match.endpoint.pattern, enforcement, verdict, result, fund)

    def close(self) -> None:
        """Let go of what is kept of a body that is not judged any further."""
        self._body = None

    def _judge_head(self) -> Reason | None:
        fund = self._match.endpoint.fund
        if fund.path is not None:
            self._fund_in_head = self._match.parameters.get(fund.path)
        elif fund.query is not None:
            self._fund_in_head = next((value for _, value in named(self._head.query, {fund.query})), None)
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
                # Only now is it certain that a chunked body is not empty; how long it is is not known yet.
                objection = self._objection_to_body(0)
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

    def _verdict(self) -> Verdict | None:
        had_body = self._decoder is not None or self._taken_whole
        if self._reason is None and not had_body and self._whole:
            self._report_absent_body()
        findings = self._findings
        if self._reason is not None:
            position = findings.position if self._reason is Reason.UNPARSEABLE else None
            return whole_request(self._reason, values=findings.values, fund=findings.fund, position=position)
        if not had_body and findings.values == 0:
            return None
        return findings.verdict(lower_bound=not self._whole)

    def _report_absent_body(self) -> None:
        if not self._required:
            return
        for number, location in enumerate(self._compiled.plan.locations):
            if location.required and location.shape is not Shape.QUERY:
                self._findings.values += 1
                self._findings.add(number, Reason.MISSING, None, Pointer.of(location.path))

    @property
    def _body_is_known(self) -> bool:
        """Whether nothing is still to come of the body that would change anything."""
        return not self.wants_body or self.ended

    @property
    def _fund(self) -> str | None:
        """The fund id, as far as it is known."""
        return self._findings.fund or self._fund_in_head
