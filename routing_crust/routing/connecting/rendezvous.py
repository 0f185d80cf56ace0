"""
Rendezvous: what is dialled for each connection request, plainly and through NATs, and when.

Both ends dial each other plainly as soon as they know each other's addresses, unless both are behind NATs:
such a dial would only spend what may be dialled for strangers. Where plain dials are unlikely to succeed, or
have not succeeded after C{DIAL_STAGGER_SECONDS}, both ends dial each other from their listening ports at the
same time, which opens a way through most NATs: they punch. How simultaneous the two dials are matters, above
all where a router rejects packets that it does not expect. So the requester, which has measured the round
trip, gives the signal: it sends a ConnectGo and begins half a round trip later; the responder begins when the
ConnectGo arrives (as in libp2p's DCUtR). If the ConnectGo is lost, the responder begins by itself, after
C{GO_WAIT_SECONDS}.

Where punching cannot succeed, or has not after C{TUNNEL_DELAY_SECONDS}, the requester makes a tunnel (see
L{routing_crust.routing.connecting.tunnel_opener}). If no relay carries one, and somebody waits for the
link, it tries again until the request ends: relays come back, and others are found.

A link that is up may be lost before both ends have agreed on it: its path may be bad, or a peer that is
besieged may have cut it. The requester begins again then, a few times; the responder still expects it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...crust.interfaces import ILink, Rendezvous
from ...endpoints import Endpoint, is_local_only
from ...errors import RoutingCrustError
from ...limits import DIAL_STAGGER_SECONDS, PUNCH_TIMEOUT_SECONDS
from ...names import Name
from ...timing.shares import OURSELVES, Account
from ...timing.timers import cancel
from ...wire.messages import LinkUse, NatKind
from ..nat_pairs import can_punch, guess_between, plain_is_hopeless, plain_may_do, told_nat
from ..node import Node

TUNNEL_DELAY_SECONDS: Final = 0.3
"""From the beginning of punching to a tunnel, if no link is up by then."""

GO_WAIT_SECONDS: Final = 1.0
"""Seconds by which the responder waits longer for a ConnectGo than the requester does before it sends it."""
TUNNEL_WAIT_SECONDS: Final = 1.0
"""Seconds for which one of two ends that both asked leaves it to the other to make a tunnel."""
MIN_LEAD_SECONDS: Final = 0.2
"""By how much its request must have been answered first for an end not to leave the tunnel to the other."""
TUNNEL_AGAIN_SECONDS: Final = 1.0
"""After all relays have failed, until they are tried again; then twice as long each time."""
UNCONFIRMED_CHECKS: Final = 5
"""Times, C{TUNNEL_DELAY_SECONDS} apart, that a tunnel waits for a link that may still be refused."""
AGAIN_SECONDS: Final = (0.5, 1.0, 2.0)
"""From each loss of a link that was not agreed on until its requester begins again."""
MAX_GO_DELAY_SECONDS: Final = 1.0
"""Seconds that a ConnectGo is assumed to travel at most, however long request and response took."""


@dataclass(slots=True)
class PlannedPunch:
    """
    What is dialled for one request.

    @ivar requester: whether the request is ours.
    @ivar asked_by: on whose account we dial; ourselves if the request is ours.
    @ivar rank: decides which of two crossed requests is preferred; the same at both ends.
    @ivar undo: ends crust's expectation.
    @ivar begun: when we began to dial, in seconds.
    @ivar relays: the nodes that the peer named for a tunnel.
    @ivar guesses: whether both ends guess ports for it, which makes it the preferred one.
    @ivar punch: begins to punch; C{None} before anything is dialled, and once it was called.
    @ivar punching: fires when punching has ended; C{None} until it begins.
    @ivar again: begins from the start.
    @ivar failed_tunnels: how often all relays have failed.
    @ivar losses: how many of its links were lost before both ends agreed on them.
    @ivar next_time: begins again.
    """

    requester: bool
    asked_by: Account
    rank: tuple[LinkUse, Name]
    undo: Callable[[], None]
    punch: Callable[[], None] | None = None
    punching: Deferred[ILink] | None = None
    timer: IDelayedCall | None = None
    dials: tuple[Deferred[ILink], ...] = ()
    relays: tuple[Name, ...] = ()
    begun: float = float("-inf")
    guesses: bool = False
    again: Callable[[], None] | None = None
    failed_tunnels: int = 0
    losses: int = 0
    next_time: IDelayedCall | None = None

    @property
    def preference(self) -> tuple[bool, tuple[LinkUse, Name]]:
        """The greater of two is preferred, at both ends."""
        return self.guesses, self.rank


class PunchSchedule:
    """
    Made at each start, told of requests and responses, discarded after L{stop}. Each attempt ends with
    L{give_up}.
    """

    log = Logger()

    def __init__(
        self,
        node: Node,
        dialled: Callable[[Name, LinkUse], bool],
        linked: Callable[[Name, LinkUse], bool],
        tunnel: Callable[[Name, bytes, tuple[Name, ...], bool], Deferred[ILink]],
        replaceable_tunnel: Callable[[Name], ILink | None] = lambda peer: None,
    ) -> None:
        """
        @param dialled: whether one of us has dialled the other plainly for such a use, so that nothing needs
            to be punched. A link for a lesser use may have come through a hole that is closed by now.
        @param linked: whether a link with this peer makes a tunnel for this use needless.
        @param tunnel: makes a tunnel to this peer, for a request with this nonce, through one of these nodes
            or one of our own choice; the last says whether somebody waits for it.
        @param replaceable_tunnel: the tunnel to this peer that we would guess ports to replace, if any.
        """
        self._replaceable_tunnel = replaceable_tunnel
        self._clock = node.clock
        self._crust = node.crust
        self._own = node.name
        self._dialled = dialled
        self._linked = linked
        self._tunnel = tunnel
        self._all: dict[tuple[Name, bytes], PlannedPunch] = {}

    def __len__(self) -> int:
        return len(self._all)

    def expect(
        self, peer: Name, nonce: bytes, use: LinkUse, requester: bool, asked_by: Account = OURSELVES
    ) -> None:
        """
        From now on connections may arrive for this request.

        @param requester: whether the request is ours.
        @param asked_by: on whose account we dial.
        """
        rank = (use, self._own if requester else peer)
        undo = self._crust.expect(peer, nonce, requester)
        self._all[peer, nonce] = PlannedPunch(requester, asked_by, rank, undo)

    def begin(
        self,
        peer: Name,
        nonce: bytes,
        endpoints: tuple[Endpoint, ...],
        nat: NatKind,
        relays: tuple[Name, ...] = (),
        go: Callable[[], None] | None = None,
        round_trip: float = 0.0,
        guesses: bool = False,
    ) -> None:
        """
        The peer's addresses are known: dial.

        @param nat: what the peer knows of the NAT in front of it.
        @param relays: the nodes that the peer named for a tunnel.
        @param go: sends the ConnectGo; C{None} if we are the responder, which waits for it.
        @param round_trip: how long our request and the response to it took, in seconds.
        @param guesses: whether the peer agrees to guess ports.
        """
        hole_punch = self._all.get((peer, nonce))
        if hole_punch is None:
            return
        hole_punch.begun = self._clock.seconds()
        hole_punch.relays = relays
        hole_punch.again = partial(self.begin, peer, nonce, endpoints, nat, relays, go, round_trip, guesses)
        if not endpoints:
            self._fall_back_to_tunnel(peer, nonce, hole_punch)
            return
        # the addresses in a request are a stranger's; those in a response come from a node that we asked
        asked_by = hole_punch.asked_by
        ours = told_nat(self._crust)
        plainly = self._near(endpoints) if plain_is_hopeless(ours, nat) else endpoints
        if plainly:
            self._dial(hole_punch, peer, self._crust.connect(plainly, peer, nonce, asked_by))
        # two symmetric NATs show each other ports that neither can predict: go to the tunnel at once
        if not can_punch(ours, nat):
            self._fall_back_to_tunnel(peer, nonce, hole_punch)
            return
        # Request and response may have waited in queues on their way, which a ConnectGo need not do.
        half = min(round_trip / 2, MAX_GO_DELAY_SECONDS)
        tunnel = self._replaceable_tunnel(peer) if guesses else None
        guess = None if tunnel is None else guess_between(ours, nat, tunnel)
        hole_punch.guesses = guess is not None

        def punch() -> None:
            if go is not None:
                go()
            rendezvous = Rendezvous(hole_punch.requester, half, guess)
            hole_punch.punching = self._crust.connect(endpoints, peer, nonce, asked_by, rendezvous)
            self._dial(hole_punch, peer, hole_punch.punching)
            hole_punch.timer = self._clock.callLater(
                TUNNEL_DELAY_SECONDS, self._fall_back_to_tunnel, peer, nonce, hole_punch
            )

        hole_punch.punch = punch
        after = DIAL_STAGGER_SECONDS if plain_may_do(ours, nat) else 0.0
        if go is None:
            # normally the ConnectGo begins it; this timer is for one that is lost
            after += GO_WAIT_SECONDS
        if after:
            hole_punch.timer = self._clock.callLater(after, self._punch, peer, nonce, hole_punch)
        else:
            self._punch(peer, nonce, hole_punch)

    def go(self, peer: Name, nonce: bytes) -> None:
        """The requester begins to punch: so do we."""
        hole_punch = self._all.get((peer, nonce))
        if hole_punch is not None and not hole_punch.requester:
            self._punch(peer, nonce, hole_punch)

    def link_lost(self, peer: Name, nonce: bytes) -> None:
        """A link for this request was lost before both ends agreed on it, and nobody has said why."""
        hole_punch = self._all.get((peer, nonce))
        if hole_punch is None or not hole_punch.requester or hole_punch.losses >= len(AGAIN_SECONDS):
            return
        cancel(hole_punch.next_time)
        wait = AGAIN_SECONDS[hole_punch.losses]
        hole_punch.losses += 1
        # beside the other timer: where each link is lost, the tunnel must not come later
        hole_punch.next_time = self._clock.callLater(wait, self._begin_again, peer, hole_punch)

    def guesses(self, peer: Name, nonce: bytes) -> bool:
        """Whether ports are being guessed for this request."""
        hole_punch = self._all.get((peer, nonce))
        if hole_punch is None or not hole_punch.guesses:
            return False
        return self._clock.seconds() < hole_punch.begun + GO_WAIT_SECONDS + PUNCH_TIMEOUT_SECONDS

    def give_up(self, peer: Name, nonce: bytes) -> None:
        """Stop the dials for a request, and expect no more connections. Without effect if it is unknown."""
        hole_punch = self._all.pop((peer, nonce), None)
        if hole_punch is None:
            return
        cancel(hole_punch.timer)
        cancel(hole_punch.next_time)
        for dial in hole_punch.dials:
            dial.cancel()
        hole_punch.undo()

    def stop(self) -> None:
        """Give up all requests."""
        for key in list(self._all):
            self.give_up(*key)

    def _begin_again(self, peer: Name, hole_punch: PlannedPunch) -> None:
        # another link may be there, or have been agreed on
        if hole_punch.again is not None and not self._dialled(peer, hole_punch.rank[0]):
            cancel(hole_punch.timer)
            hole_punch.again()

    def _punch(self, peer: Name, nonce: bytes, hole_punch: PlannedPunch) -> None:
        punch = hole_punch.punch
        cancel(hole_punch.timer)
        # what is dialled may be lost, and a later ConnectGo leads here again
        if punch is None or self._dialled(peer, hole_punch.rank[0]):
            return
        # cleared before it begins: the timer and a late ConnectGo may both lead here
        hole_punch.punch = None
        if self._rivals(peer, hole_punch):
            # the other request punches for both; a tunnel is still ours to make if that fails
            hole_punch.timer = self._clock.callLater(
                TUNNEL_DELAY_SECONDS, self._fall_back_to_tunnel, peer, nonce, hole_punch
            )
        else:
            # the other end leaves them to this one as well, and our dials would only meet those that it has
            for each in self._between(peer):
                if each.punching is not None and each.preference < hole_punch.preference:
                    each.punching.cancel()
            punch()

    def _fall_back_to_tunnel(self, peer: Name, nonce: bytes, hole_punch: PlannedPunch) -> None:
        """
        All else has failed, or cannot succeed. The requester chooses the relay. If both ends have
        asked for the same use, the end with the preferred request goes first, and the other waits for
        C{TUNNEL_WAIT_SECONDS}, unless its own request was answered C{MIN_LEAD_SECONDS} earlier. A
        stream does not wait for a table's tunnel, which may find no room in it.
        """
        latest = hole_punch.begun + MIN_LEAD_SECONDS
        rivals = (
            each
            for each in self._rivals(peer, hole_punch)
            if each.rank[0] == hole_punch.rank[0] and each.begun < latest
        )
        if hole_punch.requester and any(rivals):
            hole_punch.timer = self._clock.callLater(
                TUNNEL_WAIT_SECONDS, self._tunnel_now, peer, nonce, hole_punch
            )
        elif hole_punch.requester:
            self._tunnel_now(peer, nonce, hole_punch)

    def _tunnel_now(
        self, peer: Name, nonce: bytes, hole_punch: PlannedPunch, checks: int = UNCONFIRMED_CHECKS
    ) -> None:
        if self._linked(peer, hole_punch.rank[0]):
            # a link of the other's request may still be refused, and this one be agreed on
            if checks:
                hole_punch.timer = self._clock.callLater(
                    TUNNEL_DELAY_SECONDS, self._tunnel_now, peer, nonce, hole_punch, checks - 1
                )
        else:
            awaited = hole_punch.rank[0] is LinkUse.DIRECT
            tunnel = self._tunnel(peer, nonce, hole_punch.relays, awaited)
            if awaited:
                tunnel.addErrback(self._tunnel_failed, peer, nonce, hole_punch)
            self._dial(hole_punch, peer, tunnel)

    def _tunnel_failed(self, failure: Failure, peer: Name, nonce: bytes, hole_punch: PlannedPunch) -> Failure:
        # one that was cancelled belongs to a request that is not in here any more
        if self._all.get((peer, nonce)) is hole_punch:
            cancel(hole_punch.timer)
            wait = TUNNEL_AGAIN_SECONDS * 2**hole_punch.failed_tunnels
            hole_punch.failed_tunnels += 1
            hole_punch.timer = self._clock.callLater(wait, self._tunnel_now, peer, nonce, hole_punch)
        return failure

    def _between(self, peer: Name) -> list[PlannedPunch]:
        """All requests between the two ends."""
        return [each for (name, _), each in self._all.items() if name == peer]

    def _rivals(self, peer: Name, hole_punch: PlannedPunch) -> list[PlannedPunch]:
        """Other requests between the two ends that are preferred: the same ports serve one only."""
        # punching that began earlier has ended, and its ports are free
        since = self._clock.seconds() - PUNCH_TIMEOUT_SECONDS
        preferred = (each for each in self._between(peer) if each.preference > hole_punch.preference)
        return [each for each in preferred if each.begun > since]

    def _near(self, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        """
        The endpoints of a peer that are worth a plain dial though both ends are behind NATs: in a network
        that we share, through our own NAT, or of a family in which we cannot punch.
        """
        own = self._crust.candidates
        hosts, families = {each.host for each in own}, {each.is_v6 for each in own}
        return tuple(
            each
            for each in endpoints
            if is_local_only(each) or each.host in hosts or each.is_v6 not in families
        )

    def _dial(self, hole_punch: PlannedPunch, peer: Name, dial: Deferred[ILink]) -> None:
        hole_punch.dials = (*hole_punch.dials, dial)
        dial.addErrback(self._failed, peer)

    def _failed(self, failure: Failure, peer: Name) -> None:
        failure.trap(RoutingCrustError, CancelledError)
        self.log.debug("dialling {peer}: {reason}", peer=peer, reason=failure.getErrorMessage())
