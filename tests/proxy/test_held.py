"""Bodies that are held, and the room for them."""

import asyncio
from itertools import pairwise

import pytest

from gateway.proxy.answers import AnswerError
from gateway.proxy.held import BLOCK, SMALL, Blocks, Budget, HeldBody
from gateway.proxy.shared_counters import SharedCounter


@pytest.fixture
def budget() -> Budget:
    return Budget(SharedCounter())


def test_small_chunks_become_blocks(budget: Budget) -> None:
    """Many small chunks are held as few blocks, at the size they are."""
    held = HeldBody(budget, 1_000_000)
    for _ in range(100_000):
        held.append(b"abcdef")
    blocks = held.hand_over()
    assert (b"".join(blocks), len(blocks)) == (b"abcdef" * 100_000, 3)
    assert budget.used == 600_000
    held.release()
    assert budget.used == 0


async def test_a_large_body_is_let_go_of_in_turns(budget: Budget) -> None:
    """Blocks go a few at a time, others having their turn; the budget is given back with the last of them."""
    held = HeldBody(budget, 100_000_000)
    for _ in range(100):
        held.append(bytes(256 * 1024))
    blocks = held.hand_over()
    seen = []
    held.release()
    while blocks:
        seen.append(len(blocks))
        assert budget.used == 100 * 256 * 1024
        await asyncio.sleep(0)
    assert seen[0] < 100
    assert max(before - after for before, after in pairwise(seen)) <= 8
    assert budget.used == 0


def test_order_is_kept(budget: Budget) -> None:
    """Large and small chunks stay in the order in which they came."""
    held = HeldBody(budget, 1_000_000)
    chunks = [b"a", b"b" * 70_000, b"c", b"d" * 65_536, b"", b"e" * 65_535, b"f"]
    for chunk in chunks:
        held.append(chunk)
    assert b"".join(held.hand_over()) == b"".join(chunks)


def test_what_arrives_takes_its_room(budget: Budget) -> None:
    """Each chunk takes its own size of the budget until there is no more; what always finds room is counted too."""
    held, other = HeldBody(budget, 80), HeldBody(budget, 80)  # a quarter more for small ones
    held.append(b"x" * 60)
    with pytest.raises(AnswerError):
        other.append(b"x" * 41)
    assert budget.used == 60
    other.append(b"x" * 41, always=True)
    assert budget.used == 101
    held.release()
    other.release()
    assert budget.used == 0


def test_small_bodies_have_a_quarter_more(budget: Budget) -> None:
    """Where large bodies have taken all there is for them, small ones find a quarter more, and no large one does."""
    limit = 4 * SMALL
    large, growing, small, last = (HeldBody(budget, limit) for _ in range(4))
    large.append(b"x" * limit)
    growing.append(b"x" * (SMALL // 2))
    small.append(b"x" * (SMALL // 2))
    with pytest.raises(AnswerError):
        last.append(b"x")
    large.release()
    growing.append(b"x" * SMALL)
    for held in (growing, small):
        held.release()
    assert budget.used == 0


def test_a_body_that_grows_is_small_no_more(budget: Budget) -> None:
    """The room for small bodies is not for those that have become large."""
    full, growing = HeldBody(budget, 4 * SMALL), HeldBody(budget, 4 * SMALL)
    full.append(b"x" * (4 * SMALL - 10))
    growing.append(b"x" * (SMALL - 1))
    with pytest.raises(AnswerError):
        growing.append(b"xx")


async def test_what_was_let_go_of_is_not_handed_over(budget: Budget) -> None:
    """A body whose refusal was certain takes no room, and can never be forwarded."""
    held = HeldBody(budget, 100_000_000)
    held.append(b"x" * 10_000_000)
    held.append(b"x")
    held.let_go()
    for _ in range(10):
        await asyncio.sleep(0)
    assert budget.used == 0
    with pytest.raises(RuntimeError):
        held.hand_over()


def block_of(blocks: Blocks, text: bytes) -> memoryview:
    """Return a block that holds one text again and again."""
    block = blocks.take()
    block[:] = text * (BLOCK // len(text))
    return blocks.lend(block, BLOCK)


def test_blocks_are_used_again() -> None:
    """A block that nothing looks at any more is used again, with what the next body has in it."""
    blocks = Blocks()
    views = [block_of(blocks, bytes([n])) for n in range(3)]
    assert [bytes(view) for view in views] == [bytes([n]) * BLOCK for n in range(3)]
    mappings = {id(view.obj) for view in views}
    del views
    again = [block_of(blocks, bytes([n + 7])) for n in range(3)]
    assert {id(view.obj) for view in again} == mappings
    assert [bytes(view) for view in again] == [bytes([n + 7]) * BLOCK for n in range(3)]


def test_block_that_is_still_to_be_sent_is_not_used_again() -> None:
    """A transport may keep a part of a block, and the block stays as it is until that is gone."""
    blocks = Blocks()
    first = block_of(blocks, b"a")
    unsent = first[1000:]
    del first
    second = block_of(blocks, b"b")
    assert bytes(unsent) == b"a" * (BLOCK - 1000)
    assert bytes(second) == b"b" * BLOCK


async def test_only_some_blocks_are_kept() -> None:
    """What many large bodies took is given back once nobody wants it, a few at a time, but for 8 MiB."""
    blocks = Blocks()
    views = [block_of(blocks, b"x") for _ in range(50)]
    del views
    left = [blocks.free]
    while blocks.free > 32:
        await asyncio.sleep(0)
        left.append(blocks.free)
    assert left[0] == 50
    assert max(before - after for before, after in pairwise(left)) <= 8
    for _ in range(2):
        blocks.look()
        await asyncio.sleep(0)
    assert blocks.free == 32


async def test_blocks_that_are_wanted_are_kept() -> None:
    """What one body lets go of is there for the next, however much it is, while one follows the other."""
    blocks = Blocks()
    views = [block_of(blocks, b"x") for _ in range(50)]
    mappings = [view.obj for view in views]
    for _ in range(5):
        del views
        blocks.look()
        views = [block_of(blocks, b"x") for _ in range(50)]
    assert {id(view.obj) for view in views} == set(map(id, mappings))


def test_part_of_a_block_is_handed_over_as_that(budget: Budget) -> None:
    """A body that is a little longer than a block is handed over as it is, and its blocks come back."""
    body = bytes(range(256)) * 1025
    for _ in range(2):
        held = HeldBody(budget, 10_000_000)
        for start in range(0, len(body), 100_000):
            held.append(body[start : start + 100_000])
        blocks = held.hand_over()
        assert b"".join(blocks) == body
        del blocks
        held.release()
        assert budget.blocks.free == 2


def test_short_body_takes_no_block(budget: Budget) -> None:
    """A body that is shorter than a block takes no more than its size."""
    held = HeldBody(budget, 10_000_000)
    held.append(b"x" * (BLOCK - 1))
    assert [type(block) for block in held.hand_over()] == [bytes]
    held.release()
    assert budget.blocks.free == 0
