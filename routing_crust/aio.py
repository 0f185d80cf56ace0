"""
Joins Twisted and asyncio, for programs on the asyncio reactor: Deferreds for coroutines of asyncio,
awaitables for Twisted, and any connection of Twisted, such as a stream by name, for readers, writers and
protocols of asyncio.

Every function is given its loop. It must be the one that C{twisted.internet.asyncioreactor.install} was
given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from typing import Protocol as Structure

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IListeningPort,
    IPushProducer,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = [
    "as_deferred",
    "as_future",
    "factory_of",
    "open_connection",
    "start_server",
]

LIMIT: Final = 64 * 1024
"""What a reader holds, in bytes, as for C{asyncio.open_connection}; at twice as many the peer has to wait."""

_Result = TypeVar("_Result")
Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]
"""As for C{asyncio.start_server}: called with each connection; a coroutine is made a task."""


def as_future(deferred: Deferred[_Result], loop: asyncio.AbstractEventLoop) -> asyncio.Future[_Result]:
    """
    Make a future of a Deferred, for a coroutine of asyncio.

    @param deferred: from now on, its other callbacks get C{None} instead of its result.
    @return: has the result of C{deferred}, or the exception that it fails with. It is cancelled when
        C{deferred} is, and the other way round.
    """
    future: asyncio.Future[_Result] = loop.create_future()

    def succeeded(result: _Result) -> None:
        if not future.done():
            future.set_result(result)

    def failed(failure: Failure) -> None:
        # a cancelled future has cancelled the Deferred, whose failure is then no news
        if future.done():
            return
        if failure.check(CancelledError):
            future.cancel()
        else:
            assert failure.value is not None
            future.set_exception(failure.value)

    def done(_: object) -> None:
        if future.cancelled():
            deferred.cancel()

    deferred.addCallbacks(succeeded, failed)
    future.add_done_callback(done)
    return future


def as_deferred(awaitable: Awaitable[_Result], loop: asyncio.AbstractEventLoop) -> Deferred[_Result]:
    """
    Make a Deferred of an awaitable, for Twisted: a request handler, for example, may return it.

    @param awaitable: a coroutine, which is made a task, or a future.
    @return: fires with its result, and fails with its exception; with Twisted's C{CancelledError} when it was
        cancelled. Cancelling the Deferred cancels the task; it fires when the task has ended.
    """
    return Deferred.fromFuture(asyncio.ensure_future(awaitable, loop=loop)).addErrback(_translated)


def _translated(failure: Failure) -> Failure:
    return Failure(CancelledError()) if failure.check(asyncio.CancelledError) else failure


class _Connects(Structure):
    """A client endpoint, to type checkers that do not know zope's interfaces."""

    def connect(self, protocolFactory: Any, /) -> Deferred[Any]: ...


class _Listens(Structure):
    """A server endpoint, to type checkers that do not know zope's interfaces."""

    def listen(self, protocolFactory: Any, /) -> Deferred[Any]: ...


