"""What a body can make the windowed judge cost: bytes parsed, time and memory, whatever the body."""

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from support.clock import ROOM
from support.judges import EVERYDAY, body_judge, exact, feed, in_chunks, meaning

from gateway.stages.compiled import Sizes
from gateway.stages.locators import Location, Plan, Shape
from gateway.stages.reasons import Reason
from gateway.stages.steps import run_to_completion

KIB = 1024
MIB = 1024 * KIB

EACH = Plan.of([Location(Shape.EACH, ("D",), field="stage")])
WEIGHED = Plan.of([Location(Shape.EACH, ("D",), field="stage", weight="w")], tolerance=0.01)
STAR = Plan.of([Location(Shape.VALUE, ("*", "stage"))])
STARS = Plan.of([Location(Shape.VALUE, ("*", "*"))])
KEYS = Plan.of([Location(Shape.KEYS, ("K",))])

SEED = b'{"stage":"seed"}'
BAD = b'{"stage":"bad"}'
TWICE = b'{"stage":"seed","stage":"seed"}'


def array(*elements: bytes, head: bytes = b'{"D":[', separator: bytes = b",", tail: bytes = b"]}") -> bytes:
    return head + separator.join(elements) + tail


def many(element: bytes, separator: bytes = b",", size: int = MIB) -> bytes:
    return array(*[element] * (size // len(element)), separator=separator)


def padded(text: bytes, size: int, stage: bytes = b"seed") -> bytes:
    """Make one element of about `size` bytes whose string repeats a text."""
    return b'{"stage":"%b","x":"%b"}' % (stage, text * (size // len(text)))


def by_the_borders(size: int) -> bytes:
    """Make one element with what looks like a cut just before each border at which a window may end."""
    text = bytearray(b"y" * size)
    for border in (64 * KIB, 128 * KIB, 256 * KIB):
        for place in range(border - 500, border - 400, 10):
            if place + 2 < size:
                text[place : place + 2] = b"},"
    return b'{"stage":"bad","x":"' + bytes(text) + b'"}'


DECOYS = b"{" + b"".join(b'"k%d":{"D":[]},' % i for i in range(4000)) + b'"D":['
NESTED = b",".join([b'{"a":1}'] * 60)
AGAINST_THE_CUT: dict[str, bytes] = {
    "decoys in the head": array(*[SEED] * 35_000, head=DECOYS),
    "decoys in a string": array(*[SEED] * 35_000, head=b'{"x":"' + b'\\"D\\":[' * 9000 + b'","D":['),
    "decoys at the end of a head": array(
        *[SEED] * 35_000, head=b'{"x":"%060000d"' % 0 + b',"y":{"D":[]}' * 4 + b',"D":['
    ),
    "sixty objects in each": many(b'{"stage":"seed","x":[%b]}' % NESTED),
    "sixty objects first in each": many(b'{"x":[%b],"stage":"bad"}' % NESTED.replace(b"a", b"x")),
    "sixty stages in each": many(b'{"stage":"seed","x":[%b]}' % b",".join([BAD] * 60)),
    "spaces before commas": many(SEED, b" ,", size=256 * KIB),
    "lines that begin with commas": many(BAD, b"\r\n,", size=256 * KIB),
    "strings like separators": many(b'{"stage":"seed","x":"%b"}' % (b'},{\\"stage\\":' * 50)),
    "strings of separators": many(padded(b"},{", 600, b"bad")),
    "a string of separators by turns": array(*[SEED, padded(b"},", 100_000)] * 20),
    "a large string of separators by turns": array(*[SEED, padded(b"},", 250_000)] * 10),
    "a larger one than any window": array(*[SEED, padded(b"},", 300_000)] * 10),
    "a bad string of separators by turns": array(*[BAD, padded(b"},", 100_000, b"bad")] * 20),
    "cuts that fail at each border": array(*[BAD, by_the_borders(200_000)] * 10),
    "cuts that fail before an end": array(*[BAD, by_the_borders(261_000)] * 10),
    "a lone large string": array(padded(b"z", 10 * MIB)),
    "a lone large array": array(b'{"stage":"seed","x":[' + b"{}," * MIB + b"{}]}"),
    "a large string in the middle": array(*[SEED] * 9000, padded(b"z", 2 * MIB), *[SEED] * 9000),
    "scalars": many(b"12", size=256 * KIB),
    "arrays": many(b"[]", size=128 * KIB),
    "empty objects": many(b"{}", size=128 * KIB),
    "scalars and objects": many(b"1,2,3," + SEED, size=256 * KIB),
    "spaces before an element": array(*[b" " * 50_000 + SEED] * 40),
    "spaces in an element": array(*[b'{"stage":"seed"' + b" " * 100_000 + b"}"] * 20),
    "spaces before commas, very many": array(*[SEED + b" " * 50_000] * 40),
    "doubles": many(TWICE, size=256 * KIB),
    "escapes": many(b'{"\\u0073tage":"seed"}', size=256 * KIB),
    "numbers out of range": many(b'{"stage":"bad","x":1e400}', size=256 * KIB),
    "as deep as can be": many(b'{"stage":"bad","x":' + b"[" * 1000 + b"]" * 1000 + b"}"),
    "ends of arrays at the end": array(*[BAD] * 3000, tail=b'],"x":[' + b"[]," * 5000 + b"1]}"),
    "ends of arrays in the last window": array(padded(b"],", 260_000, b"bad")),
    "no end": array(*[SEED] * 35_000, tail=b""),
}


@pytest.mark.parametrize("plan", [EACH, WEIGHED], ids=["each", "weighed"])
@pytest.mark.parametrize("name", AGAINST_THE_CUT)
def test_the_bytes_parsed_are_a_small_multiple_of_the_body(name: str, plan: Plan) -> None:
    """At most three times for what is proven, three times that in vain, and a few windows to begin with."""
    body = AGAINST_THE_CUT[name]
    judge, findings = body_judge(plan)
    feed(judge, in_chunks(body, 64 * KIB))
    said = meaning(run_to_completion(judge.finish()), findings)
    assert judge.parsed <= 6 * len(body) + MIB
    assert said == exact(body, plan)


def test_failures_end_the_windows_when_nothing_pays_for_them() -> None:
    """Cuts that fail again and again, with some success between, cost no more than three times what they proved."""
    sizes = Sizes(window=4 * KIB, largest=16 * KIB, collected=32 * KIB)
    elements = [SEED, padded(b"},", 7 * KIB, b"bad"), SEED, padded(b"},", 14 * KIB, b"bad")]
    body = array(*elements * 100)
    judge, findings = body_judge(EACH, sizes=sizes)
    feed(judge, in_chunks(body, KIB))
    assert meaning(run_to_completion(judge.finish()), findings) == exact(body, EACH)
    assert judge.parsed <= 6 * len(body) + 16 * sizes.largest


@pytest.mark.parametrize("elements", [SEED, BAD, padded(b"},", 3000), b"1"], ids=["good", "bad", "strings", "scalars"])
def test_a_byte_at_a_time_costs_no_more_than_a_byte_each(elements: bytes) -> None:
    """A body that comes in single bytes is parsed no oftener than one that comes at once."""
    body = many(elements, size=100 * KIB)
    parsed = []
    for size in (1, len(body)):
        judge, _ = body_judge(EACH)
        feed(judge, in_chunks(body, size))
        run_to_completion(judge.finish())
        parsed.append(judge.parsed)
    assert parsed[0] <= parsed[1] + 64 * KIB


def seconds(work: Callable[[], object]) -> float:
    """Return the shortest of three runs, in seconds of this process."""
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best


def run(plan: Plan, body: bytes, chunk: int, sizes: Sizes = EVERYDAY) -> None:
    judge, _ = body_judge(plan, sizes=sizes)
    feed(judge, in_chunks(body, chunk))
    run_to_completion(judge.finish())


WALKED = Sizes(collected=512 * KIB)
STREAM_ONLY = Sizes(KIB, KIB, KIB)
TINY = Sizes(8 * KIB, 32 * KIB, 64 * KIB)
GROWING: dict[str, tuple[Plan, Callable[[int], bytes], int, Sizes]] = {
    # Each is judged at one size and at eight times the size.
    "a name above many values": (STARS, lambda n: b'{"%b":[%b1]}' % (b"n" * n, b"1," * n), 64 * KIB, WALKED),
    "a name above many elements": (
        Plan.of([Location(Shape.EACH, ("*",), field="stage")]),
        lambda n: b'{"%b":[%b1]}' % (b"n" * n, b"1," * n),
        64 * KIB,
        WALKED,
    ),
    "a string in single bytes": (EACH, lambda n: b'{"x":"%b"}' % (b"s" * n), 1, STREAM_ONLY),
    "a number in single bytes": (EACH, lambda n: b'{"x":%b}' % (b"1" * n), 1, STREAM_ONLY),
    "spaces before a separator": (
        EACH,
        lambda n: array(*[b" " * n + b"{" + b" " * n + SEED[1:]] * 5),
        64 * KIB,
        EVERYDAY,
    ),
    "backslashes": (EACH, lambda n: b'{"x":"%b"}' % (b"\\\\" * n), 100, STREAM_ONLY),
    "digits in strings": (EACH, lambda n: b'{"x":[%b1]}' % ((b"1" * 3999 + b",") * (n // 4000)), 64 * KIB, STREAM_ONLY),
    "half surrogates": (EACH, lambda n: b'{"x":"%b"}' % (b"\\ud83d\\ude00" * (n // 12)), 1000, STREAM_ONLY),
}


@pytest.mark.parametrize("name", GROWING)
def test_the_time_grows_with_the_body_and_no_faster(name: str) -> None:
    """Eight times the bytes take some eight times the time, not sixty-four."""
    plan, make, chunk, sizes = GROWING[name]
    small, large = make(8_000), make(64_000)
    for _ in range(ROOM):  # a busy machine gets more tries, what grows too fast fails them all
        once = seconds(lambda: run(plan, small, chunk, sizes))
        many = seconds(lambda: run(plan, large, chunk, sizes))
        if many <= 14 * once + 0.02:
            return
    pytest.fail(f"{once:.4f} s for the small one, {many:.4f} s for the large one")


def stream(head: bytes, repeated: bytes, tail: bytes, size: int) -> Iterator[bytes]:
    """Make a body of `size` bytes in chunks of 64 KiB, of which one alone is alive at a time."""
    block = repeated * max(1, 64 * KIB // len(repeated))
    yield head
    for _ in range(size // len(block)):
        yield bytes(bytearray(block))
    yield tail


def numbered(size: int) -> Iterator[bytes]:
    """Make an object of ever new names."""
    yield b'{"first":{"stage":"seed"}'
    for block in range(size // (32 * 2000)):
        yield b"".join(b',"name%09d":{"stage":"seed"}' % (block * 2000 + i) for i in range(2000))
    yield b"}"


# The body's megabytes, and those that judging it may take. Tracing is slow: where much is found windows are small too.
FLAT: dict[str, tuple[Plan, Callable[[int], Iterator[bytes]], int, float, Sizes]] = {
    "an array": (EACH, lambda n: stream(b'{"D":[{}', b"," + SEED, b"]}", n), 50, 3, EVERYDAY),
    "an array of bad elements": (EACH, lambda n: stream(b'{"D":[{}', b"," + BAD, b"]}", n), 1, 0.5, TINY),
    "an array of doubles": (EACH, lambda n: stream(b'{"D":[{}', b"," + TWICE, b"]}", n), 1, 0.5, TINY),
    "an array under a star": (STAR, lambda n: stream(b'[{"stage":"seed"}', b"," + SEED, b"]", n), 2, 1.25, EVERYDAY),
    "an object under a star": (STAR, numbered, 3, 7, EVERYDAY),  # every name is remembered, up to 50,000
    "one string": (EACH, lambda n: stream(b'{"D":[{"stage":"seed","x":"', b"x", b'"}]}', n), 50, 1, EVERYDAY),
    "escapes": (EACH, lambda n: stream(b'{"D":[{"stage":"seed","x":"', b"\\u00e9", b'"}]}', n), 10, 1, EVERYDAY),
    "one stage": (EACH, lambda n: stream(b'{"D":[{"stage":"', b"x", b'"}]}', n), 50, 1, EVERYDAY),
    "one name": (KEYS, lambda n: stream(b'{"K":{"', b"x", b'":1}}', n), 50, 1.5, EVERYDAY),
    "white space": (EACH, lambda n: stream(b'{"D":[', b" ", SEED + b"]}", n), 50, 1, EVERYDAY),
    "white space before all": (EACH, lambda n: stream(b"", b" \r\n\t", array(SEED), n), 50, 2, EVERYDAY),
    "one number": (EACH, lambda n: stream(b'{"D":[{"stage":"seed","x":0.', b"12", b"}]}", n), 50, 1, EVERYDAY),
    "brackets": (EACH, lambda n: stream(b'{"x":[0', b",[]", b"]}", n), 3, 2, EVERYDAY),
}


@pytest.mark.parametrize("name", FLAT)
def test_memory_stays_flat(name: str) -> None:
    """However large a body, judging it takes a few megabytes beside its chunk."""
    plan, make, size, allowed, sizes = FLAT[name]
    judge, _ = body_judge(plan, sizes=sizes)
    gc.collect()
    tracemalloc.start()
    try:
        feed(judge, make(size * MIB))
        reason = run_to_completion(judge.finish())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= allowed * MIB
    assert reason in (None, Reason.AMBIGUOUS_JSON)
