"""
The core of a node, from one start to the next stop: what the layers of routing tell each other.

Crust's events come in here and go where they concern somebody; what the state machine decides is done here;
and what C{membership} and the messenger need to know of the node, they find here.
"""

from __future__ import annotations

from random import Random
from typing import Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from ..config import Role, Settings
from ..crust.interfaces import ICrust, ICrustEvents, ILink, Reachability
from ..endpoints import Endpoint
from ..errors import CloseReason, ExpectedConnectionExpired, LinkClosed, NotConnected, WireError
from ..history import Way
from ..identity import Identity
from ..names import Name
from ..quietlog import QuietLog
from ..timing.backoff import Backoff
from ..timing.timers import cancel
from ..wire.framing import FIRST_APPLICATION_KIND, FrameKind
from ..wire.messages import Envelope, LinkUse
from .connecting.connector import Connector
from .connecting.reachability_checks import ReachabilityChecks
from .connecting.tunnel_manager import TunnelManager
from .events import EndpointsChanged, FrameHandler, Observers, ReachabilityChanged, StateChanged
from .links.idle import IdleLinks
from .links.registry import LinkRegistry
from .links.stream_layer import FIRST_STREAM_KIND, LAST_STREAM_KIND, StreamLayer, Upper
from .membership.client_publisher import Publisher
from .membership.client_registry import ClientRegistry
from .membership.group_queries import GroupQueries
from .membership.joining import Joiner
from .membership.network_time import NetworkTime
from .membership.partition_probe import Prober
from .membership.policy import Membership
from .membership.routing_table import RoutingTable
from .messaging.control_dispatch import ControlMessages
from .messaging.messenger import Messenger
from .state import State, StateCore, make_machine
from .status import core_status

RETRY_FACTOR: Final = 1.5
"""Each wait before bootstrapping again is longer than the last by this factor, on average."""

_FOR_THE_MESSENGER = frozenset({FrameKind.ENVELOPE, FrameKind.MESSAGE, FrameKind.ACK})


