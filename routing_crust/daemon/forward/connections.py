"""
The open connections of an exposer, a forwarder or the control socket: counted, reported, ended together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from itertools import count
from typing import Any
from typing import Protocol as StructuralType

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from ...names import Name
from ...streams import StreamLinkLost, StreamReason
from .splice import Splice

_numbers = count(1)


class Carrying(StructuralType):
    """What carries a connection, or the datagrams of one source."""

    @property
    def connected(self) -> bool:
        """Whether its stream is open."""
        ...

    @property
    def sent(self) -> int:
        """How many bytes came from the local program."""
        ...

    @property
    def received(self) -> int:
        """How many bytes came from the peer."""
        ...

    @property
    def dropped(self) -> int:
        """How many datagrams were dropped."""
        ...

    def abort(self) -> None:
        """Abort what is connected."""
        ...

    def end_because(self, reason: StreamReason, detail: str) -> None:
        """Abort what is connected, and tell the peer why."""
        ...


@dataclass(frozen=True, slots=True)
class CarriedConnection:
    """
    One connection.

    @ivar peer: the node at the other end of the stream; its nickname, until it is known whose that is.
    @ivar since: when it began, by the clock of the service.
    @ivar number: no other connection of this process has it.
    """

    splice: Carrying
    kind: str
    peer: Name | str
    protocol: str
    since: float
    number: int


@dataclass(frozen=True, slots=True)
class Carried:
    """
    What connections have carried.

    @ivar connections: how many there were.
    @ivar sent: the bytes from here to the peers.
    @ivar dropped: the datagrams that were dropped, since more came than could be carried.
    """

    connections: int = 0
    sent: int = 0
    received: int = 0
    dropped: int = 0

    def plus(self, *others: Carried) -> Carried:
        """All of them together."""
        these = (self, *others)
        return Carried(
            sum(each.connections for each in these),
            sum(each.sent for each in these),
            sum(each.received for each in these),
            sum(each.dropped for each in these),
        )


class Change(Enum):
    """What becomes of the connections with a peer when its link is lost."""

    SUSPENDED = "suspended"
    """They wait for another link."""
    RESUMED = "resumed"
    """They go on."""
    ENDED = "ended"
    """They have ended while they waited."""


@dataclass(frozen=True, slots=True)
class Suspension:
    """
    The link of connections was lost, or what came of that.

    @ivar count: how many connections with this peer there are.
    @ivar seconds: for how long they have waited.
    @ivar because: why the link was lost, or they have ended; empty if they go on.
    """

    peer: Name | str
    change: Change
    count: int
    seconds: float = 0.0
    because: str = ""


class CarriedConnections:
    """
    The connections of one owner. It is the L{SpliceOwner} of each.

    @ivar kind: the word for them in the status.
    @ivar watcher: is told of suspensions, once for all connections with a peer.
    @ivar over_so_far: what those have carried that are over.
    """

    def __init__(self, kind: str, clock: IReactorTime) -> None:
        self.kind = kind
        self._clock = clock
        self._all: dict[Carrying, CarriedConnection] = {}
        self._all_over: Deferred[None] | None = None
        self._suspended: dict[Name | str, float] = {}
        self.watcher: Callable[[Suspension], object] = lambda suspension: None
        self.over_so_far = Carried()

    def __len__(self) -> int:
        return len(self._all)

    def new(
        self, peer: Name | str, protocol: str, opener: Callable[[Splice], object] | None = None
    ) -> Splice:
        """
        Make the splice of a connection that begins, counted until it is over.

        @param peer: its nickname, until L{found} says whose that is.
        """
        splice = Splice(self, opener)
        self.add(splice, peer, protocol)
        return splice

    def add(self, carrying: Carrying, peer: Name | str, protocol: str) -> None:
        """Count what carries a connection until it is over."""
        self._all[carrying] = CarriedConnection(
            carrying, self.kind, peer, protocol, self._clock.seconds(), next(_numbers)
        )

    def found(self, splice: Carrying, peer: Name, protocol: str = "") -> None:
        """Say whose nickname it was, and what is spoken, if that was not known."""
        known = self._all.get(splice)
        if known is not None and (known.peer != peer or protocol):
            self._all[splice] = replace(known, peer=peer, protocol=protocol or known.protocol)

    def drop(self, splice: Carrying) -> None:
        """Forget a splice that never got both of its ends."""
        self.over(splice)

    def drop_datagram(self) -> None:
        """Count a datagram that nothing carries."""
        self.over_so_far = self.over_so_far.plus(Carried(dropped=1))

    def by_peer(self) -> dict[Name | str, list[Any]]:
        """What carries connections, by the peer."""
        found: dict[Name | str, list[Any]] = {}
        for each in self._all.values():
            found.setdefault(each.peer, []).append(each.splice)
        return found

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

    @property
    def carried(self) -> Carried:
        """What all of them have carried so far."""
        return self.over_so_far.plus(*(_carried_by(splice) for splice in self._all))

    def end_those(self, which: Callable[[Name | str], bool], reason: StreamReason, detail: str) -> int:
        """
        End the connections with these peers, and tell the peers why.

        @return: how many those are.
        """
        ending = [each for each in self._all.values() if which(each.peer)]
        for each in ending:
            each.splice.end_because(reason, detail)
        return len(ending)

    def status(self) -> list[dict[str, object]]:
        """Their entries in the daemon's status."""
        now = self._clock.seconds()
        return [
            {
                "number": each.number,
                "kind": each.kind,
                "peer": str(each.peer),
                "protocol": each.protocol,
                "seconds": round(now - each.since, 1),
                "sent": each.splice.sent,
                "received": each.splice.received,
                "dropped": each.splice.dropped,
                "suspended": each.peer in self._suspended and each.splice.connected,
            }
            for each in self._all.values()
        ]

    # SpliceOwner.

    def suspended(self, splice: Carrying, reason: Exception) -> None:
        """The link of a connection, and of all with the same peer, is lost."""
        each = self._all.get(splice)
        # all streams with a peer lose the link at once, and one line is enough
        if each is not None and each.peer not in self._suspended:
            self._suspended[each.peer] = self._clock.seconds()
            self._tell(each.peer, Change.SUSPENDED, str(reason))

    def resumed(self, splice: Carrying) -> None:
        """A connection, and all with the same peer, go on."""
        each = self._all.get(splice)
        if each is not None and each.peer in self._suspended:
            self._tell(each.peer, Change.RESUMED)
            del self._suspended[each.peer]

    def ended(self, splice: Carrying, reason: Failure) -> None:
        """A stream has ended; if it lacked a link, all streams with the same peer do."""
        each = self._all.get(splice)
        if each is None or each.peer not in self._suspended:
            return
        if reason.check(StreamLinkLost):
            self._tell(each.peer, Change.ENDED, reason.getErrorMessage())
            del self._suspended[each.peer]

    def _tell(self, peer: Name | str, change: Change, because: str = "") -> None:
        count = sum(each.peer == peer and each.splice.connected for each in self._all.values())
        # the end that has just gone is one of those that waited
        count += change is Change.ENDED
        seconds = self._clock.seconds() - self._suspended[peer]
        self.watcher(Suspension(peer, change, count, seconds, because))

    def over(self, splice: Carrying) -> None:
        """A connection is over."""
        gone = self._all.pop(splice, None)
        if gone is not None:
            self.over_so_far = self.over_so_far.plus(_carried_by(splice))
            if gone.peer in self._suspended and all(each.peer != gone.peer for each in self._all.values()):
                del self._suspended[gone.peer]
        # taken before it fires: its callback may abort again
        if self._all_over is not None and not self._all:
            all_over, self._all_over = self._all_over, None
            all_over.callback(None)


def _carried_by(splice: Carrying) -> Carried:
    return Carried(1, splice.sent, splice.received, splice.dropped)


class ReadyProtocolFactory(Factory):
    """Gives out a protocol that exists already."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Give the protocol out."""
        return self._protocol
