"""A proxy that makes connections, or says what a test wants."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

reactor: Any = _reactor


class _Far(Protocol):
    """The connection that the proxy has made."""

    def __init__(self, near: FakeProxy) -> None:
        self.near = near

    def dataReceived(self, data: bytes) -> None:
        self.near.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.near.transport.loseConnection()


class FakeProxy(Protocol):
    """One connection to it."""

    transport: Any
    factory: FakeProxyFactory
    far: Any = None
    came = b""

    def dataReceived(self, data: bytes) -> None:
        if self.far is not None:
            self.far.transport.write(data)
            return
        self.came += data
        if b"\r\n\r\n" not in self.came:
            return
        where = self.came.split()[1].decode()
        self.factory.asked.append(where)
        if self.factory.answer is not None:
            self.transport.write(self.factory.answer)
            self.transport.loseConnection()
            return
        host, _, port = where.rpartition(":")
        there = TCP4ClientEndpoint(reactor, self.factory.hosts.get(host, host), int(port))
        connectProtocol(there, _Far(self)).addCallbacks(self._connected, self._failed)

    def _connected(self, far: _Far) -> None:
        self.far = far
        self.transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    def _failed(self, reason: Failure) -> None:
        self.transport.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.far is not None:
            self.far.transport.loseConnection()


class FakeProxyFactory(Factory):
    """
    Speaks HTTP.

    @ivar answer: what it says instead of making a connection.
    @ivar hosts: the addresses of host names.
    @ivar asked: for which connections it was asked.
    """

    noisy = False
    protocol = FakeProxy

    def __init__(self) -> None:
        self.answer: bytes | None = None
        self.hosts: dict[str, str] = {}
        self.asked: list[str] = []
