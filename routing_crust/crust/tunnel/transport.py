"""
The transport of a tunnel: the TLS connection of a tunnelled link runs over it.

To the protocol above it is a connection like any other. Below it are frames on the link to the node in the
middle: a TUNNEL_OPEN and the TUNNEL_OPENED that answers it, then TUNNEL_DATA each way, as much as there is
credit for, and a TUNNEL_CREDIT for what the protocol has taken; at last a TUNNEL_CLOSED. The transport does
not know who is at the other end: TLS proves that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import Any, Final, Protocol

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IConsumer, IProtocol, IReactorTime, ITransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ...endpoints import Endpoint
from ...transports import FrameTransport
from ...wire.codec import encode
from ...wire.framing import MAX_FRAME_BYTES, FrameKind
from ...wire.tunnels import TunnelClosed, TunnelCredit, TunnelOpen, TunnelOpened, TunnelReason
from ..interfaces import ILink
from .windows import ReceiveWindow, SendCredit

PRODUCER_PAUSE_BYTES: Final = 64 * 1024
"""The producer is paused once this much waits."""
_NUMBER: Final = Struct(">I")
NUMBER_BYTES: Final = _NUMBER.size
CHUNK_BYTES: Final = MAX_FRAME_BYTES - NUMBER_BYTES
"""Upper bound of what one frame carries. The link sends other frames between two."""

_REASON_TEXTS: Final = {
    TunnelReason.CLOSED: "the peer has closed the tunnel",
    TunnelReason.NOT_EXPECTED: "the peer does not expect a tunnel",
    TunnelReason.NO_LINK: "the relay has no direct link to the peer",
    TunnelReason.TOO_MANY: "the peer has as many unfinished tunnels of one request as it wants",
    TunnelReason.NOT_ALLOWED: "the relay does not carry tunnels for us (tunnel_memory of {relay} may be 0)",
    TunnelReason.TIMED_OUT: "the tunnel was not answered, or was idle for too long",
    TunnelReason.EXPIRED: "the tunnel's time is over",
    TunnelReason.LINK_LOST: "the link between the relay and the peer is lost",
    TunnelReason.PROTOCOL_ERROR: "more was sent through the tunnel than there was credit for",
    TunnelReason.NO_MEMORY: "the relay has no room for the tunnel (tunnel_memory of {relay} is taken)",
    TunnelReason.TOO_OFTEN: "tunnels are requested from {relay} more often than it allows",
}


def reason_text(reason: TunnelReason, relay: str) -> str:
    """
    A reason in words.

    @param relay: whose setting it may be.
    """
    return _REASON_TEXTS[reason].format(relay=relay)


def data_frame(number: int, chunk: bytes | memoryview) -> bytes:
    """The payload of a TUNNEL_DATA."""
    return b"".join((_NUMBER.pack(number), chunk))


def number_of(payload: bytes) -> int:
    """The number of the tunnel that a TUNNEL_DATA is for. It has to be long enough."""
    number: int = _NUMBER.unpack_from(payload)[0]
    return number


class Leg(Protocol):
    """The object behind a tunnel's number on one link: an end of the tunnel, or half of it in the relay."""

    def opened(self, message: TunnelOpened) -> None:
        """
        A TUNNEL_OPENED came.

        @raise WireError: it has no place here.
        """

    def again(self, message: TunnelOpen) -> None:
        """A TUNNEL_OPEN came for a tunnel that exists; raises as L{opened} does."""

    def data(self, chunk: bytes) -> None:
        """A TUNNEL_DATA came."""

    def credit(self, message: TunnelCredit) -> None:
        """A TUNNEL_CREDIT came: more may be sent, or credit that we gave is given back."""

    def closed(self, reason: TunnelReason) -> None:
        """A TUNNEL_CLOSED came. The number means nothing any more."""

    def link_lost(self) -> None:
        """The link is gone, and the number with it."""


