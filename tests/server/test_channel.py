"""Messages between processes: each arrives as what it is, and what is none is an error."""

import socket
import struct
from collections.abc import AsyncIterator
from typing import get_args

import msgspec
import pytest

from gateway.rollout.policy import Mode
from gateway.server.channel import Channel, MessageError
from gateway.server.messages import Apply, Ask, Counted, Drain, Finish, Leave, Message, Order
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.reports import take

ORDERS = [
    Apply(document="{}", source="x", dry_run=None, authorities={"a": "b"}, modes={"/x": Mode.WARN}),
    Apply(document=None, source="x", dry_run=True, authorities=None, modes={}),
    Ask(7),
    Drain(),
    Finish(),
    Leave(),
]


@pytest.fixture
async def ends() -> AsyncIterator[tuple[socket.socket, Channel[Order]]]:
    ours, theirs = socket.socketpair()
    channel: Channel[Order] = await Channel.over(theirs, Order)
    yield ours, channel
    ours.close()
    channel.close()


def sent(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


async def test_every_order_arrives_as_what_it_is(ends: tuple[socket.socket, Channel[Order]]) -> None:
    """A worker hears each kind of order whole and in order, and None at the end."""
    ours, heard = ends
    told: Channel[Counted] = await Channel.over(ours.dup(), Counted)
    ours.close()
    for order in ORDERS:
        told.tell(order)
    assert {type(order) for order in ORDERS} == set(get_args(Order)) == set(Message.__subclasses__()) - {Counted}
    assert [await heard.hear() for _ in ORDERS] == ORDERS
    told.close()
    assert await heard.hear() is None


@pytest.mark.parametrize(
    "text",
    [
        b'{"do":"dance"}',
        b'{"do":"ask"}',
        b'{"do":"ask","number":"7"}',
        b'{"do":"ask","number":7,"more":1}',
        b'{"do":"apply","document":null,"source":"","dry_run":null,"authorities":null,"modes":{"/x":"strict"}}',
        b'{"number":7}',
        b"{",
        msgspec.json.encode(Counted(take(Metrics()), 0, 0)),
    ],
)
async def test_what_is_no_order_is_an_error(text: bytes, ends: tuple[socket.socket, Channel[Order]]) -> None:
    """A message of an unknown kind, or with other members than its kind has, is not passed over."""
    ours, heard = ends
    ours.sendall(sent(text))
    with pytest.raises(MessageError, match="is not understood"):
        await heard.hear()
