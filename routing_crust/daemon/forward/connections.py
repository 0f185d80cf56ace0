"""
The open connections of an exposer, a forwarder or the control socket: counted, reported, ended together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred, TimeoutError, succeed
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IReactorTime
from twisted.internet.protocol import Factory, Protocol

from ...errors import NotConnected
from ...names import Name
from ...routing.service import RoutingService
from ...routing.state import State
from ...streams import streams_of
from ...streams.opening import STREAM_OPEN_TIMEOUT_SECONDS
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


def open_stream(
    service: RoutingService, name: Name, protocol: str, factory: IProtocolFactory
) -> Deferred[IProtocol]:
    """
    Open a stream, once the node has joined its network: the program that wants it cannot know.

    @return: as L{Streams.open<routing_crust.streams.service.Streams.open>}; fails with
        L{NotConnected<routing_crust.errors.NotConnected>} when the node has not joined within
        C{STREAM_OPEN_TIMEOUT_SECONDS} seconds. Cancelling it gives up.
    """
    return Deferred.fromCoroutine(_open_stream(service, name, protocol, factory))


async def _open_stream(
    service: RoutingService, name: Name, protocol: str, factory: IProtocolFactory
) -> IProtocol:
    # a service that does not run fails below, at once
    if service.running and service.state is not State.CONNECTED:
        try:
            await service.when_connected().addTimeout(STREAM_OPEN_TIMEOUT_SECONDS, service.clock)
        except TimeoutError:
            raise NotConnected("this node has no link to its network") from None
    return await streams_of(service).open(name, protocol, factory)


class ReadyProtocolFactory(Factory):
    """Gives out a protocol that exists already."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Give the protocol out."""
        return self._protocol
