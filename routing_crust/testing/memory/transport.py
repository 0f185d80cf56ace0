"""
Connections in memory: the two ends of one TCP connection without a socket.

The two ends are joined by a L{Pipe} each way. What is written comes out at the other end, in order; the end
of the connection, or a reset, is the last thing.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, Protocol

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol, IReactorTime, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from ...crust.interfaces import ILink
from ...crust.link.link import Link
from ...endpoints import Endpoint
from ...wire.framing import HEADER_BYTES, FrameKind
from .pipes import Pipe

BUFFER_BYTES: Final = 128 * 1024
"""Written bytes that may be on their way before the writer has to pause: what buffers of a host take."""
_NOT_COUNTED: Final = (FrameKind.HEARTBEAT, FrameKind.GOODBYE)


class Host(Protocol):
    """A host of the network."""

    @property
    def host(self) -> str:
        """Its IP address, where its connections come from."""

    @property
    def clock(self) -> IReactorTime:
        """Its clock."""

    @property
    def listening(self) -> tuple[Endpoint, ...]:
        """Where it listens."""


class CarryingNetwork(Protocol):
    """The network, as far as the ends of connections know it."""

    @property
    def clock(self) -> IReactorTime:
        """The time."""

    def delay(self, here: str, there: str) -> float:
        """How long something takes from one host to another, this time."""

    def stands_still(self, end: MemoryTransport) -> bool:
        """Whether what this end has sent does not arrive now, though the other end would take it."""

    def ended(self, end: MemoryTransport) -> None:
        """One end is gone."""

    def note_frame(self, end: MemoryTransport, kind: int, size: int) -> None:
        """A frame of C{size} bytes is sent."""


@implementer(ITransport)
class MemoryTransport:
    """
    One end of a connection: what a protocol takes for its transport.

    @ivar host: whose end it is.
    @ivar local: its address.
    @ivar peer: the other end's, as it is seen from here.
    @ivar other: the other end. A test may look at it; the layers above do not know that it is there.
    @ivar pipe: what this end has sent and the other has not got.
    @ivar protocol: what hears of it; C{None} before it is connected, and when it is gone.
    @ivar reading: whether its protocol takes what comes.
    @ivar in_flight: bytes that are on their way to the other end, or that it does not read.
    @ivar gone: whether it is over, and nothing comes any more.
    @ivar dead: whether its process is gone, so that no protocol is told.
    @ivar disconnecting: whether this end has been closed.
    """

    other: MemoryTransport

    __slots__ = (
        "_carrier",
        "_part",
        "_paused",
        "_producer",
        "_told",
        "connected",
        "dead",
        "disconnecting",
        "gone",
        "host",
        "in_flight",
        "local",
        "lost",
        "other",
        "peer",
        "pipe",
        "protocol",
        "reading",
    )  # fmt: skip

    def __init__(self, carrier: CarryingNetwork, host: Host, local: Endpoint, peer: Endpoint) -> None:
        self._carrier = carrier
        self.host = host
        self.local = local
        self.peer = peer
        self.pipe = Pipe(carrier.clock, self._stands_still)
        self.protocol: IProtocol | None = None
        self.lost: Any = None
        self.reading = True
        self.connected = True
        self.gone = self.dead = self.disconnecting = self._told = self._paused = False
        self.in_flight = 0
        self._part = b""
        self._producer: Any = None

    def __repr__(self) -> str:
        return f"<MemoryTransport {self.local} to {self.peer}>"

    @property
    def takes(self) -> bool:
        """Whether it reads what comes, or is over anyway."""
        return self.reading or self.gone

    def connect(self, protocol: IProtocol | None) -> None:
        """
        It is connected.

        @param protocol: what it is for; C{None} closes it at once.
        """
        if protocol is None:
            self.loseConnection()
        else:
            self.protocol = protocol
            protocol.makeConnection(self)

    def _delay(self) -> float:
        return self._carrier.delay(self.host.host, self.other.host.host)

    # What protocols call: see Twisted's ITCPTransport, IConsumer and IPushProducer.

    def write(self, data: bytes) -> None:
        if self.gone or self.disconnecting:
            return
        self.in_flight += len(data)
        self.pipe.put(self._delay(), partial(self._arrives, bytes(data)))
        if self.in_flight >= BUFFER_BYTES and self._producer is not None and not self._paused:
            self._paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close: it is over when the other end has answered, as with TLS."""
        if self.gone:
            self._tell_soon(ConnectionDone())
        elif not self.disconnecting:
            self.disconnecting = True
            self.pipe.put(self._delay(), self.other_closed)

    def abortConnection(self) -> None:
        """End at once; what is on its way is lost."""
        if not self.gone:
            self._reset_other()
            self._over()
        self._tell_soon(ConnectionAborted())

    def getPeer(self) -> IPv4Address | IPv6Address:
        return address_of(self.peer)

    def getHost(self) -> IPv4Address | IPv6Address:
        return address_of(self.local)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing is delayed here anyway."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        if not self.reading:
            self.reading = True
            self.other.pipe.go_on()

    def stopProducing(self) -> None:
        self.loseConnection()

    def note_frames(self, data: bytes) -> None:
        """The link above writes this: note each frame that begins here, for the trace."""
        data = self._part + data
        at, size = 0, len(data)
        while at + HEADER_BYTES <= size:
            end = at + HEADER_BYTES + int.from_bytes(data[at + 1 : at + HEADER_BYTES], "big")
            if end > size:
                break
            if data[at] not in _NOT_COUNTED:
                self._carrier.note_frame(self, data[at], end - at)
            at = end
        self._part = data[at:]

    # What comes out of the pipe of the other end, and what the network does.

    def _arrives(self, data: bytes) -> None:
        self.in_flight -= len(data)
        if self._paused and self.in_flight <= BUFFER_BYTES // 2 and not self.gone:
            self._paused = False
            if self._producer is not None:
                self._producer.resumeProducing()
        other = self.other
        if not other.gone and other.protocol is not None:
            other.protocol.dataReceived(data)

    def other_closed(self) -> None:
        """This end was closed, and the other hears of it: it closes as well."""
        other = self.other
        if other.gone:
            return
        if not other.disconnecting:
            other.pipe.put(self._delay(), other.other_closed)
        other.end(ConnectionDone())

    def reset(self) -> None:
        """The connection breaks, seen from this end; what it has sent and is on its way is lost."""
        if not self.gone:
            self.pipe.clear()
            self.end(ConnectionLost())

    def lose(self) -> None:
        """The connection breaks: this end hears of it, but not from within this call."""
        self.host.clock.callLater(0, self.reset)

    def vanish(self, silently: bool) -> None:
        """The process of this end is gone: it hears nothing, and neither does the other end if silently."""
        self.dead = True
        if self.gone:
            return
        if silently:
            self.pipe.clear()
        else:
            self._reset_other()
        self._over()

    def end(self, reason: Exception) -> None:
        """It is over: the protocol is told now. Only ever called by the clock."""
        self._over()
        self._tell(reason)

    # The rest.

    def _stands_still(self) -> bool:
        # as takes does, without the call: each piece that is sent comes here twice
        other = self.other
        return not (other.reading or other.gone) or self._carrier.stands_still(self)

    def _reset_other(self) -> None:
        self.pipe.clear()
        self.pipe.put(self._delay(), self.other.reset)

    def _over(self) -> None:
        self.gone = True
        self.connected = False
        self._carrier.ended(self)

    def _tell_soon(self, reason: Exception) -> None:
        if not self._told:
            self._told = True
            # Twisted never reports a loss from within the call that causes it
            self.host.clock.callLater(0, self._tell, reason, True)

    def _tell(self, reason: Exception, promised: bool = False) -> None:
        if self._told and not promised:
            return
        self._told = True
        # the producer before the protocol, as in Twisted's own transports
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        protocol, self.protocol = self.protocol, None
        failure = Failure(reason)
        if protocol is not None:
            protocol.connectionLost(failure)
        if self.lost is not None:
            self.lost(failure)


def end_of(link: ILink | MemoryTransport) -> MemoryTransport:
    """The end of a connection in memory that a link runs over, or that is given itself; not for tunnels."""
    end = link.transport.transport if isinstance(link, Link) else link
    assert isinstance(end, MemoryTransport)
    return end


def address_of(endpoint: Endpoint) -> IPv4Address | IPv6Address:
    """As Twisted has it."""
    of = IPv6Address if endpoint.is_v6 else IPv4Address
    return of("TCP", endpoint.host, endpoint.port)
