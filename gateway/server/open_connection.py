"""What aiohttp's connection knows and does not tell: the one place that says private names of it.

A release may change them, so each has a test that names it (tests/server/test_open_connection.py).
"""

from collections import deque
from typing import Any

from aiohttp import StreamReader, web

PRIVATE_NAMES = (
    "_buffer_paused",
    "_close",
    "_messages",
    "_payload_parser",
    "_reading_paused",
    "_request_in_progress",
    "_upgraded",
    "_waiter",
)


class OpenConnection(web.RequestHandler):
    """aiohttp's connection, which tells where it stands."""

    @property
    def awaits_request(self) -> bool:
        """Whether it has nothing to do but to wait for a head."""
        return self._waiter is not None and not self._waiter.done()

    @property
    def unhandled(self) -> deque[tuple[Any, StreamReader]]:
        """The heads that are parsed and not handled yet, each with its body, and errors of the parser."""
        return self._messages

    @property
    def is_handling(self) -> bool:
        """Whether a request is being handled."""
        return self._request_in_progress

    @property
    def is_closing(self) -> bool:
        """Whether no more requests are taken."""
        return self._close

    @property
    def has_switched(self) -> bool:
        """Whether another protocol than HTTP is spoken."""
        return self._upgraded

    @property
    def tunnel(self) -> Any:
        """What gets all bytes that come, None while HTTP is spoken."""
        return self._payload_parser

    @property
    def holds_back(self) -> bool:
        """Whether the client is kept from sending more."""
        return self._reading_paused or self._buffer_paused
