"""
The reference: frames with C{Int32StringReceiver} over mutual TLS 1.3, as a user of stock Twisted writes them.

The client's connection counts as made once the server's first frame is there: in TLS 1.3 the client's
own end of the handshake comes before the server has judged its certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, wrapClientTLS
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import Factory, ServerFactory, connectionDone
from twisted.protocols.basic import Int32StringReceiver
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from .credentials import client_options, server_options
from .tools import SLOTS, Meter, Window, in_parallel, memory, settle, time_set_ups

LARGEST = 16 << 20
READY = b"ready"


class Frames(Int32StringReceiver):
    """A connection whose frames go wherever the actor wants them just now."""

    MAX_LENGTH = LARGEST
    transport: Any
    sendString: Callable[[bytes], None]

    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self.lost.callback(None)


@implementer(IHandshakeListener)
class Serving(Frames):
    """The server's end. Says that it is ready once the client is known."""

    factory: ServingFactory

    def connectionMade(self) -> None:
        """Nothing to do before the handshake."""
        self.transport.setTcpNoDelay(self.factory.no_delay)

    def handshakeCompleted(self) -> None:
        """The client is known."""
        self.sendString(READY)


class Sink(Serving):
    """Counts what comes."""

    left = 0

    def connectionMade(self) -> None:
        """The one whose frames are counted is the last."""
        super().connectionMade()
        self.factory.sink = self

    def stringReceived(self, string: bytes) -> None:
        """One frame."""
        self.left -= 1
        if not self.left:
            self.factory.meter.mark()


class Echo(Serving):
    """Sends back what comes."""

    def stringReceived(self, string: bytes) -> None:
        """One frame."""
        self.sendString(string)


class ServingFactory(ServerFactory):
    """Makes the server's ends."""

    meter: Meter

    def __init__(self, protocol: type[Serving]) -> None:
        self.protocol: Any = protocol
        self.no_delay = protocol is Echo
        self.sink: Serving | None = None


class Asking(Frames):
    """The client's end."""

    def __init__(self, no_delay: bool) -> None:
        super().__init__()
        self.ready: Deferred[Asking] = Deferred()
        self.answered: Callable[[], object] | None = None
        self._no_delay = no_delay

    def connectionMade(self) -> None:
        """Nothing to do before the server is ready."""
        self.transport.setTcpNoDelay(self._no_delay)

    def stringReceived(self, string: bytes) -> None:
        """The server is ready, or an answer is there."""
        if self.answered is not None:
            self.answered()
        else:
            self.ready.callback(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone, perhaps before the server was ready."""
        super().connectionLost(reason)
        if not self.ready.called:
            self.ready.errback(reason)


@implementer(IPushProducer)
class Flood:
    """
    Sends many frames, as fast as the transport takes them.

    @ivar done: fires when the last has been handed over.
    """

    def __init__(self, send: Callable[..., object], arguments: Sequence[Any], count: int) -> None:
        self.done: Deferred[None] = Deferred()
        self._send = send
        self._arguments = arguments
        self._left = count
        self._paused = True

    def resumeProducing(self) -> None:
        """Send until paused."""
        self._paused = False
        send, arguments = self._send, self._arguments
        while not self._paused and self._left:
            self._left -= 1
            send(*arguments)
        if not self._left and not self.done.called:
            self.done.callback(None)

    def pauseProducing(self) -> None:
        """The transport holds enough."""
        self._paused = True

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._paused = True


class BareActor:
    """Either end."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._factory = ServingFactory(Sink)
        self._options = client_options()
        self._connections: list[Asking] = []

    async def do_listen(self, mode: str) -> int:
        """Start to serve. Returns the port."""
        self._factory = ServingFactory(Echo if mode == "echo" else Sink)
        wrapped = TLSMemoryBIOFactory(server_options(), False, self._factory)
        endpoint = TCP4ServerEndpoint(self._reactor, 0, interface="127.0.0.1", backlog=512)
        listening: Any = await endpoint.listen(wrapped)
        port: int = listening.getHost().port
        return port

    def do_expect(self, count: int) -> None:
        """The next frames are to be timed."""
        self._factory.meter = Meter(self._factory.sink, count)

    async def do_measured(self) -> float:
        """Wait for the frames. Returns how many came in a second."""
        return await self._factory.meter.done

    async def do_connect(self, port: int, mode: str) -> None:
        """Connect."""
        self._connections.append(await self._connect(port, mode == "echo"))

    async def do_flood(self, size: int, count: int) -> None:
        """Send frames one way, as fast as the connection takes them."""
        protocol = self._connections[0]
        body = bytes(size)
        flood = Flood(protocol.sendString, (body,), count)
        protocol.transport.registerProducer(flood, True)
        flood.resumeProducing()
        await flood.done
        protocol.transport.unregisterProducer()

    async def do_ask(self, size: int, count: int, window: int) -> float:
        """Send frames that come back. Returns how many did in a second."""
        protocol = self._connections[0]
        body = bytes(size)
        questions = Window(protocol.sendString, (body,), count, window)
        protocol.answered = questions.answered
        return await questions.start()

    async def do_set_up(self, port: int, count: int, batch: int) -> float:
        """Make connections and close them, in batches. Returns how many were made in a second."""
        return await time_set_ups(lambda number: self._connect(port, False), self._disconnect, count, batch)

    async def do_hold(self, port: int, count: int) -> None:
        """Keep this many connections more."""
        self._connections += await in_parallel(lambda number: self._connect(port, False), count, SLOTS)

    async def do_memory(self) -> int:
        """Returns this process's memory in bytes."""
        await settle(self._reactor)
        return memory()

    async def _connect(self, port: int, no_delay: bool) -> Asking:
        tcp = TCP4ClientEndpoint(self._reactor, "127.0.0.1", port)
        endpoint = wrapClientTLS(self._options, tcp)
        made: Any = Factory.forProtocol(lambda: Asking(no_delay))
        protocol = cast(Asking, await endpoint.connect(made))
        return await protocol.ready

    async def _disconnect(self, protocol: Asking) -> None:
        protocol.transport.loseConnection()
        await protocol.lost
