"""
The network's time: our clock, put right by those of our peers.

Requests carry the time at which they were made, so that none can be used again later. A node whose clock is
an hour off could never be linked with if everybody believed his own; so each Hello, and each answer to a
group query, tells the sender's time, and what counts is the middle of what the last few peers have told.
"""

from __future__ import annotations

from statistics import median_low
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ...bounded_dict import BoundedDict
from ...names import Name

SLIP: Final = 5.0
"""
Seconds; as long as the network is not further off than that, our clock is right, and it is what we tell
others. Else each would follow the others, who follow it, and all would lag behind by what messages take.
"""
MOST_PEERS: Final = 5
"""So many peers count, those that were heard last."""


class NetworkTime:
    """
    Made with each start of the service, told of each verified Hello.

    Each peer has one voice. Peers with most of the last few voices could put us off, but they could keep us
    from the network in simpler ways.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._ahead: BoundedDict[Name, float] = BoundedDict(MOST_PEERS)
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
        """A peer has told its time, just now; 0 means that it has not."""
        if not time:
            return
        self._ahead.put(peer, time - self._look())
        self._offset = median_low(self._ahead.values())

    def _look(self) -> float:
        """Our clock's time. If it was set back since the last look, so is what peers have told."""
        now = self._clock.seconds()
        if now < self._last:
            back = self._last - now
            for peer, ahead in self._ahead.items():
                self._ahead[peer] = ahead + back
            self._offset += back if self._ahead else 0.0
        self._last = now
        return now

    def forget(self) -> None:
        """The last link is lost: our clock may have been set since the peers told us theirs."""
        self._ahead.clear()
        self._offset = 0.0
