"""
The transport of a protocol that is spoken over a stream. It does what Twisted's TCP transport does, so that a
protocol need not know the difference.

Order of calls to the protocol: C{makeConnection}; C{dataReceived} as long as it is not paused;
C{readConnectionLost} and C{writeConnectionLost}, if it is an C{IHalfCloseableProtocol}; C{connectionLost},
once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from ..timing.eventual import EventualQueue
from ..transports import IAbortsWithReason, ProtocolTransport
from .address import NodeAddress
from .errors import StreamLinkLost, StreamReset
from .frames import Cause, StreamReason
from .multiplexing.stream import BUFFER_HIGH_BYTES, Stream
from .survival.suspension import ISuspensionListener


@implementer(ITCPTransport, IPushProducer, IConsumer, IAbortsWithReason)
class StreamTransport(ProtocolTransport[NodeAddress]):  # type: ignore[override]
    """
    Made when a stream is accepted, by either end; it is the stream's L{StreamHandler} from then on. It is
    discarded after C{connectionLost}.
    """

    def __init__(
        self,
        stream: Stream,
        protocol: IProtocol,
        host: NodeAddress,
        peer: NodeAddress,
        eventually: EventualQueue,
        gone: Callable[[], object],
    ) -> None:
        """
        @param gone: called after C{connectionLost}.
        """
        super().__init__(host, peer, gone)
        self.protocol = protocol
        self.streaming_producer = False
        self._stream = stream
        self._eventually = eventually
        self._backlog = bytearray()
        self._paused = False
        self._producer_paused = False
        self._read_ending = False
        self._cut_off = False
        # Once the peer reads no more: how many bytes were written in vain, and what has cut the stream off.
        self._unsent: int | None = None
        self._cause: Cause | None = None

    def start(self, early: bytes = b"") -> None:
        """
        Tell the protocol that it is connected.

        @param early: what the peer has sent before the stream was accepted.
        """
        self._tell(self.protocol.makeConnection, self)
        if early:
            self.data(early)

    # ITransport, for the protocol.

    def write(self, data: bytes) -> None:
        """
        Send bytes. After the connection was lost or its write side closed, does nothing.

        @raise TypeError: these are not bytes.
        """
        if not isinstance(data, bytes):
            # a copy, since a protocol may change its bytearray after this call
            data = bytes(memoryview(data))
        if not self.connected or self._write_ended:
            return
        stream = self._stream
        stream.write(data)
        if self._unsent is not None:
            self._unsent += len(data)
        if self.producer is not None and (stream.buffer.size >= BUFFER_HIGH_BYTES or stream.futile):
            self._pause_producer()

    def abortConnection(self) -> None:
        """Close the connection now: what is on its way, in either direction, is lost."""
        if self.connected and not self._stream.given_up:
            self.disconnecting = True
            self._discard_unread()
            self._stream.reset(StreamReason.ABORTED)
            # a later turn, as with TCP: a protocol may abort from within any of its methods
            self._eventually.call(lambda: self._lost(ConnectionAborted()))

    def abort_because(self, reason: Failure) -> None:
        """
        Abort the connection when everything that was written has been sent, whatever the producer still has.
        The peer hears why after it has read that.
        """
        if self.connected and not self.disconnecting:
            self.disconnecting = self._cut_off = True
            self._discard_unread()
            self._stream.close(_cause_of(reason.value))

    def reset_because(self, reason: StreamReason, detail: str) -> None:
        """As L{abortConnection}, and tell both ends why."""
        if self.connected and not self._stream.given_up:
            self.disconnecting = True
            self._discard_unread()
            self._stream.reset(reason, detail)
            self._eventually.call(lambda: self._lost(StreamReset(reason, detail)))

    # IConsumer.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Let a producer write as fast as the peer reads.

        @param streaming: whether it is a push producer.
        @raise RuntimeError: another is registered.
        """
        if self.producer is not None:
            raise RuntimeError(
                f"cannot register producer {producer!r}: {self.producer!r} was never unregistered"
            )
        if not self.connected:
            producer.stopProducing()
            return
        self.producer = producer
        self.streaming_producer = streaming
        self._producer_paused = False
        # a pull producer writes only when it is asked
        if not streaming:
            self._stream.wants_room = True
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """The producer writes no more."""
        self.producer = None
        self._stream.wants_room = False
        if self.connected:
            self._end_when_written()

    # IPushProducer, for whatever throttles our reading.

    def pauseProducing(self) -> None:
        """Deliver nothing until L{resumeProducing}. The peer may go on until its credit is used up."""
        self._paused = True
        self._end_if_stuck_soon()

    def resumeProducing(self) -> None:
        """Deliver again, what has come meanwhile in the next turn."""
        if self._paused:
            self._paused = False
            if self._backlog or self._read_ending:
                # TCP, too, delivers nothing from within this call
                self._eventually.call(self._deliver_backlog)

    # StreamHandler, for the stream.

    def opened(self) -> None:
        """Cannot happen: the stream was open before it had a transport."""

    def refused(self, reason: StreamReason, detail: str) -> None:
        """Cannot happen: the stream was open before it had a transport."""

    def data(self, data: bytes) -> None:
        """Bytes came."""
        if self.connected and not self.disconnecting:
            # behind a backlog even if not paused: bytes must stay in order
            if self._paused or self._backlog:
                self._backlog += data
                return
            try:
                self.protocol.dataReceived(data)
            except Exception:  # whatever a protocol may raise
                self._protocol_raised()
        self._stream.consume(len(data))

    def finished(self) -> None:
        """The peer has sent all."""
        self._read_ending = True
        self._read_on()

    def closed(self, unsent: int, cause: Cause | None) -> None:
        """The peer has sent all and reads no more."""
        self._unsent = unsent
        self._cause = cause
        self._read_ending = True
        if not self.connected:
            self._stream.close()  # it lingered to send the rest, which the peer does not want
        elif self.disconnecting:
            self._peer_is_gone(unsent)
        else:
            self._read_on()
            self._end_if_stuck_soon()

    def reset(self, reason: StreamReason, detail: str) -> None:
        """The peer has given the stream up."""
        self._lost(StreamReset(reason, _by_the_peer(detail)))

    def lost(self, problem: Exception) -> None:
        """The link to the peer is gone for good."""
        self._lost(StreamLinkLost(problem))

    def suspended(self, problem: Exception) -> None:
        """The link to the peer is gone, and another one is looked for."""
        listener = ISuspensionListener(self.protocol, None)
        if listener is not None and self.connected:
            self._tell(listener.streamSuspended, problem)

    def resumed(self) -> None:
        """There is another link."""
        listener = ISuspensionListener(self.protocol, None)
        if listener is not None and self.connected:
            self._tell(listener.streamResumed)

    def all_sent(self, closed: bool) -> None:
        """Everything has been sent, and the FIN or CLOSE after it."""
        if closed:
            self._lost(ConnectionAborted() if self._cut_off else ConnectionDone())
            return
        self._write_ended = True
        half = IHalfCloseableProtocol(self.protocol, None)
        if half is not None and self.connected:
            self._tell(half.writeConnectionLost)
        self._end_if_both_have()

    def room(self) -> None:
        """There is room for more to send."""
        if self.producer is None or not self.connected:
            return
        if not self.streaming_producer:
            self._stream.wants_room = True
        elif not self._producer_paused:
            return
        self._producer_paused = False
        self._tell(self.producer.resumeProducing)

    # Inside.

    def _pause_producer(self) -> None:
        self._stream.wants_room = True
        if self.streaming_producer and not self._producer_paused:
            self._producer_paused = True
            self.producer.pauseProducing()
        self._end_if_stuck_soon()

    def _end_if_stuck_soon(self) -> None:
        if self._unsent and self._paused:
            self._eventually.call(self._end_if_stuck)

    def _end_if_stuck(self) -> None:
        """
        End a connection in which nothing can happen any more. The peer reads no more, so a producer that
        waits for room waits for ever; and if the protocol reads nothing meanwhile, as an echo does, it never
        comes to the end. With TCP the next write would end the connection.
        """
        waits = self.producer is not None and self._stream.wants_room
        if self._unsent and self._paused and waits and self.connected and not self.disconnecting:
            self._discard_unread()
            self._peer_is_gone(self._unsent)

    def _deliver_backlog(self) -> None:
        if self._paused or not self.connected or self.disconnecting:
            return
        if self._backlog:
            data = bytes(self._backlog)
            self._backlog.clear()
            self.data(data)
        self._read_on()

    def _read_on(self) -> None:
        """Tell the protocol of the end of what it reads, once it has read everything."""
        if not self._read_ending or self._backlog or self._paused:
            return
        if not self.connected or self.disconnecting:
            return
        half = IHalfCloseableProtocol(self.protocol, None)
        # what is cut off has no clean end
        if half is not None and not self._read_ended and self._cause is None:
            self._read_ended = True
            self._tell(half.readConnectionLost)
        # the protocol may have closed it from within readConnectionLost
        if not self.connected or self.disconnecting:
            return
        if self._unsent is not None:
            self._peer_is_gone(self._unsent)
        elif half is None:
            self._linger()
        else:
            self._end_if_both_have()

    def _peer_is_gone(self, unsent: int) -> None:
        self._stream.close()
        if self._cause is not None:
            reason, detail = self._cause
            self._lost(StreamReset(reason, _by_the_peer(detail)))
        elif unsent:
            detail = f"the peer has closed it, and {unsent} bytes were not sent"
            self._lost(StreamReset(StreamReason.ABORTED, detail))
        else:
            self._lost(ConnectionDone())

    def _linger(self) -> None:
        """End it for a protocol that cannot half-close, and send what it has written as the kernel would."""
        stream = self._stream
        # the window stands for a kernel's send buffer, which keeps no more either
        if stream.buffer.size > stream.window:
            stream.reset(StreamReason.ABORTED, "all was sent, and too much was to be read")
        else:
            stream.close()
        self._lost(ConnectionDone())

    def _end_if_both_have(self) -> None:
        if self._write_ended and self._read_ended and self.connected:
            self._stream.close()

    def _end_when_written(self) -> None:
        if self.producer is None:
            if self.disconnecting:
                self._stream.close()
            elif self._write_ending:
                self._stream.finish()

    def _discard_unread(self) -> None:
        size = len(self._backlog)
        self._backlog.clear()
        if size:
            self._stream.consume(size)

    def _give_up(self) -> None:
        self._stream.reset(StreamReason.FAILED)


def _by_the_peer(detail: str) -> str:
    return f"by the peer: {detail}" if detail else "by the peer"


def _cause_of(problem: BaseException | None) -> Cause:
    if isinstance(problem, StreamReset):
        return problem.reason, problem.detail
    return StreamReason.ABORTED, ""
