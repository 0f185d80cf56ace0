"""
TCP connections to a host of which the name is known: all its addresses, IPv6 and IPv4, a little after each
other, as C{HostnameEndpoint} has them.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.address import HostnameAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IConnector, IProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from ...hosts.host_names import is_like_address

# the endpoint's annotation leaves out that there may be none
_NO_TIMEOUT: Final[Any] = None


def connect_to_host(reactor: Any, host: str, port: int, factory: Any) -> IConnector:
    """
    Connect by a reactor, as C{Platform.connect_to_host} describes.

    @param reactor: provides C{IReactorTCP}, C{IReactorTime} and C{IReactorPluggableNameResolver}.
    """
    connector: IConnector
    if is_like_address(host):
        connector = reactor.connectTCP(host, port, factory, timeout=None)
    else:
        connector = named = NamedHostConnector(reactor, host, port, factory)
        named.connect()
    return connector


@implementer(IConnector)
class NamedHostConnector:
    """
    One connection, as its factory sees it. The factory is started before the name is resolved, and stopped
    when nothing is left, however many addresses were tried.
    """

    def __init__(self, reactor: Any, host: str, port: int, factory: Any) -> None:
        self._endpoint = HostnameEndpoint(reactor, host.encode("ascii"), port, timeout=_NO_TIMEOUT)
        self._address = HostnameAddress(host.encode("ascii"), port)
        self._factory = factory
        self._attempt: Deferred[IProtocol] | None = None
        self._protocol: Any = None

    def connect(self) -> None:
        """Begin. Called once."""
        # the attempts at addresses start and stop it, too: it is not over between two of them
        self._factory.doStart()
        self._factory.startedConnecting(self)
        self._attempt = self._endpoint.connect(self._factory)
        self._attempt.addCallbacks(self._connected, self._failed)

    def stopConnecting(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()

    def disconnect(self) -> None:
        if self._protocol is None:
            self.stopConnecting()
        else:
            self._protocol.transport.loseConnection()

    def getDestination(self) -> HostnameAddress:
        return self._address

    def _connected(self, protocol: IProtocol) -> None:
        self._protocol = protocol
        # only what we have started: the connection has its own start, and ends that itself
        self._factory.doStop()

    def _failed(self, failure: Failure) -> None:
        self._factory.clientConnectionFailed(self, failure)
        self._factory.doStop()
