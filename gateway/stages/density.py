"""How much there is to build of some bytes: a parse of a window full of containers takes ten times as long as usual.

orjson is not interrupted, so what is so dense goes to the incremental judge, which gives way to others.
"""

from stringzilla import count as times

MAX_CONTAINERS = 8000  # a dictionary costs a quarter of a microsecond to make and as much to let go of


def is_dense(data: bytes | bytearray) -> bool:
    """Whether there may be too many containers for one parse; brackets within strings count as well."""
    return bool(times(data, b"[") + times(data, b"{") > MAX_CONTAINERS)
