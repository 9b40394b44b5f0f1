"""The express lane and the general way mean the same: what one gateway does with it, another does without it.

Random requests go through two gateways that differ in `STAGE_GATEWAY_LANE` alone, each before an upstream of its own
that answers as the request asks. Equal, byte for byte, are: what the upstream gets, what the client gets, what becomes
of the client's connection, every count in the metrics, the values seen, and the log.

Only time may tell the two apart, and what hangs on it:

- how long something took, and what a chunked body is cut into on its way;
- whether a client that sends its body unasked is asked for it (100);
- how much still comes of a response that the upstream breaks off, and how much of a body still goes up once the
  upstream has answered;
- whether a request that may be repeated meets a connection that had idled, and so is;
- whether a request that is refused in the middle of its body is the last on its connection;
- whether a well-formed request is still carried that came together with one that is malformed.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from support.bodies import ENDPOINTS
from support.length import examples
from support.plain_requests import Requests
from support.series import PAUSE, Round, Sent
from support.ways import Ways

from gateway.proxy.plain import plain_request

ENFORCED = dict.fromkeys(ENDPOINTS, "enforce")
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "enforces": {"endpointMode": {**ENFORCED, "/off": "off", "/api/simulate": "warn"}, "enforceWriteOnly": True},
    "warns": {
        "endpointMode": {**dict.fromkeys(ENDPOINTS, "warn"), "/off": "off", "/api/simulate": "enforce"},
        "dryRun": True,
        "enforcementKey": "fundId",
        "metrics": {"maxFunds": 3},
    },
    "accepts aliases": {
        "endpointMode": ENFORCED,
        "enforcementKey": "header:X-Case",
        "vocabulary": {"acceptAliases": True},
        "enforcementPercent": 66.6,
    },
}
SAMPLES: dict[str, tuple[str, bytes | None, *tuple[bytes, ...]]] = {
    "get": ("GET /elsewhere", None),
    "read": ("GET /api/funds/7/companies?stage=Series%20A", None),
    "off": ("POST /off", b'{"stage":"x"}'),
    "warned": ("PUT /api/simulate", b'{"stageDistribution":[{"stage":"Seed","weight":1}]}'),
    "right": ("POST /api/value", b'{"stage":"seed"}'),
    "wrong": ("POST /api/value", b'{"stage":"Seriez"}'),
    "broken": ("POST /api/value", b'{"stage":'),
    "empty": ("POST /api/value", b""),
    "last": ("DELETE /api/value", None, b"Connection: close"),
    "malformed": ("POST /api/value", b"{}", b"X a: 1"),
}
SERIES = examples(400, 15_000)


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def ways(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    config = {"endpoints": dict(ENDPOINTS), **CONFIGURATIONS[request.param]}
    with Ways(tmp_path_factory.mktemp("ways"), config) as both:
        yield both


@pytest.fixture
def counted(ways: Ways) -> Iterator[Ways]:
    """Hold the counts to each other, too, when all was carried."""
    with ways.counting():
        yield ways


def test_random_requests(counted: Ways, request: pytest.FixtureRequest) -> None:
    """Whatever is asked, alone or behind others, whole or cut, and however the upstream answers: both do the same."""
    requests = Requests(seed=list(CONFIGURATIONS).index(request.node.callspec.params["ways"]))
    for _ in range(SERIES):
        counted.hold(requests.series())


def test_most_requests_are_plain() -> None:
    """Two of three random requests may go by the lane as far as they tell, and most of those come alone and whole."""
    requests = Requests(seed=0)
    rounds = [one for _ in range(2_000) for one in requests.series()]
    plain = [[is_plain(one) for one in some.requests] for some in rounds]
    alone = [one for some, (one, *more) in zip(rounds, plain, strict=True) if not more and len(some.pieces) == 1]
    assert sum(map(sum, plain)) / sum(map(len, plain)) > 0.6
    assert sum(alone) / sum(map(len, plain)) > 0.4


def is_plain(sent: Sent) -> bool:
    found = plain_request(sent.raw)
    return found is not None and found.size == len(sent.raw)


def written(line: str, body: bytes | None, case: int, *fields: bytes) -> Sent:
    framing = [] if body is None else [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    lines = [line.encode() + b" HTTP/1.1", b"Host: a", b"X-Case: %d" % case, *framing, *fields]
    return Sent(b"\r\n".join([*lines, b"", body or b""]), line.partition(" ")[0], case=str(case))


def sample(name: str, case: int) -> Sent:
    """Return a short request of one of the kinds that take different turns on their way."""
    line, body, *fields = SAMPLES[name]
    return written(line, body, case, *fields)


everywhere = pytest.mark.parametrize("ways", list(CONFIGURATIONS)[: examples(1, 3)], indirect=True)


@everywhere
@pytest.mark.parametrize("name", SAMPLES)
def test_cut_anywhere(name: str, counted: Ways) -> None:
    """A request that comes in two pieces is carried as a whole one is, wherever it is cut; so is one byte by byte."""
    size = len(sample(name, 100).raw)
    many = [[Round.of(sample(name, 100 + cut), cuts=[cut])] for cut in range(1, size)]
    in_bytes = [[Round.of(sample(name, 100), cuts=range(1, size))]]
    for pause in (0.0, PAUSE):
        counted.hold_together(many, pause * 10)
        counted.hold_together(in_bytes, pause)


@everywhere
@pytest.mark.parametrize("second", ["get", "right", "wrong", "last"])
@pytest.mark.parametrize("first", ["get", "warned", "wrong", "empty"])
def test_cut_between_two(first: str, second: str, counted: Ways) -> None:
    """Two requests behind each other are carried as two, wherever they are cut; so are they at once."""
    pair = [sample(first, 100), sample(second, 100)]
    places = range(0, len(pair[0].raw + pair[1].raw), examples(7, 1))
    many = [
        [Round.of(sample(first, 100 + cut), sample(second, 500 + cut), cuts=[cut] if cut else [])] for cut in places
    ]
    counted.hold_together(many, PAUSE * 10)


@everywhere
@pytest.mark.parametrize("name", SAMPLES)
def test_client_that_leaves_anywhere(name: str, counted: Ways) -> None:
    """When a client leaves in the middle of a request, as much goes up by one way as by the other, and is counted."""
    size = len(sample(name, 100).raw)
    parts = {str(100 + sent): sample(name, 100 + sent).raw[:sent] for sent in range(1, size + 1)}
    for reset in (False, True):
        lane, general = (side.leave(parts, reset=reset) for side in counted.sides)
        assert lane == general
