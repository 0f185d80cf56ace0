"""
The crust of a node on the simulated internet: what it knows of how it looks from outside is found out as for
real, by L{ExternalAddresses}, from what its peers say and from who can dial it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail

from ...config import Settings
from ...crust.admission import StrangerBudget
from ...crust.dial.ranking import rank
from ...crust.interfaces import ILink, Rendezvous
from ...crust.netstate.external_addresses import ExternalAddresses
from ...crust.netstate.host import HostAddress
from ...crust.reachability import OwnEndpoint, Reachability
from ...endpoints import Direction, Endpoint, refusal_to_dial
from ...errors import CloseReason, ConnectFailed, LimitReached, LinkClosed, ServiceStopped
from ...identity import Identity
from ...names import Name
from .crust import MemoryCrust
from .dialling import Attempt, Dial
from .internet import Arrival
from .links import MemoryLink
from .punching import Meeting, Punch

if TYPE_CHECKING:
    from .network import MemoryNetwork


class Probe(Dial):
    """A dial that is for finding out whether somebody can be dialled; no link comes of it."""


class InternetCrust(MemoryCrust):
    """
    See L{MemoryCrust}. Mapped ports are not part of it.

    @ivar budget: what strangers may have us dial.
    """

    def __init__(
        self, network: MemoryNetwork, settings: Settings, identity: Identity, endpoint: Endpoint, **rest: Any
    ) -> None:
        """
        @param endpoint: where it listens; the network's internet must know the host.
        """
        assert network.internet is not None
        self._internet = network.internet
        link_network = network.internet.network_of(endpoint.host)
        super().__init__(network, settings, identity, (endpoint,), (link_network,), **rest)
        self._address = HostAddress("eth0", 1, ip_address(endpoint.host), link_network)
        self._view = ExternalAddresses(
            settings,
            self.clock.seconds,
            lambda endpoints: self.soon(partial(self._events.external_endpoints, endpoints)),
            lambda now: self.soon(partial(self._events.reachability_changed, now)),
        )
        self.budget = StrangerBudget(settings, self.clock.seconds)
        self._meetings: dict[tuple[Name, bytes], Meeting] = {}
        self._probed: dict[MemoryLink, None] = {}
        self.endpoints = ()

    # What it knows of itself.

    @property
    def candidates(self) -> tuple[Endpoint, ...]:
        """See L{ICrust}."""
        return self._view.candidates.asked

    @property
    def sources(self) -> tuple[OwnEndpoint, ...]:
        """See L{ICrust}."""
        return self._view.candidates.known

    @property
    def reachability(self) -> Reachability:
        """See L{ICrust}."""
        return self._view.reachability

    def observed(self, link: ILink, endpoint: Endpoint) -> None:
        """See L{ICrust.observed}."""
        self._view.observed(link, endpoint)
        self._look_outside()

    def may_observe(self, endpoint: Endpoint) -> bool:
        """See L{ICrust.may_observe}."""
        return self._view.may_observe(endpoint)

    def not_reached(self, by: Name) -> None:
        """See L{ICrust.not_reached}."""
        self._view.not_reached(by)
        self._look_outside()

    def _look_outside(self) -> None:
        self.endpoints = self._view.candidates.endpoints
        self.outside = self._view.outside
        self.nat = self._view.reachability.nat

    def _tell_where(self) -> None:
        self._view.reset()
        self._view.host(self.listening, (self._address,))
        self._look_outside()

    # Dialling.

    def packet(self, source: Endpoint, remote: Endpoint) -> Arrival | None:
        """Send one; see L{Internet.send<routing_crust.testing.memory.internet.Internet.send>}."""
        return self._internet.send(source, remote)

    def told_of_dial(self, endpoint: Endpoint) -> None:
        """Something is dialled, so whoever is there may get in."""
        self._view.dialled(endpoint)

    def dialling(self, attempt: Attempt) -> None:
        """See L{MemoryCrust.dialling}. Without a token it is dialled from where we listen, so that we hear
        how our NAT maps that, unless there is a connection between these two ports."""
        plain = not attempt.dial.token and not isinstance(attempt.dial, Probe)
        origin = self.listening[0] if plain and self.listening else None
        if origin is None or any(self._is_between(each, origin, attempt.endpoint) for each in self._links):
            origin = self.network.new_port(self)
        attempt.origin = origin
        self._view.dialled(attempt.endpoint)
        self.packet(origin, attempt.endpoint)

    @staticmethod
    def _is_between(link: MemoryLink, local: Endpoint, remote: Endpoint) -> bool:
        return link.connection.local == local and link.connection.peer == remote and not link.legs

    def answer(self, attempt: Attempt) -> MemoryCrust | str | None:
        """See L{MemoryCrust.answer}."""
        assert attempt.origin is not None
        attempt.arrival = self.packet(attempt.origin, attempt.endpoint)
        if attempt.arrival is None:
            return None
        return self.network.answer(self, attempt.arrival.endpoint, attempt.arrival.source.host)

    def _affordable(self, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
        limits = [self._spend(each) for each in endpoints]
        refused = [limit for limit in limits if limit is not None]
        if refused and len(refused) == len(limits):
            raise refused[0]
        return [each for each, limit in zip(endpoints, limits, strict=True) if limit is None]

    def _spend(self, endpoint: Endpoint) -> LimitReached | None:
        try:
            self.budget.spend(endpoint)
        except LimitReached as limit:
            return limit
        return None

    def connect(
        self,
        endpoints: Sequence[Endpoint],
        peer: Name | None,
        token: bytes,
        from_stranger: bool,
        rendezvous: Rendezvous | None = None,
    ) -> Deferred[ILink]:
        """See L{ICrust.connect}."""
        ranked = rank(endpoints, self.on_link_networks)
        if rendezvous is None or peer is None or not self.running:
            return super().connect(ranked, peer, token, from_stranger)
        meeting = self._meeting(peer, token, rendezvous.requester)
        if meeting.punch is None:
            meeting.punch = Punch(self, meeting, ranked, from_stranger, rendezvous)
        waiter = meeting.punch.wait()
        if meeting.link is not None and meeting.link.up:
            meeting.punch.fire(meeting.link)
        return waiter

    # Rendezvous.

    def expect(self, peer: Name, token: bytes, requester: bool) -> Callable[[], None]:
        """See L{ICrust.expect}."""
        forget = super().expect(peer, token, requester)
        meeting = self._meeting(peer, token, requester)
        meeting.holders += 1
        held = [meeting]

        def undo() -> None:
            if held:
                held.pop().holders -= 1
                forget()
                self.look_at_meeting(meeting)

        return undo

    def meeting_of(self, peer: Name, token: bytes) -> Meeting | None:
        """Which rendezvous a peer means, if we know it."""
        return self._meetings.get((peer, token)) if self.running else None

    def look_at_meeting(self, meeting: Meeting) -> None:
        """Forget it if nobody wants anything of it, and cut what is not a link yet."""
        if not meeting.holders and meeting.punch is None:
            if self._meetings.pop((meeting.peer, meeting.token), None) is not None:
                if meeting.link is not None and not meeting.link.up:
                    meeting.link.abort(CloseReason.NO_LONGER_NEEDED)

    def _meeting(self, peer: Name, token: bytes, requester: bool) -> Meeting:
        return self._meetings.setdefault((peer, token), Meeting(peer, token, requester))

    # Dialling back.

    def dial_back(self, endpoints: Sequence[Endpoint], peer: Name) -> Deferred[Endpoint]:
        """See L{ICrust.dial_back}."""
        if not self.running:
            return fail(ServiceStopped())
        private = self.settings.private_dialling
        for each in endpoints:
            refusal = refusal_to_dial(each, private, self.endpoints, self.on_link_networks)
            if refusal is None and not self._view.is_outside(each):
                refusal = "it is in a network of ours"
            if refusal is not None:
                problem = f"{each} is not dialled: {refusal}"
                return fail(LimitReached(problem, "private_dialling", 0))
        try:
            self._check_limits(peer)
            allowed = self._affordable(endpoints)
        except LimitReached as limit:
            return fail(limit)
        if not allowed:
            return fail(ConnectFailed(()))
        probe = Probe(self, allowed, peer, b"", False, self._settled)
        self._dials.append(probe)
        return probe.wait().addCallback(lambda link: link.connection.peer)

    # What links tell.

    def link_up(self, link: MemoryLink) -> None:
        """See L{MemoryCrust.link_up}."""
        attempt = self._attempts.get(link)
        if attempt is not None and isinstance(attempt.dial, Probe):
            del self._attempts[link]
            self._probed[link] = None
            attempt.dial.won(attempt)
            link.close(CloseReason.NO_LONGER_NEEDED)
            attempt.dial.fire()
            return
        self._view.link_up(link)
        self._look_outside()
        meeting = self._meetings.get((link.peer, link.token))
        if meeting is None or meeting.link is not link:
            super().link_up(link)
            return
        accepted = link.direction is Direction.ACCEPTED
        (self._events.on_accept if accepted else self._events.on_connect)(link)
        if meeting.punch is not None:
            meeting.punch.fire(link)

    def link_lost(self, link: MemoryLink, error: LinkClosed) -> None:
        """See L{MemoryCrust.link_lost}."""
        if link in self._probed:
            del self._probed[link], self._links[link]
            self.network.forget(link)
            self._look_if_stopped()
            return
        if link.up:
            self._view.link_lost(link, error.reason)
            self._look_outside()
        else:
            meeting = self._meetings.get((link.peer, link.token))
            if meeting is not None and meeting.link is link:
                meeting.link = None
        super().link_lost(link, error)

    # Going away.

    def stop(self) -> Deferred[None]:
        """See L{ICrust.stop}."""
        if self.running:
            self._view.reset()
        return super().stop()

    def _stop_dialling(self) -> None:
        super()._stop_dialling()
        for meeting in list(self._meetings.values()):
            if meeting.punch is not None:
                meeting.punch.fire(None)

    def vanish(self, silently: bool) -> None:
        """See L{MemoryCrust.vanish}."""
        for meeting in self._meetings.values():
            if meeting.punch is not None:
                meeting.punch.stop()
        self._meetings.clear()
        self._probed.clear()
        super().vanish(silently)
