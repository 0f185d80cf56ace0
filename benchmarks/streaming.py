"""
Streams of bytes: the same protocols over a stream of ours and over a TLS connection of stock Twisted.

What is sent begins with its length, eight bytes; the other end answers with one byte once all of it is there.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from statistics import median
from time import perf_counter, process_time
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, wrapClientTLS
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol, ServerFactory, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from routing_crust.config import Role, Settings, TwoWay
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.routing.service import RoutingService
from routing_crust.streams import Streams, streams_of

from .credentials import CLIENT, SERVER, client_options, identity, server_options
from .tools import in_parallel

BLOCK: Final = bytes(1 << 16)
ECHOED: Final = bytes(64)
BESIDE_BLOCKS: Final = 64
"""What is sent in one piece beside the echo, again and again."""
_LENGTH: Final = struct.Struct(">Q")


class Sink(Protocol):
    """Takes what is announced, and says so."""

    transport: Any
    _left = 0
    _head = b""

    def dataReceived(self, data: bytes) -> None:
        if not self._left:
            data = self._head + data
            if len(data) < _LENGTH.size:
                self._head = data
                return
            self._head = b""
            (self._left,) = _LENGTH.unpack_from(data)
            self._left += _LENGTH.size
        self._left -= len(data)
        if not self._left:
            self.transport.write(b"k")


class Echo(Protocol):
    """Sends back what comes."""

    transport: Any

    def connectionMade(self) -> None:
        """Answers are waited for."""
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


MODES: Final[dict[str, type[Protocol]]] = {"sink": Sink, "echo": Echo}


class Asking(Protocol):
    """The client's end: sends, and waits for what comes back."""

    transport: Any

    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()
        self._waiting: Deferred[float] | None = None
        self._left = 0
        self._began = 0.0

    def connectionMade(self) -> None:
        """Answers are waited for."""
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if not self._left and self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(perf_counter() - self._began)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)
        if self._waiting is not None:
            self._waiting.errback(reason)

    def send(self, blocks: int) -> Deferred[float]:
        """Send this many bytes to a sink. Fires with the seconds until all of it was there."""
        waiting = self._wait(1)
        self.transport.write(_LENGTH.pack(blocks * len(BLOCK)))
        Blocks(self.transport, blocks).start()
        return waiting

    def echo(self) -> Deferred[float]:
        """Send a few bytes to an echo. Fires with the seconds until they were back."""
        waiting = self._wait(len(ECHOED))
        self.transport.write(ECHOED)
        return waiting

    def _wait(self, size: int) -> Deferred[float]:
        self._left, self._began = size, perf_counter()
        self._waiting = waiting = Deferred[float]()
        return waiting


@implementer(IPushProducer)
class Blocks:
    """Writes blocks as fast as the transport takes them."""

    def __init__(self, transport: Any, count: int) -> None:
        self._transport = transport
        self._left = count
        self._paused = False

    def start(self) -> None:
        """Begin."""
        self._transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        while not self._paused and self._left:
            self._left -= 1
            self._transport.write(BLOCK)
        if not self._left and self._transport is not None:
            transport, self._transport = self._transport, None
            transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self._paused = True

    def stopProducing(self) -> None:
        self._paused = True
        self._left = 0


