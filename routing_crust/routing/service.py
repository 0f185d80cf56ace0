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
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime

from ..config import Settings, change_settings
from ..crust.interfaces import ICrust, ILink
from ..endpoints import Contact, Endpoint
from ..errors import AlreadyRunning, ServiceStopped
from ..forwarding_rules import known
from ..identity import Identity
from ..names import Name
from ..timing.steadyclock import steady
from ..timing.stoppable_clock import StoppableClock
from ..timing.waiters import Waiters
from ..trust.networks import is_private
from ..wire.messages import NatKind
from .application_link import ApplicationLink, FrameHandler
from .core import RoutingCore
from .events import GroupConnectedChanged, Observers, StateChanged
from .explain import Explanation
from .incarnation import next_incarnation
from .inviting.doorkeeper import Inviter
from .links.stream_layer import StreamLayer
from .members import OPEN
from .membership.network_time import NetworkTime
from .messages_by_name import MessagesByName
from .naming.directory import PeerDirectory
from .node import Node
from .private.membership import Membership, check_membership
from .private.network import PrivateNetwork
from .private.private_members import PrivateMembers
from .state import State

_Event = TypeVar("_Event")
# weak: a simulated network that is given up without a stop must not live as long as the process
_running: WeakKeyDictionary[RoutingService, None] = WeakKeyDictionary()


