"""What the strict_filter before yajl refuses, carries over, and leaves out."""

import random
from collections.abc import Iterable

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.judges import in_chunks
from support.length import examples

from gateway.stages.strict import LONG, StrictFilter
from gateway.stages.syntax import MAX_DEPTH

PIECE = 16 * 1024


def passed(pieces: Iterable[bytes]) -> bytes:
    strict_filter = StrictFilter()
    return b"".join([*(strict_filter.pass_on(piece) for piece in pieces), strict_filter.finish()])


def refuses(body: bytes, size: int) -> bool:
    try:
        passed(in_chunks(body, size))
    except ValueError:
        return True
    return False


REFUSED = [
    b"\x0c[]",
    b"[\x0b]",
    b"[\x00]",
    b'["\x1f"]',
    b'["\xff"]',
    b'["\xc3"]',
    b'["\xc3',
    b'[]"',
    b'[] "abc',
    b'[]"\\ud83d\\ude00',
    b'["\xed\xa0\x80"]',
    b'["\\ud800"]',
    b'["\\uD800',
    b'["\\udc00"]',
    b'["\\ud800x"]',
    b'["\\ud800\\n"]',
    b'["\\ud800\\\\udc00"]',
    b'["\\ud800\\ud800\\udc00"]',
    b'["\\ud800\\udc00\\udc00"]',
    b'["\\ud800","\\udc00"]',
]
ACCEPTED = [
    b'["\x7f\xc3\xa9\xf0\x9f\x98\x80"]',
    b'["\\ud83d\\ude00"]',
    b'["\\uD83D\\uDE00\\ud83d\\ude00"]',
    b'["\\\\ud800"]',
    b'["\\\\\\\\udc00"]',
    b'["\\u00e9\\"\\/"]',
    b"[1.5e-3,\ttrue,\r\nnull]",
]


@pytest.mark.parametrize("body", REFUSED)
def test_what_is_no_json_to_orjson_is_refused_at_any_border(body: bytes) -> None:
    """Control characters, bytes that are no UTF-8 and halves of pairs are seen, wherever the pieces end."""
    for size in range(1, len(body) + 1):
        assert refuses(body, size)


@pytest.mark.parametrize("body", ACCEPTED)
def test_what_is_json_passes_unchanged_at_any_border(body: bytes) -> None:
    """What orjson reads goes to the parser as it came, wherever the pieces end."""
    orjson.loads(body)
    for size in range(1, len(body) + 1):
        assert passed(in_chunks(body, size)) == body


PARTS = [
    *("\\ud83d", "\\ude00", "\\uD8", "\\u00e9", "\\n", "\\\\", '\\"', "\\", "u", "d800", "x", "é", "😀"),
    *('"', ",", " ", "[", "]", "12", "\x01", "\x0c"),
]


@settings(max_examples=examples(500, 20_000), deadline=None, database=None)
@given(st.lists(st.sampled_from(PARTS), max_size=12), st.integers(0, 2**32))
def test_borders_make_no_difference(parts: list[str], seed: int) -> None:
    """In any pieces the same bytes come through, or the same document is refused; none that orjson reads is."""
    body = '["{}"]'.format("".join(parts)).encode()
    chance = random.Random(seed)
    pieces, rest = [], body
    while rest:
        size = chance.randint(1, 6)
        pieces.append(rest[:size])
        rest = rest[size:]
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        whole = None if refuses(body, len(body)) else body
    else:
        whole = body
    assert refuses(body, len(body)) is (whole is None)
    try:
        assert passed(pieces) == whole
    except ValueError:
        assert whole is None


@pytest.mark.parametrize("size", [100, 1000, PIECE])
@pytest.mark.parametrize("text", [b"x", b"\\n", b"\\u00e9", "é".encode(), b"\\ud83d\\ude00", b"1"])
def test_a_long_string_is_cut_and_still_checked(text: bytes, size: int) -> None:
    """Of a long string the parser gets some 64 KiB, and what is left out must be what a string can hold."""
    body = b'["' + text * (300_000 // len(text)) + b'",1]'
    through = passed(in_chunks(body, size))
    assert LONG <= len(through) <= LONG + 3 * PIECE
    assert orjson.loads(through)[1:] == [1]
    for bad in (b"\\x", b"\\u00g0", b"\xff", b"\t", b"\\ud800"):
        assert refuses(body[:200_000] + bad + body[200_000:], size)


@pytest.mark.parametrize("size", [1, 7, 1000, PIECE, 1_000_000])
@pytest.mark.parametrize(
    "number",
    [
        b"1" * 308,
        b"0." + b"1" * 3999,
        b"0." + b"3" * 100_000,
        b"-" + b"0." + b"0" * 300 + b"7" * 9000,
        b"1." + b"0" * 20_000 + b"e3",
    ],
)
def test_a_long_number_keeps_its_value_in_few_digits(number: bytes, size: int) -> None:
    """Digits that change nothing are left out, the same ones at any border."""
    body = b'{"a":"' + b"5" * 9000 + b'","b":' + number + b"}"
    through = passed(in_chunks(body, size))
    assert orjson.loads(through) == orjson.loads(body)
    assert len(through) <= 9000 + 4000 + 330
    assert through == passed([body])


@pytest.mark.parametrize("size", [1, 4096, PIECE])
def test_a_huge_integer_stays_huge(size: int) -> None:
    """An integer of 100,000 digits is still out of any range, and one that Python reads."""
    through = passed(in_chunks(b"[" + b"9" * 100_000 + b"]", size))
    assert through == b"[" + b"9" * 4000 + b"]"


def test_rows_of_digits_that_are_short_stay() -> None:
    """Many long numbers one after another, and digits in strings, are no long number."""
    body = b"[" + b",".join([b"1" * 3999, b'"' + b"2" * 5000 + b'"', b'"\\"' + b"3" * 5000 + b'"'] * 5) + b"]"
    for size in (1000, PIECE, len(body)):
        assert passed(in_chunks(body, size)) == body


def test_the_depth_is_that_of_orjson() -> None:
    """One container more than the limit is what orjson refuses."""
    orjson.loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
