"""
The send queue of a link: the frames that wait to go out, and the producers that are paused meanwhile.

Frames sent in one turn of the reactor are joined and written at once. The transport pauses the queue when it
has enough; from then on frames stay here, where they can be counted, and go out piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime, ITransport
from twisted.logger import Logger
from zope.interface import implementer

from ...errors import LinkClosed
from ...timing.timers import cancel
from ...timing.waiters import Waiters
from ...transports import Unacknowledged
from ..interfaces import ILink

QUEUE_PAUSE_BYTES: Final = 1024 * 1024
"""Producers are paused when a link's send queue holds this much."""
QUEUE_RESUME_BYTES: Final = 256 * 1024
"""Producers are resumed when the queue has fallen to this."""
MAX_QUEUE_BYTES: Final = 4 * 1024 * 1024
"""A link whose send queue holds this much is cut."""

PIECE_BYTES: Final = 128 * 1024
"""Upper bound, more or less, of one write: what TLS takes in one go."""
MAX_PIECES_PER_TURN: Final = 2
"""A kernel that takes all at once pauses nobody: after these pieces other connections have their turn."""
log = Logger()


@implementer(IPushProducer)
class SendQueue:
    """
    The queue. It is registered with the transport as its push producer, and C{pauseProducing} and
    C{resumeProducing} are for the transport alone.

    Sending is the hottest path of all, so the link itself adds to L{parts} and L{size}, and calls L{attend}
    when the size has reached L{alarm}.

    @ivar parts: what waits, in order.
    @ivar size: how many bytes wait.
    @ivar alarm: the size from which L{attend} must be called; 0 while no flush is due.
    @ivar full: from when C{QUEUE_PAUSE_BYTES} is reached until C{QUEUE_RESUME_BYTES} is.
    @ivar paused: whether the transport wants nothing at the moment.
    @ivar wrote: how often something was written; for the owner to reset.
    @ivar woke: called before something is written; C{None} if there is nothing to call.
    @ivar asked: set when something is written that the peer may have to react to; for the owner to reset.
    @ivar unasked: bytes in the queue that the peer need not react to: without others, they wake nobody.
    @ivar feeder: called with the room that is left, in bytes, when the queue runs low and the transport takes
        more; C{None} if there is none.
    @ivar hungry: whether the feeder may have something to send.
    @ivar drained: called each time the queue is empty after a flush; C{None} if there is nothing to call.
    """

    __slots__ = (
        "_acknowledged", "_call", "_clock", "_due", "_kernel", "_producers", "_progressed", "_rest",
        "_transport", "_waiting", "_write_now",
        "alarm", "asked", "drained", "feeder", "full", "hungry", "parts", "paused", "size", "unasked", "woke",
        "wrote",
    )  # fmt: skip

    def __init__(self, transport: ITransport, clock: IReactorTime) -> None:
        self._transport = transport
        # not every transport can: tunnels and those in memory have no socket of their own
        self._write_now: Callable[[], object] = getattr(transport, "write_now", _nothing)
        self._kernel: Callable[[], Unacknowledged | None] = getattr(transport, "unacknowledged", _nothing)
        self._acknowledged = 0
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._rest: memoryview | None = None
        self._producers: list[IPushProducer] = []
        self._waiting: Waiters[None] = Waiters()
        self.parts: list[bytes] = []
        self.drained: Callable[[], None] | None = None
        self.feeder: Callable[[int], object] | None = None
        self.woke: Callable[[], None] | None = None
        self.size = self.alarm = self.unasked = self.wrote = 0
        self._due = self.asked = self.full = self.hungry = self.paused = self._progressed = False

    def attend(self) -> bool:
        """
        Schedule a flush, and pause the producers if too much waits.

        @return: whether the queue is still smaller than C{MAX_QUEUE_BYTES}.
        """
        self._flush_soon()
        if self.size >= QUEUE_PAUSE_BYTES and not self.full:
            self.full = True
            # a copy, since a producer may take itself out from within the call
            for producer in self._producers[:]:
                _tell(producer.pauseProducing)
        self.hold()
        return self.size < MAX_QUEUE_BYTES

    def feed_soon(self) -> None:
        """
        Have the feeder called before the next turn is over, or when the transport takes more, until it sends
        nothing.
        """
        self.hungry = True
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._due and self._call is None:
            self._call = self._clock.callLater(0, self._called)
        self.hold()

    def hold(self) -> None:
        """A flush is due: until then only the size is watched."""
        self._due = True
        self.alarm = MAX_QUEUE_BYTES if self.full else QUEUE_PAUSE_BYTES

    def _called(self) -> None:
        self._call = None
        self.flush()

    def flush(self) -> None:
        """Write until the queue is empty, the transport has enough, or others are to have their turn."""
        wrote = self.wrote
        most = MAX_PIECES_PER_TURN if self._write_now is not _nothing else inf
        while not self.paused and self.wrote - wrote < most:
            if self.hungry and self.size < PIECE_BYTES:
                self._feed()
            if not self.size:
                break
            if self.size > self.unasked:
                self.asked = True
                if self.woke is not None:
                    self.woke()
            self.unasked = 0
            self.wrote += 1
            self._transport.write(self._take())
        # a paused transport has enough for the reactor, and would ask for more from within the call
        if wrote != self.wrote and not self.paused:
            self._write_now()
        has_room = self.full and self.size <= QUEUE_RESUME_BYTES
        if has_room:
            self.full = False
        self._plan_next()
        # only now, with the queue in order: a producer may send, or close the link, from within this call
        if has_room:
            self._go_on()
        if not self.size and self.drained is not None:
            self.drained()

    def _plan_next(self) -> None:
        self._due = False
        self.alarm = 0
        if self.paused:
            self.hold()  # the transport's resumeProducing makes the next flush
        elif self.size or (self.hungry and self.feeder is not None):
            self._flush_soon()

    def _feed(self) -> None:
        self.hold()  # what it sends goes out with this flush
        before = self.size
        if self.feeder is not None:
            self.feeder(PIECE_BYTES - before)
        if self.size == before:
            self.hungry = False

    def _take(self) -> bytes:
        """The next piece: about L{PIECE_BYTES}, never twice as much."""
        if self._rest is None:
            # As many parts as make a piece if they are of average size; a header and its payload at least.
            count = PIECE_BYTES * len(self.parts) // self.size + 2
            piece = b"".join(self.parts[:count])
            del self.parts[:count]
            if len(piece) >= 2 * PIECE_BYTES:
                self._rest = memoryview(piece)
        if self._rest is not None:
            piece = bytes(self._rest[:PIECE_BYTES])
            self._rest = self._rest[PIECE_BYTES:] if len(self._rest) > PIECE_BYTES else None
        self.size -= len(piece)
        return piece

    def look(self) -> tuple[bool, float | None]:
        """
        What has become of what was written.

        @return: whether the transport has taken more again since the last call, and the peer's kernel some of
            it, since ours alone takes megabytes that go nowhere; and for how many seconds the peer's has sent
            nothing that ought to acknowledge something, C{None} if it ought not to, or ours does not say.
        """
        progressed, self._progressed = self._progressed, False
        kernel = self._kernel()
        if kernel is None:
            return progressed, None
        before, self._acknowledged = self._acknowledged, kernel.acknowledged
        return progressed and before < kernel.acknowledged, kernel.silent_seconds

    def clear(self) -> None:
        """Drop what waits, and flush no more."""
        cancel(self._call)
        self._call = None
        self.parts.clear()
        self._rest = None
        self.size = 0

    def _go_on(self) -> None:
        self._waiting.fire(None)
        for producer in self._producers[:]:
            # A producer that was resumed before may have filled the queue again.
            if not self.full and producer in self._producers:
                _tell(producer.resumeProducing)

    def when_writable(self) -> Deferred[None]:
        """
        @return: fires with C{None} once L{full} is false, at once if it is; fails with L{LinkClosed} by
            L{stop}.
        """
        return self._waiting.wait() if self.full else succeed(None)

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

    def move_to(self, link: ILink) -> None:
        """Move all waiters and producers to another link."""
        for each in self._waiting.take():
            link.when_writable().addBoth(_pass_on, each)
        producers, self._producers = self._producers, []
        for producer in producers:
            link.add_producer(producer)
            # this queue had paused it, of which the other knows nothing: it would never resume it
            if self.full and link.writable:
                _tell(producer.resumeProducing)

    def stop(self, reason: LinkClosed) -> None:
        """The link is lost: drop everything, fail the waiters and stop the producers."""
        self.clear()
        self.drained = self.feeder = self.woke = None
        self._waiting.fail(reason)
        producers, self._producers = self._producers, []
        for producer in producers:
            _tell(producer.stopProducing)

    def pauseProducing(self) -> None:
        """The transport has enough."""
        self.paused = True

    def resumeProducing(self) -> None:
        """The transport has written all it had."""
        self.paused = False
        self._progressed = True
        self.flush()

    def stopProducing(self) -> None:
        """The transport is lost; the link hears of it as well, and calls L{stop}."""
        self.paused = True


def _pass_on(result: object, waiting: Deferred[None]) -> None:
    if not waiting.called:  # it may have been cancelled
        waiting.callback(result)  # type: ignore[arg-type]  # a failure goes to the errbacks


def _nothing() -> None:
    """The reactor writes in its next turn, and nothing is known of the kernel."""


def _tell(call: Callable[[], object]) -> None:
    """Call a producer. An exception of one must not cut the link for the others."""
    try:
        call()
    except Exception:  # producers are the application's code
        log.failure("a producer on a link failed")
