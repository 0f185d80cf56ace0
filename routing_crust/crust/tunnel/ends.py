"""
The ends of tunnels: links of this node that go through another one.

The opener of a tunnel sends a TUNNEL_OPEN to the relay, which sends one on to the peer. The peer
answers with a TUNNEL_OPENED if it expects the rendezvous that the opener proves to know, which comes back to
the opener; then both do TLS, the requester of the rendezvous as its client. When three quarters of its
lifetime are over, the opener renews the tunnel with another TUNNEL_OPEN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ...endpoints import Connection, Direction, PathKind
from ...endpoints import Protocol as TransportProtocol
from ...errors import CloseReason, ConnectFailed, LinkClosed, WireError
from ...names import Name
from ...timing.timers import cancel
from ...wire.codec import encode
from ...wire.framing import FrameKind
from ...wire.tunnels import TunnelClosed, TunnelCredit, TunnelOpen, TunnelOpened, TunnelReason
from ..interfaces import ILink, account_of
from ..link.factories import link_of
from ..link.link import Link
from ..link.owner import LinkOwner
from ..link.plan import LinkPlan
from ..link.preface import Preface
from ..link.tls import LinkTls
from ..punch.meeting import Meeting
from .numbers import TUNNEL_LIFETIME_SECONDS, TunnelNumbers
from .transport import TunnelTransport, reason_text
from .windows import TUNNEL_WINDOW_BYTES, ReceiveWindow, WindowMemory

MAX_UNFINISHED_TUNNELS: Final = 4
"""Upper bound of tunnels of one rendezvous that have no link yet."""
MAX_END_WINDOWS_BYTES: Final = 32 * 1024 * 1024
"""What the windows of all tunnels that end at a node may take together beyond their first sizes."""
RENEWAL_SHARE: Final = 0.75
"""Share of a tunnel's lifetime after which more is requested."""
ADDRESS_BYTES: Final = (4, 16)
"""The lengths of an IPv4 and of an IPv6 address."""
MIN_RENEWAL_SECONDS: Final = 10.0
"""Seconds between two renewals, at least, even if the relay grants a shorter lifetime."""


