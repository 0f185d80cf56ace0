"""
Crust as one object: it owns the ports, the dials and the links, and tells one receiver of them.

Who calls whom: the reactor calls the factories and the links; the Deferred of each new link, and then the
link itself, call L{CrustService} (it is their C{AcceptOwner}), and it calls the receiver. What a call of the
receiver's brings about is told to the receiver in a later turn of the reactor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from random import Random, SystemRandom
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..config import Role, Settings
from ..endpoints import Contact, Direction, Endpoint, PathKind
from ..errors import CloseReason, ConnectFailed, LimitReached, LinkClosed, ServiceStopped
from ..history import History, Way
from ..identity import Identity
from ..limits import BOOTSTRAP_TIMEOUT_SECONDS, DIAL_STAGGER_SECONDS
from ..names import Name
from ..quietlog import QuietLog
from ..timing.eventual import EventualQueue
from ..timing.waiters import Waiters
from .accept.ports import real_endpoint
from .accept.unverified import UnverifiedConnections
from .admission import Refusal, Rules
from .dial.bootstrap import BootstrapAttempt, order_contacts
from .dial.dial_back import DialBacks
from .dial.dialler import Dialler
from .dial.environment import DialEnvironment
from .dial.limits import DialLimits
from .discovery.multicast import choose_places
from .interfaces import ICrust, ICrustEvents, ILink, Rendezvous
from .link.factories import LinkAcceptFactory
from .netstate.external_addresses import AddressesOfCrust, ExternalAddresses
from .netstate.host import HostAddress
from .platform import Platform
from .punch.puncher import Puncher
from .tunnel.dispatch import FIRST_KIND, LAST_KIND, TunnelDispatch


@implementer(ICrust)
class CrustService(AddressesOfCrust):
    """
    Makes links over TCP. See L{ICrust} for what it offers. It can be started again once L{stop} has fired.
    """

    log = Logger()

    def __init__(
        self, settings: Settings, identity: Identity, platform: Platform, random: Random | None = None
    ) -> None:
        """
        @param platform: the machine; its addresses are asked for at the start, whenever a bootstrap begins,
            and when the network has changed.
        @param random: for what must not be predictable; C{None} is the system's.
        """
        random = random or SystemRandom()
        self.settings = settings
        self._platform = platform
        reactor = platform.reactor
        self.clock: IReactorTime = reactor
        self._outside = ExternalAddresses(
            settings,
            self.clock.seconds,
            lambda endpoints: self._tell(self._events.external_endpoints, endpoints),
            lambda now: self._tell(self._events.reachability_changed, now),
        )
        self.history = History(self.clock.seconds)
        self._identity = identity
        self._tls = platform.tls(identity)
        self._rules = Rules(settings.allow, settings.deny)
        self._quiet = QuietLog(self.log, self.clock.seconds)
        self._book = platform.contacts(settings, identity.name)
        self._beacon = platform.beacon(identity, settings.network, random, self._found)
        self._eventually = EventualQueue(self.clock)
        self._closing = 0
        self._running = False
        self._stopped: Waiters[None] = Waiters()
        self._links: dict[ILink, None] = {}
        self._refused: dict[ILink, LinkClosed] = {}
        self._events: ICrustEvents
        self._unverified = UnverifiedConnections(settings, self._rules)
        limits = DialLimits(settings, self._rules, self.clock.seconds, self._outside.dialled)
        dialling = DialEnvironment(
            self,
            self._tls,
            reactor,
            limits,
            self._refused.get,
            self._see_whether_stopped,
            lambda: self._listening,
            self.history,
        )
        self._dialler = Dialler(dialling)
        self._puncher = Puncher(dialling, random, lambda: (*self._listening, *self.endpoints))
        self._tunnels = TunnelDispatch(
            self,
            self._tls,
            self._quiet,
            self._puncher.meeting_for,
            self._refused.get,
            self._see_whether_stopped,
        )
        self._dial_backs = DialBacks(dialling, self._outside)
        self._mapper = platform.mapper(
            settings, random, self._outside.mapped, lambda external, _: self._outside.unmapped(external)
        )
        self._watch = platform.net_watch(self._network_changed)
        self._addresses: tuple[HostAddress, ...] = ()
        self._acceptor = LinkAcceptFactory(self, self._tls, self._puncher.take)
        self._ports: tuple[IListeningPort, ...] = ()
        self._listening: tuple[Endpoint, ...] = ()
        self._attempt: BootstrapAttempt | None = None

    # What the layer above calls.

    def start(self, events: ICrustEvents) -> None:
        if self._running or not self._is_idle():
            raise RuntimeError("crust is running already, or still stopping")
        wanted = () if self.settings.role is Role.CLIENT else self.settings.listen
        self._ports = self._platform.listen(self._acceptor, wanted)
        self._listening = tuple(map(real_endpoint, self._ports))
        self._events = events
        self._running = True
        self._book.load()
        for endpoint in self._listening:
            self.log.info("listening on {endpoint}", endpoint=str(endpoint))
        self._look_at_the_host()
        self._mapper.start(self._listening)
        self._watch.start()

    def stop(self) -> Deferred[None]:
        stopped = self._stopped.wait()
        if self._running:
            self._running = False
            # The first dial that is called off would find nothing else going on, and take us for stopped.
            self._closing += 1
            self._watch.stop()
            self.end_bootstrap(None)
            self._dialler.stop()
            self._puncher.stop()
            self._dial_backs.stop()
            self._tunnels.stop()
            for port in self._ports:
                self._wait_for(port.stopListening())
            self._ports = self._listening = ()
            self._outside.reset()
            self._wait_for(self._beacon.stop())
            self._wait_for(self._mapper.stop())
            self._acceptor.abort()
            for link in list(self._links):
                link.close(CloseReason.STOPPING)
            self._book.flush()
            self._quiet.flush()
            self._closing -= 1
        self._see_whether_stopped()
        return stopped

    def bootstrap(self) -> None:
        if not self._running or self._attempt is not None:
            return
        self._look_at_the_host()
        settings = self.settings
        # Half of the time for the saved ones, so that the configured ones get their turn.
        first_saved = int(BOOTSTRAP_TIMEOUT_SECONDS / 2 / DIAL_STAGGER_SECONDS)
        contacts = order_contacts(
            self._book.contacts(), settings.contacts, self._identity.name, self.endpoints, first_saved
        )
        self._attempt = BootstrapAttempt(
            self.clock, contacts, self._beacon.active, self._dialler.dial_contact, self._finished
        )
        self._beacon.seek()
        self._attempt.start()

    def end_bootstrap(self, winner: ILink | None) -> None:
        if self._attempt is not None:
            self._attempt.end(winner)

    def connect(
        self,
        endpoints: Sequence[Endpoint],
        peer: Name | None,
        token: bytes,
        from_stranger: bool,
        rendezvous: Rendezvous | None = None,
    ) -> Deferred[ILink]:
        if not self._running:
            return fail(ServiceStopped("crust is not running"))
        if len(self._links) >= self.settings.max_links:
            return fail(LimitReached("there are too many links", "max_links", self.settings.max_links))
        if rendezvous is None or peer is None:
            return self._dialler.connect(endpoints, peer, token, from_stranger, self.on_link_networks)
        return self._puncher.connect(endpoints, peer, token, from_stranger, rendezvous, self.on_link_networks)

    def expect(self, peer: Name, token: bytes, requester: bool) -> Callable[[], None]:
        return self._puncher.expect(peer, token, requester) if self._running else lambda: None

    def tunnel(self, relay: ILink, peer: Name, token: bytes, requester: bool) -> Deferred[ILink]:
        if not self._running:
            return fail(ServiceStopped("crust is not running"))
        if len(self._links) >= self.settings.max_links:
            return fail(LimitReached("there are too many links", "max_links", self.settings.max_links))
        if relay not in self._links:
            return fail(ConnectFailed(((f"a tunnel through {relay.peer}", "there is no such link"),)))
        opened = self._tunnels.open(relay, peer, token, requester)
        return opened.addBoth(self._tunnelled, peer, relay.peer)

    def _tunnelled(self, outcome: ILink | Failure, peer: Name, relay: Name) -> ILink | Failure:
        if not isinstance(outcome, Failure):
            self.history.tried(peer, Way.TUNNEL, f"through {relay}", "it was opened", good=True)
        elif isinstance(outcome.value, ConnectFailed):
            for _, what in outcome.value.attempts:
                self.history.tried(peer, Way.TUNNEL, f"through {relay}", what)
        else:
            self.history.tried(
                peer, Way.TUNNEL, f"through {relay}", outcome.getErrorMessage() or "called off"
            )
        return outcome

    def carry_tunnels(self, way: Callable[[ILink, Name], ILink | None]) -> None:
        self._tunnels.carry(way)

    def dial_back(self, endpoints: Sequence[Endpoint], peer: Name) -> Deferred[Endpoint]:
        if not self._running:
            return fail(ServiceStopped("crust is not running"))
        return self._dial_backs.dial(endpoints, peer)

    def obstacle(self, endpoint: Endpoint, peer: Name) -> tuple[str, float]:
        refusal = self._rules.refusal_of_peer(peer, endpoint)
        if refusal is not None:
            return str(refusal), inf
        wait = self._dialler.wait(endpoint, peer)
        return ("it failed lately", wait) if wait > 0 else ("", 0.0)

    @property
    def mapped_ports(self) -> tuple[str, ...]:
        return self._mapper.in_words

    def remember(self, contact: Contact, proven: bool = True) -> None:
        if self._running:
            self._book.remember(contact, proven)

    def saved_contacts(self) -> tuple[Contact, ...]:
        return self._book.contacts()

    # What links and factories call: see L{routing_crust.crust.link.owner.AcceptOwner}.

    def may_accept(self, peer: Endpoint) -> bool:
        """Whether a connection from there may be accepted."""
        if not self._running:
            return False
        refusal = self._unverified.refusal(peer, len(self._links))
        if refusal is not None:
            self._log_refusal(str(peer), refusal)
        return refusal is None

    def accepting(self, peer: Endpoint, link: Deferred[ILink]) -> None:
        """A connection was accepted, of which a link may come."""
        self._unverified.add(peer, link)
        link.addErrback(self._came_to_nothing, peer)

    def _came_to_nothing(self, failure: Failure, peer: Endpoint) -> None:
        reason = failure.value
        assert isinstance(reason, LinkClosed)
        self._quiet.info(
            f"accepted connections: {reason.reason.text}",
            "the connection from {peer} came to nothing: {reason}",
            peer=str(peer),
            reason=str(reason),
        )
        self._see_whether_stopped()

    def link_up(self, link: ILink) -> None:
        """A link of either direction is up."""
        refusal = self._refusal_of(link)
        if refusal is not None:
            self._refused[link] = refusal
            link.close(refusal.reason, refusal.detail)
            return
        self._links[link] = None
        if link.path_kind is PathKind.DIRECT and self._came_by_a_mapping(link):
            link.path_kind = PathKind.MAPPED
        self._outside.link_up(link)
        if link.direction is Direction.ACCEPTED:
            self._events.on_accept(link)
            return
        if link.bootstrap and self._attempt is not None:
            self._attempt.link_up(link)
        self._events.on_connect(link)

    def link_frame(self, link: ILink, kind: int, payload: bytes) -> None:
        """A frame came."""
        if FIRST_KIND <= kind <= LAST_KIND and link.is_verified:
            self._tunnels.frame_received(link, kind, payload)
        else:
            self._events.new_message(link, kind, payload)

    def link_lost(self, link: ILink, reason: LinkClosed) -> None:
        """A link that was up is gone."""
        self._unverified.link_lost(link)
        if self._refused.pop(link, None) is None:
            del self._links[link]
            self._tunnels.link_lost(link)
            self._outside.link_lost(link, reason.reason)
            self._events.lost_connection(link, reason)
            if self._attempt is not None:
                self._attempt.link_lost(link, reason)
        self._see_whether_stopped()

    # The rest.

    def _refusal_of(self, link: ILink) -> LinkClosed | None:
        """Whether a link that has just come up is not to be kept, now that its peer's name is known."""
        if not self._running:
            return LinkClosed(CloseReason.STOPPING)
        if link.path_kind is PathKind.TUNNEL:
            refusal = self._rules.refusal_of_name(link.peer)
        else:
            refusal = self._rules.refusal_of_peer(link.peer, link.connection.peer)
        reason = CloseReason.NOT_ALLOWED
        if refusal is None and len(self._links) >= self.settings.max_links:
            refusal = Refusal("there are too many links", "max_links", self.settings.max_links)
            reason = CloseReason.TOO_MANY_LINKS
        if refusal is None:
            return None
        self._log_refusal(f"{link.peer} at {link.connection.peer}", refusal)
        if link.direction is Direction.ACCEPTED:
            self.history.tried(link.peer, Way.LINK, link.connection.peer, f"it dialled us: {refusal}")
        return LinkClosed(reason, str(refusal))

    def _came_by_a_mapping(self, link: ILink) -> bool:
        """Whether a link from outside was accepted on a port that a router maps."""
        connection = link.connection
        return (
            link.direction is Direction.ACCEPTED
            and self._mapper.maps(connection.local.port)
            and not connection.peer.is_v6
            and self._outside.is_outside(connection.peer)
        )

    def _log_refusal(self, peer: str, refusal: Refusal) -> None:
        self._quiet.info(
            f"refusals by the setting {refusal.setting}",
            "refused {peer}: {why} (limit {limit}, setting {setting})",
            peer=peer,
            why=refusal.why,
            limit=refusal.limit,
            setting=refusal.setting,
        )

    def _look_at_the_host(self) -> None:
        """Find out what addresses we have, and act on what has changed."""
        try:
            addresses = tuple(self._platform.addresses())
        except OSError as error:
            self.log.warn("the addresses of this host cannot be read ({problem})", problem=str(error))
            addresses = ()
        self._outside.host(self._listening, addresses)
        if addresses != self._addresses:
            self._addresses = addresses
            self._mapper.network_changed()
        if self.settings.lan_discovery:
            is_client = self.settings.role is Role.CLIENT
            self._beacon.listen(choose_places(self._listening, addresses, is_client))

    def _network_changed(self, what: str) -> None:
        """Nothing that was known of the network needs to hold any more."""
        had = {str(each.address) for each in self._addresses}
        self._look_at_the_host()
        gone = had.difference(str(each.address) for each in self._addresses) if self._addresses else ()
        self.log.info("{what}; {links} links are looked at", what=what, links=len(self._links))
        self._dialler.network_changed()
        self._mapper.network_changed()
        for link in list(self._links):
            local = link.connection.local.host
            if local in gone and link.path_kind is not PathKind.TUNNEL:
                link.abort(CloseReason.CONNECTION_LOST, f"this host has lost the address {local}")
            else:
                link.probe()
        self._tell(self._events.network_changed)

    def _found(self, contact: Contact) -> None:
        if self._attempt is not None and contact.endpoint not in self.endpoints:
            self.history.told(contact.name, (contact.endpoint,), "its beacon on the local network")
            self._attempt.found(contact)

    def _finished(self, links: int, problem: str) -> None:
        self._attempt = None
        self._beacon.stop_seeking()
        self._tell(self._events.bootstrap_finished, links, problem)

    def _tell(self, event: Callable[..., object], *arguments: Any) -> None:
        """Report an event to routing in the next turn, when it is not the caller."""
        self._eventually.call(self._told, event, arguments)

    def _told(self, event: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        try:
            event(*arguments)
        finally:
            self._see_whether_stopped()

    def _wait_for(self, end: Deferred[Any] | None) -> None:
        """Stay unstopped until this has fired or failed."""
        if end is not None:
            self._closing += 1
            end.addBoth(self._closed)

    def _closed(self, _: object) -> None:
        self._closing -= 1
        self._see_whether_stopped()

    def _is_idle(self) -> bool:
        return (
            not self._links
            and not self._refused
            and not self._eventually
            and not self._closing
            and self._dialler.idle
            and self._puncher.idle
            and self._dial_backs.idle
            and self._tunnels.idle
            and not self._acceptor.pending
        )

    def _see_whether_stopped(self) -> None:
        if self._stopped and not self._running and self._is_idle():
            self._stopped.fire(None)
