"""What could be read in another way is told; what could not is not."""

import pytest

from gateway.stages.ambiguity import AmbiguityCheck, may_repeat

CHECK = AmbiguityCheck(["stage", "a/b"], depth=1)
PLAIN = AmbiguityCheck(["stage"], depth=1)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"x":"\\n\\u00e9\\/"}', False),
        (b'{"x":"\\u0073"}', True),
        (b'{"x":"\\u007F"}', True),
        (b'{"x":"\\u0080\\ud7ff\\uD000"}', False),
        (b'{"x":"\\ud800"}', True),
        (b'{"x":"\\uDFFF"}', True),
        (b'{"x":"\\ud83d\\uDE00 \\uD83D\\ude00"}', False),
        (b'{"x":"\\ud83d\\ude00\\ude00"}', True),
        (b'{"x":"\\ud83d\\ud83d\\ude00"}', True),
        (b'{"x":"\\ude00\\ud83d"}', True),
        (b'{"x":"\\ud83d \\ude00"}', True),
        (b'{"x":"\\\\ud83d\\ude00"}', True),
        (b'{"x":"\xff"}', True),
        ('{"x":"é"}'.encode(), False),
    ],
)
def test_characters(body: bytes, told: bool) -> None:
    """Escapes that could spell a guarded name, halves of characters and bytes that are no UTF-8 are told."""
    assert PLAIN.of_characters(body, ascii_only=body.isascii()) is told
    assert PLAIN.of_characters(memoryview(body), ascii_only=body.isascii()) is told


@pytest.mark.parametrize(("pairs", "told"), [(10_000, False), (12_000, True)])
def test_so_many_pairs_are_left_open(pairs: int, told: bool) -> None:
    """Halves are paired in no more bytes than a stretch allows."""
    assert PLAIN.of_characters(b'{"x":"%b"}' % (b"\\ud83d\\ude00" * pairs), ascii_only=True) is told


def test_a_name_with_an_escape_of_its_own() -> None:
    """Where a guarded name has a slash, an escaped one could spell it."""
    assert CHECK.of_characters(b'{"x":"\\/"}', ascii_only=True)


@pytest.mark.parametrize(
    ("body", "met", "told"),
    [
        (b'[{"stage":1},{"stage":2}]', {"stage": 2}, False),
        (b'[{"stage":1,"stage":2}]', {"stage": 1}, True),
        (b'[{"stage":"stage"}]', {"stage": 1}, True),
        (b'[{"stage":1,"x":"__proto__"}]', {"stage": 1}, True),
    ],
)
def test_names(body: bytes, met: dict[str, int], told: bool) -> None:
    """A name that stands more often than it was read is told, and so is `__proto__`."""
    assert PLAIN.of_names(body, met, 2) is told


@pytest.mark.parametrize(
    ("body", "met", "told"),
    [
        (b'{"a":1,"b":{"a":2}}', {"a": 2, "b": 1}, False),
        (b'{"a":1,"a":2}', {"a": 1}, True),
        (b'{"a":1,"\\u0061":2}', {"a": 1}, True),
        (b'{"a":1,"x":"\\n"}', {"a": 1}, False),
        (b'{"a":1,"__proto__":2}', {"a": 1}, True),
        (b"{%b}" % b",".join(b'"%d":1' % n for n in range(33)), {str(n): 1 for n in range(33)}, True),
    ],
)
def test_what_a_walk_met_once_may_stand_twice(body: bytes, met: dict[str, int], told: bool) -> None:
    """A name that stands as often as it was met is nowhere twice; escapes, `__proto__` and many names leave it open."""
    assert may_repeat(body, met) is told
