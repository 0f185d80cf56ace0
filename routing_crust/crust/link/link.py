"""
A link: one authenticated connection that carries frames, of either direction.

The order of events: the TCP connection is made; TLS shakes hands; the peer is checked and the link is
reported; the layer above exchanges its Hellos and calls L{Link.verified}; frames flow, with a Heartbeat
where there are none; a Goodbye, then both ends close. Heartbeat and Goodbye never leave this module.

A link has one timer, used for one thing after another: C{hello_timeout} until the Hello is verified, then the
ticks of its L{Liveness<routing_crust.crust.link.liveness.Liveness>}, and C{CLOSE_TIMEOUT_SECONDS} once it is
being closed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ...endpoints import Connection, Endpoint, PathKind
from ...endpoints import Protocol as TransportProtocol
from ...errors import CloseReason, LinkClosed
from ...names import Name
from ...timing.steadyclock import time_left
from ...timing.timers import cancel, with_slack
from ...wire.codec import decode, encode
from ...wire.framing import MAX_FRAME_BYTES, FrameKind
from ...wire.messages import Goodbye
from ..interfaces import ILink
from .certificates import PeerRefused
from .liveness import (
    ASKED_DOUBT_AFTER_SECONDS,
    ASKED_ROUND_TRIPS,
    SUSPECTED_DOUBT_AFTER_SECONDS,
    Liveness,
)
from .losses import reason_of_loss
from .owner import LinkOwner
from .plan import LinkPlan
from .probes import answer_to, answered_nonce, nonce_of, probe_of
from .receiving import FrameReceiver
from .round_trip import RoundTrip
from .sendqueue import SendQueue

CLOSE_TIMEOUT_SECONDS: Final = 5.0
"""From closing a link to cutting it."""

_HEARTBEAT: Final = int(FrameKind.HEARTBEAT)
_GOODBYE: Final = int(FrameKind.GOODBYE)


@implementer(ILink, IHandshakeListener)
class Link(FrameReceiver):
    """
    The protocol of both ends. Made by a factory, fed by the reactor; L{ILink} says what else it offers.
    """

    __slots__ = (
        "_made",
        "_owed_since",
        "_plan",
        "_probes",
        "_timer",
        "_up",
        "binding",
        "bootstrap",
        "direction",
        "hello_timeout",
        "initiator",
        "is_confirmed",
        "is_expected",
        "path_kind",
        "peer",
        "round_trip",
        "seen_at",
        "token",
        "via",
    )  # fmt: skip

    peer: Name
    binding: bytes
    path_kind: PathKind

    def __init__(self, owner: LinkOwner, plan: LinkPlan, made: Deferred[Link]) -> None:
        """
        @param owner: hears of frames and of the loss of a link that was up.
        @param made: fired with this link once it is up; fails with L{LinkClosed} if the connection is lost
            before that, unless it has been fired by then.
        """
        super().__init__(owner)
        self._plan = plan
        self._made: Deferred[Link] | None = made
        self.direction = plan.direction
        self.initiator = plan.initiator
        self.bootstrap = plan.bootstrap
        self.token = plan.token
        self.path_kind = plan.path_kind
        self.via = plan.via
        self.seen_at = plan.seen_at
        settings = owner.settings
        self.hello_timeout = settings.hello_timeout  # less, if some of it has passed before there is a link
        self._up = self.is_confirmed = self.is_expected = False
        self._timer: IDelayedCall | None = None
        self._probes = 0

    # Coming up.

    def connectionMade(self) -> None:
        """The TCP connection is there, and TLS begins."""
        settings = self._owner.settings
        self._queue = SendQueue(self.transport, self._owner.clock)
        self.round_trip = RoundTrip(self._owner.clock.seconds)
        self._owed_since = self._owner.clock.seconds()
        self.connection = self._plan.tunnel or tcp_connection(self.transport)
        heartbeat = partial(self._owner.heartbeat_after, self.connection.local.prefix)
        tunnel = self.path_kind is PathKind.TUNNEL
        self._liveness = Liveness(settings, self._queue, heartbeat, self._set_tick, self._tick_due, tunnel)
        self._share = self._owner.reading.share(self.connection.peer.prefix)
        # Twisted sets no limit to the time that a TLS handshake takes
        self._arm(self.hello_timeout, self._hello_overdue)
        # Linux can connect a TCP socket to itself, when both ends have the same port
        if self.connection.peer == self.connection.local:
            self.abort(CloseReason.SELF, "the connection's two ends are one")

    def handshakeCompleted(self) -> None:
        """TLS is done on this side: see who is there, and report the link."""
        if self._reason is not None:
            return
        try:
            peer = self.transport.verified_peer()
        except PeerRefused as refused:
            self.abort(refused.reason, refused.detail)
            return
        self.peer, self.binding = peer.name, peer.binding
        self._up = True
        self.round_trip.handshake_done()
        # the send queue joins small frames itself; Nagle's algorithm would only delay them
        self.transport.setTcpNoDelay(True)
        # without a producer, writes to a peer that does not read grow the transport's buffer without bound
        self.transport.registerProducer(self._queue, True)
        self._queue.hold()  # so that our Hello leaves together with the end of the handshake
        made, self._made = self._made, None
        assert made is not None
        made.callback(self)
        self._queue.flush()

    def _hello_overdue(self) -> None:
        self._timer = None
        # before the link is up, no TLS session could carry a Goodbye
        (self.close if self._up else self.abort)(CloseReason.HELLO_TIMEOUT)

    def verified(self) -> None:
        if self._verified or self._reason is not None:
            return
        self._verified = True
        self.transport.peer_verified()
        self._decoder.limit = MAX_FRAME_BYTES
        self._liveness.begin()

    @property
    def is_verified(self) -> bool:
        """Whether L{verified} was called while the link was open."""
        return self._verified

    def confirmed(self) -> None:
        self.is_confirmed = True

    @property
    def is_open(self) -> bool:
        """Whether neither end has closed the link."""
        return self._reason is None

    # Receiving.

    def _control_received(self, kind: int, payload: bytes) -> None:
        if kind == _GOODBYE:
            self._peer_said_goodbye(decode(Goodbye, payload).reason)
        elif kind != _HEARTBEAT:
            self._owner.link_frame(self, kind, payload)
        else:
            self._heartbeat_received(payload)

    def _heartbeat_received(self, payload: bytes) -> None:
        answer = answer_to(payload)
        if answer is None:
            seconds = self.round_trip.answered(answered_nonce(payload))
            if seconds is not None:
                self._liveness.answered(seconds)
        elif not self._queue.unasked:  # or a flood of probes would fill the queue with answers
            self.tell(_HEARTBEAT, answer)  # else the two ends would probe each other for ever

    def tell(self, kind: int, payload: bytes) -> None:
        before = self._queue.size
        self.send(kind, payload)
        self._queue.unasked += self._queue.size - before  # nothing, where an heir takes it
        self._liveness.told()

    def _peer_said_goodbye(self, number: int) -> None:
        try:
            self._end(LinkClosed(CloseReason(number), by_peer=True))
        except ValueError:
            self._end(LinkClosed(CloseReason.UNKNOWN, f"reason {number}", by_peer=True))
        # the peer delivers nothing that comes after its Goodbye
        self._queue.clear()
        self._queue.drained = self._hang_up
        self._arm(CLOSE_TIMEOUT_SECONDS, self._cut)

    # The timer.

    def _arm(self, delay: float, call: Callable[[], None]) -> None:
        self._disarm()
        self._timer = self._owner.clock.callLater(delay, call)

    def _disarm(self) -> None:
        cancel(self._timer)
        self._timer = None

    def _set_tick(self) -> None:
        if self._reason is None:
            liveness = self._liveness
            # while an answer is owed each tick counts: streams wait for the link that replaces a dead one
            if liveness.waiting is None:
                late = with_slack(liveness.wait, self._owner.clock.seconds())
                liveness.wait = min(late, liveness.latest)
            self._arm(liveness.wait, self._tick)

    def _tick_due(self) -> float:
        return 0.0 if self._timer is None else time_left(self._timer, self._owner.clock)

    def _tick(self) -> None:
        self._timer = None
        liveness = self._liveness
        problem = liveness.tick(self._reading)
        if problem is not None:
            self.abort(problem.reason, problem.detail)
            return
        self._set_tick()
        if liveness.probe_due:
            self._send_probe()
            # a heartbeat, or a mere measurement, has waited for nothing yet
            if liveness.waiting:
                self._owner.link_silent(self)
        if liveness.doubt_due:
            self._owed_since = self._owner.clock.seconds() - (liveness.waiting or 0.0)
            self._owner.link_doubted(self)

    def probe(self) -> None:
        self._ask(None, ASKED_DOUBT_AFTER_SECONDS)

    def suspect(self) -> None:
        self._ask(None, self._suspicion)

    def must_answer(self, within: float) -> None:
        self._ask(within, self._suspicion)

    @property
    def _suspicion(self) -> float:
        # what the set-up took counts until there is a sample, but TLS may have waited for a processor
        guess = ASKED_ROUND_TRIPS * self.round_trip.smoothed_or(0.0)
        return min(max(SUSPECTED_DOUBT_AFTER_SECONDS, guess), ASKED_DOUBT_AFTER_SECONDS)

    def _ask(self, within: float | None, doubt_in: float) -> None:
        if self._verified and self._reason is None and self._liveness.ask(within, doubt_in):
            self._send_probe()

    def _send_probe(self) -> None:
        nonce = nonce_of(self._owner.probe_key, self.binding, self._probes)
        self._probes += 1
        self.round_trip.asked(nonce)
        self.send(_HEARTBEAT, probe_of(nonce))

    @property
    def died_idle(self) -> bool:
        """Whether it was idle before the peer began to owe an answer."""
        return self._liveness.died_idle

    @property
    def is_doubted(self) -> bool:
        """Whether the peer owes an answer, so that the link may be dead."""
        return self._verified and self._liveness.doubted

    @property
    def owed_for(self) -> float:
        """For how long, if the link is doubted."""
        return self._owner.clock.seconds() - self._owed_since

    # Going down.

    def _end(self, reason: LinkClosed) -> None:
        """Send and deliver nothing from now on. The first reason counts."""
        if self._reason is None:
            self._reason = reason
        self._small = 0
        self._queue.feeder = None
        self._queue.woke = None
        self._stop_receiving()

    def close(self, reason: CloseReason, detail: str = "") -> None:
        if self._reason is not None:
            return
        if not self._up:
            self.abort(reason, detail)
            return
        self.send(_GOODBYE, encode(Goodbye(int(reason))))
        if self._reason is not None:  # the Goodbye was too much for the queue
            return
        self._end(LinkClosed(reason, detail))
        # loseConnection never ends while the peer does not read, so a timer cuts the connection
        self._queue.drained = self._hang_up
        self._arm(CLOSE_TIMEOUT_SECONDS, self._cut)

    def abort(self, reason: CloseReason, detail: str = "") -> None:
        self._end(LinkClosed(reason, detail))
        self._queue.clear()
        self._queue.drained = None
        self._disarm()
        self.transport.abortConnection()

    def _hang_up(self) -> None:
        """Everything is written: close TLS, which closes the connection once the peer answers."""
        self._queue.drained = None
        # first: Twisted's TLS does not shut down while a producer is registered
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _cut(self) -> None:
        self._timer = None
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone: tell the owner, or fail the Deferred, once."""
        self._deliver_rest()
        # In TLS 1.3 a client is done before its server has judged it; the first byte proves that it has.
        judged = self._verified or self._liveness.heard
        why = self._reason or reason_of_loss(reason, self._up, judged)
        self._end(why)
        self._disarm()
        self._queue.stop(why)
        if self._up:
            self._owner.link_lost(self, why)
        elif self._made is not None and not self._made.called:
            self._made.errback(why)


def tcp_connection(transport: Any) -> Connection:
    """The addresses of a TCP transport, ours and the peer's."""
    host, peer = transport.getHost(), transport.getPeer()
    return Connection(
        TransportProtocol.TCP, Endpoint.of(peer.host, peer.port), Endpoint.of(host.host, host.port)
    )
