"""What carries the requests, as the process around it sees it: that process itself, or its workers."""

import socket
from collections.abc import Mapping
from typing import Protocol

from gateway.rollout.policy import Mode
from gateway.rules.load import Rules

BACKLOG = 1024


class RequestServer(Protocol):
    """Carries requests under the rules and modes that were applied last."""

    @property
    def in_flight(self) -> int:
        """How many requests are being carried."""

    @property
    def is_busy(self) -> bool:
        """Whether anything is still under way, once no more is accepted."""

    def describe(self) -> dict[str, int]:
        """Return how many processes are wanted, how many serve, and how often one was started again."""

    def apply(self, rules: Rules, modes: Mapping[str, Mode]) -> None:
        """Let every request from now on be carried under these. Raises what keeps them from being applied."""

    async def settle(self) -> None:
        """Wait until what was applied is in force, and what was counted is in the metrics."""

    async def start(self, listener: socket.socket) -> None:
        """Accept connections."""

    def drain(self) -> None:
        """Make every response the last on its connection."""

    async def stop_accepting(self) -> None:
        """Close the listener, and let what is under way come to its end."""

    async def close(self) -> None:
        """End at once what is still under way."""
