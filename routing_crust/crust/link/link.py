"""
A link: one authenticated connection that carries frames, of either direction.

The order of events: the TCP connection is made; TLS shakes hands; the peer is checked and the link is
reported; the layer above exchanges its Hellos and calls L{Link.verified}; frames flow, with a Heartbeat
where there are none; a Goodbye, then both ends close. Heartbeat and Goodbye never leave this module.

A link has one timer, used for one thing after another: until the Hello is verified for C{hello_timeout},
then for heartbeats and silence, and once it is being closed for C{close_timeout}. It counts its own ticks
and never reads the clock, so that a step of the wall clock, or a halt of the process, cuts no link. Where
there is reason to doubt that the peer is still there, a Heartbeat with a payload asks for one back.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    IPushProducer,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ...endpoints import Connection, PathKind
from ...errors import CloseReason, LinkClosed, WireError
from ...names import Name
from ...timing.timers import cancel
from ...wire.codec import decode, encode
from ...wire.framing import HEADER_BYTES, FrameDecoder, FrameKind, frame_header
from ...wire.messages import Goodbye
from ..interfaces import ANSWER_WITHIN, ILink
from .certificates import PeerRefused
from .losses import reason_of_loss
from .owner import LinkMaker
from .sendqueue import SendQueue

log = Logger()

_HEARTBEAT: Final = int(FrameKind.HEARTBEAT)
_GOODBYE: Final = int(FrameKind.GOODBYE)
_OF_THE_LINK: Final = frozenset(
    {
        FrameKind.HEARTBEAT,
        FrameKind.HELLO,
        FrameKind.CONFIRMATION,
        FrameKind.CONFIRMATION_ACK,
        FrameKind.GOODBYE,
        FrameKind.SWITCHED,
        # for the tunnels have their numbers on this one
        FrameKind.TUNNEL_CREDIT,
        FrameKind.TUNNEL_OPEN,
        FrameKind.TUNNEL_OPENED,
        FrameKind.TUNNEL_DATA,
        FrameKind.TUNNEL_CLOSED,
    }
)
"""What is about the very link that it goes over."""
SMALL_BYTES: Final = 4096
"""Below this, to copy a payload behind its header is cheaper than to join one more part."""
MOST_ASKED: Final = 4
"""So often this may begin anew while nothing is heard."""

_ASKING: Final = b"\x01"

# A frame's header where the length fits into its lower 16 bits.
_pack_small: Final = Struct(">BxH").pack


@implementer(ILink, IHandshakeListener)
class Link(Protocol):
    """
    The protocol of both ends. Made by a factory, fed by the reactor; see L{ILink} for what else it offers.
    """

    __slots__ = (
        "_allowance", "_asked", "_decoder", "_heard", "_heir", "_maker", "_owner", "_queue", "_reading",
        "_reason", "_silence", "_small", "_stalled", "_timer", "_up", "_verified", "binding", "bootstrap",
        "connection", "direction", "hello_timeout", "initiator", "path_kind", "peer", "public_key", "token",
        "via",
    )  # fmt: skip

    transport: Any
    connection: Connection
    peer: Name
    public_key: bytes
    binding: bytes
    path_kind: PathKind

    def __init__(self, maker: LinkMaker) -> None:
        """
        @param maker: the factory; hears whether the link comes up, and its owner of all that follows.
        """
        self._maker = maker
        self._owner = owner = maker.owner
        self.direction = maker.direction
        self.initiator = maker.initiator
        self.bootstrap = maker.bootstrap
        self.token = maker.token
        self.path_kind = maker.path_kind
        self.via = maker.via
        settings = owner.settings
        self.hello_timeout = settings.hello_timeout  # less, if some of it has passed before there is a link
        self._decoder = FrameDecoder(settings.max_control, owner.link_frame, self, self._control_received)
        self._allowance = settings.max_unverified
        self._up = self._verified = False
        self._reason: LinkClosed | None = None
        self._timer: IDelayedCall | None = None
        self._small = SMALL_BYTES  # nothing is small once the link is closed
        self._heard = False
        self._heir: ILink | None = None
        self._reading = True
        self._asked = 0
        self._silence = self._stalled = 0.0

    # Coming up.

    def connectionMade(self) -> None:
        """The TCP connection is there, and TLS begins."""
        self._queue = SendQueue(self._owner.settings, self.transport, self._owner.clock)
        self.connection = self._maker.connection_of(self.transport)
        self._arm(self.hello_timeout, self._hello_overdue)
        if self.connection.peer == self.connection.local:
            self.abort(CloseReason.SELF, "the connection's two ends are one")

    def handshakeCompleted(self) -> None:
        """TLS is done on this side: see who is there, and report the link."""
        if self._reason is not None:
            return
        try:
            peer = self._maker.verified_peer(self.transport.getHandle())
        except PeerRefused as refused:
            self.abort(refused.reason, refused.detail)
            return
        self.peer, self.public_key, self.binding = peer.name, peer.public_key, peer.binding
        self._up = True
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self._queue, True)
        self._queue.hold()  # so that our Hello leaves together with the end of the handshake
        self._guarded(self._maker.link_established, self)
        self._queue.flush()

    def _hello_overdue(self) -> None:
        self._timer = None
        # Not up means that nobody is there to read a Goodbye.
        (self.close if self._up else self.abort)(CloseReason.HELLO_TIMEOUT)

    def verified(self) -> None:
        """See L{ILink.verified}."""
        if self._verified or self._reason is not None:
            return
        self._verified = True
        self._decoder.limit = self._owner.settings.max_frame
        self._queue.wrote = True
        self._arm(self._tick_length, self._tick)

    @property
    def is_verified(self) -> bool:
        """Whether L{verified} was called while the link was open."""
        return self._verified

    # Receiving.

    def dataReceived(self, data: bytes) -> None:
        """Some bytes came, deciphered."""
        if self._reason is not None:
            return
        self._heard = True
        self._queue.hold()  # what is sent meanwhile goes out together, below
        self._guarded(self._decoder.feed, data)
        if not self._verified:
            self._allowance -= len(data)
            if self._allowance < 0:
                limit = self._owner.settings.max_unverified
                self.close(CloseReason.PROTOCOL_ERROR, f"more than {limit} bytes before a verified Hello")
        self._queue.flush()

    def pause_reading(self) -> None:
        """See L{ILink.pause_reading}."""
        if self._reading and self._reason is None:
            self._reading = False
            self.transport.pauseProducing()

    def resume_reading(self) -> None:
        """See L{ILink.resume_reading}."""
        if not self._reading:
            self._reading = True
            self.transport.resumeProducing()

    def _control_received(self, kind: int, payload: bytes) -> None:
        if kind == _GOODBYE:
            self._peer_said_goodbye(decode(Goodbye, payload).reason)
        elif kind != _HEARTBEAT:
            self._owner.link_frame(self, kind, payload)
        elif payload and not self._queue.size:  # what waits to go out is an answer as well
            self.send(_HEARTBEAT, b"")

    def _peer_said_goodbye(self, number: int) -> None:
        try:
            self._end(LinkClosed(CloseReason(number), by_peer=True))
        except ValueError:
            self._end(LinkClosed(CloseReason.UNKNOWN, f"reason {number}", by_peer=True))
        self._queue.clear()
        self._queue.drained = self._hang_up
        self._arm(self._owner.settings.close_timeout, self._cut)

    def _guarded(self, call: Callable[[Any], None], argument: Any) -> None:
        """Call what reads the peer's bytes, or what the owner does with them."""
        try:
            call(argument)
        except WireError as problem:
            self.close(problem.reason, str(problem))
        except Exception:  # a mistake of ours: it costs this link, and no other
            log.failure("the handler of a link to {peer} failed", peer=self.connection)
            self.close(CloseReason.PROTOCOL_ERROR, "the handler of this link failed")

    # Sending.

    @property
    def writable(self) -> bool:
        """See L{ILink.writable}."""
        return not self._queue.full if self._heir is None else self._heir.writable

    @property
    def queued(self) -> int:
        """See L{ILink.queued}."""
        return self._queue.size

    def send(self, kind: int, payload: bytes) -> None:
        """See L{ILink.send}."""
        size = len(payload)
        if size >= self._small:
            self._send_large(kind, payload)
            return
        queue = self._queue
        try:
            queue.parts.append(_pack_small(kind, size) + payload)
        except StructError:
            raise ValueError(f"{kind} is not a kind of frame: kinds go from 0 to 255") from None
        queue.size = queued = queue.size + size + HEADER_BYTES
        if queued >= queue.alarm:
            self._attend()

    def _send_large(self, kind: int, payload: bytes) -> None:
        most = self._owner.settings.max_frame
        if self._heir is not None and kind not in _OF_THE_LINK:
            self._heir.send(kind, payload)
            return
        if self._reason is not None:
            return
        if len(payload) > most or not 0 <= kind <= 255:
            raise ValueError(
                f"a frame of kind {kind} with {len(payload)} bytes cannot be sent: max_frame is {most}"
            )
        queue = self._queue
        queue.parts += (frame_header(kind, len(payload)), payload)
        queue.size += len(payload) + HEADER_BYTES
        if queue.size >= queue.alarm:
            self._attend()

    def _attend(self) -> None:
        if not self._queue.attend():
            self.abort(CloseReason.SEND_QUEUE_FULL, f"queue_most is {self._owner.settings.queue_most}")

    def when_writable(self) -> Deferred[None]:
        """See L{ILink.when_writable}."""
        if self._heir is not None:
            return self._heir.when_writable()
        return self._queue.when_writable() if self._reason is None else fail(self._reason)

    def add_producer(self, producer: IPushProducer) -> None:
        """See L{ILink.add_producer}. On a link that is closed, the producer is stopped at once."""
        if self._heir is not None:
            self._heir.add_producer(producer)
        elif self._reason is None:
            self._queue.add_producer(producer)
        else:
            producer.stopProducing()

    def remove_producer(self, producer: IPushProducer) -> None:
        """See L{ILink.remove_producer}."""
        if self._heir is not None:
            self._heir.remove_producer(producer)
        else:
            self._queue.remove_producer(producer)

    def set_feeder(self, feeder: Callable[[int], object] | None) -> None:
        """See L{ILink.set_feeder}."""
        self._queue.feeder = feeder if self._reason is None else None

    def feed_soon(self) -> None:
        """See L{ILink.feed_soon}."""
        if self._reason is None:
            self._queue.feed_soon()

    def hand_over(self, link: ILink) -> None:
        """See L{ILink.hand_over}."""
        if link is self:
            self._heir = None
            self._small = SMALL_BYTES if self._reason is None else 0
            return
        self._heir = link
        self._small = 0  # from now on each frame is looked at
        self._queue.move_to(link)

    # The timer.

    def _arm(self, delay: float, call: Callable[[], None]) -> None:
        self._disarm()
        self._timer = self._owner.clock.callLater(delay, call)

    def _disarm(self) -> None:
        cancel(self._timer)
        self._timer = None

    @property
    def _tick_length(self) -> float:
        """So often that two ticks without a frame make a heartbeat just in time."""
        settings = self._owner.settings
        return min(settings.heartbeat_interval / 2, settings.inactivity_timeout / 2, settings.stall_timeout)

    def _tick(self) -> None:
        self._timer = None
        settings, queue, length = self._owner.settings, self._queue, self._tick_length
        self._silence = 0.0 if self._heard or not self._reading else self._silence + length
        self._stalled = self._stalled + length if queue.paused and not queue.progressed else 0.0
        idle = not queue.wrote and not queue.size
        self._heard = queue.progressed = queue.wrote = False
        if self._silence >= settings.inactivity_timeout:
            self.abort(CloseReason.INACTIVE, f"nothing came for {self._silence:g} s")
        elif self._stalled >= settings.stall_timeout:
            self.abort(CloseReason.STALLED, f"nothing was read for {self._stalled:g} s")
        else:
            self._arm(length, self._tick)
            if idle:
                self.send(_HEARTBEAT, b"")

    def probe(self) -> None:
        """See L{ILink.probe}."""
        if not self._verified or self._reason is not None:
            return
        if self._heard:
            self._asked = 0
        self.send(_HEARTBEAT, _ASKING)
        if self._asked < MOST_ASKED:
            self._asked += 1
            self._heard = False
            self._arm(min(ANSWER_WITHIN, self._owner.settings.inactivity_timeout), self._answer_due)

    def _answer_due(self) -> None:
        self._timer = None
        if not self._heard and self._reading:
            self.abort(CloseReason.INACTIVE, "it was asked whether it is there, and did not answer")
            return
        self._asked = 0
        self._arm(self._tick_length, self._tick)

    # Going down.

    def _end(self, reason: LinkClosed) -> None:
        """From now on nothing is sent and nothing delivered. The first reason is the one that counts."""
        if self._reason is None:
            self._reason = reason
        self._small = 0
        self._queue.feeder = None
        self._decoder.stop()
        self.resume_reading()  # else nobody would see that the connection ends

    def close(self, reason: CloseReason, detail: str = "") -> None:
        """See L{ILink.close}."""
        if self._reason is not None:
            return
        if not self._up:
            self.abort(reason, detail)
            return
        self.send(_GOODBYE, encode(Goodbye(int(reason))))
        if self._reason is not None:  # the Goodbye was too much for the queue
            return
        self._end(LinkClosed(reason, detail))
        self._queue.drained = self._hang_up
        self._arm(self._owner.settings.close_timeout, self._cut)

    def abort(self, reason: CloseReason, detail: str = "") -> None:
        """See L{ILink.abort}."""
        self._end(LinkClosed(reason, detail))
        self._queue.clear()
        self._queue.drained = None
        self._disarm()
        self.transport.abortConnection()

    def _hang_up(self) -> None:
        """All is written: end TLS, and with the peer's answer the connection."""
        self._queue.drained = None
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _cut(self) -> None:
        self._timer = None
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone: say so, once."""
        # A TLS client is done before its server has judged it; the first byte is the proof that it did.
        judged = self._verified or self._heard
        why = self._reason or reason_of_loss(reason, self._up, judged)
        self._end(why)
        self._disarm()
        self._queue.stop(why)
        if self._up:
            self._owner.link_lost(self, why)
        else:
            self._maker.link_failed(self, why)
