"""The percentage gate: which requests are enforced, the same in every replica and release.

bucket = xxh3-64 of the key's UTF-8 bytes, modulo 10 000; a request is inside when its bucket is below the
percentage in steps of 0.01 %. Raising the percentage therefore only ever adds requests.
"""

import xxhash

BUCKETS = 10_000


def bucket_of(key: str) -> int:
    """Return the bucket, 0 to 9999, of a key. Bytes that were no UTF-8 count as they came (surrogateescape)."""
    return xxhash.xxh3_64_intdigest(key.encode("utf-8", "surrogateescape")) % BUCKETS


def is_inside(key: str, percent: float) -> bool:
    """Whether a request with this key is among the `percent` (0 to 100) that are enforced."""
    return bucket_of(key) < round(percent * 100)
