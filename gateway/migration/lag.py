"""How far replicas are behind, and when that is a reason to wait."""

from dataclasses import dataclass

import psycopg

from gateway.migration.database import Connection
from gateway.migration.spec import Lag
from gateway.migration.statements import statement


@dataclass(frozen=True, slots=True)
class Reading:
    """The lag of the replica furthest behind: bytes, None when it cannot be read; no replica is 0 bytes."""

    name: str
    bytes: int | None


def read_lag(connection: Connection) -> Reading:
    """Return the lag of the replica that is furthest behind. What cannot be read is unknown, never 0."""
    try:
        rows = connection.execute(statement("lag")).fetchall()
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported):
        return Reading("replicas", None)
    unknown = next((row["name"] for row in rows if row["bytes"] is None), None)
    if unknown is not None:
        return Reading(unknown, None)
    worst = max(rows, key=lambda row: row["bytes"], default=None)
    return Reading("none", 0) if worst is None else Reading(worst["name"], worst["bytes"])


def must_wait(limit: Lag, before: Reading | None, now: Reading) -> bool:
    """Return whether to hold back: the lag is above the limit and does not get smaller.

    A replica that catches up is let do so while the migration goes on; one that stands still is waited for.
    """
    if now.bytes is None or now.bytes <= limit.max_bytes:
        return False
    return before is None or before.bytes is None or now.bytes >= before.bytes
