"""
The core of a node, from one start to the next stop: who hears of what, in which order.

Crust's events come in here and go to the parts that they concern, and so do those of peers, frames, envelopes
and states. C{parts} makes the parts.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from ..crust.interfaces import ICrustEvents, ILink
from ..crust.reachability import Reachability
from ..endpoints import Endpoint
from ..errors import CloseReason, LinkClosed, WireError
from ..history import Way
from ..names import Name
from ..quietlog import QuietLog
from ..wire.framing import FIRST_APPLICATION_KIND, FrameKind
from ..wire.messages import EnvelopeKind
from .events import EndpointsChanged, GroupConnectedChanged, Observers, ReachabilityChanged
from .links.stream_layer import FIRST_STREAM_KIND, LAST_STREAM_KIND, StreamLayer
from .membership.network_time import NetworkTime
from .membership.policy import MembershipPolicy
from .membership.table_upkeep import TableUpkeep
from .node import Node
from .parts import NodeParts
from .reporting.explain import Explanation, explain
from .reporting.status import LinkReports, node_status
from .state import State


@implementer(ICrustEvents)
class RoutingCore(NodeParts):
    """Made by C{RoutingService} with each start, discarded after L{stop}."""

    log = Logger()

    def __init__(self, node: Node, network_time: NetworkTime, observers: Observers) -> None:
        super().__init__(node, network_time, observers)
        self._quiet = QuietLog(self.log, node.clock.seconds)
        self._follow_peers()
        self._take_frames()
        self._take_envelopes()
        self._follow_the_state()

    def _follow_peers(self) -> None:
        policy = MembershipPolicy(
            self.node, lambda: self.state, self.table, self.links, self.connector, self.time, self.proxied
        )
        self.links.attach(
            policy,
            (
                # The table changes before any part routes by it. A peer for which it has no room is dropped
                # here, and the listeners below do not hear that it was established.
                TableUpkeep(self.table, self.links, self.joiner, self.observers),
                # So is one that there is no room for beside the table.
                self.granted,
                # Only members vote on the time, so the table has decided who is one.
                self.time,
                # What was under way by a lost peer goes another way at once, by the table.
                self.lookup,
                self.messenger,
                self.tunnels,
                self.reachability,
                # The stream layer may give links back when it hears of a loss, so the idle links forget the
                # lost peer before. It knows a new link before the connector fires those who waited for one,
                # and who may open streams over it.
                self.idle,
                self.stream_layer,
                self.connector,
                self.second_links,
                self.faster_paths,
                self.validator,
                # What they send is of no use to a peer that another part has just dropped.
                *(self.private.listeners if self.private is not None else ()),
                # Applications hear of a link when every part can use it, and of its loss when no part uses
                # it any more.
                LinkReports(self.observers),
                self.contacts,
                # It only waits; a peer that it lets go later is lost for all of them then.
                self.proxied,
                # Last: it may end the state that all others are in, or close the link that they have just
                # heard of.
                self.attachment,
            ),
        )
        self.attachment.when_cut_off(self.joiner.rest, self.time.forget)
        self.joiner.when_group_changed(
            lambda connected: self.observers.tell(GroupConnectedChanged(connected)),
            self.attachment.group_changed,
        )
        # the time first: what is asked by a new proxy is asked with its time
        for each in (self.time, self.connector, self.lookup, self.trial):
            self.neighbourhood.watch_proxy(each.proxy_changed)
        self.time.when_moved(self.connector.time_moved)
        self.time.when_divided(self.prober.hurry)
        self.attachment.when_served(self.publisher.proxy_changed)
        if self.is_client:
            self.neighbourhood.watch_proxy(self.publisher.proxy_changed)

    def _take_frames(self) -> None:
        self.links.handle_frames(self.messenger.frame_handlers, self._frame_for_the_messenger)
        self.links.handle_frames((FrameKind.CONTACTS,), self.contacts.frame_received)
        self.links.handle_frames(self.reachability.kinds, self.reachability.frame_received)
        self.links.handle_frames(
            range(FIRST_STREAM_KIND, LAST_STREAM_KIND + 1), self.stream_layer.frame_received
        )
        self.links.handle_frames(range(FIRST_APPLICATION_KIND, 256), self.application.frame_received)

    def _take_envelopes(self) -> None:
        self.messenger.when_undeliverable(
            self.connector.undeliverable, self.responder.undeliverable, self.doorkeeper.undeliverable
        )
        for kind, handler in {
            EnvelopeKind.GROUP_QUERY: self.lookup.query_received,
            EnvelopeKind.GROUP_ANSWER: self.lookup.answer_received,
            EnvelopeKind.CONNECT_REQUEST: self.validator.request_received,
            EnvelopeKind.CONNECT_RESPONSE: self.connector.response_received,
            EnvelopeKind.CONNECT_GO: self.responder.go_received,
            EnvelopeKind.CLIENT_RECORD: self.neighbourhood.client_record_received,
        }.items():
            self.dispatch.handle(kind, handler)

    def _follow_the_state(self) -> None:
        if not self.is_client:
            self.lifecycle.on_entering(State.CONNECTED, self.prober.start, self.reachability.start)
        self.lifecycle.on_entering(State.DISCONNECTED, self.prober.stop, self.reachability.rest)
        # The layers above stop first, while what they were promised can still fail in order; the links last.
        self.lifecycle.on_entering(
            State.TERMINATED,
            self.joiner.rest,
            *(() if self.private is None else (self.private.stop,)),
            self.stream_layer.stop,
            self.idle.stop,
            self.proxied.stop,
            self.doorkeeper.stop,
            self.attachment.stop,
            self.prober.stop,
            self.reachability.stop,
            self.publisher.stop,
            self.tunnels.stop,
            self.second_links.stop,
            self.faster_paths.stop,
            self.absence.stop,
            self.connector.stop,
            self.validator.stop,
            self.attempts.stop,
            self.lookup.stop,
            self.messenger.stop,
            self.links.stop,
        )

    @property
    def state(self) -> State:
        """The state of the machine."""
        return self.lifecycle.state

    @property
    def bootstrapped(self) -> bool:
        """Whether we have a proxy, or an entry in the table."""
        return self.neighbourhood.bootstrapped

    @property
    def proxy(self) -> Name | None:
        """Our proxy, while we are a client or in no routing table yet."""
        return self.neighbourhood.proxy

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
        self.lifecycle.machine.start()
        if self.private is not None:
            self.private.start()

    def settings_changed(self, denied_before: tuple[str, ...], has_new_contacts: bool) -> None:
        """Settings of the node are others: go by them."""
        self.dispatch.settings_changed()
        self.messenger.settings_changed()
        self.denial.settings_changed(denied_before)
        if has_new_contacts:
            # those that it waits with were tried without success
            self.lifecycle.network_changed()

    def stop(self) -> Deferred[None]:
        """
        Stop everything, for good.

        @return: as that of L{ICrust.stop}.
        """
        # the parts stop first, so that they take no link that crust closes for a loss
        self.lifecycle.machine.stop()
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
        """A frame came. A peer that breaks the protocol loses its link."""
        try:
            self.links.frame_received(link, kind, payload)
        except WireError as error:
            self._quiet.info(
                "broken protocol",
                "closing the link to {peer} at {endpoint}: {problem}",
                by=link.connection.peer.prefix,
                peer=link.peer,
                endpoint=link.connection.peer,
                problem=error,
            )
            self.links.close(link, error.reason, str(error), logged=True)

    def _frame_for_the_messenger(self, link: ILink, kind: int, payload: bytes) -> None:
        # this runs for each message, and mostly no link is borrowed
        if self.idle.borrowed:
            self.idle.used(link.peer)
        self.messenger.frame_handlers[kind](link, kind, payload)

    def lost_connection(self, link: ILink, reason: LinkClosed) -> None:
        """A link is gone."""
        when = " before both ends agreed on it" if self.attempts.link_lost(link, reason.reason) else ""
        self.crust.history.tried(link.peer, Way.LINK, link.connection.peer, f"lost{when}: {reason}")
        self.links.link_lost(link, reason.reason, reason.detail)
        self.second_links.link_lost(link, reason)

    def link_doubted(self, link: ILink) -> None:
        """A link may be dead."""
        self.links.link_doubted(link)

    def bootstrap_finished(self, links: int, problem: str) -> None:
        """An attempt to bootstrap is over."""
        # a link of this attempt, or of an earlier one, may have been confirmed meanwhile
        if not self.bootstrapped:
            self.lifecycle.bootstrap_finished(problem)

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
        """A node that could not be reached before may be now: retry at once whatever waits."""
        # before the joiner wakes: it leaves out nodes that the connector lets cool down
        self.connector.network_changed()
        self.reachability.network_changed()
        self.faster_paths.network_changed()
        self.tunnels.wake()
        if self.state is State.CONNECTED and not self.is_client:
            self.joiner.wake()
        self.lifecycle.network_changed()
        self.attachment.network_changed()

    def _new_link(self, link: ILink) -> None:
        if self.state is State.TERMINATED:
            link.close(CloseReason.STOPPING)
        else:
            self.links.new_link(link)

    # What the service asks for.

    def set_stream_layer(self, layer: StreamLayer) -> None:
        """Give this layer the frames of streams, and tell it of the present peers."""
        self.stream_layer.attach(layer, self.links.peers)

    def status(self, nickname_of: Callable[[Name], str]) -> dict[str, object]:
        """A snapshot of the node; every value can be written as JSON."""
        expected, relay = len(self.attempts.expected), self.messenger.relay_status
        status = node_status(self.node, self.links, self.neighbourhood, expected, relay, nickname_of)
        status["sessions"] = self.messenger.sessions.status(nickname_of)
        status["no_way_in"] = self.lifecycle.problem
        status["clock_offset_seconds"] = round(self.time.offset, 1) if self.links.peers else None
        return status if self.private is None else {**status, "membership": self.private.status()}

    def explain(self, name: Name) -> Explanation:
        """Explain why a peer has a link with us, or has none."""
        return explain(
            self.node,
            self.links,
            self.neighbourhood,
            self.connector.requests,
            self.candidates.refusal,
            name,
            self.relays.reason(name),
        )