@implementer(ICrustEvents)
class RoutingCore:
    """
    Made by C{RoutingService} with each start, discarded after L{stop}.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        clock: IReactorTime,
        random: Random,
        crust: ICrust,
        incarnation: int,
        observers: Observers,
    ) -> None:
        self.settings = settings
        self.identity = identity
        self.clock = clock
        self._quiet = QuietLog(self.log, clock.seconds)
        self.frame_handler: FrameHandler | None = None
        self.random = random
        self.crust = crust
        self.is_client = settings.role is Role.CLIENT
        self.observers = observers
        self._retry: IDelayedCall | None = None
        self._backoff = Backoff(settings.retry_first, RETRY_FACTOR, settings.retry_most, 1.0, random)
        self._state = StateCore(settings.role, self, incarnation)
        self.machine = make_machine(self._state)
        self.table = RoutingTable(identity.name, settings)
        self.time = NetworkTime(clock)
        self.clients = ClientRegistry(clock, settings, self.time.now)
        self.upper = Upper()
        self.idle = IdleLinks(clock, settings.stream_idle, self._give_up)
        self.membership = Membership(self)
        self.links = LinkRegistry(
            settings,
            identity,
            clock,
            incarnation,
            lambda: crust.endpoints,
            self.membership,
            lambda: crust.nat,
            self.time.now,
        )
        self.reachability = ReachabilityChecks(self)
        self.control = ControlMessages(self)
        self.messenger = Messenger(self, random, incarnation << 20)
        self.tunnels = TunnelManager(self)
        if not self.is_client:
            crust.carry_tunnels(self.tunnels.way)
        self.queries = GroupQueries(settings, clock, random, self.control.send_query)
        self.connector = Connector(
            settings,
            identity,
            clock,
            random,
            incarnation,
            crust,
            self.control.send,
            self.membership.wants,
            self.links,
            self.time.now,
            self.tunnels,
        )
        self.joiner = Joiner(
            settings,
            identity.name,
            clock,
            random,
            self.table,
            self.queries,
            self.connector,
            self.membership.first_hops,
            self.membership.group_changed,
        )
        self.prober = Prober(
            settings,
            identity.name,
            clock,
            random,
            crust,
            self.queries,
            lambda name: self.links.peer(name) is not None,
            self.joiner.probed,
            self.links.close,
        )
        self.publisher = Publisher(
            settings, identity, clock, random, self.queries, self.control.send_record, self.time.now
        )

    @property
    def state(self) -> State:
        """The state of the machine."""
        return self._state.state

    @property
    def bootstrapped(self) -> bool:
        """Whether anybody speaks for us, or is in our table."""
        return self.membership.proxy is not None or len(self.table) > 0

    @property
    def proxy(self) -> Name | None:
        """The node that speaks for us, while we are a client or in no routing table yet."""
        return self.membership.proxy

    @property
    def group_connected(self) -> bool:
        """Whether the table holds the close group of our name."""
        return self.joiner.group_connected

    def start(self) -> None:
        """
        Listen, and begin to bootstrap.

        @raise CannotListen: as L{ICrust.start} does.
        """
        self.crust.start(self)
        self.machine.start()

    def stop(self) -> Deferred[None]:
        """
        Stop everything, for good.

        @return: as that of L{ICrust.stop}.
        """
        self.machine.stop()
        return self.crust.stop()

    # Crust's events.

    def on_connect(self, link: ILink) -> None:
        """A link that we dialled is up."""
        self._new_link(link)

    def on_accept(self, link: ILink) -> None:
        """A peer has dialled us."""
        self.crust.history.tried(link.peer, Way.LINK, link.connection.peer, "it connected to us", good=True)
        self._new_link(link)

    def new_message(self, link: ILink, kind: int, payload: bytes) -> None:
        """A frame came. Whoever breaks the protocol loses the link."""
        try:
            if link not in self.links.passing or not self.frame_received(link, kind, payload):
                self.links.frame_received(link, kind, payload)
        except WireError as error:
            self._quiet.info(
                "broken protocol",
                "closing the link to {peer} at {endpoint}: {problem}",
                peer=link.peer,
                endpoint=link.connection.peer,
                problem=error,
            )
            self.links.close(link, error.reason, str(error))

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> bool:
        """
        A frame has come on a confirmed link, and has its turn.

        @return: whether there are such frames.
        @raise WireError: the peer broke the protocol.
        """
        if kind in _FOR_THE_MESSENGER:
            if self.idle.borrowed:
                self.idle.used(link.peer)
            self.messenger.frame_received(link, kind, payload)
        elif FIRST_STREAM_KIND <= kind <= LAST_STREAM_KIND:
            if self.upper.layer is not None:
                self.upper.layer.frame_received(link, kind, payload)
        elif kind >= FIRST_APPLICATION_KIND:
            self._frame_for_the_application(link, kind, payload)
        elif kind in self.reachability.kinds:
            self.reachability.frame_received(link, kind, payload)
        else:
            return False
        return True

    def _frame_for_the_application(self, link: ILink, kind: int, payload: bytes) -> None:
        if self.frame_handler is None:
            self._quiet.info(
                "no frame handler", "dropped a frame of {peer}: there is no handler", peer=link.peer
            )
            return
        with self.log.failuresHandled("the frame handler raised"):
            self.frame_handler(link, kind, payload)

    def lost_connection(self, link: ILink, reason: LinkClosed) -> None:
        """A link is gone."""
        when = " before both ends agreed on it" if self.connector.link_lost(link) else ""
        self.crust.history.tried(link.peer, Way.LINK, link.connection.peer, f"lost{when}: {reason}")
        self.links.link_lost(link, reason.reason, reason.detail)

    def bootstrap_finished(self, links: int, problem: str) -> None:
        """An attempt to bootstrap is over."""
        if self.bootstrapped or self.state is not State.BOOTSTRAPPING:
            return
        self.log.info("found no way into the network: {problem}", problem=problem or "no contact let us in")
        self.machine.bootstrap_failed()

    def external_endpoints(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Where others can dial us."""
        self.observers.tell(EndpointsChanged(endpoints))
        self.reachability.wake()
        self.tunnels.wake()

    def reachability_changed(self, reachability: Reachability) -> None:
        """How others can reach us."""
        self.observers.tell(ReachabilityChanged(reachability))
        self.reachability.wake()
        self.tunnels.wake()

    def network_changed(self) -> None:
        """What could not be reached before may be now: nothing waits any longer for its next try."""
        self.connector.network_changed()
        self.tunnels.wake()
        if self.state is State.CONNECTED and not self.is_client:
            self.joiner.wake()
        elif self.state is State.DISCONNECTED and self._retry is not None and self._retry.active():
            self._backoff.reset()
            cancel(self._retry)
            self.machine.retry()

    def _new_link(self, link: ILink) -> None:
        if self.state is State.TERMINATED:
            link.close(CloseReason.STOPPING)
        else:
            self.links.new_link(link)

    # What the state machine decides.

    def state_changed(self, old: State, new: State) -> None:
        """The state is another."""
        cancel(self._retry)
        if new is State.CONNECTED:
            self._backoff.reset()
            if not self.is_client:
                self.prober.start()
                self.reachability.start()
        elif new is State.DISCONNECTED:
            self.prober.stop()
            self.reachability.rest()
        self.observers.tell(StateChanged(old, new))

    def begin_bootstrap(self) -> None:
        """Dial contacts."""
        self.crust.bootstrap()

    def schedule_retry(self) -> None:
        """Bootstrap again after the back-off."""
        wait = self._backoff.next_wait()
        self.log.info("bootstrapping again in {wait:.1f} s", wait=wait)
        self._retry = self.clock.callLater(wait, self.machine.retry)

    def listen_only(self) -> None:
        """A first node dials nobody, but one that has been here before looks for those it knew."""
        if self.crust.saved_contacts():
            self.machine.retry()

    def shut_down(self) -> None:
        """Stop everything but crust."""
        cancel(self._retry)
        self.joiner.rest()
        for part in (
            self.upper,
            self.idle,
            self.membership,
            self.prober,
            self.reachability,
            self.publisher,
            self.tunnels,
            self.connector,
            self.queries,
            self.messenger,
            self.links,
        ):
            part.stop()

    # What the messenger asks and tells.

    def link_to(self, name: Name) -> ILink | None:
        """The confirmed link to this very node."""
        return self.links.link_to(name)

    def undeliverable(self, envelope_id: int) -> None:
        """A hint came that a control envelope of ours found no way on."""
        self.connector.undeliverable(envelope_id)

    def handle_control(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        """A control envelope has come for us."""
        self.control.received(envelope, source, link)

    # What applications ask for.

    def group_here(self, target: Name, without: tuple[Name, ...] = ()) -> tuple[Name, ...]:
        """
        The close group of a name as we know it, nearest first; we are in it if we are a node.

        @param without: who is left out.
        """
        names = [entry.name for entry in self.table.nearest(target, self.settings.group_size, without)]
        if not self.is_client:
            names.append(self.identity.name)
        return tuple(sorted(names, key=target.distance)[: self.settings.group_size])

    def close_group(self, target: Name) -> Deferred[tuple[Name, ...]]:
        """See C{RoutingService.close_group}."""
        if not self.bootstrapped:
            return fail(NotConnected("there is no link to the network; wait for when_connected()"))
        if not self.is_client and self.table.next_hop(target) is None:
            return succeed(self.group_here(target))
        return self.queries.ask(target).addCallback(lambda group: self._with_ourselves(target, group.members))

    def _with_ourselves(self, target: Name, members: tuple[Name, ...]) -> tuple[Name, ...]:
        """Who answers a query leaves out who has asked."""
        own = () if self.is_client else (self.identity.name,)
        return tuple(sorted({*members, *own}, key=target.distance)[: self.settings.group_size])

    def send_to_group(self, target: Name, body: bytes) -> Deferred[tuple[Name, ...]]:
        """See C{RoutingService.send_to_group}."""
        if not isinstance(body, bytes):
            raise TypeError(f"a body is bytes, not {type(body).__name__}")
        members = self.close_group(target)
        return members.addCallback(lambda names: self.messenger.send_to_group(target, names, body))

    def connect(self, name: Name) -> Deferred[ILink]:
        """See C{RoutingService.connect}."""
        return Deferred.fromCoroutine(self._connect(name)).addCallback(self._keep)

    def _keep(self, link: ILink) -> ILink:
        self.idle.keep(link.peer)
        return link

    def borrow(self, name: Name) -> Deferred[ILink]:
        """See C{RoutingService.borrow}."""
        self.idle.needed(name)
        peer = self.links.peer(name)
        # a client's only link stays anyway; any other that is merely attached goes when one has joined
        if peer is not None and (peer.use >= LinkUse.DIRECT or self.is_client or peer.facts.is_client):
            return succeed(peer.link)
        self.idle.borrow(name)
        return Deferred.fromCoroutine(self._connect(name))

    def _give_up(self, name: Name) -> None:
        if self.tunnels.uses(name):
            return  # it is given back when the last tunnel through it is gone
        peer = self.links.peer(name)
        if peer is not None and peer.use is LinkUse.DIRECT and not self.upper.in_use(name):
            self.links.drop(name, CloseReason.NO_LONGER_NEEDED, "it was idle")

    def set_stream_layer(self, layer: StreamLayer) -> None:
        """See C{RoutingService.set_stream_layer}."""
        self.upper.attach(layer, self.links.peers)

    async def _connect(self, name: Name) -> ILink:
        deadline = self.clock.seconds() + self.settings.expected_timeout
        while True:
            if not self.bootstrapped:
                raise NotConnected("there is no link to the network; wait for when_connected()")
            try:
                return await self.connector.ask(name, LinkUse.DIRECT)
            except ExpectedConnectionExpired:
                if self.clock.seconds() >= deadline:
                    raise

    def status(self) -> dict[str, object]:
        """See C{RoutingService.status}."""
        return core_status(self)
