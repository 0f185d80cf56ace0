"""
A crust without sockets: what L{ICrust} promises, over a
L{MemoryNetwork<routing_crust.testing.memory.network.MemoryNetwork>}.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from ...config import Role, Settings
from ...crust.interfaces import ICrust, ICrustEvents, ILink, Rendezvous
from ...crust.reachability import Dialable, OwnEndpoint, Reachability, Source
from ...endpoints import Contact, Endpoint
from ...errors import CannotListen, CloseReason, ConnectFailed, LimitReached, LinkClosed, ServiceStopped
from ...history import History
from ...identity import Identity
from ...names import Name
from ...timing.ratelimit import TokenBucket
from ...wire.messages import NatKind
from .dialling import Attempt, Bootstrap, Dial
from .links import MemoryLink
from .tunnels import TunnelAttempt, Way, open_tunnel

if TYPE_CHECKING:
    from .network import MemoryNetwork
    from .punching import Meeting


@implementer(ICrust)
class MemoryCrust:
    """
    The crust of one node; see L{ICrust} for what it offers.

    After L{stop} it may be started again. An attempt to bootstrap runs until it has been reported as over.
    LAN discovery, NAT and the allow and deny lists are not part of it.

    @ivar host: the IP address that its connections come from.
    @ivar listening: where it listens.
    @ivar expected: for which rendezvous connections are taken: the arguments of L{expect}.
    @ivar rendezvous: each that was dialled for, with its token.
    @ivar tunnel_way: see L{ICrust.carry_tunnels}.
    @ivar tunnels_opening: the tunnels that it opens.
    @ivar nat: what it is to believe of its NAT.
    @ivar outside: what it is to believe that it can be dialled at from outside.
    @ivar seen: where peers have said that they see it, by their names.
    @ivar denials: who has said that it cannot be dialled.
    @ivar stopping: from L{stop} on, until it is started again.
    """

    _events: ICrustEvents

    def __init__(
        self,
        network: MemoryNetwork,
        settings: Settings,
        identity: Identity,
        endpoints: Sequence[Endpoint] = (),
        on_link_networks: Sequence[str] | None = None,
        saved: Sequence[Contact] = (),
        clock: IReactorTime | None = None,
    ) -> None:
        """
        @param endpoints: where it listens; the default is an unused address of the network. A client
            has the first one's address and listens nowhere.
        @param on_link_networks: the default is the network that made-up addresses are from, if the
            address was made up.
        @param saved: saved contacts from an earlier start, most recently proven first.
        @param clock: that of its host; the default is the network's.
        """
        self.network = network
        self.clock: IReactorTime = clock or network.clock
        self.history = History(self.clock.seconds)
        self.settings = settings
        self.identity = identity
        own = tuple(endpoints) or (network.new_endpoint(),)
        self.host = own[0].host
        self.listening = () if settings.role is Role.CLIENT else own
        self.endpoints: tuple[Endpoint, ...] = self.listening
        made_up = () if endpoints else (network.addresses,)
        self.on_link_networks = made_up if on_link_networks is None else tuple(on_link_networks)
        self.nat = NatKind.UNKNOWN
        self.outside: tuple[Endpoint, ...] = ()
        self.mapped_ports: tuple[str, ...] = ()
        self.seen: dict[Name, Endpoint] = {}
        self.denials: list[Name] = []
        self.stopping = False
        self.expected: list[tuple[Name, bytes, bool]] = []
        self.rendezvous: list[tuple[bytes, Rendezvous]] = []
        self.tunnel_way: Way | None = None
        self.tunnels_opening: dict[TunnelAttempt, None] = {}
        self._tunnelled: dict[MemoryLink, Deferred[ILink]] = {}
        self._running = False
        # the last one is the best
        self._saved = {contact.endpoint: contact for contact in reversed(tuple(saved))}
        self._links: dict[MemoryLink, None] = {}
        self._unverified: list[MemoryLink] = []
        self._attempts: dict[MemoryLink, Attempt] = {}
        self._dials: list[Dial] = []
        self._bootstrap: Bootstrap | None = None
        self._soon: list[IDelayedCall] = []
        self._stopped: list[Deferred[None]] = []
        self._strangers = self._new_bucket()
        network.add(self)

    def __repr__(self) -> str:
        return f"<MemoryCrust {self.identity.name.short} at {self.host}>"

    @property
    def links(self) -> tuple[MemoryLink, ...]:
        """The links that are up, oldest first: for tests."""
        return tuple(link for link in self._links if link.up)

    # What ICrust offers.

    @property
    def candidates(self) -> tuple[Endpoint, ...]:
        """See L{ICrust}."""
        return self.endpoints

    @property
    def sources(self) -> tuple[OwnEndpoint, ...]:
        """See L{ICrust}."""
        return tuple(OwnEndpoint(each, Source.PRIVATE) for each in self.endpoints)

    @property
    def reachability(self) -> Reachability:
        """See L{ICrust}."""
        return Reachability(self.nat, Dialable.UNKNOWN, 0.0)

    def start(self, events: ICrustEvents) -> None:
        """See L{ICrust.start}."""
        if self._running:
            raise RuntimeError("this crust was started already")
        for endpoint in self.listening:
            if self.network.listener(endpoint) is not None:
                raise CannotListen(f"{endpoint} is taken: stop what listens there, or choose another port")
        self._events = events
        self._running = True
        self.stopping = False
        self._strangers = self._new_bucket()
        if self.listening:
            self.network.listen(self)
        self._tell_where()

    def _tell_where(self) -> None:
        """Tell at the start where others can dial us."""
        if self.endpoints:
            self.soon(partial(self._events.external_endpoints, self.endpoints))

    def stop(self) -> Deferred[None]:
        """See L{ICrust.stop}."""
        if not self._running:
            self.stopping = True
            return succeed(None)
        if not self.stopping:
            self.stopping = True
            self.network.listen_no_more(self)
            for link in list(self._links):
                link.close(CloseReason.STOPPING)
            self._stop_dialling()
            if self._bootstrap is not None:
                self._bootstrap.finish("the service is stopping")
            self.soon(self._look_if_stopped)
        stopped: Deferred[None] = Deferred()
        self._stopped.append(stopped)
        return stopped

    def bootstrap(self) -> None:
        """See L{ICrust.bootstrap}."""
        if self._running and not self.stopping and self._bootstrap is None:
            contacts: dict[Endpoint, Contact] = {}
            for contact in (*self.saved_contacts(), *self.settings.contacts):
                if contact.endpoint not in self.endpoints:
                    contacts.setdefault(contact.endpoint, contact)
            self._bootstrap = Bootstrap(self, tuple(contacts.values()))

    def end_bootstrap(self, winner: ILink | None) -> None:
        """See L{ICrust.end_bootstrap}."""
        if self._bootstrap is not None:
            self._bootstrap.end(winner)

    def connect(
        self,
        endpoints: Sequence[Endpoint],
        peer: Name | None,
        token: bytes,
        from_stranger: bool,
        rendezvous: Rendezvous | None = None,
    ) -> Deferred[ILink]:
        """See L{ICrust.connect}. A rendezvous comes to nothing: here plain dials are enough."""
        if not self._running or self.stopping:
            return fail(ServiceStopped())
        if rendezvous is not None:
            self.rendezvous.append((token, rendezvous))
            return fail(ConnectFailed(tuple((str(each), "nothing comes of it") for each in endpoints)))
        dial = self._shared(peer, token)
        if dial is None:
            try:
                self._check_limits(peer)
                allowed = self._affordable(endpoints) if from_stranger else list(endpoints)
            except LimitReached as error:
                return fail(error)
            dial = Dial(self, allowed, peer, token, False, self._settled)
            self._dials.append(dial)
        return dial.wait()

    def expect(self, peer: Name, token: bytes, requester: bool) -> Callable[[], None]:
        """See L{ICrust.expect}."""
        expected = (peer, token, requester)
        self.expected.append(expected)

        def undo() -> None:
            if expected in self.expected:
                self.expected.remove(expected)

        return undo

    def tunnel(self, relay: ILink, peer: Name, token: bytes, requester: bool) -> Deferred[ILink]:
        """See L{ICrust.tunnel}."""
        return open_tunnel(self, relay, peer, token, requester)

    def carry_tunnels(self, way: Way) -> None:
        """See L{ICrust.carry_tunnels}. There are no quotas."""
        self.tunnel_way = way

    @property
    def running(self) -> bool:
        """Whether it has been started and not been stopped."""
        return self._running and not self.stopping

    def observed(self, link: ILink, endpoint: Endpoint) -> None:
        """See L{ICrust.observed}."""
        self.seen[link.peer] = endpoint

    def may_observe(self, endpoint: Endpoint) -> bool:
        """See L{ICrust.may_observe}. In one network there is nothing to see."""
        return False

    def dial_back(self, endpoints: Sequence[Endpoint], peer: Name) -> Deferred[Endpoint]:
        """See L{ICrust.dial_back}. It is not tried."""
        return fail(ConnectFailed(tuple((str(each), "not dialled") for each in endpoints)))

    def not_reached(self, by: Name) -> None:
        """See L{ICrust.not_reached}."""
        self.denials.append(by)

    def obstacle(self, endpoint: Endpoint, peer: Name) -> tuple[str, float]:
        """See L{ICrust.obstacle}. Nothing is."""
        return "", 0.0

    def remember(self, contact: Contact, proven: bool = True) -> None:
        """See L{ICrust.remember}."""
        if proven:
            self._saved.pop(contact.endpoint, None)
            self._saved[contact.endpoint] = contact
            while len(self._saved) > self.settings.max_saved_contacts:
                del self._saved[next(iter(self._saved))]
        elif contact.endpoint not in self._saved:
            self._saved = {contact.endpoint: contact, **self._saved}

    def saved_contacts(self) -> tuple[Contact, ...]:
        """See L{ICrust.saved_contacts}."""
        return tuple(reversed(self._saved.values()))

    def meeting_of(self, peer: Name, token: bytes) -> Meeting | None:
        """Which rendezvous a peer means that punches, if we know it. Plain dials are enough here."""
        return None

    # Limits.

    def _new_bucket(self) -> TokenBucket:
        a_minute = self.settings.stranger_dials
        return TokenBucket(a_minute / 60, a_minute, self.clock.seconds)

    def _check_limits(self, peer: Name | None) -> None:
        most, of_a_peer = self.settings.max_dials, self.settings.max_dials_per_peer
        if len(self._dials) >= most:
            raise LimitReached("too many dials at once", "max_dials", most)
        if peer is not None and sum(dial.peer == peer for dial in self._dials) >= of_a_peer:
            raise LimitReached("too many dials to one peer at once", "max_dials_per_peer", of_a_peer)

    def _affordable(self, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
        allowed = [each for each in endpoints if each in self._saved or self._strangers.take()]
        if endpoints and not allowed:
            limit = self.settings.stranger_dials
            raise LimitReached("too many dials to strangers in a minute", "stranger_dials", limit)
        return allowed

    def refusal(self, host: str) -> str | None:
        """Why a connection from that address is refused now; C{None} if it is not."""
        settings = self.settings
        self._unverified = [each for each in self._unverified if not each.is_verified and each.over is None]
        unverified = self._unverified
        from_there = sum(link.connection.peer.host == host for link in unverified)
        if len(unverified) >= settings.max_unverified_links:
            return "closed during the handshake"
        return "closed during the handshake" if from_there >= settings.max_unverified_per_prefix else None

    # What dials and links tell.

    def dialling(self, attempt: Attempt) -> None:
        """An endpoint is being dialled, and nothing has been sent yet."""

    def answer(self, attempt: Attempt) -> MemoryCrust | str | None:
        """What comes back; see C{MemoryNetwork.answer}."""
        return self.network.answer(self, attempt.endpoint)

    def _shared(self, peer: Name | None, token: bytes) -> Dial | None:
        for dial in self._dials:
            if peer is not None and dial.peer == peer and dial.token == token:
                return dial
        return None

    def _settled(self, dial: Dial) -> None:
        self.forget_dial(dial)
        if dial.link is None:
            dial.fire()

    def forget_dial(self, dial: Dial) -> None:
        """It is over, and there may be another one to the same peer."""
        if dial in self._dials:
            self._dials.remove(dial)

    def forget_attempt(self, link: MemoryLink) -> None:
        """This link will not come up."""
        self._attempts.pop(link, None)

    def made(self, link: MemoryLink, attempt: Attempt | None) -> None:
        """One end of a link is ours; it is reported when it comes up."""
        self._links[link] = None
        if attempt is not None:
            self._attempts[link] = attempt
        else:
            self._unverified.append(link)

    def tunnelled(self, link: MemoryLink, opened: Deferred[ILink] | None) -> None:
        """One end of a tunnel is ours."""
        self._links[link] = None
        if opened is not None:
            self._tunnelled[link] = opened

    def link_up(self, link: MemoryLink) -> None:
        """The handshake is done."""
        opened = self._tunnelled.pop(link, None)
        if opened is not None:
            self._events.on_connect(link)
            if not opened.called:
                opened.callback(link)
            return
        attempt = self._attempts.pop(link, None)
        if attempt is not None:
            attempt.dial.won(attempt)
        (self._events.on_accept if attempt is None else self._events.on_connect)(link)
        if attempt is not None:
            attempt.dial.fire()

    def link_lost(self, link: MemoryLink, error: LinkClosed) -> None:
        """A link, or what might have become one, is gone."""
        del self._links[link]
        self.network.forget(link)
        over_it = [each for each in self._links if each.legs and {link, link.other} & {*each.legs}]
        for each in over_it:
            each.lose(CloseReason.TUNNEL_ENDED)
            each.other.lose(CloseReason.TUNNEL_ENDED)
        opened = self._tunnelled.pop(link, None)
        if opened is not None and not opened.called:
            opened.errback(ConnectFailed((("a tunnel", str(error)),)))
        attempt = self._attempts.pop(link, None)
        if attempt is not None:
            attempt.fail("lost during the handshake")
        elif link.up:
            self._events.lost_connection(link, error)
            if self._bootstrap is not None:
                self._bootstrap.link_lost(link, str(error))
        self._look_if_stopped()

    def report_message(self, link: MemoryLink, kind: int, payload: bytes) -> None:
        """A frame came: as when bytes come over a socket, a clock that has been set back is noticed."""
        self.clock.seconds()
        self._events.new_message(link, kind, payload)

    def report_bootstrap(self, links: int, problem: str) -> None:
        """The attempt to bootstrap is over."""
        self._bootstrap = None
        self._events.bootstrap_finished(links, problem)

    # Going away.

    def soon(self, action: Callable[[], object]) -> None:
        """Do something from the clock, not from within the call at hand."""

        def run() -> None:
            self._soon.remove(call)
            action()
            self._look_if_stopped()

        call = self.clock.callLater(0, run)
        self._soon.append(call)

    def _stop_dialling(self) -> None:
        dials, self._dials = self._dials, []
        for dial in dials:
            dial.stop()
            self.soon(dial.fire)
        for attempt in list(self.tunnels_opening):
            attempt.stop()
            attempt.link.errback(ServiceStopped())

    def _look_if_stopped(self) -> None:
        if self.stopping and not self._links and not self._soon:
            self._running = False
            stopped, self._stopped = self._stopped, []
            for each in stopped:
                each.callback(None)

    def vanish(self, silently: bool) -> None:
        """
        The process is killed: see C{MemoryNetwork.crash}. Nothing is reported any more, and Deferreds that
        were handed out never fire, for whom they were for is dead.
        """
        self._running = False
        self.stopping = True
        if self._bootstrap is not None:
            self._bootstrap.cancel()
            self._bootstrap = None
        for dial in self._dials:
            dial.stop()
        self._dials.clear()
        for attempt in list(self.tunnels_opening):
            attempt.stop()
        self._tunnelled.clear()
        for call in self._soon:
            call.cancel()
        self._soon.clear()
        for link in list(self._links):
            link.vanish(silently)
            self.network.forget(link)
        self._links.clear()
        self._attempts.clear()
