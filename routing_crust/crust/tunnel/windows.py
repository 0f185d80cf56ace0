"""
The windows of tunnels: how much may come by each link before there is more credit for it.

Each direction begins with a small window. The receiver finds out the round trip: the first bytes come that
long after the first credit, and a byte beyond the credit that the sender had comes at least that long after
the grant that allowed it. While a whole window is taken within two round trips it is the window that holds
the sender back, so it doubles (as in Linux's dynamic right-sizing), as far as the memory goes that all
windows of a node share. A round trip within a host or a LAN is shorter than a process waits for its turn at
the processor: there the window grows until it lasts for some turns, and is sent in large frames. A sender
that has been quiet gives back what it does not need, so that windows that were large once leave room for
others.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from ...timing.shares import Account

TUNNEL_WINDOW_BYTES: Final = 16 * 1024
"""What may wait in each direction of a tunnel at first."""
MAX_TUNNEL_WINDOW_BYTES: Final = 4 * 1024 * 1024
"""Upper bound of a window: 8 MiB a second over half a second."""
LIMITING_ROUND_TRIPS: Final = 2
"""A window that is taken within this number of round trips is what limits its sender."""
MIN_ROUND_TRIP_SECONDS: Final = 0.005
"""A shorter round trip counts as this."""
FRAMES_OF_CREDIT: Final = 4
"""Into this number of frames the credit is cut, if each of them is as large as a first window."""
QUIET_SECONDS: Final = 30.0
"""A sender that has sent less than a first window in this time gives back what it has beyond one."""


class WindowMemory:
    """
    What windows take beyond their first size. Nobody takes more than is left for all others, so there is
    always some for one that has none.

    @ivar taken: by all together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._of: dict[Account, int] = {}
        self.taken = 0

    def __len__(self) -> int:
        return len(self._of)

    def change(self, limit: int) -> None:
        """Have another limit from now on."""
        self._limit = limit

    def take(self, account: Account, amount: int) -> bool:
        """Let a window grow, if there is memory for it."""
        # the widest part alone: a host has as many names as it likes
        part = account[:1]
        of = self._of.get(part, 0) + amount
        # as in Choudhury and Hahne's dynamic thresholds: the fuller it is, the less for each
        if of > self._limit - self.taken:
            return False
        self._of[part] = of
        self.taken += amount
        return True

    def give_back(self, account: Account, amount: int) -> None:
        """A window is smaller again, or gone."""
        part = account[:1]
        self.taken -= amount
        left = self._of.get(part, 0) - amount
        if left:
            self._of[part] = left
        else:
            self._of.pop(part, None)


class ReceiveWindow:
    """
    What one link may send through a tunnel. Made with its end, or half, of the tunnel, discarded with it.

    @ivar size: what may be on its way and waiting, all together.
    @ivar left: how many bytes may still come before there is more credit.
    """

    __slots__ = (
        "_account", "_began", "_mark", "_marked", "_memory", "_owed", "_received", "_round_trip",
        "_seconds", "_since_began", "left", "size",
    )  # fmt: skip

    def __init__(self, memory: WindowMemory, account: Account, seconds: Callable[[], float]) -> None:
        self._memory = memory
        self._account = account
        self._seconds = seconds
        self.size = TUNNEL_WINDOW_BYTES
        self.left = self._owed = self._received = self._since_began = 0
        self._round_trip = inf
        self._mark = -1
        self._began = self._marked = 0.0

    def open(self) -> None:
        """The sender is given its first credit."""
        self.left = self.size
        self._mark, self._marked = 0, self._seconds()
        self._began = self._marked

    def received(self, amount: int) -> bool:
        """
        Bytes have come.

        @return: whether there was credit for them.
        """
        self.left -= amount
        self._received += amount
        if 0 <= self._mark < self._received:
            self._round_trip = min(self._round_trip, self._seconds() - self._marked)
            self._mark = -1
        return self.left >= 0

    def taken(self, amount: int) -> int:
        """
        Bytes that had come have gone on.

        @return: how much more the sender may send now; 0 if it is not worth a frame yet.
        """
        self._owed += amount
        # credit in quarters of the window: each grant is a frame, and later ones would stall the sender
        if self._owed < self.size // 4:
            return 0
        grant, self._owed = self._owed, 0
        self._since_began += grant
        if self._since_began >= self.size:
            now = self._seconds()
            # a round trip that is not known yet is infinite, and lets nothing grow
            round_trip = max(self._round_trip, MIN_ROUND_TRIP_SECONDS)
            if now - self._began < LIMITING_ROUND_TRIPS * round_trip < inf:
                grant += self._grow()
            self._since_began, self._began = 0, now
        # the first byte beyond the credit that there was: it can only come after this grant has arrived
        if self._mark < 0:
            self._mark, self._marked = self._received + self.left, self._seconds()
        self.left += grant
        return grant

    def returned(self, amount: int) -> bool:
        """
        The sender gives back credit that it does not need.

        @return: whether it had as much.
        """
        self.left -= amount
        if self.left < 0:
            return False
        size = max(TUNNEL_WINDOW_BYTES, self.size - amount)
        self._memory.give_back(self._account, self.size - size)
        self.size = size
        self._mark = -1  # credit that was given back is granted again, and then says nothing of round trips
        return True

    def close(self) -> None:
        """The tunnel is over."""
        self._memory.give_back(self._account, self.size - TUNNEL_WINDOW_BYTES)
        self.size = TUNNEL_WINDOW_BYTES

    def _grow(self) -> int:
        more = min(self.size, MAX_TUNNEL_WINDOW_BYTES - self.size)
        if not more or not self._memory.take(self._account, more):
            return 0
        self.size += more
        return more


class SendCredit:
    """
    What may be sent to one link through a tunnel.

    @ivar left: in bytes.
    """

    __slots__ = ("_seconds", "_sent", "_since", "left")

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._since = seconds()
        self._sent = self.left = 0

    def frame_bytes(self, most: int) -> int:
        """
        How much the next frame may carry.

        A window that is one frame is taken, passed on and granted again in steps that wait for each other:
        it would never be found to be what limits the sender.
        """
        return min(self.left, most, max(TUNNEL_WINDOW_BYTES, self.left // FRAMES_OF_CREDIT))

    def spend(self, amount: int) -> int:
        """
        Send this much.

        @return: how much of the credit to give back now, since little was sent for a while.
        """
        self.left -= amount
        self._sent += amount
        now = self._seconds()
        if now - self._since < QUIET_SECONDS:
            return 0
        excess = self.left - TUNNEL_WINDOW_BYTES if self._sent < TUNNEL_WINDOW_BYTES else 0
        self._since, self._sent = now, 0
        if excess <= 0:
            return 0
        self.left -= excess
        return excess