class TunnelEnd:
    """
    One end of one tunnel, and the maker of its link. Behind its number it is a
    L{Leg<routing_crust.crust.tunnel.transport.Leg>}.

    @ivar plan: what is settled about the link.
    @ivar up: fires with the link once it is up and kept; fails with L{ConnectFailed}.
    @ivar unfinished: whether neither has happened yet.
    """

    def __init__(
        self,
        ends: TunnelEnds,
        relay: ILink,
        number: int,
        direction: Direction,
        rendezvous: Meeting | _OwnRendezvous,
    ) -> None:
        below = relay.connection
        self.plan = LinkPlan(
            direction,
            rendezvous.requester,
            rendezvous.peer,
            token=rendezvous.token,
            path_kind=PathKind.TUNNEL,
            tunnel=Connection(TransportProtocol.TUNNEL, below.peer, below.local, number),
            via=relay.peer,
        )
        self.up: Deferred[ILink] = Deferred(self._cancelled)
        self.unfinished = True
        self._owner = ends.owner
        self._ends = ends
        self._relay = relay
        self._number = number
        self._timer: IDelayedCall | None = None
        self._transport: TunnelTransport | None = None
        self._link: Link | None = None
        self._open: TunnelOpen | None = None
        self._is_cancelled = False

    # Beginning: requested by us, or offered to us.

    def request(self, message: TunnelOpen) -> None:
        """Request it from the relay."""
        self._open = message
        self._timer = self._owner.clock.callLater(self._owner.settings.hello_timeout, self._no_answer)
        self._relay.send(FrameKind.TUNNEL_OPEN, encode(message))

    def begin(self, credit: int, seen: bytes) -> None:
        """
        The tunnel is open: begin TLS in it.

        @param seen: the address at which the relay sees the peer, if it says so.
        """
        if len(seen) in ADDRESS_BYTES:
            self.plan = replace(self.plan, seen_at=str(ip_address(seen)))
        made = link_of(self._owner)
        made.addCallbacks(self._link_up, self._link_failed)
        self._link = Link(self._owner, self.plan, made)
        self._transport = TunnelTransport(
            self._owner.clock,
            self._relay,
            self._number,
            ReceiveWindow(self._ends.memory, account_of(self._relay), self._owner.clock.seconds),
            self._forget,
            self._finished,
        )
        secured = self._ends.tls.wrap(self.plan, self._owner).around(self._link)
        self._transport.start(secured, credit)

    def abort(self, reason: CloseReason = CloseReason.NO_LONGER_NEEDED) -> None:
        """End it at once."""
        if self._link is not None:
            self._link.abort(reason)
        else:
            self._refused(LinkClosed(reason), tell=True)

    # Frames that come: the methods of Leg.

    def opened(self, message: TunnelOpened) -> None:
        """The tunnel is open, or renewed."""
        if self._open is None:
            raise WireError("a tunnel that was offered to us was said to be open")
        self._stop_waiting()
        # the relay chooses the lifetime: a tiny one must not make us flood it
        wait = max(MIN_RENEWAL_SECONDS, message.lifetime * RENEWAL_SHARE)
        self._timer = self._owner.clock.callLater(wait, self._renew)
        if self._link is None:
            self.begin(message.credit, message.seen)

    def again(self, message: TunnelOpen) -> None:
        """The same tunnel is offered twice."""
        raise WireError("a tunnel was offered under the number of another")

    def data(self, chunk: bytes) -> None:
        """Some bytes of the TLS connection."""
        if self._transport is None or not self._transport.received(chunk):
            self.abort(CloseReason.PROTOCOL_ERROR)

    def credit(self, message: TunnelCredit) -> None:
        """More may be sent, or the relay gives credit back."""
        if self._transport is None:
            return
        if not message.returned:
            self._transport.add_credit(message.amount)
        elif not self._transport.take_back(message.amount):
            self.abort(CloseReason.PROTOCOL_ERROR)

    def closed(self, reason: TunnelReason) -> None:
        """It is closed, or was never opened."""
        self._forget()
        problem = reason_text(reason, f"node {self._relay.peer.short}")
        # a tunnel that made room is no fault of the relay, and must not be asked for again at once
        ended = reason is not TunnelReason.NO_MEMORY
        why = CloseReason.TUNNEL_ENDED if ended else CloseReason.TOO_MANY_LINKS
        self._lost(ConnectionDone() if reason is TunnelReason.CLOSED else None, problem, why)

    def link_lost(self) -> None:
        """The link to the relay is gone."""
        self._forget()
        self._lost(None, "the link to the relay was lost")

    def _lost(
        self,
        cleanly: ConnectionDone | None,
        problem: str,
        why: CloseReason = CloseReason.TUNNEL_ENDED,
    ) -> None:
        if self._transport is None or self._link is None:
            self._refused(LinkClosed(CloseReason.CONNECTION_LOST, problem), tell=False)
            return
        self._transport.lost(Failure(cleanly or ConnectionLost(problem)))
        if cleanly is None:
            # TLS would report a lost connection without this reason
            self._link.abort(why, problem)

    # The rest.

    def _link_up(self, link: Link) -> None:
        self.unfinished = False
        refusal = self._ends.refusal_of(link)
        self._fire(link if refusal is None else self._failure(refusal))

    def _link_failed(self, failure: Failure) -> None:
        """The TLS handshake failed."""
        self.unfinished = False
        assert isinstance(failure.value, LinkClosed)
        self._fire(self._failure(failure.value))

    def _failure(self, reason: LinkClosed) -> Failure:
        return Failure(ConnectFailed(((f"a tunnel through {self.plan.via}", str(reason)),)))

    def _cancelled(self, up: Deferred[ILink]) -> None:
        self._is_cancelled = True
        self.abort()

    def _fire(self, outcome: ILink | Failure) -> None:
        if not self.up.called and not self._is_cancelled:
            self.up.callback(outcome)  # a failure goes to the errbacks

    def _renew(self) -> None:
        self._timer = self._owner.clock.callLater(self._owner.settings.hello_timeout, self._no_answer)
        assert self._open is not None
        self._relay.send(FrameKind.TUNNEL_OPEN, encode(self._open))

    def _no_answer(self) -> None:
        """A request was not answered in time; a tunnel that is open stays until the relay closes it."""
        self._timer = None
        if self._link is None:
            reason = LinkClosed(CloseReason.CONNECTION_LOST, "the relay did not answer")
            self._refused(reason, tell=True)

    def _refused(self, reason: LinkClosed, tell: bool) -> None:
        """End a tunnel that never had a connection."""
        if not self.unfinished:
            return
        self.unfinished = False
        if tell:
            closed = TunnelClosed(self._number, TunnelReason.CLOSED)
            self._relay.send(FrameKind.TUNNEL_CLOSED, encode(closed))
        self._forget()
        self._fire(self._failure(reason))
        self._finished()

    def _forget(self) -> None:
        """The number means nothing any more."""
        self._stop_waiting()
        self._ends.numbers.remove(self._relay, self._number)

    def _stop_waiting(self) -> None:
        cancel(self._timer)
        self._timer = None

    def _finished(self) -> None:
        self._ends.finished(self)


