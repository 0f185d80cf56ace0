"""
Joins two connections, each of which writes what the other reads, as fast as the other takes it: the way of
bytes between a local program and a stream.

Half-closes pass in both directions. A clean end of one is a clean end of the other once everything has been
written; if one is lost or aborted, the other is aborted behind what was written to it. A program cannot abort
a UNIX socket: it closes it, whatever it has left unread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IPushProducer,
    ISSLTransport,
)
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ...streams import EarlyData, ISuspensionListener, StreamReason
from ...streams.multiplexing.scheduler import LONE_QUANTUM
from ...transports import IAbortsWithReason, keep_alive, set_buffer_sizes, write_at_once
from .last_bytes import read_last_bytes

READ_BYTES: Final = 4 * LONE_QUANTUM
"""What is read from a local socket, or given to it, at once: whole frames, with no small one behind them."""


class SpliceOwner(Protocol):
    """What a splice tells its owner."""

    def over(self, splice: Splice) -> None:
        """Neither end is connected any more; one of which one end has never been is over with the other."""

    def suspended(self, splice: Splice, reason: Exception) -> None:
        """The link that its stream goes over is lost."""

    def resumed(self, splice: Splice) -> None:
        """The stream goes on."""

    def ended(self, splice: Splice, reason: Failure) -> None:
        """The stream has ended."""


class Splice:
    """
    Made for a connection that has to be carried further; over when both of its ends are.

    @ivar near: the end at the local program.
    @ivar far: the end at the stream.
    @ivar opening: the making of the other end, cancelled when the first one is gone.
    @ivar early: takes what the near end reads until the far one is there; C{None} where the far end is first.
    @ivar dropped: nothing, ever.
    """

    def __init__(self, owner: SpliceOwner, opener: Callable[[Splice], object] | None = None) -> None:
        """
        @param opener: called when the near end is connected, to make the far one.
        """
        self.owner = owner
        self._opener = opener
        self.opening: Deferred[Any] | None = None
        self.early = None if opener is None else EarlyData()
        self.near = SpliceEnd(self)
        self.far = SpliceEnd(self)
        self.near.other, self.far.other = self.far, self.near
        self._is_over = False
        self.dropped = 0

    @property
    def connected(self) -> bool:
        """Whether its stream is open."""
        return bool(self.far.connected)

    @property
    def sent(self) -> int:
        """How many bytes came from the local program."""
        return self.near.received

    @property
    def received(self) -> int:
        """How many bytes came from the peer."""
        return self.far.received

    def abort(self) -> None:
        """Abort what is connected."""
        for end in (self.near, self.far):
            end.abort()

    def end_because(self, reason: StreamReason, detail: str) -> None:
        """Abort what is connected, and tell the peer why."""
        if self.far.connected:
            # the near end follows
            self.far.transport.reset_because(reason, detail)
        else:
            self.near.abort()

    def made(self, end: SpliceEnd) -> None:
        """An end is connected. When both are, let bytes flow."""
        if self._is_over:
            end.abort()
        elif end.other.connected:
            self.opening = self.early = None
            # both producers first: what begin() writes may pause either of them
            for each in (end, end.other):
                each.transport.registerProducer(each.other, True)
            for each in (end, end.other):
                each.begin()
        elif end is self.near and self._opener is not None:
            self._opener(self)

    def lost(self, end: SpliceEnd, reason: Failure) -> None:
        """An end is gone."""
        if end is self.far:
            self.owner.ended(self, reason)
        if end.other.connected:
            end.other.end(reason)
        elif not self._is_over:
            self._is_over = True
            opening, self.opening = self.opening, None
            if opening is not None:
                opening.cancel()
            self.owner.over(self)


@implementer(IHalfCloseableProtocol, IPushProducer, ISuspensionListener)
class SpliceEnd(TwistedProtocol):
    """
    One end of a L{Splice}; as a producer, what the other end writes.

    @ivar received: how many bytes came.
    """

    other: SpliceEnd
    transport: Any

    def __init__(self, splice: Splice) -> None:
        self._splice = splice
        self._flows = False
        self._early = bytearray()
        self._read_over = self._write_over = False
        self.received = 0

    def connectionMade(self) -> None:
        """Read nothing until the other end is connected, or only what it may be sent before."""
        set_buffer_sizes(self.transport, READ_BYTES)
        read_last_bytes(self.transport, self.dataReceived)
        # a suspended stream must not wait for a program whose host is gone
        keep_alive(self.transport)
        if self._splice.early is None or self is not self._splice.near:
            self.transport.pauseProducing()
        self._splice.made(self)

    def begin(self) -> None:
        """Both ends are connected: pass on what came, and read on."""
        self._flows = True
        if self._early:
            self.other.transport.write(bytes(self._early))
            self._early.clear()
        if self._read_over:
            self.other.finish()
        else:
            self.transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        """Pass bytes on."""
        self.received += len(data)
        if self._flows:
            self.other.write(data)
        elif self._splice.early is None:
            self._early += data  # some transports deliver what they had when they were paused
        else:
            # no more than one read: what the peer may not have yet waits in memory
            self.transport.pauseProducing()
            self._splice.early.write(data)

    def write(self, data: bytes) -> None:
        """Bytes that the other end has read."""
        write_at_once(self.transport, data)

    def readConnectionLost(self) -> None:
        """This end has sent all."""
        self._read_over = True
        if self._flows:
            self.other.finish()
        self._end_if_both_have()

    def writeConnectionLost(self) -> None:
        """This end has sent all that the other had."""
        self._write_over = True
        self._end_if_both_have()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """This end is gone."""
        self.connected = 0
        self._splice.lost(self, reason)

    def streamSuspended(self, reason: Exception) -> None:
        """The stream waits for another link."""
        self._splice.owner.suspended(self._splice, reason)

    def streamResumed(self) -> None:
        """The stream goes on."""
        self._splice.owner.resumed(self._splice)

    def finish(self) -> None:
        """The other end has sent all: close the write side, or the connection if it cannot half-close."""
        if self.connected:
            # first: Twisted closes nothing while a producer is paused
            self.transport.unregisterProducer()
            if hasattr(self.transport, "loseWriteConnection") and not ISSLTransport.providedBy(
                self.transport
            ):
                self.transport.loseWriteConnection()
            else:
                # over TLS, loseWriteConnection would cut the TCP connection below
                self.transport.loseConnection()

    def end(self, reason: Failure) -> None:
        """The other end is gone."""
        if self._flows and reason.check(ConnectionDone):
            self.transport.unregisterProducer()
            self.transport.loseConnection()
        elif IAbortsWithReason.providedBy(self.transport):
            self.transport.abort_because(reason)
        else:
            self.abort()

    def abort(self) -> None:
        """Abort this end, if it is connected."""
        if self.connected:
            getattr(self.transport, "abortConnection", self.transport.loseConnection)()

    def pauseProducing(self) -> None:
        """The other end takes no more for now."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The other end takes more."""
        # a socket that is read at its end would report that end again
        if not self._read_over:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The other end is gone: its C{connectionLost} follows, with the reason."""

    def _end_if_both_have(self) -> None:
        if self._read_over and self._write_over:
            # Twisted's TCP transport stays open when both sides are closed
            self.transport.loseConnection()
