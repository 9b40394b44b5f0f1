"""The percentage gate: golden buckets, a fair share, steps of 0.01 %, and never a request less."""

import random
import uuid

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from gateway.rollout.cohort import BUCKETS, bucket_of, is_inside


@pytest.fixture(scope="module")
def ids() -> list[str]:
    chance = random.Random(20_240_611)
    return [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(100_000)]


@pytest.mark.parametrize(
    ("key", "bucket"),
    [
        ("", 3138),
        ("req-1", 9734),
        ("42", 5473),
        ("00000000-0000-4000-8000-000000000000", 5607),
        ("fonds-é", 1712),
    ],
)
def test_a_key_keeps_its_bucket_in_every_release(key: str, bucket: int) -> None:
    """The bucket of a key is xxh3-64 of its UTF-8 modulo 10 000, the same for ever."""
    assert bucket_of(key) == bucket == xxhash.xxh3_64_intdigest(key.encode()) % 10_000


def test_bytes_that_were_no_utf_8_count_as_they_came() -> None:
    """A header that is not UTF-8 has the bucket of its bytes."""
    assert bucket_of(b"\xff\xfe".decode("utf-8", "surrogateescape")) == xxhash.xxh3_64_intdigest(b"\xff\xfe") % BUCKETS


def test_ten_percent_are_a_tenth(ids: list[str]) -> None:
    """Of 100,000 random ids between 9.6 and 10.4 % are inside at 10 %."""
    share = sum(is_inside(key, 10) for key in ids) / len(ids)
    assert 0.096 <= share <= 0.104


def test_raising_the_percentage_only_adds_requests(ids: list[str]) -> None:
    """Whoever is inside at 10 % is inside at 25, 50 and 100 %."""
    inside = [{key for key in ids if is_inside(key, percent)} for percent in (0, 10, 25, 50, 100)]
    assert not inside[0]
    assert inside[1] < inside[2] < inside[3] < inside[4] == set(ids)


@given(st.text(), st.floats(0, 100), st.floats(0, 100))
def test_the_gate_is_monotone(key: str, one: float, other: float) -> None:
    """For any key and any two percentages, inside at the smaller means inside at the larger."""
    key = key.encode("utf-8", "ignore").decode()
    small, large = sorted((one, other))
    assert is_inside(key, small) <= is_inside(key, large)
    assert not is_inside(key, 0)
    assert is_inside(key, 100)


def test_every_step_of_a_hundredth_adds_one_bucket() -> None:
    """Each of the 10,000 steps of 0.01 % lets in exactly the buckets below it, floats notwithstanding."""
    keys: dict[int, str] = {}
    for number in range(200_000):
        keys.setdefault(bucket_of(str(number)), str(number))
    assert len(keys) == BUCKETS
    for step in range(1, BUCKETS + 1):
        percent = float(f"{step / 100:.2f}")
        assert is_inside(keys[step - 1], percent)
        assert step == BUCKETS or not is_inside(keys[step], percent)