class StreamingActor(ABC):
    """Either end; how streams are made is for those below."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self._asking: list[Asking] = []

    @abstractmethod
    async def connection(self, mode: str) -> Asking:
        """One more stream to the server, for this."""

    async def do_open_streams(self, mode: str, count: int) -> None:
        """Have this many streams from now on."""
        self._asking = await in_parallel(lambda _: self.connection(mode), count, count)

    async def do_send(self, blocks: int) -> list[float]:
        """
        Send this many blocks by all streams together.

        @return: blocks in a second, and the rates of the slowest and the fastest stream by the mean of all.
        """
        each = max(1, blocks // len(self._asking))
        start = perf_counter()
        seconds = await gatherResults([one.send(each) for one in self._asking], consumeErrors=True)
        rate = each * len(seconds) / (perf_counter() - start)
        rates = [1 / took for took in seconds]
        mean = sum(rates) / len(rates)
        return [rate, min(rates) / mean, max(rates) / mean]

    def do_cpu(self) -> float:
        """The processor time of this process so far, in seconds."""
        return process_time()

    async def do_open(self, count: int, slots: int) -> float:
        """Open streams, this many at a time, and close each at once. Returns how many in a second."""

        async def once(_: int) -> None:
            made = await self.connection("echo")
            made.transport.loseConnection()
            await made.lost

        start = perf_counter()
        await in_parallel(once, count, slots)
        return count / (perf_counter() - start)

    async def do_echo(self, count: int, beside: bool) -> float:
        """
        The median time of a small echo, one after the other.

        @param beside: whether another stream sends all the time.
        @return: in microseconds.
        """
        asking = await self.connection("echo")
        stop: Callable[[], None] = _nothing
        over: Deferred[None] | None = None
        if beside:
            bulk = _Bulk(await self.connection("sink"))
            stop, over = bulk.stop, Deferred.fromCoroutine(bulk.run())
        taken = []
        for _ in range(count):
            taken.append(await asking.echo())
            pause: Deferred[None] = Deferred()
            self.reactor.callLater(0, pause.callback, None)
            await pause
        stop()
        if over is not None:
            await over
        asking.transport.loseConnection()
        return 1e6 * median(taken)


class _Bulk:
    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._stopped = False

    async def run(self) -> None:
        while not self._stopped:
            await self._asking.send(BESIDE_BLOCKS)
        self._asking.transport.loseConnection()

    def stop(self) -> None:
        self._stopped = True


class OurStreams(StreamingActor):
    """Streams of a service, by name."""

    streams: Streams

    async def do_listen(self, mode: str) -> int:
        """Start a network, and serve. Returns the port."""
        service = self._start(SERVER, Role.FIRST, None)
        for each, protocol in MODES.items():
            self.streams.listen(each, Factory.forProtocol(protocol))
        port: int = service.endpoints[0].port
        return port

    async def do_connect(self, port: int, mode: str) -> None:
        """Be linked with the server."""
        await self._start(CLIENT, Role.CLIENT, port).when_connected()

    async def connection(self, mode: str) -> Asking:
        made = await self.streams.open(identity(SERVER).name, mode, Factory.forProtocol(Asking))
        assert isinstance(made, Asking)
        return made

    def _start(self, number: int, role: Role, port: int | None) -> RoutingService:
        settings = Settings(
            role=role,
            listen=() if role is Role.CLIENT else (Endpoint("127.0.0.1", 0),),
            contacts=() if port is None else (Contact(Endpoint("127.0.0.1", port), identity(SERVER).name),),
            lan_discovery=False,
            two_way=TwoWay.OFF,
        )
        service = RoutingService(settings, reactor=self.reactor, identity=identity(number))
        service.startService()
        self.streams = streams_of(service)
        return service


class BareStreams(StreamingActor):
    """TLS connections, one for each."""

    async def do_listen(self, mode: str) -> int:
        """Serve. Returns the port."""
        factory = ServerFactory.forProtocol(MODES[mode])
        wrapped = TLSMemoryBIOFactory(server_options(), False, factory)
        endpoint = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1", backlog=512)
        listening: Any = await endpoint.listen(wrapped)
        port: int = listening.getHost().port
        return port

    def do_connect(self, port: int, mode: str) -> None:
        """Know where the server is."""
        tcp = TCP4ClientEndpoint(self.reactor, "127.0.0.1", port)
        self._endpoint = wrapClientTLS(client_options(), tcp)

    async def connection(self, mode: str) -> Asking:
        made: Any = await self._endpoint.connect(Factory.forProtocol(Asking))
        assert isinstance(made, Asking)
        return made


def _nothing() -> None:
    """What there is to stop when nothing runs."""