@dataclass(frozen=True, slots=True)
class _OwnRendezvous:
    """The rendezvous of a tunnel, at the end that opens it."""

    peer: Name
    token: bytes
    requester: bool


class TunnelEnds:
    """
    All tunnels that end at this node. Made by L{routing_crust.crust.tunnel.dispatch.TunnelDispatch}.

    @ivar owner: who owns the links.
    @ivar memory: what their windows take.
    """

    def __init__(
        self,
        owner: LinkOwner,
        tls: LinkTls,
        numbers: TunnelNumbers,
        meeting_of: Callable[[bytes], Meeting | None],
        refusal_of: Callable[[ILink], LinkClosed | None],
        gone: Callable[[], None],
    ) -> None:
        """
        @param meeting_of: finds the rendezvous that a proof belongs to, if it is expected.
        @param refusal_of: why the owner has not kept a link that came up; C{None} if it has.
        @param gone: called each time a tunnel is completely gone.
        """
        self.owner = owner
        self.tls = tls
        self.numbers = numbers
        self.memory = WindowMemory(MAX_END_WINDOWS_BYTES)
        self.refusal_of = refusal_of
        self._meeting_of = meeting_of
        self._gone = gone
        self._ends: dict[TunnelEnd, None] = {}

    def __len__(self) -> int:
        return len(self._ends)

    def open(self, relay: ILink, peer: Name, token: bytes, requester: bool, awaited: bool) -> Deferred[ILink]:
        """Request a tunnel from the relay."""
        number = self.numbers.new(relay)
        end = TunnelEnd(self, relay, number, Direction.CONNECTED, _OwnRendezvous(peer, token, requester))
        self._add(relay, number, end)
        proof = Preface.of(token, requester, False).proof
        end.request(TunnelOpen(number, False, peer.raw, proof, TUNNEL_WINDOW_BYTES, awaited))
        return end.up

    def offered(self, relay: ILink, message: TunnelOpen) -> None:
        """Accept a tunnel that a relay offers, if its rendezvous is expected."""
        meeting = self._meeting_of(message.proof)
        if meeting is None or meeting.peer.raw != message.peer or relay.path_kind is PathKind.TUNNEL:
            self._refuse(relay, message, TunnelReason.NOT_EXPECTED)
            return
        # each offer costs a TLS session before the peer has proven anything
        unfinished = sum(each.unfinished and each.plan.token == meeting.token for each in self._ends)
        if unfinished >= MAX_UNFINISHED_TUNNELS:
            self._refuse(relay, message, TunnelReason.TOO_MANY)
            return
        end = TunnelEnd(self, relay, message.number, Direction.ACCEPTED, meeting)
        # no caller waits for an offered tunnel: the owner hears of its link by link_up
        end.up.addErrback(lambda _: None)
        self._add(relay, message.number, end)
        # the answer goes first: the opener takes data that comes before it for a breach
        opened = TunnelOpened(message.number, TUNNEL_WINDOW_BYTES, TUNNEL_LIFETIME_SECONDS)
        relay.send(FrameKind.TUNNEL_OPENED, encode(opened))
        end.begin(message.credit, message.seen)

    def stop(self) -> None:
        """Cut what is not a link yet. The links are the owner's to close."""
        for end in [each for each in self._ends if each.unfinished]:
            end.abort(CloseReason.STOPPING)

    def finished(self, end: TunnelEnd) -> None:
        """Nothing is left of it."""
        if self._ends.pop(end, self) is not self:
            self._gone()

    def _add(self, relay: ILink, number: int, end: TunnelEnd) -> None:
        self._ends[end] = None
        self.numbers.add(relay, number, end)

    @staticmethod
    def _refuse(relay: ILink, message: TunnelOpen, reason: TunnelReason) -> None:
        relay.send(FrameKind.TUNNEL_CLOSED, encode(TunnelClosed(message.number, reason)))
