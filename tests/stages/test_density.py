"""What is full of containers is parsed a little at a time, and means the same."""

from collections.abc import Callable

import pytest
from support.judges import body_judge, exact, meaning

from gateway.stages.density import MAX_CONTAINERS, is_dense
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.steps import run_to_completion

EACH = Plan.of([Location(Shape.EACH, ("x",), field="stage")])
KEYS = Plan.of([Location(Shape.KEYS, ("x",))])
FULL = '{"stage":"Seed","y":' + "[" * 400 + "]" * 400 + "}"


def body(count: int, element: str = FULL) -> bytes:
    return b'{"x":[%b]}' % ",".join([element] * count).encode()


def test_brackets_tell_what_is_dense() -> None:
    """More containers than the bound are too many, of either kind."""
    assert not is_dense(b"[" * 4000 + b"{" * (MAX_CONTAINERS - 4000))
    assert is_dense(bytearray(b"[" * 4000 + b"{" * (MAX_CONTAINERS - 3999)))


@pytest.mark.parametrize("plan", [EACH, KEYS])
@pytest.mark.parametrize(
    "make", [lambda: body(40), lambda: body(400), lambda: body(30, "[" + ",".join(["{}"] * 999) + "]")]
)
def test_a_dense_body_is_never_parsed_at_once(
    make: Callable[[], bytes], plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No piece given to orjson has more containers than the bound, and the verdict is that of one parse."""
    text = make()
    expected = exact(text, plan)
    given: list[bytes] = []
    for module in ("document", "cutter"):
        library = __import__(f"gateway.stages.{module}", fromlist=["orjson"])
        monkeypatch.setattr(library, "orjson", _Noting(library.orjson, given))
    judge, findings = body_judge(plan)
    run_to_completion(judge.feed(text))
    reason = run_to_completion(judge.finish())
    assert meaning(reason, findings) == expected
    assert not any(map(is_dense, given))


class _Noting:
    """A module that notes what it is given to parse."""

    def __init__(self, library: object, given: list[bytes]) -> None:
        self._library = library
        self._given = given

    def loads(self, data: bytes) -> object:
        self._given.append(bytes(data))
        return self._library.loads(data)  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._library, name)
