"""A file that is being replaced, when who does it is killed before each line of the code that does."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, signal, sys
from pathlib import Path
from gateway.promotion import replacing

target, old, new = Path(sys.argv[1]), "old" * 9999, "new" * 9999

def killing(last):
    count = 0
    def line(frame, event, _):
        nonlocal count
        count += event == "line"
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return line
    return lambda frame, event, _: line if frame.f_code.co_filename.endswith("replacing.py") else None

seen, number, killed = set(), 0, True
while killed:
    number += 1
    target.write_text(old)
    child = os.fork()
    if child == 0:
        sys.settrace(killing(number))
        with replacing.locked(target, "ann"):
            replacing.replace(target, new)
        os._exit(0)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    found = target.read_text()
    assert found in (old, new), (number, found[:20])
    seen.add(found[:3])
    with replacing.locked(target, "bob"):
        replacing.replace(target, new)
    assert target.read_text() == new
    assert target.with_name("f.before").read_text() in (old, new)
    assert not target.with_name("f.new").exists()
print(number, *sorted(seen))
"""


def test_old_or_new_file_is_there(tmp_path: Path) -> None:
    """Before each line the old or the new file stands there whole, nobody holds the lock, and the next one succeeds."""
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "f")], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    lines, *seen = ran.stdout.split()
    assert int(lines) > 40
    assert seen == ["new", "old"]
