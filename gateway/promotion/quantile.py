"""The quantile of a histogram's buckets, as Prometheus' histogram_quantile has it. Pure."""

import math
from collections.abc import Mapping


def quantile(share: float, buckets: Mapping[str, float]) -> float | None:
    """Return the value below which so large a share lies, by counts up to each bound (`le`).

    It is infinite above the largest bound, where Prometheus answers that bound. None when nothing was counted, or the
    counts are none: without `+Inf`, falling from a bound to a larger one, negative, not finite.
    """
    try:
        counts = sorted((float(bound), count) for bound, count in buckets.items())
    except ValueError:
        return None
    if not counts or counts[-1][0] != math.inf or any(not math.isfinite(count) for _, count in counts):
        return None
    total, below, lower = counts[-1][1], 0.0, 0.0
    if total <= 0 or any(new < old for (_, old), (_, new) in zip([(0.0, 0.0), *counts], counts, strict=False)):
        return None
    rank = share * total
    for bound, count in counts:
        if count >= rank and count > below:
            if math.isinf(bound):
                return math.inf
            return lower + (bound - lower) * (rank - below) / (count - below)
        below, lower = count, bound
    return None
