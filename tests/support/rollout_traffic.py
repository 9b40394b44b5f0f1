"""Traffic of a rollout: good clients and bad ones, and each answer held against what was in force meanwhile."""

import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Any, NamedTuple

from gateway.rollout.cohort import bucket_of
from support.clock import eventually
from support.wire import BrokenOffError, Client, Response, request

STRATEGIES, STRATEGY = "/api/portfolio/strategies", "/api/portfolio/strategies/:id"
SIMULATE, COMPANIES = "/api/monte-carlo/simulate", "/api/funds/:fundId/companies"
ENDPOINTS = (STRATEGIES, STRATEGY, SIMULATE, COMPANIES)

_SPELLINGS = ("Series A", "Series.A")  # an alias already, and one that is certain
_PACE = 0.002  # seconds between two requests of a client
# Of as many requests of an endpoint one is of a client that spells its own way, and one of a client that is wrong; odd,
# so that both gateways get some.
_SPELT_EVERY, _WRONG_EVERY = 49, 299
# Where the request ids of bad clients are, in hundredths: each percentage has some just inside and just outside.
_SHARES = (9, 50, 24, 10, 49, 25)


class Kind(StrEnum):
    """What a client sends: canonical stages, a spelling that aliases cure, or what no alias cures."""

    GOOD = "good"
    SPELT = "spelt"
    WRONG = "wrong"


class Outcome(StrEnum):
    """What became of a request."""

    PASSED = "passed"
    MARKED = "marked"
    REFUSED = "refused"


class InForce(NamedTuple):
    """What a gateway does with what is invalid: the share refused at each endpoint, whether aliases pass."""

    percent: tuple[float, ...]  # as ENDPOINTS
    forgiving: bool

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> "InForce":
        """Return what a `/status` tells."""
        percent = tuple(status["endpoints"][pattern]["percent"] for pattern in ENDPOINTS)
        return cls(percent, status["vocabulary"]["acceptAliases"])

    def held(self) -> "InForce":
        """Return the same with every endpoint held at warn."""
        return self._replace(percent=(0.0,) * len(ENDPOINTS))

    def outcome(self, endpoint: str, kind: Kind, identity: str) -> Outcome:
        """Return what is to become of a request under this."""
        if kind is Kind.GOOD or (kind is Kind.SPELT and self.forgiving):
            return Outcome.PASSED
        inside = bucket_of(identity) < 100 * self.percent[ENDPOINTS.index(endpoint)]
        return Outcome.REFUSED if inside and endpoint != COMPANIES else Outcome.MARKED


@dataclass(frozen=True)
class Seen:
    """A request, what became of it, and in which of the windows it was sent and answered."""

    endpoint: str
    kind: Kind
    identity: str
    outcome: Outcome
    first: int
    last: int


def _body(endpoint: str, kind: Kind, spelling: str) -> bytes | None:
    stage = spelling if kind is Kind.SPELT else "series-a"
    if endpoint == COMPANIES:
        return None
    if endpoint == SIMULATE:
        found: Any = 1 if kind is Kind.WRONG else stage
        return json.dumps({"fundId": 1, "stageDistribution": [{"stage": found, "weight": 1}]}).encode()
    return json.dumps({"stageAllocation": [stage] if kind is Kind.WRONG else {stage: 1}}).encode()


def made(endpoint: str, kind: Kind, identity: str, spelling: str = _SPELLINGS[0]) -> bytes:
    """Return a client's request."""
    fields = ("X-Request-Id", identity)
    if endpoint == COMPANIES:
        value = {Kind.GOOD: "seed", Kind.SPELT: spelling.replace(" ", "%20"), Kind.WRONG: "Growth"}[kind]
        return request("GET", f"/api/funds/7/companies?stage={value}", fields)
    method, target = ("PUT", f"{STRATEGIES}/5") if endpoint == STRATEGY else ("POST", endpoint)
    return request(method, target, fields, body=_body(endpoint, kind, spelling))


def outcome_of(response: Response) -> Outcome:
    """Return what a response says became of the request. Raises AssertionError for what none may be answered with."""
    if response.status == 422:
        return Outcome.REFUSED
    assert response.status == 200, response
    return Outcome.MARKED if response.values("x-stage-warning") else Outcome.PASSED


def _identities() -> Iterator[str]:
    """Yield request ids that are by turns in these hundredths."""
    while True:
        for share in _SHARES:
            yield next(one for one in iter(lambda: str(uuid.uuid4()), None) if bucket_of(one) // 100 == share)


class Traffic:
    """Clients of two gateways. What may become of their requests is told in windows, one after the other."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._windows: list[set[InForce]] = []
        self._seen: list[Seen] = []
        self._begin = 0
        self._faults: list[BaseException] = []
        self._bad_client: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def allow(self, *in_force: InForce) -> set[InForce]:
        """Begin a window in which this is what may be in force; more may be added to what is returned."""
        window = set(in_force)
        self._windows.append(window)
        self._begin = len(self._seen)
        return window

    def fill(self, count: int) -> None:
        """Wait until each endpoint has had so many requests since the window began."""
        eventually(lambda: self._faults or len(self._seen) - self._begin >= count * len(ENDPOINTS), timeout=60)

    def send_rubbish(self, endpoint: str | None) -> None:
        """Let a further client send nothing but what is wrong to an endpoint, beside all others; None ends it."""
        self._bad_client = endpoint

    @contextmanager
    def flowing(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join(10)

    def _run(self) -> None:
        try:
            with suppress(StopIteration):
                self._send_all()
        except BaseException as error:  # told where answers are looked at
            self._faults.append(error)

    def _send_all(self) -> None:
        identities, spelt = _identities(), 0
        clients = [Client(port) for port in self._ports]
        try:
            for number in count():
                if self._ended.wait(_PACE):
                    return
                endpoint, turn = ENDPOINTS[number % len(ENDPOINTS)], number // len(ENDPOINTS)
                port = turn % len(clients)
                kind = Kind.GOOD
                if turn % _WRONG_EVERY == 7:
                    kind = Kind.WRONG
                elif turn % _SPELT_EVERY == 20:
                    kind = Kind.SPELT
                    spelt += 1
                identity = str(uuid.uuid4()) if kind is Kind.GOOD else next(identities)
                self._exchange(clients[port], endpoint, kind, identity, _SPELLINGS[spelt % 2])
                if self._bad_client is not None and number % 4 == 0:
                    self._exchange(clients[port], self._bad_client, Kind.WRONG, next(identities))
        finally:
            for client in clients:
                client.__exit__()

    def _exchange(self, client: Client, endpoint: str, kind: Kind, identity: str, spelling: str = "") -> None:
        first = len(self._windows) - 1
        try:
            response = client.send(made(endpoint, kind, identity, spelling or _SPELLINGS[0])).response()
        except BrokenOffError as error:
            raise AssertionError(f"{endpoint}: {error}") from error
        self._seen.append(Seen(endpoint, kind, identity, outcome_of(response), first, len(self._windows) - 1))

    def check(self) -> Counter[tuple[Kind, Outcome]]:
        """Hold every answer so far against what was in force meanwhile; returns how many there were of each kind.

        Raises AssertionError with the first that nothing in force allowed.
        """
        assert not self._faults, self._faults
        seen = list(self._seen)
        for one in seen:
            allowed = {state for window in self._windows[one.first : one.last + 1] for state in window}
            expected = {state.outcome(one.endpoint, one.kind, one.identity) for state in allowed}
            assert one.outcome in expected, (one, bucket_of(one.identity), allowed)
        return Counter((one.kind, one.outcome) for one in seen)