async def open_connection(
    endpoint: IStreamClientEndpoint | _Connects, *, loop: asyncio.AbstractEventLoop, limit: int = LIMIT
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """
    Connect, as C{asyncio.open_connection} does; to be awaited in a task of the loop.

    @param endpoint: any of Twisted's, for example a
        L{RoutingClientEndpoint<routing_crust.streams.RoutingClientEndpoint>}.
    @param limit: as for C{asyncio.open_connection}, in bytes.
    @return: the reader and the writer. C{writer.get_extra_info("peername")} is the peer's address; of a
        stream, its L{NodeAddress<routing_crust.streams.address.NodeAddress>}.
    @raise Exception: what C{connect} of the endpoint fails with. When the connection is lost later, reader
        and writer raise a C{ConnectionResetError}, whose C{__cause__} is Twisted's reason.
    """
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    bridge = Bridge(protocol)
    try:
        await as_future(endpoint.connect(_Factory(lambda: bridge)), loop)
    except asyncio.CancelledError:
        # the connection may have come up in the same turn, and nobody would close it
        bridge.abort()
        raise
    return reader, asyncio.StreamWriter(bridge.to_asyncio, protocol, reader, loop)


async def start_server(
    endpoint: IStreamServerEndpoint | _Listens,
    connected: Connected,
    *,
    loop: asyncio.AbstractEventLoop,
    limit: int = LIMIT,
) -> IListeningPort:
    """
    Listen, as C{asyncio.start_server} does; to be awaited in a task of the loop.

    @param endpoint: any of Twisted's, for example a
        L{RoutingServerEndpoint<routing_crust.streams.RoutingServerEndpoint>}.
    @param connected: called with the reader and the writer of each connection; see L{open_connection}.
    @return: the port, whose C{stopListening} closes it.
    @raise Exception: what C{listen} of the endpoint fails with.
    """

    def protocol() -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        return asyncio.StreamReaderProtocol(reader, connected, loop=loop)

    return await as_future(endpoint.listen(factory_of(protocol)), loop)


def factory_of(make: Callable[[], asyncio.Protocol]) -> Factory:
    """
    Make a factory of Twisted for protocols of asyncio, for any endpoint or for
    L{Streams.listen<routing_crust.streams.service.Streams.listen>}.

    @param make: as for C{loop.create_server}: makes the protocol for each connection.
    """
    return _Factory(lambda: Bridge(make()))


class _Factory(Factory):
    """Calls a function for each protocol."""

    noisy = False

    def __init__(self, make: Callable[[], Bridge]) -> None:
        self._make = make

    def buildProtocol(self, addr: object) -> Bridge:
        """Make the protocol of a connection."""
        return self._make()


class _Transport(asyncio.Transport):
    """
    Shows a transport of Twisted as one of asyncio. Twisted's transport decides when to pause, so there is no
    C{set_write_buffer_limits}.
    """

    def __init__(self, bridge: Bridge) -> None:
        super().__init__({"peername": bridge.transport.getPeer(), "sockname": bridge.transport.getHost()})
        self._bridge = bridge
        self._closing = self._ended = False
        self._reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """
        Send bytes.

        @raise RuntimeError: after L{write_eof}.
        """
        if self._ended:
            raise RuntimeError("nothing can be written after write_eof()")
        # asyncio lets the caller reuse a bytearray after this call
        self._bridge.transport.write(bytes(data))

    def can_write_eof(self) -> bool:
        """Half-closes are possible."""
        return True

    def write_eof(self) -> None:
        """Close our half when everything is written."""
        if not self._ended and not self._closing:
            self._ended = True
            self._bridge.no_more_is_written()
            self._bridge.transport.loseWriteConnection()

    def close(self) -> None:
        """Close when everything is written. From now on nothing is read."""
        if not self._closing:
            self._closing = True
            self._bridge.no_more_is_written()
            self._bridge.transport.loseConnection()

    def abort(self) -> None:
        """Close now; data on its way is lost."""
        self._closing = True
        self._bridge.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._closing or not self._bridge.connected

    def pause_reading(self) -> None:
        """Deliver nothing until L{resume_reading}."""
        if self._reading and not self.is_closing():
            self._reading = False
            self._bridge.transport.pauseProducing()

    def resume_reading(self) -> None:
        """Deliver again."""
        if not self._reading and not self.is_closing():
            self._reading = True
            self._bridge.transport.resumeProducing()

    def is_reading(self) -> bool:
        """Whether data that comes is delivered."""
        return self._reading and not self.is_closing()


@implementer(IHalfCloseableProtocol, IPushProducer)
class Bridge(Protocol):
    """
    A protocol of Twisted that passes everything to a protocol of asyncio.

    @ivar to_asyncio: the transport of that protocol, once there is a connection.
    """

    transport: Any
    to_asyncio: _Transport

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self._paused = False
        self._aborted = False

    def connectionMade(self) -> None:
        """Connect the protocol of asyncio."""
        # as its producer, this learns when the transport takes no more
        self.to_asyncio = _Transport(self)
        self.transport.registerProducer(self, True)
        self._protocol.connection_made(self.to_asyncio)

    def dataReceived(self, data: bytes) -> None:
        """Pass bytes on."""
        self._protocol.data_received(data)

    def readConnectionLost(self) -> None:
        """The peer has sent all: the protocol decides whether its own half stays open."""
        if not self._protocol.eof_received():
            self.to_asyncio.close()

    def writeConnectionLost(self) -> None:
        """Our half is closed; protocols of asyncio are not told."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the protocol of asyncio, with an error unless the connection ended as it wished."""
        self.connected = 0
        error: ConnectionResetError | None = None
        if not self._aborted and not reason.check(ConnectionDone, ConnectionAborted):
            # asyncio's readers and writers raise this one as it is, so callers can catch it
            error = ConnectionResetError(reason.getErrorMessage())
            error.__cause__ = reason.value
        self._protocol.connection_lost(error)

    def abort(self) -> None:
        """Abort the connection, if there is one."""
        if self.connected:
            self._aborted = True
            self.transport.abortConnection()

    # IPushProducer: when the protocol may write.

    def pauseProducing(self) -> None:
        """Have the protocol stop writing: enough waits to be sent."""
        if not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def resumeProducing(self) -> None:
        """Let the protocol write again."""
        if self._paused:
            self._paused = False
            self._protocol.resume_writing()

    def stopProducing(self) -> None:
        """The connection is lost; C{connectionLost} says so."""

    def no_more_is_written(self) -> None:
        """The protocol writes no more, so nothing has to wait for room."""
        # a producer that stays registered would keep Twisted's transport from closing
        if self.connected:
            self.transport.unregisterProducer()
            self.resumeProducing()
