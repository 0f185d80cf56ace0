"""
The open connections of an exposer, a forwarder or the control socket: counted, reported, ended together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol

from ...names import Name
from .splice import Splice


@dataclass(frozen=True, slots=True)
class CarriedConnection:
    """
    One connection.

    @ivar peer: the node at the other end of the stream.
    @ivar since: when it began, by the clock of the service.
    """

    splice: Splice
    kind: str
    peer: Name
    protocol: str
    since: float


class CarriedConnections:
    """
    The connections of one owner.

    @ivar kind: the word for them in the status.
    """

    def __init__(self, kind: str, clock: IReactorTime) -> None:
        self.kind = kind
        self._clock = clock
        self._all: dict[Splice, CarriedConnection] = {}
        self._all_over: Deferred[None] | None = None

    def __len__(self) -> int:
        return len(self._all)

    def new(self, peer: Name, protocol: str, opener: Callable[[Splice], object] | None = None) -> Splice:
        """Make the splice of a connection that begins, counted until it is over."""
        splice = Splice(self._over, opener)
        self._all[splice] = CarriedConnection(splice, self.kind, peer, protocol, self._clock.seconds())
        return splice

    def drop(self, splice: Splice) -> None:
        """Forget a splice that never got both of its ends."""
        self._over(splice)

    def abort_all(self) -> Deferred[None]:
        """
        Abort all of them.

        @return: fires with C{None} when none is left.
        """
        if not self._all:
            return succeed(None)
        self._all_over = Deferred()
        # a copy: an abort may end a splice, which removes it, from within the call
        for splice in list(self._all):
            splice.abort()
        return self._all_over

    def status(self) -> list[dict[str, object]]:
        """Their entries in the daemon's status."""
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
        # taken before it fires: its callback may abort again
        if self._all_over is not None and not self._all:
            all_over, self._all_over = self._all_over, None
            all_over.callback(None)


class ReadyProtocolFactory(Factory):
    """Gives out a protocol that exists already."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Give the protocol out."""
        return self._protocol
