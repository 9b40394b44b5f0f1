"""`explain`: its steps, what it comes to, and that the running gateway comes to the same.

The property sends random requests over a raw socket to one gateway process, which is told to reload whenever the
next example is to be judged by another configuration, and asks `explain` about each with that configuration.
"""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, example, given, settings
from hypothesis import strategies as st
from support.length import examples
from support.process import Gateway, configuration
from support.upstream import RecordingUpstream
from support.wire import chunked, exchange

from gateway.proxy.explain import Explanation, explain
from gateway.rollout.cohort import bucket_of
from gateway.rules.load import Rules, parse

STRATEGIES = "/api/portfolio/strategies"
SIMULATE = "/api/monte-carlo/simulate"
JSON = (b"Content-Type", b"application/json")
ID = (b"X-Request-Id", b"request-7")
ALLOCATION = b'{"stageAllocation":{"Series A":1,"nonsense":2}}'


def rules(**members: Any) -> Rules:
    return parse(json.dumps(configuration(1, 2, **members)))


def ask(
    method: str = "POST",
    target: str = STRATEGIES,
    *fields: tuple[bytes, bytes],
    body: bytes = b"",
    **members: Any,
) -> Explanation:
    return explain(rules(**members), method, target, (ID, JSON, *fields), body)


def topics(told: Explanation) -> list[str]:
    return [topic for topic, _ in told.steps]


def test_refusal_is_told_step_by_step_with_its_document() -> None:
    """A request that is refused is told from its route to its result, with each violation and the 422 document."""
    told = ask(body=ALLOCATION, endpointMode={STRATEGIES: "enforce"}, enforcementPercent=100)
    assert told.steps == [
        ("route", "to upstream 'portfolio' (127.0.0.1:1)"),
        ("endpoint", STRATEGIES),
        ("mode", "enforce in the configuration"),
        (
            "percentage",
            f"key 'request-7' is in bucket {bucket_of('request-7')} of 10000; 100 % takes those below 10000",
        ),
        ("stages", "2 looked at, 2 found wrong; first reason alias"),
        ("violation", "/stageAllocation/Series A: \"Series A\" alias (1 ×); did you mean 'series-a'?"),
        ("violation", '/stageAllocation/nonsense: "nonsense" disallowed_value (1 ×)'),
        ("result", "reject: answered 422, nothing is sent upstream"),
    ]
    assert (told.outcome, told.status, told.refused) == ("reject", 422, True)
    assert told.problem is not None
    assert (told.problem["requestId"], told.problem["count"], told.problem["instance"]) == ("request-7", 2, STRATEGIES)


STEPS: list[tuple[str, Explanation, str, list[str]]] = [
    ("pass", ask(body=b'{"stageAllocation":{"seed":1}}'), "pass", ["route", "endpoint", "mode", "stages", "result"]),
    ("no endpoint", ask("POST", "/other", body=ALLOCATION), "pass_through", ["route", "endpoint"]),
    ("off", ask(body=ALLOCATION, defaultMode="off"), "pass_through", ["route", "endpoint", "mode"]),
    ("nothing to inspect", ask(), "pass_through", ["route", "endpoint", "mode", "inspection"]),
    ("no route", ask("POST", "/x", routes=[{"prefix": "/api/", "upstream": "portfolio"}]), "refused", ["head"]),
    ("malformed", ask("post", "/x"), "refused", ["head"]),
    (
        "too big to be held",
        ask(body=ALLOCATION, defaultMode="enforce", limits={"heldBytes": 10}),
        "refused",
        ["route", "endpoint", "body"],
    ),
]


@pytest.mark.parametrize(("name", "told", "outcome", "steps"), STEPS, ids=[row[0] for row in STEPS])
def test_steps_end_where_the_request_is_decided(name: str, told: Explanation, outcome: str, steps: list[str]) -> None:
    """No step is told that the gateway would not take."""
    assert (told.outcome, topics(told)) == (outcome, steps)
    assert told.refused is (outcome == "refused")
    assert (told.problem is not None) is told.refused


DEMOTIONS = [
    (ask("GET", f"{STRATEGIES}?x=1", body=ALLOCATION, defaultMode="enforce"), "GET, HEAD and OPTIONS never block"),
    (
        ask("POST", SIMULATE, body=b'{"stageDistribution":5}', defaultMode="enforce", enforceWriteOnly=True),
        "enforceWriteOnly is on and the endpoint only reads",
    ),
    (
        ask(body=ALLOCATION, defaultMode="enforce", enforcementPercent=0),
        "the request is outside the enforcement percentage",
    ),
]