@implementer(ITransport, IConsumer)
class TunnelTransport(FrameTransport[IPv4Address | IPv6Address]):
    """
    One end of an open tunnel. Made by L{routing_crust.crust.tunnel.ends.TunnelEnds}, which hands on what
    comes; discarded after C{connectionLost} of its protocol.
    """

    def __init__(
        self,
        clock: IReactorTime,
        link: ILink,
        number: int,
        window: ReceiveWindow,
        ended: Callable[[], None],
        finished: Callable[[], None],
    ) -> None:
        """
        @param link: to the relay.
        @param window: what the other side may send.
        @param ended: called when the protocol has ended it, and the other side was told.
        @param finished: called once, after C{connectionLost} of the protocol.
        """
        # as addresses, those of the link to the relay
        super().__init__(_address(link.connection.local), _address(link.connection.peer))
        self._clock = clock
        self._link = link
        self._number = number
        self._window = window
        self._ended = ended
        self._finished = finished
        self._credit = SendCredit(clock.seconds)
        self._out: deque[memoryview] = deque()
        self._out_bytes = 0
        self._in: list[bytes] = []
        self._reading = True
        self._waits = self._dead = self._producer_paused = False
        self._protocol: IProtocol | None = None

    def start(self, protocol: IProtocol, credit: int) -> None:
        """
        The tunnel is there.

        @param protocol: what it is for; connected from within this call.
        @param credit: how many bytes may be sent at first.
        """
        self._protocol = protocol
        self._window.open()
        self._credit.left = credit
        protocol.makeConnection(self)

    # What comes.

    def add_credit(self, amount: int) -> None:
        """The other side allows this many more bytes."""
        self._credit.left += amount
        self._pump()

    def take_back(self, amount: int) -> bool:
        """
        The other side gives back credit that it does not need.

        @return: whether it had as much.
        """
        return self._window.returned(amount)

    def received(self, chunk: bytes) -> bool:
        """
        Some bytes came.

        @return: whether there was credit for them.
        """
        if not self._window.received(len(chunk)):
            return False
        if self._reading:
            self._deliver(chunk)
        else:
            self._in.append(chunk)
        return True

    def lost(self, reason: Failure = connectionDone) -> None:
        """The tunnel is gone: call C{connectionLost} of the protocol."""
        if self._dead:
            return
        self._dead = True
        self._window.close()
        self._out.clear()
        self._out_bytes = 0
        self._in.clear()
        # in a later turn, since the protocol may be the caller
        self._clock.callLater(0, self._tell_lost, reason)

    def _tell_lost(self, reason: Failure) -> None:
        self.connected = False
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connectionLost(reason)
        self._finished()

    def _deliver(self, chunk: bytes) -> None:
        grant = self._window.taken(len(chunk))
        if grant:
            self._link.send(FrameKind.TUNNEL_CREDIT, encode(TunnelCredit(self._number, grant, False)))
        if self._protocol is not None and not self._dead:
            self._protocol.dataReceived(chunk)

    # The methods of Twisted's ITransport and IConsumer, called by the protocol.

    def write(self, data: bytes) -> None:
        if self._dead or self.disconnecting or not data:
            return
        self._out.append(memoryview(bytes(data)))
        self._out_bytes += len(data)
        self._pump()
        if (
            self.producer is not None
            and not self._producer_paused
            and self._out_bytes >= PRODUCER_PAUSE_BYTES
        ):
            self._producer_paused = True
            self.producer.pauseProducing()

    def loseConnection(self) -> None:
        if not self.disconnecting and not self._dead:
            self.disconnecting = True
            self._pump()

    def abortConnection(self) -> None:
        """End at once; what waits is lost."""
        if not self._dead:
            self._end(Failure(ConnectionAborted()))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        # TLS, the only user, registers one streaming producer at a time
        assert streaming
        assert self.producer is None
        if self._dead:
            producer.stopProducing()
        else:
            self.producer = producer
            self._producer_paused = False

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        """Deliver nothing until L{resumeProducing}; so the other side gets no more credit."""
        self._reading = False

    def resumeProducing(self) -> None:
        self._reading = True
        while self._in and self._reading:
            self._deliver(self._in.pop(0))

    # Sending.

    def _pump(self) -> None:
        while self._out and self._credit.left > 0 and not self._waits and not self._dead:
            if not self._link.writable:
                self._waits = True
                # a failure means that the link is lost, which ends the tunnel by L{lost}
                self._link.when_writable().addCallbacks(self._writable, lambda _: None)
                return
            room = self._credit.frame_bytes(CHUNK_BYTES)
            chunk = self._out.popleft()
            if len(chunk) > room:
                self._out.appendleft(chunk[room:])
                chunk = chunk[:room]
            back = self._credit.spend(len(chunk))
            self._out_bytes -= len(chunk)
            self._link.send(FrameKind.TUNNEL_DATA, data_frame(self._number, chunk))
            if back:
                self._link.send(FrameKind.TUNNEL_CREDIT, encode(TunnelCredit(self._number, back, True)))
        if not self._out and not self._dead:
            self._all_written()

    def _writable(self, _: None) -> None:
        self._waits = False
        self._pump()

    def _all_written(self) -> None:
        if self.disconnecting:
            self._end(Failure(ConnectionDone()))
        elif self.producer is not None and self._producer_paused:
            self._producer_paused = False
            self.producer.resumeProducing()

    def _end(self, reason: Failure) -> None:
        self._link.send(FrameKind.TUNNEL_CLOSED, encode(TunnelClosed(self._number, TunnelReason.CLOSED)))
        self._ended()
        self.lost(reason)


def _address(endpoint: Endpoint) -> IPv4Address | IPv6Address:
    of = IPv6Address if endpoint.is_v6 else IPv4Address
    return of("TCP", endpoint.host, endpoint.port)
