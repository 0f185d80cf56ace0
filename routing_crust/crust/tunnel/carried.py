"""
One tunnel that this node carries: its two halves, its credit and its lifetime.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...config import Settings
from ...errors import WireError
from ...timing.shares import Account
from ...timing.timers import cancel
from ...wire.codec import encode
from ...wire.framing import FrameKind
from ...wire.tunnels import TunnelClosed, TunnelCredit, TunnelOpen, TunnelOpened, TunnelReason
from ..interfaces import ILink
from .numbers import TUNNEL_LIFETIME_SECONDS, TunnelNumbers
from .windows import TUNNEL_WINDOW_BYTES, ReceiveWindow, SendCredit, WindowMemory

IDLE_SECONDS: Final = 30.0
QUIET_BYTES: Final = 16 * 1024
"""A tunnel that has carried no more in this time, both ways together, is idle: heartbeats are less."""


class Carrier(Protocol):
    """Carries all tunnels; in production a L{TunnelRelay<routing_crust.crust.tunnel.relay.TunnelRelay>}."""

    @property
    def clock(self) -> IReactorTime:
        """Where delayed calls are made."""

    @property
    def settings(self) -> Settings:
        """The settings that bound tunnels."""

    @property
    def numbers(self) -> TunnelNumbers:
        """The tunnels behind the numbers of each link."""

    @property
    def memory(self) -> WindowMemory:
        """What the windows of all tunnels take."""

    def may_carry(self, near: ILink, far: ILink) -> bool:
        """Whether the peers of these two links may still have a tunnel."""

    def has_work(self, half: TunnelHalf) -> None:
        """Something waits in one half of a tunnel, or more of it may go on."""

    def unexpected(self, link: ILink) -> None:
        """The far end did not expect a tunnel that this link's peer has requested."""

    def gone(self, tunnel: CarriedTunnel) -> None:
        """Nothing is left of a tunnel."""


class TunnelHalf:
    """
    Half of a tunnel: the bytes that come from one of the two links and go to the other. A
    L{Leg<routing_crust.crust.tunnel.transport.Leg>}.

    @ivar link: where it comes from.
    @ivar number: of the tunnel on that link.
    @ivar there: whether the number means anything to the peer.
    @ivar other: the other half, by whose link it goes on.
    @ivar sendable: what may go to this link.
    @ivar window: what may come from this link.
    @ivar ending: the reason of the TUNNEL_CLOSED that the other link gets after all that waits; C{None} while
        the tunnel lasts.
    """

    __slots__ = (
        "ending",
        "link",
        "number",
        "other",
        "sendable",
        "there",
        "tunnel",
        "turn",
        "waiting",
        "window",
    )  # fmt: skip

    other: TunnelHalf

    def __init__(self, tunnel: CarriedTunnel, link: ILink, number: int) -> None:
        self.tunnel = tunnel
        self.link = link
        self.number = number
        self.there = True
        seconds = tunnel.carrier.clock.seconds
        self.sendable = SendCredit(seconds)
        self.window = ReceiveWindow(tunnel.carrier.memory, tunnel.account, seconds)
        self.waiting: deque[bytes] = deque()
        self.turn = False
        self.ending: TunnelReason | None = None

    def opened(self, message: TunnelOpened) -> None:
        """The peer at the far end accepts."""
        self.tunnel.opened(self, message)

    def again(self, message: TunnelOpen) -> None:
        """The peer that requested the tunnel renews it."""
        self.tunnel.again(self, message)

    def data(self, chunk: bytes) -> None:
        """Hand on bytes that only the two ends can read."""
        # a sender that ignores its credit would fill the memory that all tunnels share
        if not self.window.received(len(chunk)):
            self.tunnel.close(TunnelReason.PROTOCOL_ERROR)
        elif chunk and self.other.there and self.ending is None:
            self.tunnel.active(len(chunk))
            self.waiting.append(chunk)
            self.tunnel.carrier.has_work(self)

    def credit(self, message: TunnelCredit) -> None:
        """The peer takes more, or gives back credit that it does not need."""
        if not message.returned:
            self.sendable.left += message.amount
            self.tunnel.carrier.has_work(self.other)
        elif not self.window.returned(message.amount):
            self.tunnel.close(TunnelReason.PROTOCOL_ERROR)

    def closed(self, reason: TunnelReason) -> None:
        """The peer has closed it."""
        self.tunnel.over(self, reason)

    def link_lost(self) -> None:
        """The link is gone."""
        self.tunnel.over(self, TunnelReason.LINK_LOST)


