"""
The doorstep: a connection before it is known what it will be.

Of a connection that we have accepted, the first byte tells whether it is plain TLS or one of a rendezvous
(L{routing_crust.crust.link.preface}); a connection that we have dialled for a rendezvous shows its preface
and waits for the other's. Once that is clear the transport is handed to a L{Link} under TLS, and the
doorstep is out of the way. Until then it is bounded, by the length of a preface, and timed: both together,
the doorstep and the link, have C{hello_timeout} until the Hello is verified.
"""

from __future__ import annotations

from typing import Any
from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from ...endpoints import Connection, Direction, Endpoint, PathKind
from ...endpoints import Protocol as TransportProtocol
from ...errors import CloseReason, LinkClosed
from ...names import Name
from ...timing.steadyclock import time_left
from ...timing.timers import cancel
from .factories import LinkFactory
from .link import Link
from .losses import reason_of_loss
from .owner import LinkOwner
from .preface import PREFACE_BYTES, TLS_HANDSHAKE, Preface, may_become_preface
from .tls import LinkTls


class DoorHost(TypingProtocol):
    """
    Who has made a doorstep. For each connection either L{door_up} or L{door_gone} follows, once.
    """

    def tls_came(self, door: Doorstep, first: bytes) -> None:
        """The peer has begun TLS at once. Only called for accepted connections."""

    def preface_came(self, door: Doorstep, first: bytes) -> None:
        """The peer's preface is there, and after it came these bytes."""

    def door_up(self, door: Doorstep, link: Link) -> None:
        """It has become a link, whose owner is told next."""

    def door_gone(self, door: Doorstep, reason: LinkClosed) -> None:
        """The connection is lost, and no link has come of it."""


class Meets(TypingProtocol):
    """What decides about the connections of one rendezvous: see L{routing_crust.crust.punch.meeting}."""

    def gone(self, door: Doorstep) -> None:
        """A connection was lost that had not begun TLS."""

    def link_established(self, door: Doorstep, link: Link) -> None:
        """TLS is done on a connection; the owner is not told yet."""

    def link_failed(self, door: Doorstep, reason: LinkClosed) -> None:
        """A connection was lost during TLS."""


class Doorstep(Protocol):
    """
    Made by its host, fed by the reactor, discarded once it has become a link or is gone.

    @ivar host: who has made it.
    @ivar connection: which connection it is, once it is made.
    @ivar direction: whether we have dialled it.
    @ivar preface: the peer's, once it has come; C{None} before, and on plain connections.
    @ivar meeting: what has taken it in; C{None} before, and on plain connections.
    @ivar link: what it is becoming, or has become.
    """

    transport: Any
    connection: Connection

    def __init__(self, owner: LinkOwner, host: DoorHost, direction: Direction, mine: Preface | None = None):
        """
        @param mine: the preface to show first; C{None} waits for what the peer says.
        """
        self._owner = owner
        self._mine = mine
        self._data = b""
        self._timer: IDelayedCall | None = None
        self._reason: LinkClosed | None = None
        self.host = host
        self.direction = direction
        self.preface: Preface | None = None
        self.meeting: Meets | None = None
        self.link: Link | None = None

    @property
    def is_verified(self) -> bool:
        """Whether it has become a link, and the Hello on that is verified."""
        return self.link is not None and self.link.is_verified

    def connectionMade(self) -> None:
        """See Twisted's interface."""
        host, peer = self.transport.getHost(), self.transport.getPeer()
        self.connection = Connection(
            TransportProtocol.TCP, Endpoint.of(peer.host, peer.port), Endpoint.of(host.host, host.port)
        )
        self._timer = self._owner.clock.callLater(self._owner.settings.hello_timeout, self._overdue)
        if self.connection.peer == self.connection.local:
            self.abort(CloseReason.SELF, "the connection's two ends are one")
        elif self._mine is not None:
            self.show(self._mine)

    def show(self, preface: Preface) -> None:
        """Send our preface."""
        self.transport.setTcpNoDelay(True)
        self.transport.write(preface.octets)

    def dataReceived(self, data: bytes) -> None:
        """Some of the first bytes."""
        if self._reason is not None:
            return
        if self.preface is not None:
            # a requester that begins TLS finds us out of the way; so this is a responder
            self.abort(CloseReason.PROTOCOL_ERROR, "it went on before it was its turn")
            return
        self._data = data = self._data + data
        if self._mine is None and data.startswith(TLS_HANDSHAKE):
            self.host.tls_came(self, data)
        elif not may_become_preface(data):
            self.abort(CloseReason.PROTOCOL_ERROR, "what came first is neither TLS nor a preface")
        elif len(data) >= PREFACE_BYTES:
            self._data = b""
            self.preface = Preface.read(data)
            self.host.preface_came(self, data[PREFACE_BYTES:])

    def become_link(
        self,
        tls: LinkTls,
        first: bytes,
        *,
        initiator: bool = False,
        expected: Name | None = None,
        token: bytes = b"",
        path_kind: PathKind = PathKind.DIRECT,
    ) -> None:
        """
        Hand the transport over to a link.

        @param first: what has come already that is the link's.
        @param initiator: whether this end is the TLS client.
        @param expected: who must be there; C{None} accepts anyone.
        @param token: becomes C{token} of the link.
        @param path_kind: how the link comes about.
        """
        timer, self._timer = self._timer, None
        assert timer is not None  # else it is gone, or a link already
        left = max(0.0, time_left(timer, self._owner.clock))
        timer.cancel()
        maker = _DoorLinks(self._owner, tls, self, initiator, expected)
        maker.token, maker.path_kind = token, path_kind
        self.link = Link(maker)
        self.link.hello_timeout = left
        wrapper = maker.over_tls().around(self.link)
        self.transport.protocol = wrapper
        wrapper.makeConnection(self.transport)
        if first:
            wrapper.dataReceived(first)

    def abort(self, reason: CloseReason, detail: str = "") -> None:
        """Cut the connection, whatever it has become."""
        if self.link is not None:
            self.link.abort(reason, detail)
        elif self._reason is None:
            self._reason = LinkClosed(reason, detail)
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See Twisted's interface."""
        cancel(self._timer)
        self._timer = None
        if self.meeting is not None:
            self.meeting.gone(self)
        self.host.door_gone(self, self._reason or reason_of_loss(reason, False, False))

    def _overdue(self) -> None:
        self._timer = None
        self.abort(CloseReason.HELLO_TIMEOUT)


class _DoorLinks(LinkFactory):
    """Makes the link of one connection, or rather hears from it."""

    def __init__(
        self, owner: LinkOwner, tls: LinkTls, door: Doorstep, initiator: bool, expected: Name | None
    ) -> None:
        super().__init__(owner, tls, initiator, expected)
        self.direction = door.direction
        self._door = door

    def link_established(self, link: Link) -> None:
        """See L{routing_crust.crust.link.owner.LinkMaker}."""
        door = self._door
        door.host.door_up(door, link)
        if door.meeting is not None:
            door.meeting.link_established(door, link)
        else:
            self.owner.link_up(link)

    def link_failed(self, link: Link, reason: LinkClosed) -> None:
        """See L{routing_crust.crust.link.owner.LinkMaker}."""
        door = self._door
        if door.meeting is not None:
            door.meeting.link_failed(door, reason)
        door.host.door_gone(door, reason)
