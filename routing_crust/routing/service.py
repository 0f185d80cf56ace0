"""
The service that applications use: a node of the network as an ordinary Twisted C{Service}.

L{RoutingService} holds what outlives a stop: settings, identity, handlers, observers and waiting Deferreds. A
C{RoutingCore} holds what exists from one start to the next stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from random import Random, SystemRandom
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from ..config import Settings, change_settings
from ..crust.interfaces import ICrust
from ..endpoints import Contact, Endpoint
from ..errors import AlreadyRunning
from ..forwarding_rules import known
from ..identity import Identity
from ..names import Name
from ..timing.steadyclock import steady
from ..timing.stoppable_clock import StoppableClock
from ..trust.networks import is_private
from ..wire.messages import NatKind
from .core import RoutingCore
from .incarnation import next_incarnation
from .inviting.doorkeeper import Inviter
from .links_by_name import LinksByName
from .members import OPEN
from .membership.network_time import NetworkTime
from .naming.directory import PeerDirectory
from .node import Node
from .private.membership import Membership, check_membership
from .private.network import PrivateNetwork
from .private.private_members import PrivateMembers
from .reporting.explain import Explanation

_Event = TypeVar("_Event")
# weak: a simulated network that is given up without a stop must not live as long as the process
_running: WeakKeyDictionary[RoutingService, None] = WeakKeyDictionary()


class RoutingService(LinksByName, Service):
    """
    A node, or a client, of a network. Several may live in one process.

    The constructor does no I/O: listening and bootstrapping begin in L{startService}. A service that was
    stopped can be started again.

    Wherever a method takes a name, its text will do, and so will a nickname of the settings: see C{name_of}.

    @ivar settings: the settings.
    @ivar identity: the key and the name that follows from it.
    @ivar membership: our credentials in a private network; C{None} in an open one.
    @ivar node_name: the node's L{Name}. (C{name} is what Twisted calls the service.)
    @ivar clock: the clock that was given, as a L{SteadyClock<routing_crust.timing.steadyclock.SteadyClock>}.
    @ivar random: the source of all randomness.
    @ivar incarnation: the number of the last start. It grows with each, so that peers notice a restart; a
        program that keeps it elsewhere than in C{state_dir} may set it before a start.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        reactor: Any = None,
        identity: Identity | None = None,
        membership: Membership | None = None,
        crust: ICrust | None = None,
        random: Random | None = None,
    ) -> None:
        """
        @param reactor: the clock, and what the default crust uses for its sockets; C{None} is the
            global reactor.
        @param identity: C{None} makes a new one, which is lost with the process.
        @param membership: our credentials in a private network; C{None} in an open one.
        @param crust: what makes links; C{None} is L{CrustService<routing_crust.crust.service.CrustService>}.
        @param random: the source of all randomness; C{None} is the operating system's.
        @raise ConfigurationError: the network is private and C{membership} is not what it wants, or the other
            way round.
        """
        if reactor is None:
            # not at the top: the import installs the default reactor
            from twisted.internet import reactor
        self.settings = settings
        self.identity = identity or Identity.generate()
        self.node_name: Name = self.identity.name
        check_membership(settings.network, self.identity, membership)
        self.membership = membership
        self.clock: IReactorTime = steady(reactor)
        self.random: Random = random or SystemRandom()
        self._crust = crust or self._default_crust(self.clock)
        self.incarnation = 0
        nicknames = known(settings.nicknames)
        LinksByName.__init__(
            self,
            PeerDirectory(nicknames, is_private(settings.network), self._known_names, self._known_members),
        )
        self._timers = StoppableClock(self.clock)
        self._stopping = False
        self._inviter: Inviter | None = None

    def __repr__(self) -> str:
        return f"<RoutingService {self.node_name.short} in {self.settings.network}, {self.state.value}>"

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where others can dial us, best first; empty before the start and for clients."""
        return () if self._core is None else self._core.crust.endpoints

    @property
    def nat(self) -> NatKind:
        """What is known of the NAT in front of us."""
        return NatKind.UNKNOWN if self._core is None else self._core.crust.nat

    @property
    def private_network(self) -> PrivateNetwork | None:
        """What concerns the members, while this node runs in a private network; else C{None}."""
        return None if self._core is None or not self._started else self._core.private

    @property
    def contact(self) -> Contact | None:
        """What others need to find us, if we listen anywhere."""
        return Contact(self.endpoints[0], self.node_name) if self.endpoints else None

    def startService(self) -> None:
        """
        Listen, and begin to bootstrap.

        @raise CannotListen: a port is taken or may not be used; the service is not running then.
        @raise AlreadyRunning: it runs, or the Deferred of L{stopService} has not fired yet; nothing changes.
        """
        if self._started:
            raise AlreadyRunning("the service runs already")
        if self._stopping:
            raise AlreadyRunning("the service is still stopping: wait for the Deferred of stopService()")
        self.incarnation = next_incarnation(self.settings.state_dir, self.incarnation, self.clock.seconds())
        # one for each start: once stopped it starts no timer any more
        clock = self._timers = StoppableClock(self.clock)
        network_time = NetworkTime(clock)
        members = (
            OPEN
            if self.membership is None
            else PrivateMembers(self.membership, self.identity, network_time.now)
        )
        node = Node(
            self.settings,
            self.identity,
            clock,
            self.random,
            self._crust,
            self.incarnation,
            network_time.now,
            members,
            self.directory.brief,
        )
        self._core = RoutingCore(node, network_time, self._observers)
        self._core.neighbourhood.watch_proxy(self._proxy_changed)
        self._started = True
        self._core.messenger.set_message_handler(self._message_handler)
        self._core.messenger.set_request_handler(self._request_handler)
        self._core.application.handler = self._frame_handler
        self._core.doorkeeper.inviter = self._inviter
        if self.stream_layer is not None:
            self._core.set_stream_layer(self.stream_layer)
        try:
            self._core.start()
        except BaseException:
            # only a service that listens counts as running
            self._started = False
            raise
        Service.startService(self)
        _running[self] = None

    def stopService(self) -> Deferred[None]:
        """
        Close everything and fail all that is pending, with L{ServiceStopped}.

        @return: fires with C{None} when no link, timer or listening port is left. It does not fail.
        """
        Service.stopService(self)
        forget_running(self)
        if self._core is None:
            return succeed(None)
        self._stopping = True
        stopped = self._core.stop().addCallback(self._has_stopped)
        # an application may stop us from a callback whose caller starts a timer afterwards
        self._timers.stop()
        return stopped

    def doors(self) -> tuple[Contact, ...]:
        """Where an invitation of this node can be redeemed: here, and at members that pass it on."""
        return () if self._core is None else self._core.doorkeeper.doors()

    def when_routers_asked(self) -> Deferred[None]:
        """
        @return: fires with C{None} when L{endpoints} has what routers map for us, or no router does so: at
            once, but for the first seconds after the start. Does not fail, unless it is cancelled.
        """
        return succeed(None) if self._core is None else self._core.crust.when_routers_asked()

    def call_on(self, endpoints: Iterable[Endpoint], until: float) -> None:
        """
        Dial these places, until then, for somebody there to redeem an invitation of ours, who cannot dial us.

        @param until: in seconds since the epoch.
        """
        if self._core is not None:
            self._core.doorkeeper.calls.add(endpoints, until)

    def invitations_changed(self) -> None:
        """Tell other admins, as far as they are linked, what has become of invitations here."""
        if self._core is not None and self._core.private is not None:
            self._core.private.ledger.changed()

    def set_inviter(self, inviter: Inviter | None) -> None:
        """Have the invitations to this private network that this node has made redeemed by C{inviter}."""
        self._inviter = inviter
        if self._core is not None:
            self._core.doorkeeper.inviter = inviter

    def change_settings(self, settings: Settings) -> None:
        """
        Take over the values of L{CHANGEABLE<routing_crust.config.CHANGEABLE>} settings. Links that are not
        allowed any more are closed, and all is ended that is under way with their peers; no other link and
        no stream notices. C{expose}, C{allow_peer} and C{forward} are for the daemon.
        """
        before, new_contacts = self.settings.deny, set(settings.contacts) - set(self.settings.contacts)
        change_settings(self.settings, settings)
        self.directory.change_nicknames(known(settings.nicknames))
        if self._core is not None and self._started:
            self._core.settings_changed(before, bool(new_contacts))

    def observe(self, event_type: type[_Event], callback: Callable[[_Event], object]) -> Callable[[], None]:
        """
        Hear of events: see L{routing_crust} for their types.

        @return: a function that ends it.
        """
        return self._observers.add(event_type, callback)

    def status(self) -> dict[str, object]:
        """A snapshot for people and monitoring; every value can be written as JSON."""
        here: dict[str, object] = {
            "name": str(self.node_name),
            "network": self.settings.network,
            "role": self.settings.role.value,
            "state": self.state.value,
            "bootstrapped": self.bootstrapped,
            "group_connected": self.group_connected,
            "incarnation": self.incarnation,
        }
        return here if self._core is None else here | self._core.status(self.directory.nickname_of)

    def explain(self, name: Name | str) -> Explanation:
        """
        Why there is a link with a node or client, or none: its endpoints that we know, and who has told us;
        what was tried within the last hour, with the outcomes; and what will be tried next.

        @raise InvalidName: as L{name_of<routing_crust.routing.messages_by_name.MessagesByName.name_of>} does.
        """
        peer = self.name_of(name)
        if self._core is None or not self._started:
            return Explanation(str(peer), False, "this node is not running")
        explained = replace(self._core.explain(peer), nickname=self.directory.nickname_of(peer))
        waiting = () if self.stream_layer is None else self.stream_layer.explain(peer)
        return replace(explained, next=(*explained.next, *waiting))

    def _known_names(self) -> Iterator[Name]:
        """The nodes that the beginning of a name may stand for."""
        yield self.node_name
        contacts = (*self.settings.contacts, *self._crust.saved_contacts())
        yield from (each.name for each in contacts if each.name is not None)
        if self._core is not None:
            yield from (each.name for each in self._core.links.peers)
            yield from (each.name for each in self._core.table.nearest(self.node_name, len(self._core.table)))

    def _known_members(self) -> PrivateMembers | None:
        private = None if self._core is None else self._core.private
        return None if private is None else private.members

    def _default_crust(self, reactor: Any) -> ICrust:
        from ..crust.platform import SystemPlatform
        from ..crust.service import CrustService

        secret = b"" if self.membership is None else self.membership.beacon_secret
        platform = SystemPlatform(reactor, beacon_secret=secret)
        return CrustService(self.settings, self.identity, platform, self.random)

    def _has_stopped(self, _: None) -> None:
        self._stopping = False


def running_services() -> tuple[RoutingService, ...]:
    """
    The services of this process that are started and not stopped, in the order of their starts, so that what
    is given only as text, such as the string of an endpoint, finds them.
    """
    return tuple(_running)


def forget_running(service: RoutingService) -> None:
    """A service does not run any more, or its process is gone; one that is not known is no error."""
    _running.pop(service, None)
