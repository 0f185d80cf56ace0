"""
The network's time: our clock, put right by those of our peers.

Requests carry the time at which they were made, so that none can be used again later. A node whose clock is an
hour off could never be linked with if everybody believed his own; so each Hello tells the sender's time, and
what counts is the middle of what the last few peers have told.
"""

from __future__ import annotations

from statistics import median_low
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ..names import Name

MOST_PEERS: Final = 7
"""So many peers count, those that were heard last."""


class NetworkTime:
    """
    Made with each start of the service, told of each verified Hello.

    Each peer has one voice. Whoever has most of the last few voices could put us off, but such peers could keep
    us from others in simpler ways.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._ahead: dict[Name, float] = {}
        self._offset = 0.0

    @property
    def offset(self) -> float:
        """How many seconds the network is ahead of our clock; 0.0 as long as nobody has told us anything."""
        return self._offset

    def now(self) -> float:
        """The network's time, in seconds since the epoch."""
        return self._clock.seconds() + self._offset

    def heard(self, peer: Name, time: float) -> None:
        """A peer has told its time, just now; 0 means that it has not."""
        if not time:
            return
        self._ahead.pop(peer, None)
        self._ahead[peer] = time - self._clock.seconds()
        if len(self._ahead) > MOST_PEERS:
            del self._ahead[next(iter(self._ahead))]
        self._offset = median_low(self._ahead.values())

    def forget(self) -> None:
        """We are linked with nobody any more: our clock may have been set since they told us."""
        self._ahead.clear()
        self._offset = 0.0
