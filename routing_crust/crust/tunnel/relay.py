"""
The relay of tunnels: it carries tunnels between its peers.

It sees the names of the two ends and the number of bytes between them; TLS hides the rest. A peer requests a
tunnel with a TUNNEL_OPEN; the relay offers it to the other end, and returns the answer. From then on it
forwards bytes as they come, within limits: on the memory that all tunnels take, shared fairly among those who
ask (L{routing_crust.crust.tunnel.room}), and on the bytes a second
through all; and none to or from a peer that is itself reached through a tunnel. Each end gets credit for a
window (L{routing_crust.crust.tunnel.windows}), so no more than that waits here for each direction. Those who
asked for tunnels take turns, and a link's queue is kept short, so that other frames need not wait for long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall

from ...config import Settings
from ...endpoints import PathKind
from ...names import Name
from ...quietlog import QuietLog
from ...timing.ratelimit import KeyedLimits, TokenBucket
from ...timing.shares import Account
from ...timing.timers import cancel
from ...wire.codec import encode
from ...wire.framing import FrameKind
from ...wire.tunnels import TunnelClosed, TunnelCredit, TunnelOpen, TunnelReason
from ..interfaces import ILink, account_of
from ..link.owner import LinkOwner
from .carried import CarriedTunnel, TunnelHalf, seen_at
from .numbers import TunnelNumbers
from .room import TunnelRoom
from .transport import CHUNK_BYTES, data_frame, reason_text
from .windows import TUNNEL_WINDOW_BYTES

MAX_QUEUED_BYTES: Final = 128 * 1024
"""A link whose queue holds this much gets nothing of a tunnel, so that other traffic waits for no more."""
RECHECK_SECONDS: Final = 0.01
"""Seconds until rates and queues are checked for room again."""
BURST_SECONDS: Final = 0.25
"""Seconds of C{relay_rate} that may go through tunnels at once after a quiet time."""
MAX_OPENS_AT_ONCE: Final = 128
OPENS_PER_SECOND: Final = 8.0
"""Bounds on how often a peer may request tunnels: a node with streams to all others of a fleet opens many."""
MAX_UNEXPECTED_AT_ONCE: Final = 16
UNEXPECTED_PER_SECOND: Final = 1.0
"""Bounds on requests that the far end does not expect, by prefix: honest ones were agreed on before."""


class TunnelRelay:
    """
    All tunnels that this node carries. Made by L{routing_crust.crust.tunnel.dispatch.TunnelDispatch}.

    @ivar way: for the link of a requesting peer and the name of the far end, the link to that end; C{None} if
        there is none or no tunnel is wanted.
    """

    def __init__(self, owner: LinkOwner, numbers: TunnelNumbers, quiet: QuietLog) -> None:
        self.clock = owner.clock
        self.seconds = owner.clock.seconds
        self.settings: Settings = owner.settings
        self.numbers = numbers
        self._room = TunnelRoom(self.settings.tunnel_memory)
        self.memory = self._room.windows
        self.way: Callable[[ILink, Name], ILink | None] = lambda link, name: None
        self._quiet = quiet
        self._tunnels: dict[CarriedTunnel, None] = {}
        self._of_peer: dict[Name, int] = {}
        self._opens: KeyedLimits[Name] = KeyedLimits.of_buckets(
            OPENS_PER_SECOND, MAX_OPENS_AT_ONCE, self.seconds
        )
        self._unexpected: KeyedLimits[Account] = KeyedLimits.of_buckets(
            UNEXPECTED_PER_SECOND, MAX_UNEXPECTED_AT_ONCE, self.seconds
        )
        rate, burst = self._pace()
        self._bucket = TokenBucket(rate, burst, self.seconds)
        self._turns: dict[Account, deque[TunnelHalf]] = {}
        self._timer: IDelayedCall | None = None
        self._busy = self._progressed = False

    def _pace(self) -> tuple[float, float]:
        rate = self.settings.relay_rate
        # room for one chunk at least, else a slow relay would never move
        return rate, max(rate * BURST_SECONDS, CHUNK_BYTES)

    def settings_changed(self) -> None:
        """The settings C{relay_rate} and C{tunnel_memory} may be others."""
        self._bucket.change(*self._pace())
        self._room.change(self.settings.tunnel_memory)

    def __len__(self) -> int:
        return len(self._tunnels)

    def asked(self, link: ILink, message: TunnelOpen) -> None:
        """A peer requests a tunnel to another."""
        name = Name(message.peer)
        far = self.way(link, name)
        account = account_of(link)
        refusal = self._refusal(link, far, account) or self._without_room(account, message.awaited)
        if refusal is not None or far is None:
            reason = TunnelReason.NO_LINK if refusal is None else refusal
            self._quiet.info(
                f"tunnels: {reason.name}",
                "carried no tunnel from {peer} to {other}: {reason}",
                by=link.connection.peer.prefix,
                peer=link.peer,
                other=name,
                reason=reason_text(reason, "this node"),
            )
            link.send(FrameKind.TUNNEL_CLOSED, encode(TunnelClosed(message.number, reason)))
            return
        ends = (link, message.number), (far, self.numbers.new(far))
        tunnel = CarriedTunnel(self, *ends, account, message.awaited)
        self._tunnels[tunnel] = None
        self._room.add(tunnel)
        for side in (tunnel.near, tunnel.far):
            self.numbers.add(side.link, side.number, side)
            self._of_peer[side.link.peer] = self._of_peer.get(side.link.peer, 0) + 1
        tunnel.near.sendable.left = message.credit
        tunnel.far.window.open()
        offer = TunnelOpen(
            tunnel.far.number,
            True,
            link.peer.raw,
            message.proof,
            TUNNEL_WINDOW_BYTES,
            message.awaited,
            seen_at(link),
        )
        far.send(FrameKind.TUNNEL_OPEN, encode(offer))

    def _refusal(self, link: ILink, far: ILink | None, account: Account) -> TunnelReason | None:
        """Why a peer gets no tunnel, the cheapest checks first; C{None} if it gets one."""
        if not self._room.exists or link.path_kind is PathKind.TUNNEL:
            return TunnelReason.NOT_ALLOWED
        # counted before the far link is judged, so that requests for missing links count as well
        if self._unexpected.wait(account[:1]) > 0 or not self._opens.take(link.peer):
            return TunnelReason.TOO_OFTEN
        if far is None or far.path_kind is PathKind.TUNNEL or far.peer == link.peer:
            return TunnelReason.NO_LINK
        return None

    def _without_room(self, account: Account, awaited: bool) -> TunnelReason | None:
        """Close another tunnel if there is no memory for one more; the reason if none may be closed."""
        if self._room.is_full:
            loser = self._room.loser(account, awaited)
            if loser is None:
                return TunnelReason.NO_MEMORY
            loser.close(TunnelReason.NO_MEMORY)
        return None

    def carries_for(self, peer: Name) -> bool:
        """Whether a tunnel with this peer at an end is carried."""
        return peer in self._of_peer

    def stop(self) -> None:
        """Close them all."""
        for tunnel in list(self._tunnels):
            tunnel.close(TunnelReason.LINK_LOST)
        cancel(self._timer)
        self._timer = None
        self._turns.clear()

    def gone(self, tunnel: CarriedTunnel) -> None:
        """Nothing is left of one."""
        if tunnel not in self._tunnels:
            return
        del self._tunnels[tunnel]
        self._room.remove(tunnel)
        for side in (tunnel.near, tunnel.far):
            side.window.close()
            left = self._of_peer.pop(side.link.peer) - 1
            if left:
                self._of_peer[side.link.peer] = left

    def unexpected(self, link: ILink) -> None:
        """The far end did not expect a tunnel that this link's peer has requested."""
        self._unexpected.take(account_of(link)[:1])

    def may_carry(self, near: ILink, far: ILink) -> bool:
        return self.way(near, far.peer) is far

    # Forwarding: each half of a tunnel in its turn, a chunk at a time.

    def has_work(self, side: TunnelHalf) -> None:
        """Something waits in one half of a tunnel, or more of it may go on."""
        if not side.turn and (side.waiting or side.ending is not None):
            side.turn = True
            self._queue(side)
        self._serve()

    def _queue(self, side: TunnelHalf) -> None:
        self._turns.setdefault(side.tunnel.account[:1], deque()).append(side)

    def _look_again(self) -> None:
        self._timer = None
        self._progressed = False
        self._serve()

    def _serve(self) -> None:
        # closing a tunnel from within the loop reports work for its other half: one loop at a time
        if self._busy:
            return
        self._busy = True
        blocked: list[TunnelHalf] = []
        while self._turns and self._bucket.tokens > 0:
            # each network in turn, and in it each half that has something waiting
            part = next(iter(self._turns))
            queue = self._turns.pop(part)
            side = queue.popleft()
            if queue:
                self._turns[part] = queue
            if not side.waiting:
                side.turn = False
                side.tunnel.handed_on(side)
            elif side.other.sendable.left <= 0:
                side.turn = False  # the credit, when it comes, brings it back
            elif side.other.link.queued >= MAX_QUEUED_BYTES:
                blocked.append(side)
            else:
                self._hand_on(side)
                self._progressed = True
                self._queue(side)
        for side in blocked:
            self._queue(side)
        self._busy = False
        if self._turns and self._timer is None:
            # A link writes in the next turn what it was given in this one. If its transport takes no more, or
            # the rate is used up, nothing tells when there is room again.
            writes = self._progressed and bool(blocked)
            self._timer = self.clock.callLater(0.0 if writes else RECHECK_SECONDS, self._look_again)

    def _hand_on(self, side: TunnelHalf) -> None:
        to = side.other
        chunk = side.waiting.popleft()
        room = to.sendable.frame_bytes(CHUNK_BYTES)
        if len(chunk) > room:
            side.waiting.appendleft(chunk[room:])
            chunk = chunk[:room]
        back = to.sendable.spend(len(chunk))
        self._bucket.spend(len(chunk))
        to.link.send(FrameKind.TUNNEL_DATA, data_frame(to.number, chunk))
        if back:
            to.link.send(FrameKind.TUNNEL_CREDIT, encode(TunnelCredit(to.number, back, True)))
        grant = side.window.taken(len(chunk)) if side.there else 0
        if grant:
            side.link.send(FrameKind.TUNNEL_CREDIT, encode(TunnelCredit(side.number, grant, False)))
