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

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from ..config import Settings
from ..endpoints import Contact, Direction, Endpoint, PathKind
from ..errors import CloseReason, ConnectFailed, LimitReached, LinkClosed, ServiceStopped
from ..history import History
from ..identity import Identity
from ..names import Name
from ..quietlog import QuietLog
from ..timing.shares import Account
from .accept.gate import Gate
from .accept.listening import ListeningPorts
from .dial.bootstrapper import Bootstrapper, ContactsOfCrust
from .dial.dial_back import DialBacks, DialBacksOfCrust
from .dial.dialler import Dialler
from .dial.environment import DialEnvironment
from .dial.limits import DialLimits
from .ending import Ending
from .host_network import HostNetwork
from .interfaces import ICrust, ICrustEvents, ILink, Rendezvous
from .link.factories import LinkAcceptFactory
from .link.liveness import HEARTBEATS_PER_TIMEOUT
from .link.reading import ReadingTurns
from .netstate.external_addresses import AddressesOfCrust, ExternalAddresses
from .netstate.heartbeat_pace import HeartbeatPace
from .netstate.path_watch import PathWatch, answer_limit
from .netstate.paths import DialPaths, PathsOfCrust
from .platform import Platform
from .proxying.ways_out import WaysOut
from .punch.puncher import Puncher, PunchesOfCrust
from .resolving.contact_resolver import ContactResolver
from .tunnel.dispatch import FIRST_KIND, LAST_KIND, TunnelDispatch, note_outcome


