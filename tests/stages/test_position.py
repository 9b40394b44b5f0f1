"""Where a text stops being JSON."""

import pytest

from gateway.stages.position import position_of_fault

BROKEN = [
    (b"{", (1, 1, 2)),
    (b'{"a": 1,}', (7, 1, 8)),
    ('{"é": x}'.encode(), (7, 1, 7)),
    (b"\xef\xbb\xbf{}", (0, 1, 1)),
    (b'{"a":\n "\xff"}', (8, 2, 3)),
    (b"{}\n x", (4, 2, 2)),
    (b'{"a":\r\n\n  "\\ud800"}', (11, 3, 4)),
    (b'{"a": tru}', (6, 1, 7)),
]


@pytest.mark.parametrize(("body", "place"), BROKEN)
def test_place_of_a_fault(body: bytes, place: tuple[int, int, int]) -> None:
    """Bytes count from 0, lines and columns, these in characters, from 1."""
    assert position_of_fault(body) == place


def test_what_is_json_has_no_fault() -> None:
    """A document has no such place."""
    assert position_of_fault(b'{"a": 1}') is None
