"""The request server that is the process itself."""

import subprocess
import sys

_FAULTS = """
import resource
from gateway.server.in_process_server import _settle_heap

def work():
    for _ in range(50):
        chunks = [bytes(256_000) for _ in range(16)]
        del chunks

_settle_heap()
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_chunks_of_long_bodies_take_memory_that_was_used_before() -> None:
    """Four megabytes of chunks that come and go cost the system next to no new pages; else 500 each time."""
    done = subprocess.run([sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000
