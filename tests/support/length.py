"""How long the tests may take: `LONG_TESTS=1` in the environment asks for the long form of those that have one."""

import os

LONG = os.environ.get("LONG_TESTS") == "1"


def examples(usual: int, long: int) -> int:
    """Return how many examples a property is tried with."""
    return long if LONG else usual
