"""
Connections and endpoints of local programs, in memory: what a daemon connects to, and what connects to it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IStreamClientEndpoint, IStreamServerEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer


class Wire:
    """
    The transport of a connection to a program that a test plays. What ends it is told in a later turn.

    @ivar written: what the program has got.
    @ivar ended: whether it has been told that this is all.
    @ivar closed: how we have closed it: C{""}, C{"closed"} or C{"aborted"}.
    """

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.protocol: Any = None
        self.written = b""
        self.paused = self.ended = self.over = False
        self.closed = ""
        self.producer: Any = None

    def join(self, protocol: Any) -> Wire:
        self.protocol = protocol
        protocol.makeConnection(self)
        return self

    # What the program does.

    def send(self, data: bytes) -> None:
        assert not self.paused
        self.protocol.dataReceived(data)

    def end(self) -> None:
        IHalfCloseableProtocol(self.protocol).readConnectionLost()

    def lose(self, reason: Exception | None = None) -> None:
        if not self.over:
            self.over = True
            if self.producer is not None:
                self.producer.stopProducing()
            self.protocol.connectionLost(Failure(reason or ConnectionLost()))

    # What the daemon does.

    def write(self, data: bytes) -> None:
        self.written += data

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        assert self.producer is None
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def loseWriteConnection(self) -> None:
        assert self.producer is None
        self.ended = True
        self.clock.callLater(0, self._write_lost)

    def _write_lost(self) -> None:
        if not self.over:
            IHalfCloseableProtocol(self.protocol).writeConnectionLost()

    def loseConnection(self) -> None:
        self._close("closed", ConnectionDone())

    def abortConnection(self) -> None:
        self._close("aborted", ConnectionAborted())

    def _close(self, how: str, reason: Exception) -> None:
        if not self.closed:
            self.closed = how
            self.clock.callLater(0, self.lose, reason)


@implementer(IStreamClientEndpoint)
class Program:
    """
    A program that can be connected to.

    @ivar problem: why it cannot.
    @ivar waiting: what connections wait for, if they do not come at once.
    """

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.wires: list[Wire] = []
        self.problem: Exception | None = None
        self.waiting: Deferred[None] | None = None

    def connect(self, factory: Any) -> Deferred[Any]:
        if self.problem is not None:
            return fail(self.problem)
        if self.waiting is not None:
            return self.waiting.addCallback(lambda _: self._connected(factory))
        return succeed(self._connected(factory))

    def _connected(self, factory: Any) -> Any:
        protocol = factory.buildProtocol(None)
        self.wires.append(Wire(self.clock).join(protocol))
        return protocol


@implementer(IStreamServerEndpoint)
class Port:
    """A port that programs connect to."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.factory: Any = None
        self.problem: Exception | None = None
        self.waiting: Deferred[None] | None = None

    def listen(self, factory: Any) -> Deferred[Any]:
        if self.problem is not None:
            return fail(self.problem)
        self.factory = factory
        return succeed(self) if self.waiting is None else self.waiting.addCallback(lambda _: self)

    def getHost(self) -> str:
        return "here"

    def stopListening(self) -> None:
        self.factory = None

    def connect(self) -> Wire:
        protocol = self.factory.buildProtocol(None)
        assert protocol is not None, "refused"
        return Wire(self.clock).join(protocol)