@pytest.mark.parametrize(("told", "why"), DEMOTIONS, ids=["method", "operation", "percentage"])
def test_effective_mode_says_why_enforce_does_not_refuse(told: Explanation, why: str) -> None:
    """When enforce acts as warn the reason is told, and the header that the response would carry."""
    assert dict(told.steps)["effective mode"] == f"warn: {why}"
    assert (told.outcome, told.refused) == ("warn", False)
    assert [name for name, _ in told.response_fields] == ["X-Stage-Warning"]


def test_made_up_request_id_is_owned_up_to() -> None:
    """Without a request id of its own the bucket is one of many, and the step says so."""
    told = explain(rules(defaultMode="enforce"), "POST", STRATEGIES, [JSON], ALLOCATION)
    assert "made up" in dict(told.steps)["percentage"]


def test_path_that_only_some_servers_read_so_is_named() -> None:
    """A path that is an endpoint only after normalising is told to be one that not every server reads so."""
    told = ask("POST", "//api/portfolio/strategies", body=b"{}", defaultMode="enforce")
    assert dict(told.steps)["endpoint"] == f"{STRATEGIES}; not every server would read the path so"
    assert (told.outcome, told.status) == ("reject", 400)


def test_control_characters_of_a_path_are_not_printed() -> None:
    """A parameter of the path is shown quoted, so that it cannot steer a terminal."""
    assert "\x1b" not in dict(ask("GET", "/api/funds/%1b[31m/companies").steps)["endpoint"]


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ([], "reject"),
        ([(b"Content-Length", b"3")], "reject"),
        ([(b"Transfer-Encoding", b"chunked")], "reject"),
        ([(b"Content-Length", b"x")], "refused"),
        ([(b"Content-Length", b"3"), (b"Content-Length", b"3")], "refused"),
        ([(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"3")], "refused"),
    ],
)
def test_body_is_framed_as_a_client_would(fields: list[tuple[bytes, bytes]], outcome: str) -> None:
    """A missing or wrong Content-Length is put right; what no client may send is malformed."""
    assert ask("POST", STRATEGIES, *fields, body=ALLOCATION, defaultMode="enforce").outcome == outcome


# The property: what `explain` says is what the gateway does.

CONFIGURATIONS: list[dict[str, Any]] = [
    {"defaultMode": "warn"},
    {"defaultMode": "warn", "dryRun": True, "vocabulary": {"acceptAliases": True}},
    {"defaultMode": "enforce", "limits": {"maxBodyBytes": 90, "maxHeadBytes": 1024}},
    {"defaultMode": "enforce", "enforcementPercent": 50, "dryRun": True, "enforceWriteOnly": True},
    {"defaultMode": "enforce", "enforcementPercent": 50, "enforcementKey": "fundId", "limits": {"heldBytes": 60}},
    {
        "defaultMode": "enforce",
        "dryRun": True,
        "enforcementPercent": 50,
        "enforcementKey": "header:X-Tenant",
        "routes": [{"prefix": "/api/", "upstream": "monteCarlo"}],
        "endpointMode": {"/api/:kind": "off", "/api/all/:x": "warn"},
        "endpoints": {
            STRATEGIES: {
                "stages": [{"keys": "/stageAllocation", "required": True}, {"query": "stage", "required": True}],
                "weightTolerance": 0.01,
            },
            "/api/all/:x": {"stages": [{"value": "/*"}]},
            "/api/:kind": {"stages": [{"value": ""}]},
            "/api/funds/:fundId/companies": {"stages": [{"query": "stage"}], "fundId": {"path": "fundId"}},
            SIMULATE: {
                "operation": "read",
                "stages": [{"each": "/stageDistribution", "field": "stage", "weight": "weight"}],
                "fundId": {"body": "/fundId"},
                "enforcementPercent": 90,
                "weightTolerance": 0,
            },
        },
    },
]

visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x17F), max_size=6)
odd_paths = st.builds("{}/{}".format, st.sampled_from(["", "/api", "/api/all", STRATEGIES]), visible)
known_paths = st.sampled_from(
    [
        *[STRATEGIES, SIMULATE, "/api/funds/7/companies", f"{STRATEGIES}/5", "/api/all/x"] * 4,
        *["/api/x", "/", "/other", "*", "api/x", f"http://h{SIMULATE}", f"http://h:1?{SIMULATE}", "http://[h/"],
        *[f"{STRATEGIES}/", f"{STRATEGIES}//", f"/{STRATEGIES}", STRATEGIES.upper(), "/api;x/all/y", "/api/./all/y"],
        *["/api/portfolio%2fstrategies", "/api/%70ortfolio/strategies", "/api/all/%00", "/api/all/é", "/api/all/%ff"],
        *[f"/x/..{SIMULATE}", f"{SIMULATE}#x", "/api\\all\\x", "/api/all/\x7f", "/api/all/" + "x" * 1000, "h:443"],
    ]
)
paths = st.one_of(*[known_paths] * 9, odd_paths)
stages = st.sampled_from(["seed", "series-a", "pre-seed", "Series A", " SEED ", "preseed", "seriesc", "", "ѕeed", "x"])
queries = st.sampled_from(["", "", "", "?", "?fundId=3", "?stage", "?x=%zz", "?stage%5b0%5d=bad&[stage]=seed"]) | (
    st.lists(stages, max_size=3).map(lambda some: "?" + "&".join(f"stage={stage.replace(' ', '+')}" for stage in some))
)
weights = st.sampled_from([0, 0.5, 1, -1, "1", None, True, 1e300])
anything: st.SearchStrategy[object] = stages | weights | st.just({}) | st.just([])
elements = st.fixed_dictionaries({}, optional={"stage": anything, "weight": weights}) | anything
documents = st.fixed_dictionaries(
    {},
    optional={
        "fundId": st.sampled_from([1, 2, 10**20, "3", None, 2.5]),
        "stageAllocation": st.dictionaries(stages, weights, max_size=4) | anything,
        "stageDistribution": st.lists(elements, max_size=4) | anything,
    },
)
texts = (documents | anything).map(lambda document: json.dumps(document).encode())
raw_bodies = st.sampled_from(
    [
        *[b"", b"nonsense", b"[" * 2000, b"\xef\xbb\xbf{}", b'{"stageAllocation":{"seed":1},"stageAllocation":{}}'],
        *[b'{"stageAllocation":{"seed":1,"\\u0073eed":1}}', b'{"__proto__":1,"stageAllocation":{}}', b'"\xff"', b"nul"],
        *[b'{"stageDistribution":[{"stage":"seed","stage":"seed"}]}', b'{"fundId":1,"fundId":2}', b"{}" + b" " * 100],
    ]
) | st.binary(max_size=20)
bodies = st.just(b"") | texts | texts | raw_bodies
codings = st.sampled_from([*[None] * 12, b"identity", b"GZIP", b"gzip", b"deflate", b"br", b"gzip, gzip", b""])
types = st.sampled_from(
    [
        *[b"application/json"] * 12,
        *[None, b"", b"text/json", b"application/problem+json", b"Application/JSON ; Charset=UTF-8", b"json"],
        *[b"application/json; charset=latin-1", b'application/json;charset="utf-8"', b"application/json; x", b"\xff/y"],
    ]
)
request_ids = st.sampled_from([*[f"r{n}".encode() for n in range(20)], None, None, b"", b"a b", b"x" * 129, b"\xe9"])
odd_values = st.binary(max_size=6).filter(lambda value: not {*b"\r\n"} & {*value})
known_others = st.sampled_from(
    [
        *[(b"X-Tenant", b"t%d" % n) for n in range(6)],
        *[(b"X-HTTP-Method-Override", b"PUT"), (b"x-method-override", b""), (b"X-Stage-Warning", b"mine")],
        *[(b"Expect", b"100-continue"), (b"Expect", b"more"), (b"Connection", b"close"), (b"Connection", b"host")],
        *[(b"Content-Type", b"application/json"), (b"Host", b"second"), (b"Host", b"a b"), (b"X-Request-Id", b"r1")],
        *[(b"X-Big", b"x" * 900), (b"X Y", b"z"), (b"X-Null", b"\x00"), (b"", b"x"), (b"X-Tab", b"a\tb\x80")],
        *[(b"Transfer-Encoding", coding) for coding in (b"gzip", b"gzip, chunked", b"chunked, gzip", b"identity")],
    ]
)
others = st.one_of(*[known_others] * 9, st.tuples(st.just(b"X-Odd"), odd_values))
methods = st.sampled_from(
    [*["POST", "PUT", "GET"] * 4, "HEAD", "OPTIONS", "PATCH", "DELETE", "TRACE", "CONNECT", "post", "FOO", "PROPFIND"]
)


