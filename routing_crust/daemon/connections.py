"""
The connections that something carries at the moment: to count them, to show them, and to end them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory

from ..names import Name
from .splicing import End, Splice


@dataclass(frozen=True, slots=True)
class Carried:
    """
    One connection.

    @ivar peer: the node at the other end of the stream.
    @ivar since: the time of its beginning, by the clock of the service.
    """

    splice: Splice
    kind: str
    peer: Name
    protocol: str
    since: float


class Connections:
    """
    Those of one owner.

    @ivar kind: what they are, in a word for the status.
    """

    def __init__(self, kind: str, clock: IReactorTime) -> None:
        self.kind = kind
        self._clock = clock
        self._all: dict[Splice, Carried] = {}
        self._all_over: Deferred[None] | None = None

    def __len__(self) -> int:
        return len(self._all)

    def new(self, peer: Name, protocol: str, opener: Callable[[Splice], object] | None = None) -> Splice:
        """A splice for a connection that begins, counted until it is over; C{opener} as there."""
        splice = Splice(self._over, opener)
        self._all[splice] = Carried(splice, self.kind, peer, protocol, self._clock.seconds())
        return splice

    def drop(self, splice: Splice) -> None:
        """Nothing has become of this one."""
        self._over(splice)

    def abort_all(self) -> Deferred[None]:
        """
        Abort all of them.

        @return: fires with C{None} when none is left.
        """
        if not self._all:
            return succeed(None)
        self._all_over = Deferred()
        for splice in list(self._all):
            splice.abort()
        return self._all_over

    def status(self) -> list[dict[str, object]]:
        """Each of them, for people and monitoring."""
        now = self._clock.seconds()
        return [
            {
                "kind": each.kind,
                "peer": str(each.peer),
                "protocol": each.protocol,
                "seconds": round(now - each.since, 1),
                "sent": each.splice.near.received,
                "received": each.splice.far.received,
            }
            for each in self._all.values()
        ]

    def _over(self, splice: Splice) -> None:
        self._all.pop(splice, None)
        if self._all_over is not None and not self._all:
            all_over, self._all_over = self._all_over, None
            all_over.callback(None)


class OneProtocol(Factory):
    """Gives out an end that is there already."""

    noisy = False

    def __init__(self, end: End) -> None:
        self._end = end

    def buildProtocol(self, addr: IAddress | None) -> End:
        """The end."""
        return self._end
