"""What msgspec alone takes for the array of a body: `python -m bench.decode FILE` prints the median in milliseconds.

It reads of each element what the gateway looks at, a stage out of the vocabulary and a weight. Nothing that judges the
array can be faster with the same decoder.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import msgspec

from bench import peers

_REPEATS = 30


class _Element(msgspec.Struct, gc=False):
    stage: Literal["pre-seed", "seed", "series-a", "series-b", "series-c", "series-c+"]
    weight: float


class _Document(msgspec.Struct, gc=False):
    stageDistribution: msgspec.Raw  # noqa: N815 - the member's name


def decode_milliseconds(file: Path) -> float:
    """Return what it takes on the proxies' core, in a process of its own."""
    command = ["taskset", "-c", str(peers.PROXY_CORE), sys.executable, "-m", "bench.decode", str(file)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measure and print."""
    raw = bytes(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=_Document).stageDistribution)
    decoder = msgspec.json.Decoder(list[_Element])
    took = []
    for _ in range(_REPEATS):
        begin = time.process_time()
        decoder.decode(raw)
        took.append(time.process_time() - begin)
    print(1000 * statistics.median(took))


if __name__ == "__main__":
    main()
