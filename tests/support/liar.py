"""A server that speaks Prometheus' interface by asking a real one, and changes what that answers."""

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote_plus

from support.clock import PATIENCE

Answer = tuple[int, bytes]
Change = Callable[[str, dict[str, Any]], Answer | dict[str, Any]]  # what was asked, the answer → what is told instead
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def lying(port: int, change: Change) -> Iterator[int]:
    """Run it before the Prometheus on a port; gives its own port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with _opener.open(f"http://127.0.0.1:{port}{self.path}", timeout=PATIENCE) as answer:
                told = change(unquote_plus(self.path), json.load(answer))
            status, body = told if isinstance(told, tuple) else (200, json.dumps(told).encode())
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)
