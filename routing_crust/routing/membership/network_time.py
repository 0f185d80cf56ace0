"""
The network's time: our clock, put right by those of our peers.

Requests carry the time at which they were made, so that none can be replayed later. If every node trusted its
own clock, a node whose clock is an hour off could never get a link. So each Hello, and each answer to a group
query, carries the sender's time, and a node uses the median of what the last few peers have reported.
"""

from __future__ import annotations

from statistics import median_low
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ...bounded_dict import BoundedDict
from ...names import Name

SLIP: Final = 5.0
"""
Seconds by which the network may differ from our clock before we follow it. Below that we report our own
clock: if all nodes followed each other, all would fall behind by the time that messages take.
"""
MAX_VOTING_PEERS: Final = 5
"""Peers whose times count: those that reported last."""


class NetworkTime:
    """
    Made with each start of the service, fed with the time in each verified Hello and each answer.

    Each peer has one vote. Peers that hold most of the last votes could shift our time, but such peers have
    simpler means to keep us out of the network.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._ahead: BoundedDict[Name, float] = BoundedDict(MAX_VOTING_PEERS)
        self._offset = 0.0
        self._last = clock.seconds()

    @property
    def offset(self) -> float:
        """How many seconds the network is ahead of our clock; 0.0 if that is right, as far as we know."""
        return self._offset if abs(self._offset) > SLIP else 0.0

    def now(self) -> float:
        """The network's time, in seconds since the epoch."""
        return self._look() + self.offset

    def heard(self, peer: Name, time: float) -> None:
        """A peer has just reported its time; 0 means that it has none to report."""
        if not time:
            return
        self._ahead.put(peer, time - self._look())
        self._offset = median_low(self._ahead.values())

    def _look(self) -> float:
        """Our clock's time. If the clock was set back since the last reading, correct the offsets."""
        now = self._clock.seconds()
        if now < self._last:
            back = self._last - now
            for peer, ahead in self._ahead.items():
                self._ahead[peer] = ahead + back
            self._offset += back if self._ahead else 0.0
        self._last = now
        return now

    def forget(self) -> None:
        """The last link is lost: discard the offsets, since our clock may be set while no peer reports."""
        self._ahead.clear()
        self._offset = 0.0
