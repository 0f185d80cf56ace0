"""
A stream on a connection of the control socket: what a program of this machine reads and writes when it uses
the streams of the daemon. Both ends use it.

Bytes go in chunks, so that the end of a stream can be told from the loss of it. A chunk has a byte for its
L{Chunk}, the length of what follows in 32 bits, big-endian, and so many bytes. The order: any number of
C{DATA}; C{END}, once; C{CLOSE} or C{RESET} at any time, after which the connection is closed. A connection
that ends without them is a stream that is lost.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any, Final

import msgspec
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ...config import KIB
from ...errors import RoutingCrustError
from ...streams import NodeAddress, StreamLinkLost, StreamReason, StreamReset
from ..forward.splice import ITellsWhy

LARGEST_CHUNK: Final = 64 * KIB
"""What follows the head of a chunk, at most, in bytes."""
_HEAD: Final = struct.Struct(">BI")

log = Logger()


class Chunk(IntEnum):
    """What a chunk is."""

    DATA = 0
    """Bytes of the stream."""
    END = 1
    """The sender has sent all; it reads on."""
    CLOSE = 2
    """The sender has sent all, and reads no more."""
    RESET = 3
    """The stream is given up; a L{Reset} as JSON says why."""


class Reset(msgspec.Struct, frozen=True):
    """
    Why a stream is given up.

    @ivar reason: a L{StreamReason}, if it was reset.
    @ivar text: in words.
    """

    reason: int | None
    text: str


class GoneError(RoutingCrustError):
    """What the other end of the control socket is; the text says that it is gone."""


@implementer(ITCPTransport, IPushProducer, IConsumer, ITellsWhy)
class SocketTransport:
    """
    The transport of a protocol. Whoever owns the connection calls L{received} and L{wire_lost}.

    @ivar connected: whether C{connectionLost} is still to come.
    @ivar disconnecting: whether L{loseConnection} was called.
    @ivar gone: called after C{connectionLost}.
    """

    def __init__(
        self,
        wire: Any,
        host: NodeAddress,
        peer: NodeAddress,
        later: Callable[[Callable[[], object]], object],
        other: str,
    ) -> None:
        """
        @param wire: the transport of the connection.
        @param later: calls something in a later turn of the reactor.
        @param other: who is at the other end of the socket, in words.
        """
        self.connected = True
        self.disconnecting = False
        self.gone: Callable[[], object] = lambda: None
        self._wire = wire
        self._host = host
        self._peer = peer
        self._later = later
        self._other = other
        self._protocol: Any = None
        self._buffer = bytearray()
        self._paused = False
        self._has_producer = False
        self._read_ended = self._write_ending = self._write_ended = False
        self._because: Exception | None = None  # what the end of the wire is for the protocol

    def start(self, protocol: IProtocol) -> None:
        """Tell the protocol that it is connected."""
        self._protocol = protocol
        self._tell(lambda: protocol.makeConnection(self))

    # What the owner of the connection tells.

    def received(self, data: bytes) -> None:
        """Bytes came."""
        if self.disconnecting:
            return
        self._buffer += data
        self._deliver()

    def wire_lost(self, reason: Failure) -> None:
        """The connection is gone."""
        because = self._because
        if because is None:
            because = StreamLinkLost(GoneError(f"{self._other} is gone"))
        self._lost(because)

    # What the protocol does: ITransport.

    def write(self, data: bytes) -> None:
        """Send bytes. After the connection was lost or its write side closed, does nothing."""
        if not self.connected or self._write_ended:
            return
        if len(data) <= LARGEST_CHUNK:
            self._send(Chunk.DATA, data)
            return
        view = memoryview(data)
        for start in range(0, len(data), LARGEST_CHUNK):
            self._send(Chunk.DATA, bytes(view[start : start + LARGEST_CHUNK]))

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send several pieces of bytes."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """
        Close the connection when everything that was written has been sent, and no producer is registered
        any more. From now on nothing is read.
        """
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._buffer.clear()
            self._end_when_written()

    def loseWriteConnection(self) -> None:
        """Close the write side, when everything has been sent and no producer is registered any more."""
        if self.connected and not self.disconnecting and not self._write_ending:
            self._write_ending = True
            self._end_when_written()

    def abortConnection(self) -> None:
        """Close the connection now: what is on its way is lost."""
        if self.connected:
            self.disconnecting = True
            self._because = self._because or ConnectionAborted()
            self._wire.abortConnection()

    def abort_because(self, reason: Failure) -> None:
        """See L{ITellsWhy}. What was written before goes out first, if the other end reads it."""
        if self.connected and self._because is None:
            self.disconnecting = True
            self._because = ConnectionAborted()
            self._wire.unregisterProducer()
            self._send(Chunk.RESET, msgspec.json.encode(_reset(reason.value)))
            self._write_ended = True
            self._wire.loseConnection()

    def getHost(self) -> NodeAddress:  # type: ignore[override]
        """Our end."""
        return self._host

    def getPeer(self) -> NodeAddress:  # type: ignore[override]
        """The peer's end; its name is proven."""
        return self._peer

    def getTcpNoDelay(self) -> bool:
        """Nothing is ever delayed."""
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing is ever delayed."""

    def getTcpKeepAlive(self) -> bool:
        """Links have heartbeats."""
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Links have heartbeats."""

    # IConsumer.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Let somebody write as fast as the other end reads.

        @raise RuntimeError: another is registered.
        """
        if not self.connected:
            producer.stopProducing()
            return
        self._wire.registerProducer(producer, streaming)
        self._has_producer = True

    def unregisterProducer(self) -> None:
        """The producer writes no more."""
        if self._has_producer:
            self._has_producer = False
            self._wire.unregisterProducer()
            self._end_when_written()

    # IPushProducer.

    def pauseProducing(self) -> None:
        """Deliver nothing until L{resumeProducing}."""
        self._paused = True
        self._wire.pauseProducing()

    def resumeProducing(self) -> None:
        """Deliver again, what has come meanwhile in a later turn."""
        if self._paused and self.connected and not self.disconnecting:
            self._paused = False
            self._later(self._go_on)

    def stopProducing(self) -> None:
        """Close the connection."""
        self.loseConnection()

    # Inside.

    def _go_on(self) -> None:
        self._deliver()
        if self.connected and not self._paused and not self.disconnecting:
            self._wire.resumeProducing()

    def _deliver(self) -> None:
        while self.connected and not self._paused and not self.disconnecting:
            if len(self._buffer) < _HEAD.size:
                return
            kind, length = _HEAD.unpack_from(self._buffer)
            if kind > Chunk.RESET or length > LARGEST_CHUNK:
                self._because = ConnectionLost(f"{self._other} sent what is no chunk")
                self._wire.abortConnection()
                return
            if len(self._buffer) < _HEAD.size + length:
                return
            payload = bytes(self._buffer[_HEAD.size : _HEAD.size + length])
            del self._buffer[: _HEAD.size + length]
            self._chunk(Chunk(kind), payload)

    def _chunk(self, kind: Chunk, payload: bytes) -> None:
        if kind is Chunk.DATA:
            self._tell(lambda: self._protocol.dataReceived(payload))
        elif kind is Chunk.END:
            self._read_end(False)
        elif kind is Chunk.CLOSE:
            self._read_end(True)
        else:
            self._over(_problem(payload))

    def _read_end(self, closed: bool) -> None:
        half = IHalfCloseableProtocol(self._protocol, None)
        if half is not None and not self._read_ended:
            self._read_ended = True
            self._tell(half.readConnectionLost)
        if closed:
            self._over(ConnectionDone())
        elif half is None:
            self._wire.unregisterProducer()
            self._send(Chunk.CLOSE, b"")
            self._over(ConnectionDone())
        else:
            self._end_if_both_have()

    def _end_when_written(self) -> None:
        if self._has_producer or self._because is not None or not self.connected:
            return
        if self.disconnecting:
            self._write_ended = True
            self._because = ConnectionDone()
            self._send(Chunk.CLOSE, b"")
            self._wire.loseConnection()
        elif self._write_ending and not self._write_ended:
            self._send(Chunk.END, b"")
            self._write_ended = True
            self._later(self._write_has_ended)

    def _write_has_ended(self) -> None:
        half = IHalfCloseableProtocol(self._protocol, None)
        if half is not None and self.connected:
            self._tell(half.writeConnectionLost)
        self._end_if_both_have()

    def _end_if_both_have(self) -> None:
        if self._read_ended and self._write_ended and self.connected and not self.disconnecting:
            self._over(ConnectionDone())

    def _over(self, problem: Exception) -> None:
        """It has ended: close the wire, and tell the protocol."""
        self._because = problem
        self._wire.loseConnection()
        self._lost(problem)

    def _send(self, kind: Chunk, payload: bytes) -> None:
        self._wire.writeSequence((_HEAD.pack(kind, len(payload)), payload))

    def _tell(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception:  # whatever a protocol may raise
            failure = Failure()
            log.failure("a protocol failed on a stream with {peer}", failure=failure, peer=self._peer)
            self._wire.abortConnection()
            self._lost(failure)

    def _lost(self, reason: Exception | Failure) -> None:
        if not self.connected:
            return
        self.connected = False
        self._buffer.clear()
        try:
            self._protocol.connectionLost(reason if isinstance(reason, Failure) else Failure(reason))
        except Exception:  # whatever a protocol may raise
            log.failure("a protocol failed when it lost its stream with {peer}", peer=self._peer)
        self.gone()


def _reset(problem: BaseException | None) -> Reset:
    if isinstance(problem, StreamReset):
        return Reset(int(problem.reason), problem.detail)
    return Reset(None, str(problem.problem if isinstance(problem, StreamLinkLost) else problem))


def _problem(payload: bytes) -> Exception:
    try:
        reset = msgspec.json.decode(payload, type=Reset)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ConnectionLost("it was reset, and why cannot be read")
    if reset.reason is None:
        return StreamLinkLost(GoneError(reset.text))
    known = reset.reason in [int(each) for each in StreamReason]
    return StreamReset(StreamReason(reset.reason) if known else StreamReason.UNKNOWN, reset.text)
