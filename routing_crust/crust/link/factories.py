"""
The factories of links: one for what we dial, one for what we accept. Each makes a L{Link} under TLS and fires
a Deferred with it, whose first callback is C{link_up} of the link's owner.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConnector, IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import ClientFactory, Factory
from twisted.python.failure import Failure

from ...endpoints import Direction, Endpoint
from ...errors import CloseReason, LinkClosed
from ..interfaces import ILink
from .link import Link
from .negotiation import Negotiation
from .owner import AcceptOwner, LinkOwner
from .plan import LinkPlan
from .tls import LinkTls, LinkTlsFactory


class LinkConnectFactory(ClientFactory):
    """
    Makes one link of one dial.

    @ivar link: fires with the L{Link} once its TLS handshake is done and its peer checked, after the
        owner's C{link_up}. Fails with L{LinkClosed} when it does not come to that: C{TLS_REFUSED}, C{SELF},
        C{HELLO_TIMEOUT} or C{CONNECTION_LOST}. Cancelling it ends the dial, and fails it with
        C{NO_LONGER_NEEDED}.
    """

    noisy = False

    def __init__(self, owner: LinkOwner, tls: LinkTls, plan: LinkPlan) -> None:
        self.owner = owner
        self.plan = plan
        self.link: Deferred[Link] = link_of(owner, self._cancelled)
        self._tls = tls
        self._dial: Deferred[IProtocol] | None = None
        self._built: Link | None = None

    def over_tls(self) -> LinkTlsFactory:
        """This factory as it is given to the reactor: its link under TLS."""
        return self._tls.wrap(self.plan, self.owner, self)

    def connect(self, endpoint: IStreamClientEndpoint) -> Deferred[Link]:
        """
        Dial, once.

        @return: L{link}.
        """
        self._dial = endpoint.connect(self.over_tls())
        self._dial.addErrback(self._unconnected)
        return self.link

    def buildProtocol(self, addr: object) -> Link | None:
        """Declines when the dial is over."""
        # an endpoint that tries several addresses may connect twice, and this is for one link
        if self.link.called or self._built is not None:
            return None
        self._built = Link(self.owner, self.plan, self.link)
        return self._built

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """Called by the reactor when this factory was given to C{connectTCP}, not to an endpoint."""
        self._unconnected(reason)

    def _unconnected(self, failure: Failure) -> None:
        if not self.link.called:
            self.link.errback(LinkClosed(CloseReason.CONNECTION_LOST, failure.getErrorMessage()))

    def _cancelled(self, link: Deferred[Link]) -> None:
        # first, since what is cut below would give a reason of its own
        link.errback(LinkClosed(CloseReason.NO_LONGER_NEEDED, "the dial was cancelled"))
        if self._built is not None:
            self._built.abort(CloseReason.NO_LONGER_NEEDED)
        elif self._dial is not None:
            self._dial.cancel()


class LinkAcceptFactory(Factory):
    """
    The factory behind the listening ports. Of each connection that its owner lets in it makes a
    L{Negotiation}, and gives the owner the Deferred of its link.

    @ivar pending: accepted connections of which no link has come yet.
    """

    noisy = False

    def __init__(
        self,
        owner: AcceptOwner,
        tls: LinkTls,
        take_rendezvous: Callable[[Negotiation, bytes], None] | None = None,
    ) -> None:
        """
        @param take_rendezvous: takes a connection on which a preface came, and what came after that;
            C{None} refuses all of them.
        """
        self._owner = owner
        self._take_rendezvous = take_rendezvous or refuse_rendezvous
        # one for all: every plain connection has the same plan
        self._plain = tls.wrap(LinkPlan(Direction.ACCEPTED, initiator=False), owner)
        self.pending: dict[Negotiation, None] = {}

    def buildProtocol(self, addr: Any) -> Negotiation | None:
        """Declines when the owner does."""
        peer = Endpoint.of(addr.host, addr.port)
        if not self._owner.may_accept(peer):
            return None
        link = link_of(self._owner)
        negotiation = Negotiation(self._owner, link, self._first_bytes, patience=self._owner.hello_timeout)
        self.pending[negotiation] = None
        # before the owner, which may ask in its callback whether any is pending
        link.addBoth(self._settled, negotiation)
        # a Deferred is invariant, even for those who only wait for it
        self._owner.accepting(peer, cast("Deferred[ILink]", link), negotiation.abort)
        return negotiation

    def abort(self) -> None:
        """Cut all connections that are not up yet."""
        for negotiation in list(self.pending):
            negotiation.abort(CloseReason.STOPPING)

    def _first_bytes(self, negotiation: Negotiation, data: bytes) -> None:
        if negotiation.preface is None:
            peer = negotiation.connection.peer
            self._owner.handshake_due(peer, partial(negotiation.begin_waiting_tls, self._plain))
        else:
            self._take_rendezvous(negotiation, data)

    def _settled(self, outcome: Link | Failure, negotiation: Negotiation) -> Link | Failure:
        del self.pending[negotiation]
        return outcome


def link_of(owner: LinkOwner, canceller: Callable[[Deferred[Link]], None] | None = None) -> Deferred[Link]:
    """
    The Deferred of a link that is yet to be made.

    @return: its first callback tells the owner. An exception there closes the link and is not passed on.
    """

    def tell_owner(link: Link) -> Link:
        link.guarded(owner.link_up, link)
        return link

    return Deferred(canceller).addCallback(tell_owner)


def refuse_rendezvous(negotiation: Negotiation, data: bytes) -> None:
    """Cut a connection for a rendezvous that is not expected."""
    negotiation.abort(CloseReason.NOT_WANTED, "this rendezvous is not expected")
