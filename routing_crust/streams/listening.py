"""
An offered protocol: its name, the peers that may have it, and the factory that makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocol, IProtocolFactory
from twisted.internet.protocol import Factory
from zope.interface import Interface, implementer

from ..names import Name
from .address import NodeAddress

ProtocolFactory: TypeAlias = "IProtocolFactory | Factory[Any]"
"""A factory; type checkers that do not know zope's interfaces know C{Factory} only."""


class IStreamAcceptor(Interface):
    """
    Provided by a factory that cannot decide at once whether it accepts a stream, for example because it makes
    a connection of its own first.
    """

    def accept_stream(address: NodeAddress) -> Deferred[IProtocol | None]:
        """
        Decide on a stream that a peer wants; called instead of C{buildProtocol}.

        @param address: the peer's.
        @return: fires with the protocol, or with C{None} to refuse. When it fails the stream is refused, and
            the peer is told the reason and detail if it is a
            L{StreamRefused<routing_crust.streams.errors.StreamRefused>}, and the text if no connection could
            be made. It is cancelled when the peer does not want the stream any more, and after
            C{STREAM_OPEN_TIMEOUT_SECONDS} seconds.
        """


class PortOwner(Protocol):
    """
    What a port needs of the streams that it is offered on.

    @ivar name: the name of this node.
    """

    name: Name

    def add_port(self, port: StreamPort) -> None:
        """
        Offer the protocol of this port.

        @raise CannotListen: something is offered by this name already.
        """

    def remove_port(self, port: StreamPort) -> bool:
        """
        Withdraw the offer of this port.

        @return: whether there was one.
        """


@implementer(IListeningPort)
class StreamPort:
    """
    A protocol that is offered. Made by C{Streams.listen}.

    @ivar protocol: its name.
    @ivar survival: for how many seconds its streams may be suspended at most; C{None} leaves it to the
        peers that open them.
    """

    def __init__(
        self,
        owner: PortOwner,
        protocol: str,
        factory: Any,
        allow: Callable[[Name], bool] | None,
        survival: float | None = None,
    ) -> None:
        self.protocol = protocol
        self.survival = survival
        self._owner = owner
        self._factory = factory
        self._allow = allow

    def startListening(self) -> None:
        """
        Offer the protocol; again, after L{stopListening}.

        @raise CannotListen: it is offered already.
        """
        # first: where the name is taken, the factory must not have been started
        self._owner.add_port(self)
        self._factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """
        Withdraw the offer. Streams that are open stay open.

        @return: a Deferred that has fired with C{None}.
        """
        # once: Twisted's factory counts its ports, and other ports may have the same one
        if self._owner.remove_port(self):
            self._factory.doStop()
        return succeed(None)

    def getHost(self) -> IAddress:
        """The address that peers open: our name and the protocol."""
        return NodeAddress(self._owner.name, self.protocol)

    def allows(self, name: Name) -> bool:
        """Whether this peer may have the protocol."""
        return self._allow is None or bool(self._allow(name))

    def accept(self, address: NodeAddress) -> Deferred[IProtocol | None]:
        """
        Make the protocol for a stream from this peer.

        @return: fires with the protocol, or with C{None} if it is refused; fails as the factory does.
        """
        if IStreamAcceptor.providedBy(self._factory):
            return maybeDeferred(self._factory.accept_stream, address)
        return maybeDeferred(self._factory.buildProtocol, address)
