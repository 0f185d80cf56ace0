"""
Rendezvous: what is dialled for each request for a connection, plainly and through NATs, and when.

Both ends dial each other plainly as soon as they know each other's addresses. Where that is not likely to
do, or has not done after C{dial_stagger}, both dial each other from their listening ports at once, which
opens a way through most NATs. How close the two are matters, most of all where a router rejects what it
does not expect. So the requester, who has measured how long the way there and back takes, says when: it
sends a ConnectGo and waits for half of that time, and the responder begins when the ConnectGo comes (as in
libp2p's DCUtR). Should it get lost, the responder begins a second later by itself.

Where punching cannot help, or has not after C{tunnel_after}, the requester makes a tunnel (see
L{routing_crust.routing.connecting.tunnel_manager}).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...config import Settings
from ...crust.interfaces import ICrust, ILink, Rendezvous
from ...endpoints import Endpoint
from ...errors import RoutingCrustError
from ...names import Name
from ...timing.timers import cancel
from ...wire.messages import LinkUse, NatKind
from ..nat_pairs import can_punch, plain_may_do

GO_WAIT: Final = 1.0
"""Seconds for which the responder waits longer for a ConnectGo than the requester does before it sends it."""
TUNNEL_WAIT: Final = 1.0
"""Seconds that the requester of one of two crossed requests leaves to that of the other to make a tunnel."""
LONGEST_WAY: Final = 1.0
"""Seconds: a ConnectGo is not taken to be longer on its way, whatever the first two messages took."""


@dataclass(slots=True)
class HolePunch:
    """
    What is done about one request.

    @ivar rank: by which one of two crossed requests goes before the other; the same at both ends.
    @ivar undo: ends the expectation.
    @ivar begun: when it was begun to dial.
    @ivar relays: who may be in the middle of a tunnel, as the peer says.
    @ivar punch: begins to punch; C{None} before anything is dialled, and once it was called.
    """

    requester: bool
    rank: tuple[LinkUse, Name]
    undo: Callable[[], None]
    punch: Callable[[], None] | None = None
    timer: IDelayedCall | None = None
    dials: tuple[Deferred[ILink], ...] = ()
    relays: tuple[Name, ...] = ()
    begun: float = float("-inf")


class HolePunches:
    """
    Made by the connector, told of requests and responses, discarded after L{stop}. Each attempt ends with
    L{give_up}.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        clock: IReactorTime,
        crust: ICrust,
        own: Name,
        dialled: Callable[[Name, LinkUse], bool],
        linked: Callable[[Name, LinkUse], bool],
        tunnel: Callable[[Name, bytes, tuple[Name, ...]], Deferred[ILink]],
    ) -> None:
        """
        @param dialled: whether there is a plain link with this peer for such a use, so that nothing has to be
            punched. One for a lesser use may have come through a hole that is closed by now.
        @param linked: whether there is a link with this peer that makes a tunnel for this use needless.
        @param tunnel: makes a tunnel to this peer, for a request with this nonce, through one of these nodes
            or of our own.
        """
        self._settings = settings
        self._clock = clock
        self._crust = crust
        self._own = own
        self._dialled = dialled
        self._linked = linked
        self._tunnel = tunnel
        self._all: dict[tuple[Name, bytes], HolePunch] = {}

    def __len__(self) -> int:
        return len(self._all)

    def expect(self, peer: Name, nonce: bytes, use: LinkUse, requester: bool) -> None:
        """
        From now on connections may come for this request.

        @param requester: whether it is ours.
        """
        rank = (use, self._own if requester else peer)
        undo = self._crust.expect(peer, nonce, requester)
        self._all[peer, nonce] = HolePunch(requester, rank, undo)

    def begin(
        self,
        peer: Name,
        nonce: bytes,
        endpoints: tuple[Endpoint, ...],
        nat: NatKind,
        relays: tuple[Name, ...] = (),
        go: Callable[[], None] | None = None,
        round_trip: float = 0.0,
    ) -> None:
        """
        The peer's addresses are known: dial.

        @param nat: what the peer knows of the NAT in front of it.
        @param relays: the nodes that the peer has named for a tunnel.
        @param go: sends the ConnectGo; C{None} if we are the responder, who waits for it.
        @param round_trip: how long our request and the response to it took, in seconds.
        """
        hole_punch = self._all.get((peer, nonce))
        if hole_punch is None:
            return
        hole_punch.begun = self._clock.seconds()
        hole_punch.relays = relays
        if not endpoints:
            self._resort_to_a_tunnel(peer, nonce, hole_punch)
            return
        # a request came from a stranger, a response from somebody whom we asked
        strange = not hole_punch.requester
        self._dial(hole_punch, peer, self._crust.connect(endpoints, peer, nonce, strange))
        if not can_punch(self._crust.nat, nat):
            self._resort_to_a_tunnel(peer, nonce, hole_punch)
            return
        half = min(round_trip / 2, LONGEST_WAY)

        def punch() -> None:
            if go is not None:
                go()
            rendezvous = Rendezvous(hole_punch.requester, half)
            self._dial(hole_punch, peer, self._crust.connect(endpoints, peer, nonce, strange, rendezvous))
            hole_punch.timer = self._clock.callLater(
                self._settings.tunnel_after, self._resort_to_a_tunnel, peer, nonce, hole_punch
            )

        hole_punch.punch = punch
        after = self._settings.dial_stagger if plain_may_do(self._crust.nat, nat) else 0.0
        if go is None:
            after += GO_WAIT
        if after:
            hole_punch.timer = self._clock.callLater(after, self._punch, peer, nonce, hole_punch)
        else:
            self._punch(peer, nonce, hole_punch)

    def go(self, peer: Name, nonce: bytes) -> None:
        """The requester begins: so do we."""
        hole_punch = self._all.get((peer, nonce))
        if hole_punch is not None and not hole_punch.requester:
            self._punch(peer, nonce, hole_punch)

    def give_up(self, peer: Name, nonce: bytes) -> None:
        """Dial no more, and expect no more. Without effect for what is not known."""
        hole_punch = self._all.pop((peer, nonce), None)
        if hole_punch is None:
            return
        cancel(hole_punch.timer)
        for dial in hole_punch.dials:
            dial.cancel()
        hole_punch.undo()

    def stop(self) -> None:
        """Give up everything."""
        for key in list(self._all):
            self.give_up(*key)

    def _punch(self, peer: Name, nonce: bytes, hole_punch: HolePunch) -> None:
        punch, hole_punch.punch = hole_punch.punch, None
        cancel(hole_punch.timer)
        if punch is None or self._dialled(peer, hole_punch.rank[0]):
            return
        if self._goes_behind(peer, hole_punch):
            hole_punch.timer = self._clock.callLater(
                self._settings.tunnel_after, self._resort_to_a_tunnel, peer, nonce, hole_punch
            )
        else:
            punch()

    def _resort_to_a_tunnel(self, peer: Name, nonce: bytes, hole_punch: HolePunch) -> None:
        """
        Nothing else has worked, or can. It is for the requester to choose who is in the middle. If both have
        asked, the one whose request goes before the other's has a second to do so.
        """
        if hole_punch.requester and self._goes_behind(peer, hole_punch):
            hole_punch.timer = self._clock.callLater(TUNNEL_WAIT, self._tunnel_now, peer, nonce, hole_punch)
        elif hole_punch.requester:
            self._tunnel_now(peer, nonce, hole_punch)

    def _tunnel_now(self, peer: Name, nonce: bytes, hole_punch: HolePunch) -> None:
        if not self._linked(peer, hole_punch.rank[0]):
            self._dial(hole_punch, peer, self._tunnel(peer, nonce, hole_punch.relays))

    def _goes_behind(self, peer: Name, hole_punch: HolePunch) -> bool:
        """Both ends have asked, and cannot punch twice on the same ports: which request goes first?"""
        since = self._clock.seconds() - self._settings.punch_timeout
        others = (each for (name, _), each in self._all.items() if name == peer and each.begun > since)
        return any(each.rank > hole_punch.rank for each in others)

    def _dial(self, hole_punch: HolePunch, peer: Name, dial: Deferred[ILink]) -> None:
        hole_punch.dials = (*hole_punch.dials, dial)
        dial.addErrback(self._failed, peer)

    def _failed(self, failure: Failure, peer: Name) -> None:
        failure.trap(RoutingCrustError, CancelledError)
        self.log.debug("dialling {peer}: {reason}", peer=peer, reason=failure.getErrorMessage())
