"""Work that gives way to others."""

from collections.abc import Callable, Iterator

import pytest
from support.judges import body_judge, in_chunks
from support.stretches import most_calls

from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.steps import Steps, run_to_completion

KIB = 1024
# Every call of a function, Python's or C's, between two turns: some thousands are about a millisecond.
MOST_CALLS = 6000

KEYS = Plan.of([Location(Shape.KEYS, ("x",), required=True)], tolerance=1e-6)
EACH = Plan.of([Location(Shape.EACH, ("x",), field="stage")])
WEIGHED = Plan.of([Location(Shape.EACH, ("x",), field="stage", weight="w")], tolerance=1e-6)
STARS = Plan.of([Location(Shape.VALUE, ("x", "*", "stage"), required=True)])


def array(element: Callable[[int], str], size: int) -> bytes:
    return b'{"x":[%b]}' % filled(element, size)


def filled(part: Callable[[int], str], size: int) -> bytes:
    count = size // (len(part(9999)) + 1)
    return ",".join(map(part, range(count))).encode()


HOSTILE: dict[str, tuple[Plan, Callable[[int], bytes]]] = {
    "different names": (KEYS, lambda size: b'{"x":{%b}}' % filled(lambda n: f'"{n}":1', size)),
    "elements without a stage": (EACH, lambda size: array(lambda _: "{}", size)),
    "elements without a weight": (WEIGHED, lambda size: array(lambda n: f'{{"stage":"{n}"}}', size)),
    "numbers for elements": (EACH, lambda size: array(lambda _: "0", size)),
    "different unknown stages": (EACH, lambda size: array(lambda n: f'{{"stage":"{n}"}}', size)),
    "stages that stand twice": (EACH, lambda size: array(lambda _: '{"stage":"seed","stage":"x"}', size)),
    "values of the wrong type": (STARS, lambda size: array(lambda _: '{"stage":1}', size)),
    "values that are missing": (STARS, lambda size: array(lambda _: "[]", size)),
    "containers nobody asks about": (KEYS, lambda size: b'{"y":[%b]}' % filled(lambda _: "[]", size)),
    "a head full of decoys": (EACH, lambda size: b'{"y":[%b],"x":[]}' % filled(lambda _: '{"x":[]}', size)),
}


@pytest.mark.parametrize("size", [60 * KIB, 120 * KIB, 600 * KIB])
@pytest.mark.parametrize("name", HOSTILE)
def test_no_body_makes_a_long_stretch(name: str, size: int) -> None:
    """Whatever the body is full of, a bounded number of its values is judged between two turns."""
    plan, make = HOSTILE[name]
    body = make(size)

    def work() -> Iterator[None]:
        judge, _ = body_judge(plan, required=True)
        for chunk in in_chunks(body, 64 * KIB):
            yield from judge.feed(chunk)
            yield
        yield from judge.finish()

    assert most_calls(work) <= MOST_CALLS


def test_what_was_found_early_is_told_in_turns_as_well() -> None:
    """A judge that is asked before the body has ended makes no long stretch either."""
    body = b'{"x":[%b' % filled(lambda n: f'{{"stage":"{n}"}}', 100 * KIB)

    def work() -> Iterator[None]:
        judge, _ = body_judge(EACH)
        yield from judge.feed(body)
        yield from judge.give_up()

    assert most_calls(work) <= MOST_CALLS


def test_work_is_done_to_its_end_at_once() -> None:
    """Where nobody waits, work with many turns returns what it returns."""

    def work() -> Steps[str]:
        yield
        yield
        return "done"

    assert run_to_completion(work()) == "done"
