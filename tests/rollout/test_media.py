"""Which bodies can be looked into, by their headers."""

import pytest

from gateway.rollout.media import coding_of, objection_to_media
from gateway.stages.encoding import Coding
from gateway.stages.reasons import Reason


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/merge-patch+json",
        "application/vnd.api+JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json ; Charset=Utf-8",
        "application/json; profile=x; charset=utf-8",
        'application/json; note="a;charset=latin1"',
        "application/json;",
    ],
)
def test_json_in_utf_8_is_looked_into(content_type: str) -> None:
    """application/json and application/*+json, with no charset or utf-8, are no objection."""
    assert objection_to_media(content_type) is None


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json-seq",
        "application/+json",
        "application/xjson",
        "image/svg+json",
        "application/json, application/json",
        "application/json, text/plain",
        "application/json charset=utf-8",
        "application/json; charset",
        "application/json/x",
        "json",
    ],
)
def test_anything_else_is_an_objection_to_the_type(content_type: str | None) -> None:
    """No type, another type, or one that cannot be read is refused as content_type."""
    assert objection_to_media(content_type) is Reason.CONTENT_TYPE


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=latin1",
        "application/json; charset=utf-16",
        "application/json; charset=utf8",
        'application/json; charset=""',
        "application/json; charset=utf-8; charset=utf-16",
        "application/json; CHARSET=utf-7",
        "application/json; charset*=utf-8''utf-16",
        "application/hal+json;charset=iso-8859-1",
    ],
)
def test_another_charset_is_an_objection(content_type: str) -> None:
    """A charset that is not plainly utf-8 is refused as charset."""
    assert objection_to_media(content_type) is Reason.CHARSET


@pytest.mark.parametrize(
    ("content_encoding", "coding"),
    [
        (None, Coding.IDENTITY),
        ("", Coding.IDENTITY),
        ("identity", Coding.IDENTITY),
        ("gzip", Coding.GZIP),
        (" GZip ", Coding.GZIP),
        ("deflate", Coding.DEFLATE),
        ("br", None),
        ("zstd", None),
        ("x-gzip", None),
        ("gzip, gzip", None),
        ("gzip,deflate", None),
        ("gzip, identity", None),
        ("g zip", None),
    ],
)
def test_one_known_coding_can_be_opened(content_encoding: str | None, coding: Coding | None) -> None:
    """Identity, one gzip and one deflate can be opened; anything else cannot."""
    assert coding_of(content_encoding) is coding
