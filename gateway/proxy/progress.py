"""Whether a client takes what is written to it: what counts is progress, not the time that the whole takes."""

import asyncio
import contextlib
import fcntl
import struct
import termios


async def while_taken(room: asyncio.Future[None], transport: asyncio.Transport, seconds: float | None) -> None:
    """Wait until a client has taken enough of what was written that there is `room`, for as long as it takes any.

    Raises TimeoutError after `seconds` (None: never) in which it took nothing.
    """
    waiting = unsent(transport)
    while not (await asyncio.wait({room}, timeout=seconds))[0]:
        before, waiting = waiting, unsent(transport)
        if waiting >= before:
            raise TimeoutError(f"the client took nothing for {seconds:g} s")
    room.result()


def end_in_time(transport: asyncio.Transport, seconds: float) -> None:
    """See to the end of a connection that is told to close: it is reset where nothing was taken for `seconds`.

    A transport that closes waits for all that it has to be taken, and would wait for good.
    """
    loop = asyncio.get_running_loop()

    def look(before: int) -> None:
        if transport.get_write_buffer_size() == 0:
            return
        waiting = unsent(transport)
        if waiting >= before:
            transport.abort()
        else:
            loop.call_later(seconds, look, waiting)

    if transport.get_write_buffer_size() > 0:
        loop.call_later(seconds, look, unsent(transport))


def unsent(transport: asyncio.Transport | None) -> int:
    """Return how many bytes the other side has not acknowledged: ours, and the kernel's send queue (tcp(7), SIOCOUTQ).

    A slow reader empties that queue long before the kernel takes more from us.
    """
    if transport is None:
        return 0
    waiting = transport.get_write_buffer_size()
    with contextlib.suppress(OSError, ValueError):  # no such queue, or it is gone: what we have is what is known
        queued = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        waiting += struct.unpack("i", queued)[0]
    return waiting
