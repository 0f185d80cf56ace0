"""
Datagrams of one source on their way over one stream, both ways.

A session begins with the first datagram and ends when nothing was sent for a while, as the entry of a NAT
does. What comes while the stream is opened, or faster than it takes, waits in a bounded queue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ....errors import WireError
from ....streams import ISuspensionListener, StreamReason
from ....timing.timers import cancel
from ..connections import CarriedConnections
from .framing import MAX_DATAGRAM_BYTES, DatagramQueue, DatagramReader, frame

ASKING_SECONDS: Final = 30.0
"""How long a session lasts without a datagram if it was one question and answer, as of DNS."""
TALKING_SECONDS: Final = 180.0
"""The same for one with more datagrams each way. Linux has both times for NAT."""
IDLE: Final = "no datagram came for a while"


class DatagramSession:
    """
    Made for a source, or for a stream that a peer opens; over when its stream and its socket are.

    @ivar far: the end at the stream.
    @ivar sent: how many bytes of datagrams came from the local program and went to the peer.
    @ivar received: how many came from the peer.
    @ivar dropped: how many datagrams were dropped.
    @ivar opening: the opening of the stream, cancelled when the session ends.
    @ivar used: when the last datagram came, by the clock.
    @ivar lost: called with why the stream has ended.
    """

    def __init__(
        self,
        owner: CarriedConnections,
        clock: IReactorTime,
        deliver: Callable[[bytes], bool],
        over: Callable[[DatagramSession], object],
    ) -> None:
        """
        @param deliver: gives a datagram to the local program; tells whether that could be done.
        @param over: called once, when the session is over.
        """
        self.far = DatagramStream(self)
        self.sent = self.received = self.dropped = 0
        self.opening: Deferred[Any] | None = None
        self.used = clock.seconds()
        self.lost: Callable[[Failure], object] = lambda reason: None
        self._owner = owner
        self._clock = clock
        self._deliver = deliver
        self._over: Callable[[DatagramSession], object] | None = over
        self._queue = DatagramQueue()
        self._counts = [0, 0]
        self._paused = True
        self._timer: IDelayedCall | None = clock.callLater(ASKING_SECONDS, self._look)

    @property
    def connected(self) -> bool:
        """Whether its stream is open."""
        return bool(self.far.connected)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._over is None

    def send(self, datagram: bytes) -> None:
        """A datagram of the local program."""
        self._use(0)
        if len(datagram) > MAX_DATAGRAM_BYTES:
            self.dropped += 1
            return
        self.dropped += self._queue.put(datagram)
        self._flush()

    def deliver(self, datagram: bytes) -> None:
        """A datagram of the peer."""
        self._use(1)
        self.received += len(datagram)
        if not self._deliver(datagram):
            self.dropped += 1

    def pause(self, paused: bool) -> None:
        """The stream takes no more for now, or takes more."""
        self._paused = paused
        self._flush()

    def abort(self) -> None:
        """End it."""
        self.end_because(StreamReason.ABORTED, "")

    def end_because(self, reason: StreamReason, detail: str) -> None:
        """End it, and tell the peer why."""
        if self.far.connected:
            self.far.transport.reset_because(reason, detail)
            return
        opening, self.opening = self.opening, None
        self.finish()
        if opening is not None:
            opening.cancel()

    def finish(self) -> None:
        """It is over."""
        over, self._over = self._over, None
        if over is not None:
            cancel(self._timer)
            self._owner.over(self)
            over(self)

    def suspended(self, reason: Exception) -> None:
        """Its link is lost: datagrams wait in the queue, where newer ones replace them."""
        self._paused = True
        self._owner.suspended(self, reason)

    def resumed(self) -> None:
        """The stream goes on."""
        self._owner.resumed(self)
        self.pause(False)

    def stream_lost(self, reason: Failure) -> None:
        """The stream has ended."""
        self._owner.ended(self, reason)
        self.lost(reason)
        self.finish()

    def _flush(self) -> None:
        # each write may pause it
        while self._queue and not self._paused and self.far.connected:
            datagram = self._queue.take()
            self.sent += len(datagram)
            self.far.transport.write(frame(datagram))

    def _use(self, direction: int) -> None:
        # the timer looks at this when it fires: to restart it for each datagram is dear
        self.used = self._clock.seconds()
        self._counts[direction] += 1

    def _look(self) -> None:
        left = self.used + (TALKING_SECONDS if min(self._counts) > 1 else ASKING_SECONDS)
        left -= self._clock.seconds()
        if left > 0:
            self._timer = self._clock.callLater(left, self._look)
        else:
            self._timer = None
            self.end_because(StreamReason.CANCELLED, IDLE)


@implementer(IPushProducer, ISuspensionListener)
class DatagramStream(Protocol):
    """The end of a L{DatagramSession} at its stream; as a producer, what comes from the socket."""

    transport: Any

    def __init__(self, session: DatagramSession) -> None:
        self._session = session
        self._reader = DatagramReader()

    def connectionMade(self) -> None:
        """The stream is open: send what waits."""
        # its source may have gone while the peer was asked
        if self._session.is_over:
            self.transport.abortConnection()
            return
        self.transport.registerProducer(self, True)
        self._session.pause(False)

    def dataReceived(self, data: bytes) -> None:
        """Datagrams came, or parts of one."""
        try:
            for datagram in self._reader.feed(data):
                self._session.deliver(datagram)
        except WireError as error:
            self.transport.reset_because(StreamReason.FAILED, str(error))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The stream is gone."""
        self.connected = 0
        self._session.stream_lost(reason)

    def streamSuspended(self, reason: Exception) -> None:
        """The stream waits for another link."""
        self._session.suspended(reason)

    def streamResumed(self) -> None:
        """The stream goes on."""
        self._session.resumed()

    def pauseProducing(self) -> None:
        """The stream takes no more for now."""
        self._session.pause(True)

    def resumeProducing(self) -> None:
        """The stream takes more."""
        self._session.pause(False)

    def stopProducing(self) -> None:
        """The stream is gone: C{connectionLost} follows, with the reason."""
