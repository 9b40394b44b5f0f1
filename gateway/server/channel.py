"""Messages between the main process and one worker, both ways: JSON behind its length, over a socket pair."""

import asyncio
import os
import socket
import struct
from typing import Any, Generic, TypeVar

import msgspec

from gateway.errors import GatewayError
from gateway.server.messages import Message

_LENGTH = struct.Struct(">I")
_BEHIND_BYTES = 1024 * 1024
Heard = TypeVar("Heard")


def receive_connection(queue: socket.socket) -> tuple[bytes, list[int]]:
    """Return the next mark in a queue of connections, b"" at its end, and the descriptors that came with it.

    Raises OSError when nothing waits, or no descriptor is left: one that finds no room is lost when it is received, so
    whether there is room is tried before.
    """
    os.close(os.dup(queue.fileno()))
    mark, descriptors, _, _ = socket.recv_fds(queue, 1, 1)
    return mark, descriptors


class MessageError(GatewayError):
    """The other end told something that this one does not know."""


class Channel(Generic[Heard]):
    """One end. What is told arrives whole and in order, or the other end is gone. `kinds` are what may be heard."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kinds: Any) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder: msgspec.json.Decoder[Heard] = msgspec.json.Decoder(kinds)

    @classmethod
    async def over(cls, end: socket.socket, kinds: Any) -> "Channel[Heard]":
        """Make a channel of one end of a socket pair, which it owns from now on."""
        end.setblocking(False)
        return cls(*await asyncio.open_connection(sock=end), kinds)

    def tell(self, message: Message) -> None:
        """Send a message; it is lost when the other end is gone."""
        data = msgspec.json.encode(message)
        self._writer.write(_LENGTH.pack(len(data)) + data)

    @property
    def is_behind(self) -> bool:
        """Whether the other end has not taken much of what it was told."""
        return self._writer.transport.get_write_buffer_size() > _BEHIND_BYTES

    async def hear(self) -> Heard | None:
        """Return the next message, None when the other end is gone. Raises MessageError at one of no known kind."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            data = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        try:
            return self._decoder.decode(data)
        except msgspec.DecodeError as error:
            raise MessageError("a message between processes is not understood") from error

    def close(self) -> None:
        """Let go of this end, once what was told is sent."""
        self._writer.close()
