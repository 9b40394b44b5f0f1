"""One run at a time: an advisory lock that lives as long as the connection."""

import time

from gateway.errors import RefusedError
from gateway.migration.database import Connection, one
from gateway.migration.statements import statement

# The server notices a killed client within half a second, or when its statement ends; until then the lock is held.
_PATIENCE = 3.0


def take_lock(connection: Connection) -> None:
    """Take the lock of this database. Raises RefusedError that says who holds it."""
    deadline = time.monotonic() + _PATIENCE
    while not one(connection, statement("lock"))["taken"]:
        if time.monotonic() > deadline:
            holder = connection.execute(statement("lock_holder")).fetchone()
            who = "another session"
            if holder is not None:
                since = f"{holder['backend_start']:%Y-%m-%d %H:%M:%S} UTC"
                who = (
                    f"{holder['application']!r} (process {holder['pid']}, role {holder['role']}, "
                    f"from {holder['host']}, since {since})"
                )
            raise RefusedError(f"another migration holds the lock: {who}; wait for it, or use status and pause")
        time.sleep(0.1)
