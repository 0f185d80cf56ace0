"""
The send queue of a link: what waits to go out, and who is told to wait with more.

What is sent in one turn of the reactor is joined and written at once. The transport says when it has
enough; from then on everything stays here, where it can be counted, and goes out piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, ITransport
from twisted.logger import Logger
from zope.interface import implementer

from ..config import Settings
from ..errors import LinkClosed

PIECE_BYTES: Final = 128 * 1024
"""What is written at once: as much as Twisted gives to the kernel in one go."""

log = Logger()


@implementer(IPushProducer)
class SendQueue:
    """
    The queue. It is registered with the transport as its push producer, and C{pauseProducing} and
    C{resumeProducing} are for the transport alone.

    @ivar size: how many bytes wait.
    @ivar full: from when C{queue_pause} is reached until C{queue_resume} is.
    @ivar paused: whether the transport wants nothing at the moment.
    @ivar progressed: set when the transport takes more again; for the owner to reset.
    @ivar wrote: set when something was written; likewise.
    @ivar drained: called each time the queue is empty after a flush; C{None} if nobody cares.
    """

    __slots__ = (
        "_parts", "_producers", "_rest", "_settings", "_transport", "_waiting",
        "drained", "full", "paused", "progressed", "size", "wrote",
    )  # fmt: skip

    def __init__(self, settings: Settings, transport: ITransport) -> None:
        self._settings = settings
        self._transport = transport
        self._parts: list[bytes] = []
        self._rest: memoryview | None = None
        self._producers: list[IPushProducer] = []
        self._waiting: list[Deferred[None]] = []
        self.drained: Callable[[], None] | None = None
        self.size = 0
        self.full = self.paused = self.progressed = self.wrote = False

    def put(self, header: bytes, payload: bytes) -> None:
        """Add a frame. It goes out with the next L{flush} at the earliest."""
        self._parts.append(header)
        self._parts.append(payload)
        self.size += len(header) + len(payload)
        if self.size >= self._settings.queue_pause and not self.full:
            self.full = True
            for producer in self._producers[:]:
                _tell(producer.pauseProducing)

    def flush(self) -> None:
        """Write until the queue is empty or the transport has enough."""
        while self.size and not self.paused:
            self.wrote = True
            self._transport.write(self._take())
        if self.full and self.size <= self._settings.queue_resume:
            self.full = False
            self._go_on()
        if not self.size and self.drained is not None:
            self.drained()

    def _take(self) -> bytes:
        if self._rest is None:
            data = b"".join(self._parts)
            self._parts.clear()
            if len(data) <= PIECE_BYTES:
                self.size -= len(data)
                return data
            self._rest = memoryview(data)
        piece = bytes(self._rest[:PIECE_BYTES])
        self._rest = self._rest[PIECE_BYTES:] if len(self._rest) > PIECE_BYTES else None
        self.size -= len(piece)
        return piece

    def clear(self) -> None:
        """Throw away what waits."""
        self._parts.clear()
        self._rest = None
        self.size = 0

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)
        for producer in self._producers[:]:
            # Whoever went on before may have filled the queue again.
            if not self.full and producer in self._producers:
                _tell(producer.resumeProducing)

    def when_writable(self) -> Deferred[None]:
        """
        @return: fires with C{None} once L{full} is false, at once if it is; fails with L{LinkClosed} by
            L{stop}.
        """
        waiting: Deferred[None] = Deferred(self._waiting_no_more)
        if self.full:
            self._waiting.append(waiting)
        else:
            waiting.callback(None)
        return waiting

    def _waiting_no_more(self, cancelled: Deferred[None]) -> None:
        self._waiting = [each for each in self._waiting if each is not cancelled]

    def add_producer(self, producer: IPushProducer) -> None:
        """
        Have a producer paused and resumed with L{full}, and stopped by L{stop}.

        @raise ValueError: it was added already.
        """
        if producer in self._producers:
            raise ValueError(f"{producer!r} was added to this link already")
        self._producers.append(producer)
        if self.full:
            _tell(producer.pauseProducing)

    def remove_producer(self, producer: IPushProducer) -> None:
        """Forget a producer. One that is not known is no error."""
        if producer in self._producers:
            self._producers.remove(producer)

    def stop(self, reason: LinkClosed) -> None:
        """The link is lost: throw everything away, fail who waits and stop who produces."""
        self.clear()
        self.drained = None
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(reason)
        producers, self._producers = self._producers, []
        for producer in producers:
            _tell(producer.stopProducing)

    def pauseProducing(self) -> None:
        """The transport has enough."""
        self.paused = True

    def resumeProducing(self) -> None:
        """The transport has written all it had."""
        self.paused = False
        self.progressed = True
        self.flush()

    def stopProducing(self) -> None:
        """The transport is lost; the link hears of it as well, and calls L{stop}."""
        self.paused = True


def _tell(call: Callable[[], object]) -> None:
    """Call a producer. Its mistakes are its own, and must not cut the link for others."""
    try:
        call()
    except Exception:  # whatever an application may raise
        log.failure("a producer on a link failed")
