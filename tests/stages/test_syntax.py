"""How JSON spells things: names, and the escapes that could spell them."""

import pytest

from gateway.stages.syntax import escapes_in_names, is_plain, is_utf8, quoted


@pytest.mark.parametrize(
    ("name", "spelt", "plain"),
    [("stage", b'"stage"', True), ("é", '"é"'.encode(), True), ('"', b'"\\""', False), ("a\nb", b'"a\\nb"', False)],
)
def test_a_plain_name_is_spelt_as_it_is(name: str, spelt: bytes, plain: bool) -> None:
    """A name is plain when nothing in it has to be escaped."""
    assert quoted(name) == spelt
    assert is_plain(name) is plain


@pytest.mark.parametrize(
    ("name", "escape", "may_spell"),
    [
        ("stage", b"\\u0073", True),
        ("stage", b"\\u00e9", False),
        ("stage", b"\\n", False),
        ("stage", b"\\/", False),
        ("é", b"\\u00e9", True),
        ("é", b"\\/", False),
        ("a/b", b"\\/", True),
        ("a\nb", b"\\n", True),
    ],
)
def test_escapes_that_could_spell_a_name_are_found(name: str, escape: bytes, may_spell: bool) -> None:
    """ASCII may be spelt by its own escapes, other letters by any that has a number, and some characters by letters."""
    assert (escapes_in_names([name]).search(b'"x' + escape) is not None) is may_spell


def test_what_is_not_utf8_is_told() -> None:
    """Encoded surrogates are no UTF-8, and neither is half a character."""
    assert is_utf8("é".encode())
    assert not is_utf8(memoryview(b"\xc3"))
    assert not is_utf8(b"\xed\xa0\x80")
