"""A connection that became something else than HTTP: bytes both ways until both sides have ended (RFC 9110, 7.8).

Each side may end what it sends and go on reading. A side that is lost ends the other. Nothing here has a time limit:
what is spoken in a tunnel may be silent for as long as its speakers like.
"""

import asyncio

from gateway.proxy.client import Client
from gateway.proxy.connection import Connection


async def carry(client: Client, connection: Connection) -> None:
    """Carry bytes between a client and an upstream that has switched protocols, to the end of both.

    Raises UpstreamError when the upstream breaks off.
    """
    transport = client.writer.transport
    up = _Up(transport, connection)
    try:
        client.set_parser(up)
        while data := await connection.read():
            await client.writer.write(data, None)
        if transport.can_write_eof():
            transport.write_eof()
            await up.ended
    finally:
        up.stop()


class _Up:
    """What the client sends, on its way up; a parser to aiohttp."""

    def __init__(self, client: asyncio.Transport, connection: Connection) -> None:
        self._client = client
        self._connection = connection
        self._waiting: asyncio.Task[None] | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Pass bytes on; reading pauses while the upstream does not take them."""
        self._connection.write(data)
        if self._connection.is_full and self._waiting is None:
            self._client.pause_reading()
            self._waiting = asyncio.create_task(self._wait())
        return False, b""

    def feed_eof(self) -> None:
        """Pass the end on."""
        self._connection.write_eof()
        if not self.ended.done():
            self.ended.set_result(None)

    def stop(self) -> None:
        """Pass nothing on any more."""
        if self._waiting is not None:
            self._waiting.cancel()

    async def _wait(self) -> None:
        await self._connection.drain()
        self._waiting = None
        if not self._client.is_closing():
            self._client.resume_reading()
