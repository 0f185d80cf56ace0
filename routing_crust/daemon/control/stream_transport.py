"""
A stream on a connection of the control socket: what a program of this machine reads and writes when it uses
the streams of the daemon, in the chunks of L{routing_crust.daemon.control.chunks}. Both ends use it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from ...streams import NodeAddress, StreamLinkLost
from ...transports import IAbortsWithReason, ProtocolTransport, set_buffer_sizes, write_at_once
from ..forward.splice import READ_BYTES
from .chunks import (
    ChunkKind,
    ChunkReader,
    NotAChunk,
    chunk_head,
    in_chunks,
    make_room,
)
from .resets import SocketLost, reset_payload, reset_problem


@implementer(ITCPTransport, IPushProducer, IConsumer, IAbortsWithReason)
class SocketTransport(ProtocolTransport[NodeAddress]):  # type: ignore[override]
    """
    The transport of a protocol. The owner of the connection calls L{received} and L{wire_lost}.
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
        @param other: what is at the other end of the socket, in words.
        """
        super().__init__(host, peer, lambda: None)
        self._wire = wire
        self._later = later
        self._other = other
        self._keep_alive = True
        self._chunks = ChunkReader()
        self._paused = False
        self._has_producer = False
        set_buffer_sizes(wire, READ_BYTES)
        if hasattr(wire, "getHandle"):
            make_room(wire.getHandle())
        # What the protocol is told when the wire ends, once that is decided.
        self._because: Exception | None = None

    def start(self, protocol: IProtocol) -> None:
        """Tell the protocol that it is connected."""
        self.protocol = protocol
        self._tell(protocol.makeConnection, self)

    # For the owner of the connection.

    def received(self, data: bytes) -> None:
        """Bytes came."""
        if self.disconnecting:
            return
        self._chunks.add(data)
        self._deliver()

    def wire_lost(self, reason: Failure) -> None:
        """The connection is gone."""
        because = self._because
        if because is None:
            because = StreamLinkLost(SocketLost(f"{self._other} is gone"))
        self._lost(because)

    # ITransport, for the protocol.

    def write(self, data: bytes) -> None:
        """Send bytes. After the connection was lost or its write side closed, does nothing."""
        if self.connected and not self._write_ended:
            write_at_once(self._wire, in_chunks(data))

    def abortConnection(self) -> None:
        """Close the connection now: what is on its way is lost."""
        if self.connected:
            self.disconnecting = True
            self._because = self._because or ConnectionAborted()
            self._wire.abortConnection()

    def abort_because(self, reason: Failure) -> None:
        """Abort, and tell the other end why. What was written before goes out first, if that reads it."""
        if self.connected and self._because is None:
            self.disconnecting = True
            self._because = ConnectionAborted()
            # a wire with a producer would wait for it before it closes
            self._wire.unregisterProducer()
            self._send(ChunkKind.RESET, reset_payload(reason.value))
            self._write_ended = True
            self._wire.loseConnection()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Without effect: nothing is ever delayed here."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Without effect: links have heartbeats."""

    # IConsumer.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Let a producer write as fast as the other end reads.

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
        """Deliver again; what has come meanwhile is delivered in a later turn."""
        if self._paused and self.connected and not self.disconnecting:
            self._paused = False
            # as in Twisted's transports, nothing is delivered from within this call
            self._later(self._go_on)

    # Inside.

    def _go_on(self) -> None:
        self._deliver()
        if self.connected and not self._paused and not self.disconnecting:
            self._wire.resumeProducing()

    def _deliver(self) -> None:
        while self.connected and not self._paused and not self.disconnecting:
            try:
                chunk = self._chunks.next()
            except NotAChunk:
                self._because = ConnectionLost(f"{self._other} sent what is no chunk")
                self._wire.abortConnection()
                return
            if chunk is None:
                return
            self._chunk(*chunk)

    def _discard_unread(self) -> None:
        self._chunks.clear()

    def _chunk(self, kind: ChunkKind, payload: bytes) -> None:
        if kind is ChunkKind.DATA:
            self._tell(self.protocol.dataReceived, payload)
        elif kind is ChunkKind.END:
            self._read_end(False)
        elif kind is ChunkKind.CLOSE:
            self._read_end(True)
        else:
            self._over(reset_problem(payload))

    def _read_end(self, closed: bool) -> None:
        half = IHalfCloseableProtocol(self.protocol, None)
        if half is not None and not self._read_ended:
            self._read_ended = True
            self._tell(half.readConnectionLost)
        if closed:
            self._over(ConnectionDone())
        elif half is None:
            # as TCP does for a protocol that knows nothing of half-closes
            self._wire.unregisterProducer()
            self._send(ChunkKind.CLOSE, b"")
            self._over(ConnectionDone())
        else:
            self._end_if_both_have()

    def _end_when_written(self) -> None:
        if self._has_producer or self._because is not None or not self.connected:
            return
        if self.disconnecting:
            self._write_ended = True
            self._because = ConnectionDone()
            self._send(ChunkKind.CLOSE, b"")
            self._wire.loseConnection()
        elif self._write_ending and not self._write_ended:
            self._send(ChunkKind.END, b"")
            self._write_ended = True
            self._later(self._write_has_ended)

    def _write_has_ended(self) -> None:
        half = IHalfCloseableProtocol(self.protocol, None)
        if half is not None and self.connected:
            self._tell(half.writeConnectionLost)
        self._end_if_both_have()

    def _end_if_both_have(self) -> None:
        if self._read_ended and self._write_ended and self.connected and not self.disconnecting:
            self._over(ConnectionDone())

    def _over(self, problem: Exception) -> None:
        """End it: close the wire, and tell the protocol."""
        self._because = problem
        # the wire would wait for it, and the program that has closed for the end of the wire
        if self._has_producer:
            self._has_producer = False
            self._wire.unregisterProducer()
        self._wire.loseConnection()
        self._lost(problem)

    def _send(self, kind: ChunkKind, payload: bytes) -> None:
        self._wire.write(chunk_head(kind, payload) + payload)

    def _give_up(self) -> None:
        self._wire.abortConnection()
