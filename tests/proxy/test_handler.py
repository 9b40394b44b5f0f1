"""What is inspected, what is held, what is counted."""

import json
import uuid
from typing import Any

import pytest
from support.clock import eventually
from support.process import BOTH, Gateway, Serve, configuration
from support.upstream import RecordingUpstream
from support.wire import Client, exchange, request

from gateway.rollout.cohort import is_inside

PROXY_WAYS = BOTH

BY_ID, BY_FUND, BY_HEADER = "/by-id", "/by-fund", "/by-header"
NEVER, COMPANIES = "/never", "/funds/:fundId/companies"
BAD = b'{"stages":{"x":1}}'


def config(port: int, key: str) -> dict[str, Any]:
    body = [{"keys": "/stages"}]
    return configuration(
        port,
        defaultMode="enforce",
        enforcementKey=key,
        enforcementPercent=50,
        endpoints={
            BY_ID: {"stages": body},
            BY_FUND: {"stages": body, "fundId": {"body": "/fund"}},
            NEVER: {"stages": body, "enforcementPercent": 0},
            COMPANIES: {"stages": [{"query": "stage"}], "fundId": {"path": "fundId"}},
        },
    )


@pytest.fixture(scope="module")
def gateway(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(config(recorder.port, "requestId"))


@pytest.fixture(scope="module")
def by_fund(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(config(recorder.port, "fundId"))


@pytest.fixture(scope="module")
def by_header(serve: Serve, recorder: RecordingUpstream) -> Gateway:
    return serve(config(recorder.port, "header:X-Tenant"))


def key_that_is(inside: bool) -> str:
    return next(key for key in iter(lambda: str(uuid.uuid4()), "") if is_inside(key, 50) is inside)


def validations(gateway: Gateway) -> float:
    return gateway.metrics().total("stage_validation_validations_total")


@pytest.mark.parametrize(
    "raw",
    [
        request("POST", BY_ID),
        request("POST", BY_ID, body=b""),
        request("POST", BY_ID, chunks=[]),
        request("GET", BY_ID),
        request("GET", "/funds/7/companies"),
        request("GET", "/funds/7/companies?other=Series%20A"),
        request("DELETE", BY_ID, content_type="text/plain", body=b""),
    ],
    ids=["no body", "empty", "no chunks", "get", "no query", "other query", "delete"],
)
def test_nothing_to_inspect(raw: bytes, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A request with nothing to inspect passes through and is not counted."""
    before = validations(gateway)
    response = exchange(gateway.port, raw)
    assert response.status == 200
    assert response.value("x-stage-warning") is None
    assert validations(gateway) == before
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("inside", [True, False])
def test_percentage_goes_by_the_request_id(inside: bool, gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A request inside the percentage is refused, one outside is warned; its id decides."""
    raw = request("POST", BY_ID, ("X-Request-Id", key_that_is(inside)), body=BAD)
    response = exchange(gateway.port, raw)
    assert response.status == (422 if inside else 200)
    assert (response.value("x-stage-warning") is None) is inside
    assert bool(upstream.requests) is not inside


@pytest.mark.parametrize("inside", [True, False])
def test_percentage_goes_by_a_header(inside: bool, by_header: Gateway, upstream: RecordingUpstream) -> None:
    """With `header:NAME` the header decides, whatever the request id."""
    fields = [("X-Tenant", key_that_is(inside)), ("X-Request-Id", key_that_is(not inside))]
    response = exchange(by_header.port, request("POST", BY_ID, *fields, body=BAD))
    assert response.status == (422 if inside else 200)


def test_header_key_of_any_bytes(by_header: Gateway, upstream: RecordingUpstream) -> None:
    """A key that is no UTF-8 has its bucket like any other."""
    for number in range(0x80, 0xA0):
        response = exchange(by_header.port, request("POST", BY_ID, b"X-Tenant: " + bytes([number]), body=BAD))
        assert response.status in {200, 422}


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("size", [0, 200_000])
def test_percentage_goes_by_the_fund(inside: bool, size: int, by_fund: Gateway, upstream: RecordingUpstream) -> None:
    """With `fundId` in the body nothing goes up before the fund is known, then it decides."""
    fund = next(number for number in range(1000) if is_inside(str(number), 50) is inside)
    body = json.dumps({"pad": "x" * size, "stages": {"x": 1}, "fund": fund}).encode()
    raw = request("POST", BY_FUND, body=body)
    with Client(by_fund.port) as client:
        client.send(raw[:-10])
        eventually(lambda: by_fund.metrics().get("stage_gateway_held_bytes") == len(body) - 10)
        assert upstream.requests == []
        response = client.send(raw[-10:]).response()
    assert response.status == (422 if inside else 200)
    assert bool(upstream.requests) is not inside
    if not inside:
        assert upstream.only().framed == body


def test_body_that_cannot_be_refused_streams(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Outside the percentage the body goes up while it arrives."""
    with Client(gateway.port) as client:
        raw = request("POST", NEVER, body=BAD)
        client.send(raw[:-5])
        upstream.wait_for(1)
        assert client.send(raw[-5:]).response().values("x-stage-warning") == ["reason=disallowed_value; count=1"]


def test_query_of_every_shape(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """Whatever the server behind takes for the parameter is looked at."""
    for query in (
        "stage=Series%20A",
        "stage=Series+A",
        "stage[]=seriesa",
        "%73tage=seriesa",
        "stage=seed&stage=seriesa",
    ):
        response = exchange(gateway.port, request("GET", f"/funds/7/companies?{query}"))
        assert response.values("x-stage-warning") == ["reason=alias; count=1"], query


def test_refused_query_is_answered_before_the_body(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """A refusal names the query parameter, not a pointer."""
    fields = [("X-Request-Id", key_that_is(True))]
    response = exchange(gateway.port, request("DELETE", "/Funds/7/Companies/?stage=seriesa", *fields))
    assert json.loads(response.body)["violations"] == [
        {"parameter": "stage", "value": "seriesa", "reason": "alias", "suggestion": "series-a", "occurrences": 1}
    ]
    assert json.loads(response.body)["endpoint"] == COMPANIES
    assert upstream.requests == []


def test_request_in_flight_is_counted(gateway: Gateway, upstream: RecordingUpstream) -> None:
    """The gauge of requests in flight rises with one and falls when it is done."""
    with Client(gateway.port) as client:
        raw = request("POST", "/elsewhere", body=b"12")
        client.send(raw[:-1])
        eventually(lambda: gateway.metrics().get("stage_gateway_requests_in_flight") == 1)
        client.send(raw[-1:]).response()
    eventually(lambda: gateway.metrics().get("stage_gateway_requests_in_flight") == 0)


def test_responses_are_counted_by_upstream_and_status(serve: Serve, recorder: RecordingUpstream) -> None:
    """Every response counts once under its upstream and status; what no route takes counts under `none`."""
    config = configuration(recorder.port, routes=[{"prefix": "/api/monte-carlo/", "upstream": "monteCarlo"}])
    gateway = serve(config)
    assert exchange(gateway.port, request("GET", "/API/Monte-Carlo/x")).status == 200
    missing = exchange(gateway.port, request("GET", "/x"))
    assert missing.status == 404
    assert json.loads(missing.body)["type"] == "urn:stage-gateway:no_route"
    counted = {
        tuple(sorted(dict(labels).values())): value
        for labels, value in gateway.metrics().series("stage_gateway_requests_total").items()
    }
    assert counted == {("200", "monteCarlo"): 1, ("404", "none"): 1}
    assert gateway.metrics().get("stage_gateway_upstream_duration_seconds_count", upstream="monteCarlo") == 1


def test_answers_of_the_gateway_are_counted_under_no_upstream(serve: Serve, recorder: RecordingUpstream) -> None:
    """A refusal counts under `none`, as nothing was sent; a body that breaks off on its way up under its upstream."""
    gateway = serve(config(recorder.port, "requestId"))
    inside, outside = ("X-Request-Id", key_that_is(inside=True)), ("X-Request-Id", key_that_is(inside=False))
    assert exchange(gateway.port, request("POST", BY_ID, inside, body=BAD)).status == 422
    assert exchange(gateway.port, request("TRACE", "/x")).status == 405
    framing = ("Transfer-Encoding", "chunked")
    for fields in (inside, outside):
        head = request("POST", BY_ID, ("Content-Type", "application/json"), framing, fields)
        with Client(gateway.port) as client:
            client.send(head + b"2\r\n{ \r\n")
            eventually(lambda: gateway.metrics().get("stage_gateway_requests_in_flight") == 1)
            assert client.send(b"no size\r\n").response().status == 400
    counted = {
        (labels["upstream"], labels["code"]): value
        for labels, value in (
            (dict(found), value) for found, value in gateway.metrics().series("stage_gateway_requests_total").items()
        )
    }
    assert counted == {("none", "422"): 1, ("none", "405"): 1, ("none", "400"): 1, ("portfolio", "400"): 1}


@pytest.mark.parametrize("override", [None, "warn"])
def test_percentage_in_force(override: str | None, serve: Serve, recorder: RecordingUpstream) -> None:
    """Metric and status say the percentage where `enforce` is in force, and 0 where it is not."""
    gateway = serve(config(recorder.port, "requestId"))
    if override is not None:
        gateway.hold(BY_ID, override)
    expected = 50 if override is None else 0
    assert gateway.metrics().get("stage_gateway_enforcement_percent", endpoint=BY_ID) == expected
    assert gateway.status()["endpoints"][BY_ID]["percent"] == expected


@pytest.mark.parametrize("padding", [0, 60_000])
def test_refusal_of_broken_json_names_the_place(padding: int, serve: Serve, recorder: RecordingUpstream) -> None:
    """The answer to a body that is no JSON says at which byte, line and column, for either kind of judge."""
    simulate = "/api/monte-carlo/simulate"
    gateway = serve(configuration(recorder.port, defaultMode="enforce"))
    entry = b'{"stage": "seed", "weight": 0.5}'
    good = b'{"stageDistribution": [\n' + (entry + b",\n") * (padding // 35) + entry
    for target in ("/api/portfolio/strategies", simulate):
        answer = json.loads(exchange(gateway.port, request("POST", target, body=good + b"\n; ]}")).body)
        line = good.count(b"\n") + 2
        assert answer["position"] == {"byte": len(good) + 1, "line": line, "column": 1}
        assert answer["detail"].endswith(f": it goes wrong at byte {len(good) + 1}, line {line}, column 1")
    large = good + b"," + b" " * 300_000 + b";]}"
    answer = json.loads(exchange(gateway.port, request("POST", simulate, body=large)).body)
    assert (answer["reason"], "position" in answer) == ("unparseable", False)
