"""How fast a body has to come, so that slow uploads cannot use up the room for held ones.

A client begins with a grace, and buys time with what it sends: each byte is worth `1 / max(rate, held / 60)` seconds.
While any of the body is held, no more than the grace can be saved up. What follows from that, with the defaults
(a grace of 10 s, 1024 bytes a second, 256 MiB of room):

- Up to 60 KiB held the least rate is 1024 bytes a second, above it a sixtieth of what is held, each second.
- Who holds H bytes, over however many connections, has to send H / 60 bytes a second: 4.5 MB/s for all the room.
  k connections have to send k KiB a second at least, however little they hold. Who stops is given up after 10 s.
- What is sent is held as well, so a body that just keeps this rate doubles every 42 s. It goes from 1 to 100 MiB
  in 60 ln 100 = 276 s; then it is whole, or too large, and the next begins with nothing.
- A client whose rate stays the same is not cut off within 100 s, whatever it sends (it falls behind by
  t - 60 - 60 ln(t / 60) seconds, 10 at t = 101). So 1 MB/s is enough for 100 MiB, 240 KB/s for 24 MB.
"""

from dataclasses import dataclass

_HOLD_SECONDS = 60


@dataclass(frozen=True, slots=True)
class MinimumRate:
    """The least rate of a body: `rate` bytes a second (0: any will do) behind a grace of `grace` seconds."""

    grace: float
    rate: int

    def allowance(self, left: float, size: int, held: int) -> float:
        """Return how many seconds a client may keep us waiting that had `left` and has sent `size` bytes more.

        `held` bytes of its body are held, those among them that are. Not to be asked where the rate is 0.
        """
        gained = left + size / max(self.rate, held / _HOLD_SECONDS)
        return min(gained, self.grace) if held else gained
