"""Connections to an upstream that nobody waits for any more: not one of them stays open."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

import pytest
import trustme
import uvloop
from support.clock import eventually
from support.upstream import RecordingUpstream

from gateway.proxy.failures import UpstreamTimeoutError
from gateway.proxy.upstream import Pool
from gateway.rules.load import Upstream

TURNS = 40  # of the event loop; a connection on loopback is made in fewer, and with TLS begun
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


async def give_up_after(turns: int, pool: Pool) -> None:
    attempt = asyncio.create_task(pool.acquire())
    for _ in range(turns):
        await asyncio.sleep(0)
    attempt.cancel()
    with suppress(asyncio.CancelledError):
        connection, _ = await attempt
        pool.release(connection)
    await asyncio.sleep(0.01)


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_an_attempt_may_be_given_up_at_every_moment(loop: Callable[[], asyncio.AbstractEventLoop], tls: bool) -> None:
    """Cancelled at whichever turn of the event loop, an attempt to connect leaves no descriptor and no connection."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    upstream = RecordingUpstream(context if tls else None)

    async def run() -> None:
        pool = Pool(Upstream("portfolio", "127.0.0.1", upstream.port, ours if tls else None), 5)
        await give_up_after(TURNS, pool)  # the first time an event loop opens what it keeps
        await asyncio.to_thread(eventually, lambda: not upstream.open)
        before = len(os.listdir("/proc/self/fd"))
        for turns in range(TURNS):
            for _ in range(3):
                await give_up_after(turns, pool)
        await asyncio.to_thread(eventually, lambda: len(os.listdir("/proc/self/fd")) <= before)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())
    upstream.close()


def test_a_connection_that_is_made_too_late_is_closed() -> None:
    """Where TLS takes longer than `connectTimeoutSeconds`, neither side keeps the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        context = ssl.create_default_context()

        async def run() -> None:
            pool = Pool(Upstream("portfolio", "127.0.0.1", listener.getsockname()[1], context), 0.2)
            with pytest.raises(UpstreamTimeoutError):
                await pool.acquire()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            while connection.recv(65536):
                pass
