"""The snapshot that a run wants to have before it writes: made here with pg_dump, or elsewhere."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from psycopg.conninfo import conninfo_to_dict

from gateway.errors import GatewayError, UnreachableError
from gateway.migration.catalog import Target

# libpq reads these from the environment, where other users of the machine do not see a password.
_VARIABLES = MappingProxyType({
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER",
    "password": "PGPASSWORD", "passfile": "PGPASSFILE", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "service": "PGSERVICE", "options": "PGOPTIONS",
})  # fmt: skip


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def dump(url: str, targets: Sequence[Target], folder: Path) -> str:
    """Write the tables with pg_dump to a new file in `folder` and return the file's path.

    Raises UnreachableError when there is no pg_dump, GatewayError when it fails.
    """
    program = shutil.which("pg_dump")
    if program is None:
        raise UnreachableError("pg_dump: not found on PATH; install the client of PostgreSQL, or name --snapshot-ref")
    path = folder / f"stages-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.dump"
    tables = sorted({f"--table={_quoted(t.schema)}.{_quoted(t.table)}" for t in targets})
    given = {_VARIABLES[name]: str(value) for name, value in conninfo_to_dict(url).items() if name in _VARIABLES}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(  # noqa: S603 - our own arguments, no shell
            [program, "--format=custom", f"--file={path}", *tables],
            env={**os.environ, **given},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise GatewayError(f"{folder}: the snapshot cannot be written: {error.strerror}") from error
    if done.returncode != 0:
        path.unlink(missing_ok=True)
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode} and said nothing"]
        raise GatewayError(f"pg_dump failed, nothing was changed: {said[-1]}")
    return str(path)
