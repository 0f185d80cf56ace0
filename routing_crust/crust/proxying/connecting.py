"""
A connection through a proxy, as the factory of the connection sees it: like one to the peer itself.

The proxy is connected to first. Once it has made the connection, the factory's protocol takes the transport
over. Whatever fails before is told to the factory as a connection that has failed.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IConnector
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

from ...endpoints import Endpoint
from ...hosts.proxies import Proxy
from ..dial.dial import in_words
from .negotiations import ProxyFailed, ProxyNegotiation


class ProxiedFactory(ClientFactory):
    """Stands before the factory of one connection."""

    noisy = False

    def __init__(self, factory: Any, proxy: Proxy, negotiation: ProxyNegotiation, remote: Endpoint) -> None:
        """
        @param factory: a C{ClientFactory}.
        @param remote: what the connection leads to.
        """
        self.factory = factory
        self.proxy = proxy
        self.negotiation = negotiation
        self.remote = remote
        self._connector: Any = None

    def doStart(self) -> None:
        self.factory.doStart()

    def doStop(self) -> None:
        self.factory.doStop()

    def startedConnecting(self, connector: IConnector) -> None:
        self._connector = connector
        self.factory.startedConnecting(connector)

    def buildProtocol(self, addr: object) -> ProxyConversation:
        return ProxyConversation(self)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        why = in_words(reason.value)
        self.failed(ProxyFailed(f"the proxy {self.proxy} cannot be reached: {why}"))

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        self.factory.clientConnectionLost(connector, reason)

    def failed(self, problem: ProxyFailed) -> None:
        """There will be no connection."""
        self.factory.clientConnectionFailed(self._connector, Failure(problem))


class ProxyConversation(Protocol):
    """Speaks with the proxy until the connection is made."""

    transport: Any

    def __init__(self, factory: ProxiedFactory) -> None:
        self._factory = factory
        self._is_over = False

    def connectionMade(self) -> None:
        self.transport.write(self._factory.negotiation.begin())

    def dataReceived(self, data: bytes) -> None:
        if self._is_over:
            return
        negotiation = self._factory.negotiation
        try:
            answer = negotiation.feed(data)
        except ProxyFailed as problem:
            self._fail(problem)
            return
        if answer:
            self.transport.write(answer)
        if negotiation.done:
            self._hand_over(negotiation.rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._is_over:
            proxy = self._factory.proxy
            self._fail(ProxyFailed(f"the proxy {proxy} closed the connection without an answer"))

    def _fail(self, problem: ProxyFailed) -> None:
        self._is_over = True
        self.transport.abortConnection()
        self._factory.failed(problem)

    def _hand_over(self, rest: bytes) -> None:
        self._is_over = True
        transport = ProxiedTransport(self.transport, self._factory.remote)
        protocol = self._factory.factory.buildProtocol(transport.getPeer())
        if protocol is None:
            self.transport.abortConnection()
            return
        # the reactor gives it from now on what comes, and the end
        self.transport.protocol = protocol
        protocol.makeConnection(transport)
        if rest:
            protocol.dataReceived(rest)


class ProxiedTransport:
    """A TCP transport whose peer is what the proxy has connected us to."""

    def __init__(self, transport: Any, remote: Endpoint) -> None:
        self._transport = transport
        kind = IPv6Address if remote.is_v6 else IPv4Address
        self._peer = kind("TCP", remote.host, remote.port)
        # these are called for each piece that is sent
        self.write = transport.write
        self.writeSequence = transport.writeSequence
        directlyProvides(self, providedBy(transport))

    def getPeer(self) -> IPv4Address | IPv6Address:
        return self._peer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