class CarriedTunnel:
    """
    One tunnel. Made when a peer requests it, discarded when no link has a number for it any more.

    @ivar account: on whose account it is carried.
    @ivar awaited: whether somebody waits for it, as its requester says.
    """

    def __init__(
        self,
        carrier: Carrier,
        near: tuple[ILink, int],
        far: tuple[ILink, int],
        account: Account,
        awaited: bool,
    ) -> None:
        self.carrier = carrier
        self.account = account
        self.awaited = awaited
        self.near = TunnelHalf(self, *near)
        self.far = TunnelHalf(self, *far)
        self.near.other, self.far.other = self.far, self.near
        self.is_open = self._closing = False
        self._used = self._counted = self._begun = carrier.clock.seconds()
        self._lately = self._before = 0
        self._expires = 0.0
        self._timer: IDelayedCall | None = None
        self._watch()

    @property
    def _idle_limit(self) -> float:
        settings = self.carrier.settings
        # an unanswered or closing tunnel counts against the limits, so it gets less time
        lively = self.is_open and not self._closing
        return 2 * settings.inactivity_timeout if lively else settings.hello_timeout

    @property
    def is_busy(self) -> bool:
        """Whether more has gone through recently than keeps a link alive."""
        self._count(0)
        return self._lately + self._before > QUIET_BYTES

    @property
    def may_yield(self) -> bool:
        """Whether it may make room for another one of the same peer, which somebody waits for."""
        young = self.carrier.clock.seconds() - self._begun < IDLE_SECONDS
        return not self.is_busy and not (self.awaited and young)

    @property
    def worth(self) -> tuple[bool, bool, bool, float]:
        """The rank of a tunnel: the one that is worth least makes room first."""
        return self.is_open and not self._closing, self.is_busy, self.awaited, self._begun

    def active(self, size: int = 0) -> None:
        """Something goes through."""
        # the timer is not moved for each chunk: when it fires, it looks at this
        self._used = self.carrier.clock.seconds()
        self._count(size)

    def _count(self, size: int) -> None:
        now = self.carrier.clock.seconds()
        if now - self._counted >= IDLE_SECONDS:
            self._before = self._lately if now - self._counted < 2 * IDLE_SECONDS else 0
            self._lately, self._counted = 0, now
        self._lately += size

    def opened(self, side: TunnelHalf, message: TunnelOpened) -> None:
        """
        The far peer accepts.

        @raise WireError: the tunnel was not offered to it, or it had accepted before.
        """
        if side is not self.far or self.is_open:
            raise WireError("a tunnel was opened that was not offered, or twice")
        # one half is gone already: its peer has been told, or will be
        if self._closing:
            return
        self.is_open = True
        self.far.sendable.left = message.credit
        self.near.window.open()
        self._grant_time()

    def again(self, side: TunnelHalf, message: TunnelOpen) -> None:
        """
        Renew the tunnel.

        @raise WireError: the peer is the one to which the tunnel was offered, or the tunnel is not open yet.
        """
        # only the end that asked for the tunnel may have it longer
        if side is not self.near or not self.is_open or message.offered:
            raise WireError("a tunnel was asked for under the number of another")
        if not self._closing and self.carrier.may_carry(side.link, self.far.link):
            self._grant_time()

    def _grant_time(self) -> None:
        self._expires = self.carrier.clock.seconds() + TUNNEL_LIFETIME_SECONDS
        self.active()
        seen = seen_at(self.far.link)
        message = TunnelOpened(self.near.number, TUNNEL_WINDOW_BYTES, TUNNEL_LIFETIME_SECONDS, seen)
        self.near.link.send(FrameKind.TUNNEL_OPENED, encode(message))
        self._watch()

    def _watch(self) -> None:
        """Close the tunnel if it is idle or its time is over; else check again when it could be."""
        self.stop()
        now = self.carrier.clock.seconds()
        idle_at = self._used + self._idle_limit
        if now >= idle_at:
            self.close(TunnelReason.TIMED_OUT)
        elif self.is_open and now >= self._expires:
            self.close(TunnelReason.EXPIRED)
        else:
            at = min(idle_at, self._expires) if self.is_open else idle_at
            self._timer = self.carrier.clock.callLater(at - now, self._watch)

    def close(self, reason: TunnelReason) -> None:
        """End it at once, on both links."""
        for side in (self.near, self.far):
            side.waiting.clear()
            self._tell(side, reason)
        self._check_over()

    def over(self, side: TunnelHalf, reason: TunnelReason) -> None:
        """One link has no number for it any more. What has come from there is still handed on."""
        if reason is TunnelReason.NOT_EXPECTED and side is self.far and not self.is_open:
            self.carrier.unexpected(self.near.link)
        self.carrier.numbers.remove(side.link, side.number)
        side.there = False
        # nothing can be delivered to a link that has no number for the tunnel
        side.other.waiting.clear()
        if not side.other.there:
            self._check_over()
            return
        side.ending = reason
        self._closing = True  # which shortens its idle limit
        self._used = self.carrier.clock.seconds()
        self._watch()
        self.carrier.has_work(side)

    def handed_on(self, side: TunnelHalf) -> None:
        """All that had come from one link has gone to the other."""
        if side.ending is not None:
            self._tell(side.other, side.ending)
            self._check_over()

    def stop(self) -> None:
        """Cancel the timer."""
        cancel(self._timer)
        self._timer = None

    def _tell(self, side: TunnelHalf, reason: TunnelReason) -> None:
        if side.there:
            side.there = False
            self.carrier.numbers.remove(side.link, side.number)
            closed = TunnelClosed(side.number, reason)
            side.link.send(FrameKind.TUNNEL_CLOSED, encode(closed))

    def _check_over(self) -> None:
        if not self.near.there and not self.far.there:
            self.stop()
            self.carrier.gone(self)


def seen_at(link: ILink) -> bytes:
    """What the relay tells each end of where it sees the other."""
    return link.connection.peer.address.packed
