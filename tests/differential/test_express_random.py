"""Requests put together at random from everything that is odd: the law between Express and the gateway holds."""

import gzip
import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.express import APPS, READS, Pair, Understood
from support.length import examples
from support.oddities import MEDIA, PATHS, PLACES, QUERIES, TWISTS
from support.process import BOTH
from support.wire import request

PROXY_WAYS = BOTH

T = TypeVar("T")

BODY_STAGES = ["seed", "series-c+", "Series A", "seed ", "ѕeed", "s\\u0065ed", "", "\\ud800", "__proto__"]
QUERY_STAGES = ["seed", "series-c%2B", "Series+A", "seed%20", "s%65ed", "", "%E9"]
METHODS = ["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS", "PROPFIND", "LOCK"]
CHARSETS = ["utf-16-le", "utf-16-be", "utf-7", "utf-8-sig", "latin-1"]
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "Gzip": lambda body: gzip.compress(body[:5]) + gzip.compress(body[5:]),
    "gzip ": lambda body: gzip.compress(body) + b"\x00",
    "identity": bytes,
    "br": bytes,
    "": bytes,
}
FIELDS = [b"X-HTTP-Method-Override: GET", b"X-Method-Override: PUT", b"Content-Language: de", b"Connection: close"]
FINDINGS = ("invalid-stage", "unparseable", "content_type", "charset", "encoding", "encoding_bad", "ambiguous_")


def _mostly(usual: Sequence[T], odd: Sequence[T]) -> st.SearchStrategy[T]:
    return st.one_of(st.sampled_from(usual), st.sampled_from(usual), st.sampled_from(odd))


@st.composite
def _requests(draw: st.DrawFn) -> bytes:
    target = draw(_mostly([*PLACES, "/api/funds/7/companies"], PATHS))
    if draw(st.integers(0, 2)) == 0:
        query = draw(st.sampled_from(QUERIES))
        stage = draw(st.sampled_from(QUERY_STAGES))
        target += ("&" if "?" in target else "?") + (query % stage if "%" in query else query)
    method = draw(st.sampled_from(METHODS))
    fields = draw(st.lists(st.sampled_from(FIELDS), max_size=1, unique=True)) if draw(st.integers(0, 3)) == 0 else []
    if draw(st.integers(0, 5)) == 0:
        return request(method, target, *fields)
    document = draw(_mostly([PLACES.get(target, '{"stage":"%s"}')], [*TWISTS, *PLACES.values()]))
    text = document % draw(st.sampled_from(BODY_STAGES))
    body = text.encode(draw(_mostly(["utf-8"], CHARSETS)), "replace")
    media = draw(_mostly(["application/json", "application/json; charset=utf-8"], MEDIA))
    if draw(st.booleans()):
        coding = draw(st.sampled_from(list(CODINGS)))
        fields = [*fields, f"Content-Encoding: {coding}".encode()]
        body = CODINGS[coding](body)
    if draw(st.booleans()):
        return request(method, target, *fields, body=body, content_type=media)
    cut = draw(st.integers(1, len(body)))
    chunks = [chunk for chunk in (body[:cut], body[cut:]) if chunk]
    return request(method, target, *fields, chunks=chunks, content_type=media)


def _is_finding(problem: bytes) -> bool:
    return any(f"urn:stage-gateway:{reason}".encode() in problem for reason in FINDINGS)


@given(raw=_requests(), app=st.sampled_from(APPS))
@settings(
    max_examples=examples(300, 20_000),
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_random_requests(raw: bytes, app: str, pair: Pair) -> None:
    """No wrong stage of a write comes through, what does means the same, and no read is refused for its stages."""
    outcome = pair.send(app, raw)
    if raw.partition(b" ")[0].decode() in READS and b"method-override" not in raw.lower():
        assert not _is_finding(outcome.response.body), (raw, outcome.response.body)


def test_law_is_not_empty() -> None:
    """What Express understood is wrong only when a write has something other than a canonical stage in its place."""

    def wrong(endpoint: str, body: Any, method: str = "POST", **query: Any) -> bool:
        return Understood(endpoint, method, {}, query, body).is_wrong

    assert wrong("/api/value", {"stage": "Series A"})
    assert wrong("/api/value", {"stage": None})
    assert wrong("/api/value", {}, stage={"a": ["seed", "x"]})
    assert wrong("/api/strategies", {"stageAllocation": {"seed": 1, "x": 2}})
    assert wrong("/api/strategies/:id", {"stageAllocation": "seed"})
    assert wrong("/api/simulate", {"stageDistribution": [{"stage": "seed"}, {}]})
    assert wrong("/api/nested", {"items": {"a": {"stage": "x"}}})
    assert not wrong("/api/value", {"stage": "x"}, method="GET")
    assert not wrong("/api/value", {"stage": "seed"}, stage="series-c+")
    assert not wrong("/api/value", [{"stage": "x"}])
