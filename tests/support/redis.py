"""A Redis of a test's own, on a loopback port."""

import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from support.clock import PATIENCE
from support.prometheus import free_port


class RedisServer:
    """A redis-server that can be ended, started again on its port, and made to hang. It keeps nothing on disk.

    With an authority it speaks TLS only, with a certificate for 127.0.0.1.
    """

    def __init__(
        self,
        folder: Path,
        password: str | None = None,
        authority: trustme.CA | None = None,
    ) -> None:
        self._folder = folder
        self._password = password
        self._secure = authority is not None
        if authority is not None:
            certificate = authority.issue_cert("127.0.0.1")
            certificate.private_key_pem.write_to_path(str(folder / "redis.key"))
            certificate.cert_chain_pems[0].write_to_path(str(folder / "redis.pem"))
            authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        self._program = shutil.which("redis-server")
        if self._program is None:
            pytest.skip("needs redis-server, which `make test` installs on Debian")
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """What a client is given: for TLS without the authority that it needs."""
        credentials = f":{self._password}@" if self._password else ""
        return f"redis{'s' if self._secure else ''}://{credentials}127.0.0.1:{self.port}/0"

    @property
    def trusted(self) -> str:
        """The address with the private authority."""
        return f"{self.address}?ssl_ca_certs={self._folder / 'authority.pem'}" if self._secure else self.address

    def start(self) -> None:
        own = ["--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder), "--port"]
        if self._secure:
            files = [
                "--tls-cert-file",
                "redis.pem",
                "--tls-key-file",
                "redis.key",
                "--tls-ca-cert-file",
                "authority.pem",
            ]
            own += ["0", "--tls-port", str(self.port), "--tls-auth-clients", "no", *files]
        else:
            own.append(str(self.port))
        secret = ["--requirepass", self._password] if self._password else []
        assert self._program is not None
        self._process = subprocess.Popen([self._program, *own, *secret], stdout=subprocess.DEVNULL)
        for _ in range(500):
            with contextlib.suppress(redis.ConnectionError), self.client() as client:
                client.ping()
                return
            time.sleep(0.01)
        raise AssertionError("redis-server does not answer")

    def stop(self) -> None:
        """End it, with all it knows."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Let it take connections and answer nothing for a while."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        with redis.Redis.from_url(self.trusted, socket_timeout=PATIENCE) as client:
            yield client


@contextlib.contextmanager
def running(folder: Path, password: str | None = None, authority: trustme.CA | None = None) -> Iterator[RedisServer]:
    """Run a Redis, with an authority one that speaks TLS."""
    server = RedisServer(folder, password, authority)
    server.start()
    try:
        yield server
    finally:
        server.stop()
