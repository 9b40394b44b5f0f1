"""Bodies as Express reads them: whatever wrong stage it finds in one, the gateway has refused it."""

import gzip
import json
import zlib
from collections.abc import Iterator

import pytest
from support.express import APPS, READS, Pair, passed
from support.length import LONG
from support.oddities import MEDIA, PLACES, TWISTS
from support.process import BOTH
from support.wire import request

PROXY_WAYS = BOTH

JSON = "application/json"
CHARSETS = ["utf-8", "utf-7", "utf-16-le"]
if LONG:
    CHARSETS += ["utf-8-sig", "utf-16-be", "utf-16", "utf-32", "latin-1"]

# In UTF-8 this has no stage, in UTF-7 a wrong one.
HIDDEN = b'{"x":"+ACIALAAi-stage+ACIAOgAi-Series A"}'
WRONG = [
    "Series A",
    "seed ",
    " seed",
    "Seed",
    "series-a\\u0000",
    "\\u0073eed\\u200b",
    "s\\u00e9ed",
    "\\ud83d",
    "ѕeed",
    "",
]
RIGHT = ["seed", "\\u0073eed", "series-c+", "series-c\\u002b", "series-c\\u002B"]
NO_STAGES = ["null", "5", "true", "[]", "{}", '[["seed"]]', '{"seed":"seed"}', "[null]"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("stage", RIGHT)
def test_right_body_arrives_as_it_is_alone(stage: str, place: str, pair: Pair) -> None:
    """A plain JSON body with canonical stages passes, and means the same behind the gateway as without it."""
    body = (PLACES[place] % stage).encode()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert passed(pair.send("4-plain", request(method, place, body=body)))
    for app in APPS:
        assert passed(pair.send(app, request("POST", place, chunks=[body[:9], body[9:]])))


@pytest.mark.parametrize("coding", ["", "identity", "gzip", "deflate"])
@pytest.mark.parametrize("media", ["application/json; charset=utf-8", 'Application/JSON;Charset="UTF-8"'])
def test_right_body_passes_in_other_words(media: str, coding: str, pair: Pair) -> None:
    """A body that says its charset or is compressed passes too, and means the same."""
    body = b'{"stage":"seed"}'
    packed = gzip.compress(body) if coding == "gzip" else zlib.compress(body) if coding == "deflate" else body
    raw = request("POST", "/api/value", ("Content-Encoding", coding), body=packed, content_type=media)
    assert all(map(passed, pair.send_to_all(raw).values()))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("stage", WRONG)
def test_wrong_stage_is_refused(stage: str, place: str, pair: Pair) -> None:
    """A wrong stage that every Express finds in a plain body is refused in each of its places."""
    for outcome in pair.send_to_all(request("POST", place, body=(PLACES[place] % stage).encode())).values():
        assert outcome.alone[0].is_wrong
        assert outcome.response.status == 422


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("value", NO_STAGES)
def test_wrong_type_is_refused(value: str, place: str, pair: Pair) -> None:
    """What stands in a stage's place without being one is refused wherever Express takes it for one."""
    pair.send_to_all(request("POST", place, body=(PLACES[place] % "@").replace('"@"', value).encode()))
    name = {"/api/simulate": "stageDistribution", "/api/value": "stage", "/api/nested": "items"}
    pair.send_to_all(request("POST", place, body=f'{{"{name.get(place, "stageAllocation")}":{value}}}'.encode()))


@pytest.mark.parametrize("stage", ["Series A", "seed"])
@pytest.mark.parametrize("twist", TWISTS)
def test_twisted_document(twist: str, stage: str, pair: Pair) -> None:
    """However a document is written, no wrong stage that Express reads in it comes through."""
    body = (twist % stage).encode("utf-8", "surrogatepass")
    for media in (JSON, "text/plain"):
        pair.send_to_all(request("POST", "/api/value", body=body, content_type=media))
        if LONG:
            pair.send_to_all(request("POST", "/api/value", chunks=[body[:3], body[3:]], content_type=media))


@pytest.mark.parametrize("media", MEDIA)
def test_media_types_and_charsets(media: str, pair: Pair) -> None:
    """Whatever type and charset a body is said to have, no wrong stage that Express reads in it comes through."""
    written = {
        f'{{"stage":"{stage}"}}'.encode(charset) for stage in ("Series A", "seed")[: 1 + LONG] for charset in CHARSETS
    }
    if "utf-7" in media.lower().replace("\\", ""):
        written |= {b'{"stage":"Series+ACA-A"}', b"+AHsAIg-stage+ACI:+ACI-Series A+ACIAfQ-", HIDDEN}
    for body in sorted(written):
        for app in APPS:
            pair.send(app, request("POST", "/api/value", body=body, content_type=media))


def test_some_charset_is_read_by_express_alone(pair: Pair) -> None:
    """Express does decode UTF-7 and UTF-16, so that refusing them is no idle caution."""
    for charset in ("utf-7", "utf-16le"):
        body = '{"stage":"Séries"}'.encode(charset)
        raw = request("POST", "/api/value", body=body, content_type=f'application/json; charset="{charset}"')
        outcomes = pair.send_to_all(raw).values()
        assert any(outcome.alone and outcome.alone[0].stages == ["Séries"] for outcome in outcomes)
        assert all(outcome.response.status == 415 for outcome in outcomes)


def _codings(body: bytes) -> Iterator[tuple[str, bytes]]:
    raw_deflate = zlib.compressobj(wbits=-15)
    wrong, right = body, b'{"stage":"seed"}'
    for name in ("gzip", "GZIP", " gzip", "x-gzip", '"gzip"', "gzip, identity", "gzip,gzip", "identity, gzip"):
        yield name, gzip.compress(body)
    for name in ("deflate", "Deflate", "zlib"):
        yield name, zlib.compress(body)
    yield "deflate", raw_deflate.compress(body) + raw_deflate.flush()
    for name in ("identity", "Identity", "", "none", "br", "zstd", "compress", "gzip", "deflate", "chunked"):
        yield name, body
    yield "gzip", gzip.compress(body[:9]) + gzip.compress(body[9:])
    yield "gzip", gzip.compress(right) + gzip.compress(b" ")
    yield "gzip", gzip.compress(right + b" " * 20) + wrong
    yield "gzip", gzip.compress(wrong) + b"\x00" * 8
    yield "gzip", gzip.compress(wrong) + b"garbage"
    yield "gzip", gzip.compress(wrong)[:-4]
    yield "gzip", gzip.compress(wrong)[:-9] + b"\x00" * 9
    yield "gzip", gzip.compress(gzip.compress(wrong))
    yield "gzip", zlib.compress(wrong)
    yield "deflate", gzip.compress(wrong)
    yield "deflate", zlib.compress(right) + zlib.compress(wrong)
    yield "deflate", zlib.compress(wrong) + b"x"
    # Brotli, uncompressed meta-blocks: a window of 2^16, so many bytes as they are, the end (RFC 7932, section 9.2).
    yield "br", (((len(body) - 1) << 4) | (1 << 20)).to_bytes(3, "little") + body + b"\x03"


@pytest.mark.parametrize("stage", ["Series A", "seed"])
def test_content_codings(stage: str, pair: Pair) -> None:
    """However a body is coded, no wrong stage that Express reads in it comes through, and a right one is the same."""
    heard = set()
    for coding, body in _codings(f'{{"stage":"{stage}"}}'.encode()):
        for media in (JSON, "text/plain"):
            raw = request("POST", "/api/value", ("Content-Encoding", coding), body=body, content_type=media)
            outcomes = pair.send_to_all(raw)
            heard |= {coding.lower() for outcome in outcomes.values() if outcome.alone and outcome.alone[0].stages}
    assert {"gzip", "deflate", "br", "identity"} <= heard


@pytest.mark.parametrize("stage", ["Series A", "seed"])
def test_repeated_fields(stage: str, pair: Pair) -> None:
    """Fields about the body that stand twice hide no wrong stage."""
    body = f'{{"stage":"{stage}"}}'.encode()
    packed = gzip.compress(body)
    types = [
        b"Content-Type: application/json",
        b"Content-Type: text/plain",
        b"content-type: application/json;charset=utf-7",
    ]
    for first in types:
        for second in types:
            pair.send_to_all(request("POST", "/api/value", first, second, body=body, content_type=None))
    for first_coding, second_coding in (("gzip", "identity"), ("identity", "gzip"), ("gzip", "gzip"), ("", "gzip")):
        fields = [("Content-Encoding", first_coding), ("content-encoding", second_coding)]
        for content in (body, packed, gzip.compress(packed)):
            pair.send_to_all(request("POST", "/api/value", *fields, body=content))


@pytest.mark.parametrize("stage", ["Series A", "seed"])
def test_forms(stage: str, pair: Pair) -> None:
    """A form that Express takes apart into an object with a wrong stage never comes through."""
    value = stage.replace(" ", "+")
    forms = [
        f"stage={value}",
        f"stage[]={value}",
        f"%73tage={value}",
        f"[stage]={value}",
        f"stageAllocation[{value}]=1",
    ]
    forms += [f"stageDistribution[0][stage]={value}", f"items[a][stage]={value}", json.dumps({"stage": stage})]
    forms += [f'{{"x":"&{form}&"}}' for form in forms]  # JSON without a stage, and a form with one
    for form in forms:
        for place in PLACES:
            for app in APPS if LONG else APPS[::2]:
                media = "application/x-www-form-urlencoded"
                pair.send(app, request("POST", place, body=form.encode(), content_type=media))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "PUT", "PATCH", "PROPFIND", "REPORT", "PURGE"])
def test_bodies_of_any_method(method: str, pair: Pair) -> None:
    """A body is looked into whatever the method: a read passes with the same meaning, another is refused."""
    for place, document in PLACES.items():
        raw = request(method, place, body=(document % "Series A").encode())
        for outcome in pair.send_to_all(raw).values():
            assert outcome.alone[0].stages
            assert bool(outcome.behind) is (method in READS)
