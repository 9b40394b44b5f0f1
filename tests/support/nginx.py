"""nginx as a plain reverse proxy, to see what another one does with the same bytes."""

import contextlib
import shutil
import socket
import string
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

CONFIG = string.Template("""
daemon off;
master_process off;
pid $folder/nginx.pid;
error_log $folder/error.log warn;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path $folder/body;
  proxy_temp_path $folder/proxy;
  fastcgi_temp_path $folder/fastcgi;
  uwsgi_temp_path $folder/uwsgi;
  scgi_temp_path $folder/scgi;
  $servers
}
""")
PROXY = string.Template("""
  underscores_in_headers on;
  ignore_invalid_headers off;
  merge_slashes off;
  server {
    listen 127.0.0.1:$port;
    location / {
      proxy_pass http://127.0.0.1:$upstream;
      proxy_http_version 1.1;
      proxy_set_header Host $$http_host;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_buffering off;
      proxy_pass_header Server;
      proxy_pass_header Date;
    }
  }
""")
SERVER = string.Template("""
  server {
    listen 127.0.0.1:$port;
    merge_slashes $merge;
    keepalive_requests 100000;
    $locations
  }
""")


@contextlib.contextmanager
def running(folder: Path, upstream: int) -> Iterator[int]:
    """Run nginx before an upstream, and give its port; skips the test where nginx is not installed."""
    port = _free_port()
    with _serving(folder, PROXY.substitute(port=port, upstream=upstream), [port]):
        yield port


@contextlib.contextmanager
def routing(folder: Path, locations: Mapping[str, str]) -> Iterator[list[int]]:
    """Run nginx with a server for each setting of merge_slashes, and give their ports; skips as `running` does."""
    ports = [_free_port() for _ in locations]
    servers = "".join(
        SERVER.substitute(port=port, merge=merge, locations=text)
        for port, (merge, text) in zip(ports, locations.items(), strict=True)
    )
    with _serving(folder, servers, ports):
        yield ports


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def _serving(folder: Path, servers: str, ports: Iterable[int]) -> Iterator[None]:
    binary = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if binary is None:
        pytest.skip("needs nginx, which `make test` installs on Debian")
    config = folder / "nginx.conf"
    config.write_text(CONFIG.substitute(folder=folder, servers=servers))
    process = subprocess.Popen([binary, "-c", config, "-p", folder], stderr=subprocess.DEVNULL)
    try:
        for port in ports:
            _wait_for(port, process)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, "nginx ended"
        time.sleep(0.05)
    raise AssertionError("nginx does not serve")
