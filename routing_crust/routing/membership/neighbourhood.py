"""
The neighbourhood: the routing table, the clients near us and the proxy, by which this node routes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final, Protocol

from ...crust.interfaces import ILink, account_by_prefix
from ...endpoints import Direction, is_local_only
from ...names import Name
from ...wire.messages import Envelope, LinkUse
from ..links.peer import Peer
from ..mixed_groups import UNCOUNTED, Networks, network_of
from ..node import Node
from .client_registry import ClientRegistry, open_record
from .routing_table import RoutingTable, counted_by, counted_networks

MAX_ASKED: Final = 8
"""Peers of applications that are asked for the way into the network."""


class LinkLookup(Protocol):
    """Where links are found by the names of their peers."""

    @property
    def peers(self) -> tuple[Peer, ...]:
        """All peers with which we have confirmed links."""

    def link_to(self, name: Name) -> ILink | None:
        """
        The confirmed link to this very node, whatever it is for: a member of the table, our proxy, a client
        or joining node that is attached to us, or one that an application asked for.
        """

    def peer(self, name: Name) -> Peer | None:
        """The peer with this name, if there is a confirmed link to it."""


class Neighbourhood:
    """
    Made with each start of the service, kept up to date by C{TableUpkeep} and C{Attachment}, discarded with
    the run.

    @ivar table: the nodes that we have links with as neighbours.
    @ivar clients: the proxies of clients near us.
    @ivar proxy: our proxy, while we are a client or still joining: everything that has no direct link goes
        out through it. C{None} otherwise.
    """

    def __init__(self, node: Node, links: LinkLookup) -> None:
        self._node = node
        self._links = links
        self.proxy: Name | None = None
        self._proxy_watchers: list[Callable[[Name | None], object]] = []
        self.table = RoutingTable(node.name, node.settings)
        self.clients = ClientRegistry(node.clock, node.settings, node.network_now)

    def set_proxy(self, name: Name | None) -> None:
        """Use this node as proxy from now on; no node with C{None}."""
        self.proxy = name
        # told once it is set: what a watcher sends goes by the new proxy
        for watcher in self._proxy_watchers:
            watcher(name)

    def watch_proxy(self, watcher: Callable[[Name | None], object]) -> None:
        """Call this with each new L{proxy}."""
        self._proxy_watchers.append(watcher)

    def may_pass_on(self, link: ILink) -> bool:
        """
        Whether the peer of a link may send us envelopes of others: a member of the table, or a node that we
        have attached ourselves to. A peer that has attached itself to us speaks for itself alone.
        """
        return link.peer in self.table or self._attached_to(link)

    def takes_from_us(self, link: ILink) -> bool:
        """
        Whether the peer of a link takes envelopes of others from us, by the same rule: a member does, and who
        has attached itself to us.
        """
        if link.peer in self.table:
            return True
        peer = self._links.peer(link.peer)
        return peer is not None and peer.use is LinkUse.ATTACHED and not self._attached_to(link)

    def _attached_to(self, link: ILink) -> bool:
        # a link without a token was dialled for no request: by the bootstrap, or by a probe
        return link.peer == self.proxy or (link.direction is Direction.CONNECTED and not link.token)

    @property
    def bootstrapped(self) -> bool:
        """Whether we have a proxy, or an entry in the table."""
        return self.proxy is not None or len(self.table) > 0

    def first_hops(self) -> tuple[ILink, ...]:
        """
        First hops for lookups of our own name: the proxy and our two nearest neighbours. While we have
        neither, peers of applications: where we know no others, nobody is left to dial.
        """
        if not self.bootstrapped:
            return tuple(each.link for each in self._links.peers if not each.facts.is_client)[:MAX_ASKED]
        # two neighbours, since one alone may lack the same node that we lack
        names = [entry.name for entry in self.table.nearest(self._node.name, 2)]
        if self.proxy is not None:
            names.append(self.proxy)
        links = (self._links.link_to(name) for name in dict.fromkeys(names))
        return tuple(link for link in links if link is not None)

    def close_group(self, target: Name, without: tuple[Name, ...] = ()) -> tuple[Name, ...]:
        """
        The close group of a name as we know it, nearest first; we are in it if we are a node.

        @param without: names that are left out.
        """
        exclude = (*without, self._node.name) if self._node.is_client else without
        own = self.known_networks(self._node.name) or UNCOUNTED
        return self.table.group_of(target, self._node.settings.group_size, exclude, own)

    def speaker_of(self, name: Name) -> Name | None:
        """
        The node with a link to this node or client: we, or the proxy that its record names, if we know any. A
        link that an application has asked for is nobody's business.
        """
        own = self._node.name
        peer = self._links.peer(name)
        is_ours = peer is not None and (peer.use is not LinkUse.DIRECT or peer.facts.is_client)
        if is_ours or name == own:
            return own
        proxy = self.clients.proxy_of(name)
        # the record of a client that has left us since
        return None if proxy == own else proxy

    def told_about(self, target: Name, asker: Name) -> dict[Name, bytes]:
        """
        What a node that asks about a name is told: the close group as we know it, and all that are as near.

        @return: by the names, nearest first, in which networks we have links with them; empty for ourselves
            and for those to whom a tunnel leads.
        """
        # those of a crowded network count for routing, though not as members of the group
        size = self._node.settings.group_size
        own = () if self._node.is_client else (self._node.name,)
        near = (*own, *(entry.name for entry in self.table.nearest(target, size, (asker,))))
        nearest = sorted(near, key=target.distance)[:size]
        names = sorted({*self.close_group(target, (asker,)), *nearest}, key=target.distance)
        found = {name: self.table.get(name) for name in names}
        return {
            name: b"" if entry is None or entry.endpoint is None else network_of(entry.endpoint)
            for name, entry in found.items()
        }

    def known_networks(self, name: Name) -> Networks | None:
        """The networks for which a linked node counts, or we ourselves; C{None} for any other node."""
        if name != self._node.name:
            peer = self._links.peer(name)
            return None if peer is None else counted_networks(*counted_by(peer.link))
        outside = (each for each in self._node.crust.outside if not is_local_only(each))
        return tuple(map(network_of, islice(outside, 1)))

    def client_record_received(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        """
        A client publishes its proxy. We remember it if we are near the client's name.

        @raise WireError: it is no such record.
        """
        opened = open_record(self._node.settings, self._node.identity, envelope.body)
        # lookups for the client end at the nodes nearest to its name: elsewhere a record only takes memory
        if opened is not None and self.table.is_close_to(opened[0]):
            self.clients.publish(*opened, account_by_prefix(link))
