"""Puts a made file in the place of the one that gateways read: whole, once, by one person at a time.

Rules of the room:

- Whoever changes the file holds a lock beside it. The lock's file stays: removing it would let two hold it.
- The new file is written beside the old one, to the disk, then put in its place. Whenever this is interrupted the old
  or the new one stands there, whole.
- The old file is kept beside it, under the name with `.before`.
- The new one has the rights and the owner of the old one. A file that nobody may write is left alone, also where the
  folder would allow it: somebody has said so.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import RefusedError, UnreachableError, cause_of

_NEW_FILE = 0o644


@contextlib.contextmanager
def locked(target: Path, who: str) -> Iterator[None]:
    """Be the only one who changes a file. Raises RefusedError, which names who is, and UnreachableError."""
    place = _beside(target.resolve(), ".lock")
    try:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UnreachableError(f"{place}: cannot be written: {cause_of(error)}; {_CURE}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 500, 0).decode(errors="replace").strip() or "somebody else"
            raise RefusedError(f"{target}: is being changed by {holder}; wait until that has ended") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{who} (process {os.getpid()})\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)  # which lets go of the lock, as the end of the process does


def read(target: Path) -> str | None:
    """Return what a file holds, None when there is none. Raises UnreachableError."""
    try:
        return target.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreachableError(f"{target}: cannot be read: {cause_of(error)}") from error
    except UnicodeDecodeError as error:
        raise RefusedError(f"{target}: byte {error.start} is no UTF-8; put the file of a step there") from error


def replace(target: Path, text: str, *, keep: bool = True) -> None:
    """Replace a file, and keep the old one beside it unless `keep` is false.

    Raises UnreachableError; then the old one is in its place.
    """
    target = target.resolve()  # a link stays one
    try:
        try:
            old = target.stat()
        except FileNotFoundError:
            old = None
        if old is not None:
            if not old.st_mode & 0o222:
                raise UnreachableError(
                    f"{target}: may be written by nobody (mode {stat.S_IMODE(old.st_mode):o}); {_CURE}"
                )
            if keep:
                _put(kept(target), target.read_bytes(), old)
        _put(target, text.encode(), old)
    except OSError as error:
        raise UnreachableError(f"{target}: cannot be written: {cause_of(error)}; {_CURE}") from error


_CURE = "let it be written by who runs this, or take --output and put the file there by other means"


def _put(target: Path, content: bytes, like: os.stat_result | None) -> None:
    new = _beside(target, ".new")
    new.unlink(missing_ok=True)  # of one who was interrupted
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        made = os.fstat(descriptor)
        if like is not None and (like.st_uid, like.st_gid) != (made.st_uid, made.st_gid):
            os.fchown(descriptor, like.st_uid, like.st_gid)
        os.fchmod(descriptor, _NEW_FILE if like is None else stat.S_IMODE(like.st_mode))
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    new.replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def kept(target: Path) -> Path:
    """Return where the file is kept that the last replacement took the place of."""
    return _beside(target.resolve(), ".before")


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(target.name + ending)
