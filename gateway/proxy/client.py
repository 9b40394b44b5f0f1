"""A client's side of a connection: where its responses go, at the pace at which it takes them."""

import asyncio
import socket
import struct
from typing import Any, Protocol

from gateway.proxy.progress import while_taken

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, for no time


class ClientWriter:
    """Writes responses to one client, whose address is `peer`. `written` counts the bytes of the one under way.

    What a client does not take is held back: a write waits while more than the transport's high-water mark, 64 KiB,
    has not left, that of responses before included.
    """

    __slots__ = ("_is_full", "_room", "peer", "transport", "written")

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else "unknown"
        self.written = 0
        self._is_full = False
        self._room: asyncio.Future[None] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether a write would not wait, nor fail."""
        return not self._is_full and not self.transport.is_closing()

    def begin(self) -> None:
        """Begin the next response."""
        self.written = 0

    def put(self, data: bytes) -> None:
        """Write, whatever the client has taken. Raises ConnectionResetError when it is gone."""
        if self.transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self.written += len(data)
        self.transport.write(data)

    async def write(self, data: bytes, seconds: float | None) -> None:
        """Write, once the client has taken what was written before: as slowly as it likes, but it may not stop.

        Raises TimeoutError when it takes nothing for `seconds` (None: for good), ConnectionResetError when it is gone.
        """
        if self._is_full:
            self._room = asyncio.get_running_loop().create_future()
            try:
                await while_taken(self._room, self.transport, seconds)
            finally:
                self._room = None
        self.put(data)

    def break_off(self) -> None:
        """Reset the connection: an end in good order could pass for the end of the response."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()

    # What the connection's protocol tells.

    def pause(self) -> None:
        """Take note that the client does not take what is written."""
        self._is_full = True

    def resume(self) -> None:
        """Take note that it has taken enough."""
        self._is_full = False
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def lose(self) -> None:
        """Take note that the connection is gone: whoever waits goes on, and is told so by its write."""
        self.resume()


class Client(Protocol):
    """A client's connection, as far as a request on it is concerned."""

    writer: ClientWriter

    def set_parser(self, parser: Any) -> None:
        """Give everything that comes from now on, and what came behind the request, to `parser`."""
