"""
Links in memory: the two ends of a connection without a socket.

The two ends are joined by a C{Pipe} each way. A link comes up, at each end
in its own time, as the first thing that a pipe delivers there; frames follow, in order; a Goodbye or a reset
is the last thing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from ...crust.interfaces import ANSWER_WITHIN, ILink
from ...endpoints import Connection, Direction, PathKind
from ...errors import CloseReason, LinkClosed
from ...names import Name
from ...wire.framing import HEADER_BYTES, FrameKind
from .pipes import Pipe, Timers

if TYPE_CHECKING:
    from .crust import MemoryCrust

FEED_BYTES = 112 * 1024
"""A feeder is asked for more while less than this is on its way."""
_OF_THE_LINK = (
    FrameKind.HELLO,
    FrameKind.CONFIRMATION,
    FrameKind.CONFIRMATION_ACK,
    FrameKind.SWITCHED,
)
_CRUSTS_OWN = (FrameKind.HEARTBEAT, FrameKind.GOODBYE)


@implementer(ILink)
class MemoryLink:
    """
    One end of a link; see L{ILink} for what it offers.

    @ivar crust: the crust that this end belongs to.
    @ivar other: the other end. A test may look at it; the layers above do not know that it is there.
    @ivar legs: the links that it goes over, if it is a tunnel.
    @ivar pipe: what this end has sent and the other has not got.
    @ivar up: whether it has been reported as made.
    @ivar over: C{None} while it is usable, else why it is not.
    @ivar gone: whether its loss has been reported, or would have been had it been up.
    @ivar dead: whether its host has gone down, so that nobody is told.
    """

    bootstrap = False
    token = b""
    path_kind = PathKind.DIRECT
    via: Name | None = None
    other: MemoryLink
    legs: tuple[MemoryLink, ...] = ()

    def __init__(
        self,
        crust: MemoryCrust,
        peer: MemoryCrust,
        connection: Connection,
        direction: Direction,
        binding: bytes,
    ) -> None:
        self.crust = crust
        self.connection = connection
        self.direction = direction
        self.initiator = direction is Direction.CONNECTED
        self.peer = peer.identity.name
        self.public_key = peer.identity.public_key
        self.binding = binding
        self.queued = 0
        self._full = False
        self.up = False
        self.is_verified = False
        self.over: LinkClosed | None = None
        self.gone = False
        self.dead = False
        self.pipe = Pipe(crust.network.clock, self._stands_still)
        self._made_at = crust.clock.seconds()
        self._unverified_bytes = 0
        self._timers = Timers(crust.clock)
        self._waiting: list[Deferred[None]] = []
        self._producers: list[IPushProducer] = []
        self._feeder: Callable[[int], object] | None = None
        self._heir: ILink | None = None
        self._reading = True

    def __repr__(self) -> str:
        return f"<MemoryLink {self.crust.identity.name.short} {self.direction.value} {self.peer.short}>"

    # What ILink offers.

    def send(self, kind: int, payload: bytes) -> None:
        """See L{ILink.send}."""
        if self._heir is not None and kind not in _OF_THE_LINK:
            self._heir.send(kind, payload)
            return
        if self.over is not None:
            return
        settings = self.crust.settings
        if len(payload) > settings.max_frame or not 0 <= kind <= 255:
            raise ValueError(
                f"a frame of kind {kind} with {len(payload)} bytes cannot be sent: "
                f"max_frame is {settings.max_frame}"
            )
        size = HEADER_BYTES + len(payload)
        network = self.crust.network
        network.frames += 1
        network.bytes += size
        network.trace.note("frame", self.crust.host, self.other.crust.host, int(kind), size)
        self.queued += size
        self._put(partial(self._sent, kind, bytes(payload), size))
        if self.queued >= settings.queue_most:
            self.abort(CloseReason.SEND_QUEUE_FULL, f"queue_most is {settings.queue_most}")
        elif not self._full and self.queued >= settings.queue_pause:
            self._full = True
            self._watch_for_a_stall()
            for producer in self._producers[:]:
                producer.pauseProducing()

    @property
    def writable(self) -> bool:
        """See L{ILink}."""
        return not self._full if self._heir is None else self._heir.writable

    def verified(self) -> None:
        """See L{ILink.verified}."""
        self.is_verified = True
        self._timers.cancel("hello")

    def probe(self) -> None:
        """See L{ILink.probe}."""
        if self.is_verified and self.over is None and self._is_unanswered() and "answer" not in self._timers:
            self._timers.start("answer", ANSWER_WITHIN, self._answer_due)

    def when_writable(self) -> Deferred[None]:
        """See L{ILink.when_writable}."""
        if self._heir is not None:
            return self._heir.when_writable()
        if self.over is not None:
            return fail(self.over)
        if self.writable:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._waiting_no_more)
        self._waiting.append(waiting)
        return waiting

    def _waiting_no_more(self, cancelled: Deferred[None]) -> None:
        self._waiting = [each for each in self._waiting if each is not cancelled]

    def add_producer(self, producer: IPushProducer) -> None:
        """See L{ILink.add_producer}. On a link that is closed, the producer is stopped at once."""
        if self._heir is not None:
            self._heir.add_producer(producer)
            return
        if producer in self._producers:
            raise ValueError(f"{producer!r} was added to this link already")
        if self.over is not None:
            producer.stopProducing()
            return
        self._producers.append(producer)
        if not self.writable:
            producer.pauseProducing()

    def remove_producer(self, producer: IPushProducer) -> None:
        """See L{ILink.remove_producer}."""
        if self._heir is not None:
            self._heir.remove_producer(producer)
        if producer in self._producers:
            self._producers.remove(producer)

    def set_feeder(self, feeder: Callable[[int], object] | None) -> None:
        """See L{ILink.set_feeder}."""
        self._feeder = feeder if self.over is None else None

    def feed_soon(self) -> None:
        """See L{ILink.feed_soon}."""
        if self.over is None and self.queued < FEED_BYTES:
            self._timers.start("feed", 0, self._feed)

    def _feed(self) -> None:
        while self._feeder is not None and self.over is None and self.queued < FEED_BYTES:
            before = self.queued
            self._feeder(FEED_BYTES - self.queued)
            if self.queued == before:
                return

    def hand_over(self, link: ILink) -> None:
        """See L{ILink.hand_over}."""
        if link is self:
            self._heir = None
            return
        self._heir = link
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            link.when_writable().addBoth(_pass_on, each)
        producers, self._producers = self._producers, []
        for producer in producers:
            link.add_producer(producer)
            if self._full and link.writable:
                producer.resumeProducing()

    def pause_reading(self) -> None:
        """See L{ILink.pause_reading}."""
        self._reading = False

    def resume_reading(self) -> None:
        """See L{ILink.resume_reading}."""
        if not self._reading:
            self._reading = True
            self.other.pipe.go_on()

    @property
    def takes(self) -> bool:
        """Whether it reads what comes, or is over anyway."""
        return self._reading or self.over is not None

    def close(self, reason: CloseReason, detail: str = "") -> None:
        """See L{ILink.close}."""
        if not self.up:
            self.abort(reason, detail)
        elif self.over is None:
            self.over = LinkClosed(reason, detail)
            self._timers.cancel_all()
            self.resume_reading()
            self._put(lambda: self.other._goodbye(reason))
            self._timers.start("close", self.crust.settings.close_timeout, self._cut)

    def abort(self, reason: CloseReason, detail: str = "") -> None:
        """See L{ILink.abort}."""
        if self.over is None:
            self.over = LinkClosed(reason, detail)
        if not self.gone:
            self._timers.cancel_all()
            self.resume_reading()
            self._reset_other()
            self._timers.start("end", 0, self._end)

    # What the network and the crust do with it.

    def come_up(self) -> None:
        """The handshake is done, seen from this end: report the link."""
        if self.over is None:
            self.up = True
            settings = self.crust.settings
            left = self._made_at + settings.hello_timeout - self.crust.clock.seconds()
            self._timers.start("hello", max(0.0, left), lambda: self.close(CloseReason.HELLO_TIMEOUT))
            self.way_changed()
            self.crust.link_up(self)

    def way_changed(self) -> None:
        """The way between the two ends may have been cut or mended: see whether silence is to be timed."""
        if not self.crust.network.is_cut_off(self.other):
            self._timers.cancel("silence")
        elif self.over is None and "silence" not in self._timers:
            timeout = self.crust.settings.inactivity_timeout
            silence = f"nothing came for {timeout:g} s"
            self._timers.start("silence", timeout, lambda: self.abort(CloseReason.INACTIVE, silence))

    def lose(self, reason: CloseReason = CloseReason.CONNECTION_LOST) -> None:
        """The connection breaks: this end hears of it, but not from within this call."""
        self._timers.start("lost", 0, partial(self._reset, reason))

    def vanish(self, silently: bool) -> None:
        """The process of this end is gone: it hears nothing, and neither does the other end if silently."""
        self.over = self.over or LinkClosed(CloseReason.CONNECTION_LOST)
        self.gone = True
        self.dead = silently
        self._timers.cancel_all()
        if silently:
            self.pipe.clear()
        else:
            self._reset_other()

    # Receiving, called by what comes out of the other end's pipe.

    def _receive(self, kind: int, payload: bytes, size: int) -> None:
        if self.over is not None or kind in _CRUSTS_OWN:
            return
        settings = self.crust.settings
        largest = settings.max_frame if self.is_verified else settings.max_control
        if len(payload) > largest:
            problem = f"a frame of {len(payload)} bytes is over the limit of {largest}"
            self.close(CloseReason.PROTOCOL_ERROR, problem)
            return
        if not self.is_verified:
            self._unverified_bytes += size
            if self._unverified_bytes > settings.max_unverified:
                problem = f"more than {settings.max_unverified} bytes before a verified Hello"
                self.close(CloseReason.PROTOCOL_ERROR, problem)
                return
        self.crust.report_message(self, kind, payload)

    def _goodbye(self, reason: CloseReason) -> None:
        if not self.gone:
            self.over = self.over or LinkClosed(reason, by_peer=True)
            self.pipe.clear()
            self._put(self.other._end)
            self._end()

    def _reset(self, reason: CloseReason = CloseReason.CONNECTION_LOST) -> None:
        self.over = self.over or LinkClosed(reason, "the connection was reset")
        self.pipe.clear()
        self._end()

    def _end(self) -> None:
        """The link is gone. Only ever called by the clock, never from within a call by the layer above."""
        if self.gone or self.over is None:
            return
        self.gone = True
        self._timers.cancel_all()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(self.over)
        producers, self._producers = self._producers, []
        for producer in producers:
            producer.stopProducing()
        self.crust.link_lost(self, self.over)

    # Sending.

    def _stands_still(self) -> bool:
        """Whether what this end has sent does not arrive now."""
        network = self.crust.network
        return not self.other.takes or (network.disturbed and network.stands_still(self))

    def _put(self, action: Callable[[], None]) -> None:
        self.pipe.put(self.crust.network.delay(), action)

    def _sent(self, kind: int, payload: bytes, size: int) -> None:
        self.queued -= size
        if self._full and self.over is None:
            if self.queued <= self.crust.settings.queue_resume:
                self._go_on()
            else:
                self._watch_for_a_stall()
        self._feed()
        self.other._receive(kind, payload, size)

    def _is_unanswered(self) -> bool:
        """Whether a question does not arrive now, or its answer does not."""
        network = self.crust.network
        here, there = network.stands_still(self), network.stands_still(self.other)
        return self._reading and (here or there)

    def _answer_due(self) -> None:
        if self._is_unanswered():
            self.abort(CloseReason.INACTIVE, "it was asked whether it is there, and did not answer")

    def _watch_for_a_stall(self) -> None:
        timeout = self.crust.settings.stall_timeout
        stalled = f"nothing was read for {timeout:g} s"
        self._timers.start("stall", timeout, lambda: self.abort(CloseReason.STALLED, stalled))

    def _go_on(self) -> None:
        self._full = False
        self._timers.cancel("stall")
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)
        for producer in self._producers[:]:
            if not self._full and producer in self._producers:
                producer.resumeProducing()

    def _cut(self) -> None:
        self._reset_other()
        self._end()

    def _reset_other(self) -> None:
        self.pipe.clear()
        self.queued = 0
        self._put(self.other._reset)


def _pass_on(result: object, waiting: Deferred[None]) -> None:
    if not waiting.called:  # it may have been cancelled
        waiting.callback(result)  # type: ignore[arg-type]  # a failure goes to the errbacks