class RoutingService(MessagesByName, Service):
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
    @ivar stream_layer: the layer of byte streams; C{None} before L{set_stream_layer}.
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
        last_incarnation: int = 0,
    ) -> None:
        """
        @param reactor: the clock, and what the default crust uses for its sockets; C{None} is the
            global reactor.
        @param identity: C{None} makes a new one, which is lost with the process.
        @param membership: our credentials in a private network; C{None} in an open one.
        @param crust: what makes links; C{None} is L{CrustService<routing_crust.crust.service.CrustService>}.
        @param random: the source of all randomness; C{None} is the operating system's.
        @param last_incarnation: the L{incarnation} of the last start of this node, for callers that keep it
            elsewhere than in C{state_dir}.
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
        self._incarnation = last_incarnation
        nicknames = known(settings.nicknames)
        MessagesByName.__init__(
            self,
            PeerDirectory(nicknames, is_private(settings.network), self._known_names, self._known_members),
        )
        self._timers = StoppableClock(self.clock)
        self._stopping = False
        self._observers = Observers()
        self._frame_handler: FrameHandler | None = None
        self._inviter: Inviter | None = None
        self.stream_layer: StreamLayer | None = None
        self._waiting_for_state: Waiters[None] = Waiters()
        self._waiting_for_group: Waiters[None] = Waiters()
        self.observe(StateChanged, self._state_changed)
        self.observe(GroupConnectedChanged, self._group_changed)

    def __repr__(self) -> str:
        return f"<RoutingService {self.node_name.short} in {self.settings.network}, {self.state.value}>"

    @property
    def state(self) -> State:
        """How this service stands to its network."""
        if self._core is None:
            return State.DISCONNECTED
        return self._core.state

    @property
    def incarnation(self) -> int:
        """The number of this start. It grows with each, so that peers notice a restart."""
        return self._incarnation

    @property
    def bootstrapped(self) -> bool:
        """Whether this node has a confirmed link to its proxy, or to nodes in its routing table."""
        return self._core is not None and self._core.bootstrapped

    @property
    def group_connected(self) -> bool:
        """Whether every reachable member of the close group of our name is in the routing table."""
        return self._core is not None and self._core.group_connected

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
        self._incarnation = next_incarnation(self.settings.state_dir, self._incarnation, self.clock.seconds())
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
            self._incarnation,
            network_time.now,
            members,
        )
        self._core = RoutingCore(node, network_time, self._observers)
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

    def when_connected(self) -> Deferred[None]:
        """
        @return: fires with C{None} once the state is C{CONNECTED}, at once if it is. There is no deadline:
            bootstrapping is never given up. Fails with L{ServiceStopped} when the service stops first.
        """
        return self._when(self.state is State.CONNECTED, self._waiting_for_state)

    def when_group_connected(self) -> Deferred[None]:
        """
        @return: as L{when_connected}, once L{group_connected} is true. Clients never are.
        """
        return self._when(self.group_connected, self._waiting_for_group)

    def connect(self, name: Name | str) -> Deferred[ApplicationLink]:
        """
        Get a link to a node: the existing one, or a new one.

        Frames of kinds 128 to 255 that are sent over it go to the other end's frame handler (see
        L{set_frame_handler}).

        @return: fires with the link when both ends have confirmed it. Fails with
            L{PeerUnreachable<routing_crust.errors.PeerUnreachable>}: within 5 s when the node is gone, by
            what the nodes near its name and its own addresses say, else after C{UNREACHABLE_SECONDS}; and
            with L{NotConnected} or L{ServiceStopped}. All of these are Twisted's C{ConnectError}s as well.
        @raise InvalidName: as L{name_of<routing_crust.routing.messages_by_name.MessagesByName.name_of>} does.
        """
        to = self.name_of(name)
        return self._running(lambda core: core.direct_links.connect(to).addCallback(ApplicationLink))

    def borrow(self, name: Name, patient: bool = False) -> Deferred[ILink]:
        """
        As L{connect}, for a layer above such as that of streams, which gives the link back with
        L{give_back}. Other users of a link to the peer share it.

        @param patient: whether to wait until the service is connected instead of failing with
            L{NotConnected}; no longer than L{connect} does.
        """
        joined = self.when_connected() if patient and self._started else None
        return self._running(lambda core: core.direct_links.borrow(name, joined))

    def ask_again(self, name: Name) -> None:
        """
        A L{borrow} that is under way is urgent: ask the peer once more. At most once a second for each peer,
        however often this is called.
        """
        if self._core is not None:
            self._core.connector.ask_again(name)

    def give_back(self, name: Name) -> None:
        """
        A borrowed link is not needed any more. If it was made for that, and neither the routing table nor an
        application has use for it, it is closed when C{IDLE_LINK_SECONDS} seconds have gone by without a
        message and without another L{borrow}.
        """
        if self._core is not None:
            self._core.idle.give_back(name)

    def set_stream_layer(self, layer: StreamLayer) -> None:
        """
        Have frames of kinds 32 to 63 go to a layer above, and tell it of the peers. Once for a
        service: L{routing_crust.streams.service.streams_of} does it.

        @raise ValueError: there is one.
        """
        if self.stream_layer is not None:
            raise ValueError("this service has a layer of streams")
        self.stream_layer = layer
        if self._core is not None and self._started:
            self._core.set_stream_layer(layer)

    def set_frame_handler(self, handler: FrameHandler | None) -> None:
        """
        Call C{handler} with the link, the kind and the payload of each frame that a peer sends with
        L{ApplicationLink.send}. Without a handler they are dropped.
        """
        self._frame_handler = handler
        if self._core is not None:
            self._core.application.handler = handler

    def doors(self) -> tuple[Contact, ...]:
        """Where an invitation of this node can be redeemed: here, and at members that pass it on."""
        return () if self._core is None else self._core.doorkeeper.doors()

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
            "incarnation": self._incarnation,
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

    def _when(self, now: bool, waiting: Waiters[None]) -> Deferred[None]:
        if now:
            return succeed(None)
        if self.state is State.TERMINATED:
            return fail(ServiceStopped("the service has been stopped"))
        return waiting.wait()

    def _state_changed(self, event: StateChanged) -> None:
        if event.new is State.CONNECTED:
            self._waiting_for_state.fire(None)
        elif event.new is State.TERMINATED:
            self._started = False
            self._waiting_for_state.fail(ServiceStopped("the service has been stopped"))
            self._waiting_for_group.fail(ServiceStopped("the service has been stopped"))

    def _group_changed(self, event: GroupConnectedChanged) -> None:
        if event.connected:
            self._waiting_for_group.fire(None)


def running_services() -> tuple[RoutingService, ...]:
    """
    The services of this process that are started and not stopped, in the order of their starts, so that what
    is given only as text, such as the string of an endpoint, finds them.
    """
    return tuple(_running)


def forget_running(service: RoutingService) -> None:
    """A service does not run any more, or its process is gone; one that is not known is no error."""
    _running.pop(service, None)
