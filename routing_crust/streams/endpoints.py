"""
Twisted's endpoints over streams, for a service of this process: what listens or connects by a TCP endpoint
does so by name with these. Their strings are in L{routing_crust.daemon.endpoints.strings}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import (
    IProtocol,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from ..names import Name
from ..routing.service import RoutingService
from .frames import check_protocol
from .listening import ProtocolFactory, StreamPort
from .service import streams_of

Allowed = Callable[[Name], bool] | Iterable[Name | str]
"""Which peers may have a protocol: a function that decides each time, or names, or nicknames."""


@implementer(IStreamClientEndpoint)
class RoutingClientEndpoint:
    """Connects to a protocol that a peer offers."""

    def __init__(
        self, service: RoutingService, name: Name | str, protocol: str, survival: float | None = None
    ) -> None:
        """
        @param service: whose links are used; it need not run before L{connect}.
        @param name: the peer: its name, the text of that, or a nickname of the service's settings.
        @param protocol: what the peer calls it.
        @param survival: as for L{Streams.open<routing_crust.streams.service.Streams.open>}.
        @raise InvalidName: there is no such name and no such nickname; a C{ValueError}.
        @raise ValueError: this cannot be the name of a protocol.
        """
        self._service = service
        # now, so that a wrong name fails where it is written and not at each connect
        self._name = service.name_of(name)
        self._protocol = check_protocol(protocol)
        self._survival = survival

    def __repr__(self) -> str:
        return f"<RoutingClientEndpoint {self._protocol!r} of {self._name.short} from {self._service!r}>"

    def connect(self, protocolFactory: ProtocolFactory) -> Deferred[IProtocol]:
        """
        Open a stream, as L{Streams.open<routing_crust.streams.service.Streams.open>} does.

        @return: fires with the protocol when the peer has accepted and the protocol is connected.
        """
        return streams_of(self._service).open(self._name, self._protocol, protocolFactory, self._survival)


@implementer(IStreamServerEndpoint)
class RoutingServerEndpoint:
    """Offers a protocol to peers."""

    def __init__(
        self,
        service: RoutingService,
        protocol: str,
        allow: Allowed | None = None,
        survival: float | None = None,
    ) -> None:
        """
        @param service: what it is offered on, from L{listen} on; as long as it runs, and again when it is
            started again.
        @param protocol: what peers call it.
        @param allow: which peers may have it; C{None} lets every node of the network.
        @param survival: as for L{Streams.listen<routing_crust.streams.service.Streams.listen>}.
        @raise InvalidName: there is no such name and no such nickname.
        @raise ValueError: this cannot be the name of a protocol.
        """
        self._service = service
        self._protocol = check_protocol(protocol)
        self._allow = allow if allow is None or callable(allow) else service.directory.allowance(allow)
        self._survival = survival

    def __repr__(self) -> str:
        return f"<RoutingServerEndpoint {self._protocol!r} of {self._service!r}>"

    # said exactly: type checkers without zope's plugin know nothing of interfaces
    def listen(  # type: ignore[override]
        self, protocolFactory: ProtocolFactory
    ) -> Deferred[StreamPort]:
        """
        Offer the protocol.

        @return: fires with the port that stops it again. Fails with
            L{CannotListen<routing_crust.errors.CannotListen>} when it is offered already.
        """
        return execute(
            streams_of(self._service).listen, self._protocol, protocolFactory, self._allow, self._survival
        )
