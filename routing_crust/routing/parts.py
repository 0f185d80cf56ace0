"""
The parts of a node: each is made here, and given what it uses.

A part knows others by its constructor, or by what is registered with it; only L{NodeParts} has all of them.
"""

from __future__ import annotations

from ..names import Name
from .absence.absence_watch import watch_for_absence
from .application_link import ApplicationFrames
from .connecting.attempts import Attempts
from .connecting.candidates import CandidateExchange
from .connecting.connect_request_validator import ConnectRequestValidator
from .connecting.connector import Connector
from .connecting.direct_links import DirectLinks
from .connecting.faster_paths import FasterPaths
from .connecting.reachability_checks import ReachabilityChecks
from .connecting.relay_choice import RelayChoice
from .connecting.responder import ConnectResponder
from .connecting.tunnel_manager import TunnelManager
from .connecting.tunnel_opener import TunnelOpener
from .events import Observers
from .inviting.doorkeeper import Doorkeeper
from .links.denial import Denial
from .links.granted import GrantedLinks
from .links.idle import IDLE_LINK_SECONDS, IdleLinks
from .links.registry import LinkRegistry
from .links.second_links import SecondLinks
from .links.stream_layer import StreamLayerAdapter
from .membership.attachment import Attachment
from .membership.client_publisher import Publisher
from .membership.close_group_lookup import CloseGroupLookup
from .membership.close_group_search import CloseGroupSearch
from .membership.contact_exchange import ContactExchange
from .membership.joining import Joiner
from .membership.lifecycle import Lifecycle
from .membership.neighbourhood import Neighbourhood
from .membership.network_time import NetworkTime
from .membership.partition_probe import Prober
from .membership.proxied import ProxiedPeers
from .membership.proxy_trial import ProxyTrial
from .messaging.envelope_dispatch import EnvelopeDispatch
from .messaging.messenger import Messenger
from .node import Node
from .private.network import private_network


class NodeParts:
    """The base of C{RoutingCore}, which tells the parts of events, and stops them."""

    def __init__(self, node: Node, network_time: NetworkTime, observers: Observers) -> None:
        self.node = node
        self.identity = node.identity
        self.clock = node.clock
        self.crust = node.crust
        self.is_client = node.is_client
        self.application = ApplicationFrames(node.clock)
        self.observers = observers
        self.time = network_time
        self.lifecycle = Lifecycle(node, observers)
        self.links = LinkRegistry(node)
        self.proxied = ProxiedPeers(node, self.links)
        self.neighbourhood = Neighbourhood(node, self.links)
        self.table = self.neighbourhood.table
        self.clients = self.neighbourhood.clients
        self.stream_layer = StreamLayerAdapter()
        self.idle = IdleLinks(node.clock, IDLE_LINK_SECONDS, self._drop_idle)
        self.contacts = ContactExchange(node, self.links)
        self.reachability = ReachabilityChecks(
            node, self.links, self.contacts.dialable_at, self._seen_elsewhere
        )
        self.dispatch = EnvelopeDispatch(node)
        self.messenger = Messenger(node, self.links, self.neighbourhood, self.dispatch)
        self.relays = relays = RelayChoice(node, self.links, self.neighbourhood, self.contacts.dialable_at)
        # a client speaks for itself alone, and is no relay
        if not self.is_client:
            self.crust.carry_tunnels(relays.way)
        send = self.messenger.send_control
        self.lookup = CloseGroupLookup(node, self.neighbourhood, send, network_time)
        self.search = CloseGroupSearch(node, self.neighbourhood, self.links, self.lookup)
        self.attempts = Attempts(node, self.links, self._in_use)
        self.candidates = candidates = CandidateExchange(node, self.links)
        self.connector = Connector(node, self.links, self.attempts, candidates, send, relays)
        self.second_links = SecondLinks(node, self.links, self.connector.request_beside)
        self.faster_paths = FasterPaths(node, self.links, candidates, self._in_use)
        self.responder = ConnectResponder(
            node, self.attempts, candidates, send, relays, self.connector.requests
        )
        self.absence = watch_for_absence(
            node,
            self.neighbourhood,
            self.search,
            self.lookup,
            candidates,
            self.connector.requests.has_answered,
        )
        self.messenger.look_out_by(self.absence)
        self.granted = GrantedLinks(node, self.links, self.idle)
        self.validator = ConnectRequestValidator(node, self.links, self.table, self.granted, self.responder)
        self.tunnels = TunnelManager(node, self.links, relays, self.connector, self.idle, self.neighbourhood)
        self.direct_links = DirectLinks(
            node,
            self.links,
            self.neighbourhood,
            self.connector,
            self.idle,
            self.absence,
            # a link in the middle of a tunnel is given back when the last tunnel through it is gone
            lambda name: self.tunnels.uses(name) or self.stream_layer.in_use(name),
        )
        self.tunnel_opener = TunnelOpener(
            node, self.links, relays, self.connector, self.direct_links.borrow, self.tunnels.give_back
        )
        self.attempts.open_tunnels_by(self.tunnel_opener.open, relays.better)
        self.joiner = Joiner(
            node,
            self.table,
            self.lookup,
            self.connector.request_link,
            self.connector.requests,
            self.neighbourhood.first_hops,
        )
        self.prober = Prober(node, self.lookup, network_time, self.links, self.joiner.probed)
        self.trial = ProxyTrial(node, self.neighbourhood, self.links, self.lookup)
        self.publisher = Publisher(node, self.lookup, send, self.trial if self.is_client else None)
        self.attachment = Attachment(
            node, self.lifecycle, self.neighbourhood, self.links, self.joiner, self.prober, self.trial
        )
        self.attachment.keep_relays(self.tunnels.uses)
        self.tunnels.when_unused(self.attachment.relay_not_needed)
        self.doorkeeper = Doorkeeper(
            node, self.links, self.dispatch, send, self.contacts.dialable_at, self.lifecycle.wake
        )
        when_banned = (
            self.connector.banned,
            self.stream_layer.banned,
            self.clients.banned,
            self.messenger.banned,
        )
        self.private = private_network(node, self.links, when_banned, self.doorkeeper)
        self.denial = Denial(node, self.links, when_banned)

    def _in_use(self, name: Name) -> bool:
        """Whether an application or a stream uses the link with a peer."""
        return self.idle.is_ours(name) or self.stream_layer.in_use(name)

    def _drop_idle(self, name: Name) -> None:
        self.direct_links.drop_idle(name)

    def _seen_elsewhere(self) -> None:
        """A check has shown that others see us elsewhere than before: tunnels may be replaced there."""
        self.tunnels.wake()
