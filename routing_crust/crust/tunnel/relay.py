"""
The middle of tunnels: what this node carries between two of its peers.

It sees the names of the two, and how much goes from one to the other; what that is, TLS hides from it. A peer
asks with a TUNNEL_OPEN to be taken to another one; that is offered on, and the other's answer goes back. From
then on bytes are handed on as they come, within limits: so many tunnels in all and for each peer, none to or
from a peer that is itself reached through a tunnel, so many bytes a second through each. Each end gets credit
for no more than C{tunnel_window}, so no more than that waits here for each direction. The directions take
turns, and a link is only ever given a little, so that whatever else goes over it need not wait for long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall

from ...config import Settings
from ...endpoints import PathKind
from ...errors import WireError
from ...names import Name
from ...quietlog import QuietLog
from ...timing.ratelimit import KeyedLimits, TokenBucket
from ...timing.timers import cancel
from ...wire.codec import encode
from ...wire.framing import FrameKind
from ...wire.messages import TunnelClosed, TunnelCredit, TunnelOpen, TunnelOpened, TunnelReason
from ..interfaces import ILink
from ..link.owner import LinkOwner
from .numbers import TunnelNumbers
from .transport import CHUNK_BYTES, REASON_TEXTS, data_frame

AHEAD_BYTES: Final = 32 * 1024
"""A link in whose queue so much waits gets nothing of a tunnel, so that others wait for no more than that."""
LOOK_AGAIN: Final = 0.01
"""Seconds until it is looked whether a rate or a queue has room again."""
BURST: Final = 0.25
"""Seconds' worth of a tunnel's rate that may go through at once after a quiet time."""
OPENS_BURST: Final = 16
OPENS_A_SECOND: Final = 1.0
"""How often a peer may ask for tunnels, at once and on average."""


class _Side:
    """
    Half of a tunnel: what comes from one of the two links and goes to the other. A
    L{Leg<routing_crust.crust.tunnel.transport.Leg>}.

    @ivar link: where it comes from.
    @ivar number: of the tunnel on that link.
    @ivar there: whether the number means anything to the peer.
    @ivar other: the other half, by whose link it goes on.
    @ivar can_send: credit: how many bytes more may go to this link.
    @ivar allowance: how many bytes more may come from this link.
    @ivar ending: why the other link is to be told that it is over, once all that waits has gone there.
    """

    __slots__ = (
        "allowance", "can_send", "ending", "link", "number", "other", "owed", "pair", "there", "turn",
        "waiting",
    )  # fmt: skip

    other: _Side

    def __init__(self, pair: _Pair, link: ILink, number: int) -> None:
        self.pair = pair
        self.link = link
        self.number = number
        self.there = True
        self.can_send = self.allowance = self.owed = 0
        self.waiting: deque[bytes] = deque()
        self.turn = False
        self.ending: TunnelReason | None = None

    def opened(self, message: TunnelOpened) -> None:
        """The peer at the far end accepts."""
        self.pair.opened(self, message)

    def again(self, message: TunnelOpen) -> None:
        """The peer that has asked for the tunnel wants it for longer."""
        self.pair.again(self, message)

    def data(self, chunk: bytes) -> None:
        """Some bytes, which are none of our business."""
        self.allowance -= len(chunk)
        if self.allowance < 0:
            self.pair.close(TunnelReason.PROTOCOL_ERROR)
        elif chunk and self.other.there and self.ending is None:
            self.pair.active()
            self.waiting.append(chunk)
            self.pair.relay.has_work(self)

    def credit(self, amount: int) -> None:
        """The peer takes more."""
        self.can_send += amount
        self.pair.relay.has_work(self.other)

    def closed(self, reason: TunnelReason) -> None:
        """The peer has closed it."""
        self.pair.over(self, reason)

    def link_lost(self) -> None:
        """The link is gone."""
        self.pair.over(self, TunnelReason.LINK_LOST)


class _Pair:
    """
    One tunnel. Made when somebody asks for it, discarded when no link has a number for it any more.

    @ivar bucket: what may go through it, both ways together.
    """

    def __init__(self, relay: TunnelRelay, near: tuple[ILink, int], far: tuple[ILink, int]) -> None:
        self.relay = relay
        self.near = _Side(self, *near)
        self.far = _Side(self, *far)
        self.near.other, self.far.other = self.far, self.near
        rate = relay.settings.tunnel_rate
        self.bucket = TokenBucket(rate, max(rate * BURST, CHUNK_BYTES), relay.seconds)
        self.is_open = self._closing = False
        self._used = relay.seconds()
        self._expires = 0.0
        self._timer: IDelayedCall | None = None
        self._look()

    @property
    def _idle_limit(self) -> float:
        settings = self.relay.settings
        lively = self.is_open and not self._closing
        return 2 * settings.inactivity_timeout if lively else settings.hello_timeout

    def active(self) -> None:
        """Something goes through."""
        self._used = self.relay.seconds()

    def opened(self, side: _Side, message: TunnelOpened) -> None:
        """
        The far peer accepts.

        @raise WireError: it was not asked, or had accepted before.
        """
        if side is not self.far or self.is_open:
            raise WireError("a tunnel was opened that was not offered, or twice")
        if self._closing:
            return
        settings = self.relay.settings
        self.is_open = True
        self.far.can_send = message.credit
        self.near.allowance = settings.tunnel_window
        self._grant_time()

    def again(self, side: _Side, message: TunnelOpen) -> None:
        """
        More time is wanted.

        @raise WireError: by somebody to whom the tunnel was offered, or who has not got it yet.
        """
        if side is not self.near or not self.is_open or message.offered:
            raise WireError("a tunnel was asked for under the number of another")
        if not self._closing and self.relay.way(side.link, self.far.link.peer) is self.far.link:
            self._grant_time()

    def _grant_time(self) -> None:
        settings = self.relay.settings
        self._expires = self.relay.seconds() + settings.tunnel_lifetime
        self.active()
        message = TunnelOpened(self.near.number, settings.tunnel_window, settings.tunnel_lifetime)
        self.near.link.send(FrameKind.TUNNEL_OPENED, encode(message))
        self._look()

    def _look(self) -> None:
        """Close it if it is idle or its time is over; else look again when that may be."""
        self.stop()
        now = self.relay.seconds()
        idle_at = self._used + self._idle_limit
        if now >= idle_at:
            self.close(TunnelReason.TIMED_OUT)
        elif self.is_open and now >= self._expires:
            self.close(TunnelReason.EXPIRED)
        else:
            at = min(idle_at, self._expires) if self.is_open else idle_at
            self._timer = self.relay.clock.callLater(at - now, self._look)

    def close(self, reason: TunnelReason) -> None:
        """End it at once, on both links."""
        for side in (self.near, self.far):
            side.waiting.clear()
            self._tell(side, reason)
        self._see_whether_over()

    def over(self, side: _Side, reason: TunnelReason) -> None:
        """One link has no number for it any more. What has come from there is still handed on."""
        self.relay.numbers.remove(side.link, side.number)
        side.there = False
        side.other.waiting.clear()
        if not side.other.there:
            self._see_whether_over()
            return
        side.ending = reason
        self._closing = True  # and so it has not much time left
        self._used = self.relay.seconds()
        self._look()
        self.relay.has_work(side)

    def handed_on(self, side: _Side) -> None:
        """All that had come from one link has gone to the other."""
        if side.ending is not None:
            self._tell(side.other, side.ending)
            self._see_whether_over()

    def stop(self) -> None:
        """Cancel the timer."""
        cancel(self._timer)
        self._timer = None

    def _tell(self, side: _Side, reason: TunnelReason) -> None:
        if side.there:
            side.there = False
            self.relay.numbers.remove(side.link, side.number)
            closed = TunnelClosed(side.number, reason)
            side.link.send(FrameKind.TUNNEL_CLOSED, encode(closed))

    def _see_whether_over(self) -> None:
        if not self.near.there and not self.far.there:
            self.stop()
            self.relay.gone(self)


class TunnelRelay:
    """
    All tunnels that this node is in the middle of. Made by L{routing_crust.crust.tunnel.dispatch.Tunnels}.

    @ivar way: for a link and a name, the link by which somebody who asks over the first may be taken to the
        second; C{None} if that is not wanted.
    """

    def __init__(self, owner: LinkOwner, numbers: TunnelNumbers, quiet: QuietLog) -> None:
        self.clock = owner.clock
        self.seconds = owner.clock.seconds
        self.settings: Settings = owner.settings
        self.numbers = numbers
        self.way: Callable[[ILink, Name], ILink | None] = lambda link, name: None
        self._quiet = quiet
        self._pairs: dict[_Pair, None] = {}
        self._of_peer: dict[Name, int] = {}
        self._opens: KeyedLimits[ILink] = KeyedLimits(
            lambda: TokenBucket(OPENS_A_SECOND, OPENS_BURST, self.seconds)
        )
        self._turns: deque[_Side] = deque()
        self._timer: IDelayedCall | None = None
        self._busy = False

    def __len__(self) -> int:
        return len(self._pairs)

    def asked(self, link: ILink, message: TunnelOpen) -> None:
        """A peer wants to be taken to another."""
        name = Name(message.peer)
        far = self.way(link, name)
        refusal = self._refusal(link, far)
        if refusal is not None or far is None:
            reason = TunnelReason.NO_LINK if refusal is None else refusal
            self._quiet.info(
                f"tunnels: {reason.name}",
                "carried no tunnel from {peer} to {other}: {reason}",
                peer=link.peer,
                other=name,
                reason=REASON_TEXTS[reason],
            )
            link.send(FrameKind.TUNNEL_CLOSED, encode(TunnelClosed(message.number, reason)))
            return
        pair = _Pair(self, (link, message.number), (far, self.numbers.new(far)))
        self._pairs[pair] = None
        for side in (pair.near, pair.far):
            self.numbers.add(side.link, side.number, side)
            self._of_peer[side.link.peer] = self._of_peer.get(side.link.peer, 0) + 1
        pair.near.can_send = message.credit
        pair.far.allowance = self.settings.tunnel_window
        offer = TunnelOpen(pair.far.number, True, link.peer.raw, message.proof, self.settings.tunnel_window)
        far.send(FrameKind.TUNNEL_OPEN, encode(offer))

    def _refusal(self, link: ILink, far: ILink | None) -> TunnelReason | None:
        """Why a peer is not taken there, cheapest first; C{None} if there is no reason."""
        settings = self.settings
        if not settings.max_tunnels or not settings.max_tunnels_per_peer or link.path_kind is PathKind.TUNNEL:
            return TunnelReason.NOT_ALLOWED
        if not self._opens.take(link):
            return TunnelReason.TOO_MANY
        if far is None or far.path_kind is PathKind.TUNNEL or far.peer == link.peer:
            return TunnelReason.NO_LINK
        if len(self._pairs) >= settings.max_tunnels:
            return TunnelReason.TOO_MANY
        busiest = max(self._of_peer.get(link.peer, 0), self._of_peer.get(far.peer, 0))
        return TunnelReason.TOO_MANY if busiest >= settings.max_tunnels_per_peer else None

    def link_lost(self, link: ILink) -> None:
        """A link is gone; what was carried over it hears of it by its numbers."""
        self._opens.forget(link)

    def stop(self) -> None:
        """Close them all."""
        for pair in list(self._pairs):
            pair.close(TunnelReason.LINK_LOST)
        cancel(self._timer)
        self._timer = None
        self._turns.clear()

    def gone(self, pair: _Pair) -> None:
        """Nothing is left of one."""
        if pair not in self._pairs:
            return
        del self._pairs[pair]
        for side in (pair.near, pair.far):
            left = self._of_peer.pop(side.link.peer) - 1
            if left:
                self._of_peer[side.link.peer] = left

    # Handing on: each half of a tunnel in its turn, a chunk at a time.

    def has_work(self, side: _Side) -> None:
        """Something waits in one half of a tunnel, or more of it may go on."""
        if not side.turn and (side.waiting or side.ending is not None):
            side.turn = True
            self._turns.append(side)
        self._serve()

    def _look_again(self) -> None:
        self._timer = None
        self._serve()

    def _serve(self) -> None:
        if self._busy:
            return
        self._busy = True
        later: deque[_Side] = deque()
        while self._turns:
            side = self._turns.popleft()
            if not side.waiting:
                side.turn = False
                side.pair.handed_on(side)
            elif side.other.can_send <= 0:
                side.turn = False  # the credit, when it comes, brings it back
            elif side.pair.bucket.tokens <= 0 or side.other.link.queued >= AHEAD_BYTES:
                later.append(side)
            else:
                self._hand_on(side)
                self._turns.append(side)
        self._turns = later
        self._busy = False
        if later and self._timer is None:
            self._timer = self.clock.callLater(LOOK_AGAIN, self._look_again)

    def _hand_on(self, side: _Side) -> None:
        to = side.other
        chunk = side.waiting.popleft()
        room = min(to.can_send, CHUNK_BYTES)
        if len(chunk) > room:
            side.waiting.appendleft(chunk[room:])
            chunk = chunk[:room]
        to.can_send -= len(chunk)
        side.pair.bucket.spend(len(chunk))
        to.link.send(FrameKind.TUNNEL_DATA, data_frame(to.number, chunk))
        side.owed += len(chunk)
        if side.there and side.owed >= self.settings.tunnel_window // 4:
            amount, side.owed = side.owed, 0
            side.allowance += amount
            side.link.send(FrameKind.TUNNEL_CREDIT, encode(TunnelCredit(side.number, amount)))