@implementer(ICrust)
class CrustService(AddressesOfCrust, ContactsOfCrust, DialBacksOfCrust, PathsOfCrust, PunchesOfCrust):
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
        self.clock: IReactorTime = platform.clock
        self._outside = ExternalAddresses(
            settings,
            self.clock.seconds,
            lambda endpoints: self._ending.tell(self._events.external_endpoints, endpoints),
            lambda now: self._ending.tell(self._events.reachability_changed, now),
        )
        self.history = History(self.clock.seconds)
        # a signature that is never shown
        self.probe_key = identity.sign("probes", settings.network)
        self._tls = platform.tls(identity, settings.key_exchange)
        self.agree_on_keys = platform.session_tls(identity, settings.key_exchange).agree
        self._quiet = QuietLog(self.log, self.clock.seconds)
        self.reading = ReadingTurns(self.clock)
        self._ending = Ending(self.clock, self._parts_are_idle, self.reading.stop)
        self._links: dict[ILink, None] = {}
        self._refused: dict[ILink, LinkClosed] = {}
        self._events: ICrustEvents
        self._gate = Gate(
            settings, self.clock, self.history, self._quiet, self._links, platform.descriptors_left
        )
        self._ways_out = WaysOut(settings, platform)
        self._resolver = ContactResolver(
            platform.name_servers(),
            random,
            lambda: (*self._listening, *self.endpoints),
            self._ways_out.answer_for,
        )
        self._limits = DialLimits(
            settings, self._gate.rules, self.clock.seconds, self._outside.dialled, self.configured_contacts
        )
        self._dial_paths = DialPaths(self._ways_out.uplinks, self.clock.seconds)
        dialling = DialEnvironment(
            self,
            self._tls,
            self._ways_out.connect,
            self._limits,
            self._refused.get,
            self._ending.look,
            lambda: self._listening,
            self.history,
            self._dial_paths,
            self._ways_out.proxy_of,
        )
        self._dialler = Dialler(dialling)
        self._bootstrapper = Bootstrapper(self, identity, platform, self._dialler, random, self._resolver)
        self._puncher = Puncher(dialling, random, lambda: (*self._listening, *self.endpoints))
        self._tunnels = TunnelDispatch(
            self, self._tls, self._quiet, self._puncher.meeting_for, self._refused.get, self._ending.look
        )
        self._dial_backs = DialBacks(dialling, self._outside)
        self._mapper = platform.mapper(
            settings,
            identity,
            random,
            self._outside.mapped,
            lambda external, _: self._outside.unmapped(external),
        )
        self._watch = platform.net_watch(self._network_changed)
        self._pace = HeartbeatPace(self.clock.seconds, settings.inactivity_timeout / HEARTBEATS_PER_TIMEOUT)
        self._paths = PathWatch(self.clock, self._links, self._path_broken)
        self._acceptor = LinkAcceptFactory(self, self._tls, self._puncher.take)
        self._ports = ListeningPorts(settings, platform.listen, platform.addresses)
        self._host = HostNetwork(
            settings, platform, self._ports, self._outside, self._mapper, self._bootstrapper.listen
        )

    # What the layer above calls.

    def start(self, events: ICrustEvents) -> None:
        if self._ending.running or not self._ending.is_idle:
            raise RuntimeError("crust is running already, or still stopping")
        # first, since it may fail: then nothing else has begun
        self._ports.open(self._acceptor)
        self._events = events
        self._ending.running = True
        self._bootstrapper.contacts.load()
        self._host.look()
        self._mapper.start(self._listening)
        self._watch.start()

    def stop(self) -> Deferred[None]:
        stopped = self._ending.wait()
        if self._ending.running:
            self._ending.running = False
            # The first dial that is called off would find nothing else going on, and take us for stopped.
            self._ending.hold()
            self._watch.stop()
            self._paths.stop()
            self.end_bootstrap(None)
            self._dialler.stop()
            self._puncher.stop()
            self._dial_backs.stop()
            self._tunnels.stop()
            # the reactor closes a port in a later turn, and its number is taken until then
            for closed in self._ports.close():
                self._ending.wait_for(closed)
            self._outside.reset()
            self._ending.wait_for(self._bootstrapper.stop())
            self._ending.wait_for(self._resolver.stop())
            self._ending.wait_for(self._mapper.stop())
            self._gate.handshakes.stop()
            self._acceptor.abort()
            for link in list(self._links):
                link.close(CloseReason.STOPPING)
            self._quiet.flush()
            self._ending.let_go()
        self._ending.look()
        return stopped

    def bootstrap(self) -> None:
        if not self._ending.running:
            return
        if self._bootstrapper.active:
            self._bootstrapper.widen([each.peer for each in self._links])
        else:
            # where the system reports no changes, they are found here
            self._host.follow()
            self._bootstrapper.begin([each.peer for each in self._links])

    def end_bootstrap(self, winner: ILink | None) -> None:
        self._bootstrapper.end(winner)

    def connect(
        self,
        endpoints: Sequence[Endpoint],
        peer: Name | None,
        token: bytes,
        asked_by: Account,
        rendezvous: Rendezvous | None = None,
    ) -> Deferred[ILink]:
        problem = self._no_link_possible()
        if problem is not None:
            return fail(problem)
        # a proxy makes connections only; nothing can be punched through it
        if rendezvous is None or peer is None or any(map(self._ways_out.proxy_of, endpoints)):
            return self._dialler.connect(endpoints, peer, token, asked_by, self.on_link_networks)
        return self._puncher.connect(endpoints, peer, token, asked_by, rendezvous, self.on_link_networks)

    def tunnel(
        self, relay: ILink, peer: Name, token: bytes, requester: bool, awaited: bool = False
    ) -> Deferred[ILink]:
        problem = self._no_link_possible()
        if problem is not None:
            return fail(problem)
        if relay not in self._links:
            return fail(ConnectFailed(((f"a tunnel through {relay.peer}", "there is no such link"),)))
        opened = self._tunnels.open(relay, peer, token, requester, awaited)
        return opened.addBoth(note_outcome, self.history, peer, relay.peer)

    def _no_link_possible(self) -> Exception | None:
        if not self._ending.running:
            return ServiceStopped("crust is not running")
        # what the gate would refuse in the end is not worth a dial
        if self._gate.full is not None:
            return LimitReached("there are too many links", "max_links", self.settings.max_links)
        return None

    @property
    def _listening(self) -> tuple[Endpoint, ...]:
        return self._ports.endpoints

    @property
    def proxy(self) -> str:
        return self._ways_out.in_words

    def carry_tunnels(self, way: Callable[[ILink, Name], ILink | None]) -> None:
        self._tunnels.carry(way)

    def carries_for(self, peer: Name) -> bool:
        return self._tunnels.carries_for(peer)

    def obstacle(self, endpoint: Endpoint, peer: Name) -> tuple[str, float]:
        refusal = self._gate.rules.refusal_of_peer(peer, endpoint)
        if refusal is not None:
            return str(refusal), inf
        wait = self._dialler.wait(endpoint, peer)
        return ("it failed recently", wait) if wait > 0 else ("", 0.0)

    def is_known(self, endpoint: Endpoint, peer: Name) -> bool:
        proven = self._bootstrapper.contacts.is_proven(Contact(endpoint, peer))
        return proven or self._limits.is_known(endpoint, peer)

    @property
    def mapped_ports(self) -> tuple[str, ...]:
        return self._mapper.in_words

    def when_routers_asked(self) -> Deferred[None]:
        return self._mapper.when_asked()

    def settings_changed(self) -> tuple[tuple[ILink, str], ...]:
        self._tunnels.settings_changed()
        self.resolve_contacts()
        return self._gate.settings_changed()

    # What links and factories call: see L{routing_crust.crust.link.owner.AcceptOwner}.

    def may_accept(self, peer: Endpoint) -> bool:
        """Whether a connection from there may be accepted."""
        return self._ending.running and self._gate.may_accept(peer)

    @property
    def hello_timeout(self) -> float:
        """Seconds that a connection that comes now has until its Hello is verified."""
        return self._gate.unverified.hello_timeout

    def accepting(
        self, peer: Endpoint, link: Deferred[ILink], abort: Callable[[CloseReason, str], None]
    ) -> None:
        """A connection was accepted, of which a link may come."""
        self._gate.accepting(peer, link, abort)
        self._outside.accepting(peer)
        link.addBoth(self._accepted)

    def handshake_due(self, peer: Endpoint, begin: Callable[[], bool]) -> None:
        """A peer has begun TLS, and waits for its turn."""
        self._gate.handshakes.take(peer, begin)

    def _accepted(self, outcome: ILink | None) -> ILink | None:
        self._ending.look()
        return outcome

    def link_up(self, link: ILink) -> None:
        """A link of either direction is up."""
        refusal = self._gate.refusal_of(link) if self._ending.running else LinkClosed(CloseReason.STOPPING)
        if refusal is not None:
            # kept until it is gone: its dialler asks for the reason, and routing never hears of the link
            self._refused[link] = refusal
            link.close(refusal.reason, refusal.detail)
            return
        self._links[link] = None
        if link.path_kind is PathKind.DIRECT and self._host.came_by_a_mapping(link):
            link.path_kind = PathKind.MAPPED
        self._outside.link_up(link)
        self._paths.link_up(link)
        self._pace.link_up(link)
        if link.direction is Direction.ACCEPTED:
            self._events.on_accept(link)
            return
        self._bootstrapper.link_up(link)
        self._events.on_connect(link)

    def link_frame(self, link: ILink, kind: int, payload: bytes) -> None:
        """A frame came."""
        # before the Hello, tunnel frames go to routing like all others, which refuses what comes too early
        if FIRST_KIND <= kind <= LAST_KIND and link.is_verified:
            self._tunnels.frame_received(link, kind, payload)
        else:
            self._events.new_message(link, kind, payload)

    def heartbeat_after(self, network: str) -> float:
        """How many seconds a link from this network of ours may be idle."""
        return self._pace.of(network)

    def link_silent(self, link: ILink) -> None:
        """Nothing has come over a link since we sent something."""
        if link in self._links:
            self._paths.link_silent(link)

    def link_doubted(self, link: ILink) -> None:
        """The peer of a link owes an answer."""
        if link in self._links:
            self._paths.link_doubted(link)
            # the path watch may have cut it
            if link.is_open:
                self._events.link_doubted(link)

    def link_lost(self, link: ILink, reason: LinkClosed) -> None:
        """A link that was up is gone."""
        self._gate.unverified.link_lost(link)
        if self._refused.pop(link, None) is None:
            del self._links[link]
            self._tunnels.link_lost(link)
            self._outside.link_lost(link, reason.reason)
            self._events.lost_connection(link, reason)
            if self._ending.running:
                self._pace.link_lost(link, reason, self._links)
                self._paths.link_lost(link, reason)
            self._bootstrapper.link_lost(link, reason)
        self._ending.look()

    # The rest.

    def _network_changed(self, what: str) -> None:
        """Nothing that was known of the network needs to hold any more."""
        gone = self._host.follow()
        self._outside.network_changed()
        self._dial_paths.network_changed()
        self.log.info("{what}; {links} links are looked at", what=what, links=len(self._links))
        for link in list(self._links):
            # TCP reports a lost address only after half a minute or more; other links may have survived
            local = link.connection.local.host
            if local in gone and link.path_kind is not PathKind.TUNNEL:
                link.abort(CloseReason.CONNECTION_LOST, f"this host has lost the address {local}")
            else:
                link.must_answer(answer_limit(link))
        self._retry()

    def _path_broken(self) -> None:
        """The NAT in front of us has forgotten its connections, or is another one."""
        self.log.info("links to several networks broke at once: the others through the NAT are looked at")
        self._retry()

    def _retry(self) -> None:
        """What failed before may succeed now."""
        self._dialler.network_changed()
        self._mapper.network_changed()
        self._ending.tell(self._events.network_changed)

    def bootstrap_ended(self, links: int, problem: str) -> None:
        """An attempt to get into the network is over."""
        self._ending.tell(self._events.bootstrap_finished, links, problem)

    def _parts_are_idle(self) -> bool:
        return (
            not self._links
            and not self._refused
            and self._dialler.idle
            and self._puncher.idle
            and self._dial_backs.idle
            and self._tunnels.idle
            and not self._acceptor.pending
        )
