"""
The negotiation: what happens on a connection before its link begins TLS.

The first byte of an accepted connection tells plain TLS from a rendezvous
(L{routing_crust.crust.link.preface}); on a connection that we have dialled for a rendezvous we show our
preface and wait for the peer's. Then the transport is handed to a L{Link} under TLS, and the negotiation is
done. Until then it is bounded, by the length of a preface, and timed: both together,
the negotiation and the link, have C{hello_timeout} until the Hello is verified.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from ...endpoints import Connection, Direction
from ...errors import CloseReason, LinkClosed
from ...limits import MAX_UNVERIFIED_BYTES
from ...timing.steadyclock import time_left
from ...timing.timers import cancel
from .link import Link, tcp_connection
from .losses import reason_of_loss
from .owner import LinkOwner
from .preface import PREFACE_BYTES, TLS_HANDSHAKE, Preface, may_become_preface
from .tls import LinkTlsFactory


class Negotiation(Protocol):
    """
    Made for each connection that was accepted, or dialled for a rendezvous; fed by the reactor; discarded
    once C{link} has fired.

    @ivar connection: which connection it is, once it is made.
    @ivar direction: whether we have dialled it.
    @ivar link: fires with the link; fails with L{LinkClosed} when the connection is gone without one.
    @ivar preface: the peer's, once it has come; C{None} before, and on plain connections.
    """

    transport: Any
    connection: Connection

    def __init__(
        self,
        owner: LinkOwner,
        link: Deferred[Link],
        decide: Callable[[Negotiation, bytes], None],
        mine: Preface | None = None,
        patience: float | None = None,
    ) -> None:
        """
        @param link: becomes C{link}.
        @param decide: called once it is clear whether the peer has begun TLS or has shown a preface, with
            what has come that is not the preface: to begin TLS, now or later, or to abort.
        @param mine: the preface to show first, on a connection that we have dialled; C{None} waits for what
            the peer says.
        @param patience: seconds until the Hello must be verified; C{None} is C{hello_timeout}.
        """
        self._owner = owner
        self._decide = decide
        self._mine = mine
        self._patience = owner.settings.hello_timeout if patience is None else patience
        self._decided = False
        self._data = b""
        self._timer: IDelayedCall | None = None
        self._reason: LinkClosed | None = None
        self._link: Link | None = None
        self.link = link
        self.direction = Direction.ACCEPTED if mine is None else Direction.CONNECTED
        self.preface: Preface | None = None

    @property
    def has_begun_tls(self) -> bool:
        """Whether the transport is handed over."""
        return self._link is not None

    def connectionMade(self) -> None:
        self.connection = tcp_connection(self.transport)
        self._timer = self._owner.clock.callLater(self._patience, self._overdue)
        # Linux can connect a TCP socket to itself, when both ends have the same port
        if self.connection.peer == self.connection.local:
            self.abort(CloseReason.SELF, "the connection's two ends are one")
        elif self._mine is not None:
            self.show(self._mine)

    def show(self, preface: Preface) -> None:
        """Send our preface."""
        self.transport.setTcpNoDelay(True)
        self.transport.write(preface.octets)

    def dataReceived(self, data: bytes) -> None:
        """Tell TLS from a preface."""
        if self._reason is not None:
            return
        if self.preface is not None:
            # a requester that begins TLS finds us out of the way; so this is a responder
            self.abort(CloseReason.PROTOCOL_ERROR, "it went on before it was its turn")
            return
        # at most a preface and one read, or what TLS takes before it is its turn
        self._data = data = self._data + data
        if self._mine is None and data.startswith(TLS_HANDSHAKE):
            if not self._decided:
                self._decided = True
                self._decide(self, data)
            elif len(data) > MAX_UNVERIFIED_BYTES:
                self.abort(CloseReason.PROTOCOL_ERROR, f"more than {MAX_UNVERIFIED_BYTES} bytes came first")
        elif not may_become_preface(data):
            self.abort(CloseReason.PROTOCOL_ERROR, "what came first is neither TLS nor a preface")
        elif len(data) >= PREFACE_BYTES:
            self._data = b""
            self.preface = Preface.read(data)
            self._decide(self, data[PREFACE_BYTES:])

    def begin_waiting_tls(self, tls: LinkTlsFactory) -> bool:
        """
        Begin TLS with all that has come while it was waiting for its turn.

        @return: whether the connection is still there.
        """
        if self._reason is not None or self._timer is None:
            return False
        data, self._data = self._data, b""
        self.begin_tls(tls, data)
        return True

    def begin_tls(self, tls: LinkTlsFactory, first: bytes) -> None:
        """
        Hand the transport over to a link.

        @param tls: wraps the link, and knows what is planned for it.
        @param first: bytes that have already come for the link.
        """
        timer, self._timer = self._timer, None
        assert timer is not None  # else it is gone, or a link already
        self._link = Link(self._owner, tls.plan, self.link)
        # one limit for both, else a peer could take it twice
        self._link.hello_timeout = max(0.0, time_left(timer, self._owner.clock))
        timer.cancel()
        wrapper = tls.around(self._link)
        # the reactor calls whatever stands here: from now on TLS hears of data and of the end
        self.transport.protocol = wrapper
        wrapper.makeConnection(self.transport)
        if first:
            wrapper.dataReceived(first)

    def abort(self, reason: CloseReason, detail: str = "") -> None:
        """Cut the connection, also once a link has taken it over."""
        if self._link is not None:
            self._link.abort(reason, detail)
        elif self._reason is None:
            self._reason = LinkClosed(reason, detail)
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        cancel(self._timer)
        self._timer = None
        self.link.errback(self._reason or reason_of_loss(reason, False, False))

    def _overdue(self) -> None:
        self._timer = None
        self.abort(CloseReason.HELLO_TIMEOUT)