@dataclass(frozen=True)
class Sent:
    """One request; `body` is what arrives without its framing."""

    method: str
    target: str
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def chunked(self) -> bool:
        return any(name == b"Transfer-Encoding" for name, _ in self.fields)

    def raw(self) -> bytes:
        hosts = [value for name, value in self.fields if name.lower() == b"host"]
        lines = [f"{self.method} {self.target} HTTP/1.1".encode(), *([] if hosts else [b"Host: gateway.example"])]
        lines += [b"%b: %b" % field for field in self.fields]
        if self.chunked:
            middle = len(self.body) // 2
            parts = [part for part in (self.body[:middle], self.body[middle:]) if part]
            return b"\r\n".join([*lines, b"", chunked(*parts)])
        length = [b"Content-Length: %d" % len(self.body)] if self.body else []
        return b"\r\n".join([*lines, *length, b"", self.body])


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    kind, coding, identity = draw(types), draw(codings), draw(request_ids)
    body, in_chunks = draw(bodies), draw(st.integers(0, 3)) == 0
    if coding in (b"gzip", b"GZIP") and draw(st.booleans()):
        body = gzip.compress(body, mtime=0) + draw(st.sampled_from([b"", b"", b"junk"]))
    fields = [(b"Content-Type", kind)] if kind is not None else []
    fields += [(b"Content-Encoding", coding)] if coding is not None else []
    fields += [(b"X-Request-Id", identity)] if identity is not None else []
    fields += draw(st.lists(others, max_size=1)) if draw(st.booleans()) else []
    fields += [(b"Transfer-Encoding", b"chunked")] if in_chunks else []
    return Sent(draw(methods), draw(paths) + draw(queries), tuple(fields), body)


class Running:
    """The gateway process, and the configuration that it has now."""

    def __init__(self, serve: Callable[..., Gateway], upstream: RecordingUpstream) -> None:
        self._files = [configuration(upstream.port, **members) for members in CONFIGURATIONS]
        self.rules = [parse(json.dumps(file)) for file in self._files]
        self.gateway: Gateway = serve(self._files[2])  # the head's limit is the one of the start
        self._token = self.gateway.token()
        self._number = 2

    def use(self, number: int) -> None:
        if number != self._number:
            self.gateway.write(self._files[number])
            assert self.gateway.call("/-/reload", method="POST", token=self._token)[0] == 200
            self._number = number

    def totals(self) -> dict[tuple[str, str], int]:
        endpoints = self.gateway.status()["endpoints"]
        return {(name, result): n for name, e in endpoints.items() for result, n in e["totals"].items()}


@pytest.fixture(scope="module")
def running(serve: Callable[..., Gateway], recorder: RecordingUpstream) -> Running:
    return Running(serve, recorder)


@settings(
    max_examples=examples(250, 5_000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(number=2, sent=Sent("GET", "/", ((b"X-Big", b"x" * 900),), b""))
@example(number=2, sent=Sent("GET", "/", ((b"X-Big", b"x" * 1000),), b""))
@example(number=2, sent=Sent("GET", "/", ((b"X-Big", b"x" * 1100),), b""))
@example(number=2, sent=Sent("GET", "/" + "x" * 1100, (), b""))
@example(number=0, sent=Sent("GET", "/", ((b"X", b"y"),) * 300, b""))
@example(
    number=2,
    sent=Sent(
        "POST",
        STRATEGIES,
        (
            (b"Content-Type", b"application/json"),
            (b"Content-Encoding", b"deflate"),
            (b"Transfer-Encoding", b"chunked"),
        ),
        b"{}".ljust(102),
    ),
)
@given(number=st.integers(0, len(CONFIGURATIONS) - 1), sent=requests())
def test_explain_tells_what_the_running_gateway_does(running: Running, number: int, sent: Sent) -> None:
    """For any request `explain` and the gateway agree on outcome, status, X-Stage headers and problem document."""
    # Whether chunks are held before they are judged to be hopeless depends on how they arrive.
    assume(not sent.chunked or len(sent.body) <= running.rules[number].limits.held_bytes)
    running.use(number)
    before = running.totals()
    response = exchange(running.gateway.port, sent.raw())
    after = running.totals()
    identity = (response.value("x-request-id") or "").encode()
    told = explain(running.rules[number], sent.method, sent.target, identified(sent, identity), sent.body)
    event(told.outcome)

    forwarded = response.value("x-upstream") == "yes"
    assert forwarded is not told.refused
    if told.refused:
        assert response.status == told.status
    assert dict(stage_fields(response.fields)) == dict(told.response_fields)
    counted = [(key, after[key] - total) for key, total in before.items() if after[key] != total]
    decided = told.decision
    assert counted == ([] if decided is None else [((decided.endpoint, decided.result), 1)])
    if told.refused and sent.method != "HEAD":
        document = json.loads(response.body)
        assert told.problem is not None
        assert document | {"requestId": ""} == told.problem | {"requestId": ""}


def stage_fields(fields: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in fields if name.lower().startswith(b"x-stage-")]


def identified(sent: Sent, identity: bytes) -> list[tuple[bytes, bytes]]:
    """Return the request's fields, with the id that the gateway made for it where it had no good one."""
    given_ids = [value for name, value in sent.fields if name.lower() == b"x-request-id"]
    if given_ids == [identity]:
        return list(sent.fields)
    kept = [(name, value) for name, value in sent.fields if name.lower() != b"x-request-id"]
    return [*kept, (b"X-Request-Id", identity)]
