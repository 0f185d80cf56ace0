"""
Membership: who may have a link with us, and what follows once one is confirmed or lost.

A peer is attached (a client, or a node that is joining, for which one end speaks), a member (in the
routing table) or has a direct link that an application asked for. While we are joining ourselves, one peer
is our proxy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ...config import Role
from ...crust.interfaces import ILink
from ...endpoints import Contact, Direction, Endpoint, PathKind, refusal_to_dial
from ...errors import CloseReason, LinkClosed
from ...names import Name
from ...timing.timers import cancel
from ...wire.codec import encode, to_wire
from ...wire.framing import FrameKind
from ...wire.messages import Contacts, LinkUse, NatKind, WireContact
from ..events import GroupConnectedChanged, LinkChanged, LinkGained, LinkLost, PeerJoined, PeerLeft
from ..links.handshake import PeerFacts
from ..links.peer import Accept, Peer, Refuse
from ..state import State
from ..status import link_facts
from .routing_table import PeerEntry

if TYPE_CHECKING:
    from ..core import RoutingCore

CONTACTS_TOLD: Final = 8
"""How many others a newcomer is told of."""


class Membership:
    """
    The policy of C{LinkRegistry}. Made with its core, discarded with it.

    @ivar proxy: the node that speaks for us, while we are a client or in no routing table yet.
    """

    log = Logger()

    def __init__(self, core: RoutingCore) -> None:
        self._core = core
        self._join_deadline: IDelayedCall | None = None
        self.proxy: Name | None = None

    def stop(self) -> None:
        """Cancel the timer."""
        cancel(self._join_deadline)

    def judge(self, link: ILink, facts: PeerFacts) -> Accept | Refuse:
        """Whether a peer whose Hello holds may have what it wants."""
        if self._core.state is State.TERMINATED:
            return Refuse(CloseReason.STOPPING)
        if facts.purpose:
            verdict = self._core.connector.judge(link, facts.purpose)
            if verdict is None and self._core.links.peer(link.peer) is not None:
                return Refuse(CloseReason.SUPERSEDED)  # the second of two: the first was enough
            if verdict is not None and verdict.use is LinkUse.MEMBER:
                # now, when it is seen where the peer is: else the other end would believe that it is in
                problem = self._core.table.refusal(link.peer, *_counted_by(link))
                if problem:
                    self._core.connector.turn_away(link.peer, facts.purpose)
                    return Refuse(CloseReason.NOT_WANTED, problem)
            return verdict or Refuse(CloseReason.NOT_WANTED, "nobody asked for it")
        if link.direction is Direction.CONNECTED:
            if facts.is_client:
                return Refuse(CloseReason.NOT_WANTED, "it is a client, which cannot speak for others")
            return Accept(LinkUse.ATTACHED)
        return self._judge_newcomer(link, facts)

    def _judge_newcomer(self, link: ILink, facts: PeerFacts) -> Accept | Refuse:
        if self._core.is_client:
            return Refuse(CloseReason.NOT_WANTED, "clients accept no links")
        may_accept = self._core.state is State.CONNECTED or self._core.settings.role is Role.FIRST
        if not may_accept and (facts.is_client or not self._is_known(link.peer)):
            return Refuse(CloseReason.BOOTSTRAPPING, "we are not in the network yet ourselves")
        attached = sum(
            peer.use is LinkUse.ATTACHED and peer.link.direction is Direction.ACCEPTED
            for peer in self._core.links.peers
        )
        if attached >= self._core.settings.max_clients:
            return Refuse(
                CloseReason.TOO_MANY_LINKS,
                f"we speak for {attached} already, and the setting max_clients allows no more",
            )
        return Accept(LinkUse.ATTACHED)

    def _is_known(self, name: Name) -> bool:
        """Whether this is one of those we are trying to reach ourselves, so no stranger."""
        contacts = (*self._core.settings.contacts, *self._core.crust.saved_contacts())
        return any(contact.name == name for contact in contacts)

    def greeted(self, link: ILink, facts: PeerFacts) -> None:
        """A peer's Hello was verified: it says where it sees us, and what time it is there."""
        self._core.time.heard(link.peer, facts.time)
        if facts.observed is not None:
            self._core.crust.observed(link, facts.observed)

    def established(self, peer: Peer, before: Peer | None) -> None:
        """A link was confirmed."""
        if before is not None and before.link is not peer.link:
            self._core.messenger.link_changed(before.link, peer.link)
        if peer.use is LinkUse.MEMBER:
            self._enter(peer)
        else:
            self._leave(peer.name)
        if self._core.links.peer(peer.name) is not peer:
            return  # the table had no room for it
        self._remember(peer)
        self._core.messenger.link_added(peer.link)
        self._core.upper.established(peer, before)
        self._core.tunnels.established(peer)
        self._core.connector.linked(peer.name, peer.link, peer.use)
        if before is not None and before.link is not peer.link:
            self._core.observers.tell(LinkChanged(link_facts(before), link_facts(peer)))
        elif before is None or before.use is not peer.use:
            self._core.observers.tell(LinkGained(link_facts(peer)))
        self._tell_the_machine(peer)

    def begun_anew(self, peer: Peer) -> None:
        """What was on its way to or from a peer may be lost."""
        reason, detail = CloseReason.CONNECTION_LOST, "an earlier link was lost before all had come over it"
        self._core.messenger.link_begun_anew(peer.link)
        self._core.upper.begun_anew(peer, LinkClosed(reason, detail))
        self._core.observers.tell(LinkLost(link_facts(peer), reason, detail))
        self._core.observers.tell(LinkGained(link_facts(peer)))

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> bool:
        """A frame of a confirmed link has its turn."""
        return self._core.frame_received(link, kind, payload)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """No link is left to this peer."""
        was_a_way_in = self._is_a_way_in(peer)
        self._leave(peer.name)
        self._core.queries.lost(peer.name)
        self._core.messenger.link_lost(peer.link)
        self._core.tunnels.lost(peer, reason)
        self._core.control.forget(peer.name)
        self._core.reachability.forget(peer.name)
        self._core.idle.lost(peer.name)
        self._core.upper.lost(peer.name, reason, detail)
        self._core.observers.tell(LinkLost(link_facts(peer), reason, detail))
        if peer.name == self.proxy:
            self._set_proxy(None)
        if was_a_way_in and not any(self._is_a_way_in(each) for each in self._core.links.peers):
            self._core.joiner.rest()
            self._core.time.forget()
            cancel(self._join_deadline)
            self._core.machine.last_link_lost()

    def _is_a_way_in(self, peer: Peer) -> bool:
        """
        Whether this link makes us part of the network. One that an application asked for does not: its peer
        neither speaks for us nor knows us as a neighbour. Clients alone are a network only to a first node.
        """
        if peer.facts.is_client:
            return self._core.settings.role is Role.FIRST
        return peer.use is not LinkUse.DIRECT or peer.name == self.proxy

    def _tell_the_machine(self, peer: Peer) -> None:
        if peer.use is LinkUse.MEMBER:
            self._core.machine.table_entry_added()
            self._core.crust.end_bootstrap(
                None if self.proxy is None else self._core.links.link_to(self.proxy)
            )
            self._core.joiner.entered(peer.name)
        elif peer.use is LinkUse.ATTACHED:
            self._attached(peer)

    def _attached(self, peer: Peer) -> None:
        if peer.link.direction is Direction.ACCEPTED:
            self._core.machine.first_link_accepted()
            self._tell_contacts(peer)
        if peer.facts.is_client or self._core.prober.established(peer.link):
            return
        if self._core.state is State.CONNECTED or self.proxy is not None:
            if peer.link.bootstrap:
                self._core.links.close(peer.link, CloseReason.NO_LONGER_NEEDED)
            return
        self._set_proxy(peer.name)
        self._core.crust.end_bootstrap(peer.link)
        if self._core.is_client:
            self._core.machine.proxy_confirmed()
        else:
            self._core.joiner.wake()
            cancel(self._join_deadline)
            self._join_deadline = self._core.clock.callLater(
                self._core.settings.bootstrap_timeout, self._not_joined
            )

    def _set_proxy(self, name: Name | None) -> None:
        self.proxy = name
        if self._core.is_client:
            self._core.publisher.proxy_changed(name)

    def _not_joined(self) -> None:
        if self.proxy is not None:
            self.log.info("{proxy} let us in, but nobody wants a link with us", proxy=self.proxy)
            self._core.links.drop(self.proxy, CloseReason.NO_LONGER_NEEDED, "no node wanted a link with us")

    def group_changed(self, connected: bool) -> None:
        self._core.observers.tell(GroupConnectedChanged(connected))
        proxy = None if self.proxy is None else self._core.links.peer(self.proxy)
        if connected and proxy is not None and self._core.state is State.CONNECTED:
            self._set_proxy(None)
            if proxy.use is LinkUse.ATTACHED and not self._core.tunnels.uses(proxy.name):
                self._core.links.close(proxy.link, CloseReason.NO_LONGER_NEEDED, "we are in the network now")

    def relay_not_needed(self, name: Name) -> None:
        """No tunnel goes through this node any more: if it once spoke for us, that is all it was kept for."""
        peer = self._core.links.peer(name)
        if (
            peer is not None
            and peer.use is LinkUse.ATTACHED
            and peer.link.direction is Direction.CONNECTED
            and self.proxy is None
            and self._core.group_connected
        ):
            self._core.links.close(peer.link, CloseReason.NO_LONGER_NEEDED, "we are in the network now")

    def _enter(self, peer: Peer) -> None:
        """A node comes into the table, or has another link now; who has to go for it loses its link."""
        known = peer.name in self._core.table
        endpoint, via = _counted_by(peer.link)
        dropped = self._core.table.add(PeerEntry(peer.name, endpoint, peer.link, via))
        entered = peer.name in self._core.table
        if entered and not known:
            self._core.observers.tell(PeerJoined(peer.name))
        for entry in dropped:
            if known or entry.name != peer.name:
                self._core.observers.tell(PeerLeft(entry.name))
            self._core.links.drop(entry.name, CloseReason.NO_LONGER_NEEDED, "the routing table is full")

    def _leave(self, name: Name) -> None:
        if name in self._core.table:
            was_near = name in self._core.table.close_group()
            self._core.table.remove(name)
            self._core.observers.tell(PeerLeft(name))
            self._core.joiner.left(was_near)

    def _remember(self, peer: Peer) -> None:
        """Save where the peer can be dialled, if it can."""
        endpoint = self.dialable_at(peer)
        if endpoint is not None:
            self._core.crust.remember(Contact(endpoint, peer.name))

    def _tell_contacts(self, peer: Peer) -> None:
        """Tell a newcomer of others, so that it does not depend on us alone."""
        known = ((each.name, self.dialable_at(each)) for each in self._core.links.peers if each is not peer)
        contacts = [WireContact(name.raw, to_wire(endpoint)) for name, endpoint in known if endpoint]
        chosen = self._core.random.sample(contacts, min(CONTACTS_TOLD, len(contacts)))
        if chosen:
            peer.link.send(FrameKind.CONTACTS, encode(Contacts(tuple(chosen))))

    def contacts_heard(self, peer: Peer, contacts: tuple[Contact, ...]) -> None:
        """Whoever speaks for us tells of others. Their addresses are a stranger's."""
        if peer.use is not LinkUse.ATTACHED or peer.link.direction is Direction.ACCEPTED:
            return
        crust = self._core.crust
        private = self._core.settings.private_dialling
        for contact in contacts:
            problem = refusal_to_dial(contact.endpoint, private, crust.endpoints, crust.on_link_networks)
            # a neighbour of somebody whom we could dial is no more secret than that one
            if problem is None or (peer.endpoint and contact.endpoint.host == peer.endpoint.host):
                crust.remember(contact, proven=False)
                crust.history.told(contact.name, (contact.endpoint,), f"told by {peer.name}")

    def dialable_at(self, peer: Peer) -> Endpoint | None:
        """
        Where others can dial a peer: where we have, or, if it says that it is open, where it listens on the
        address that we see it at. C{None} if it is a client, or nothing of that is known.
        """
        if peer.facts.is_client:
            return None
        dialled = self._core.links.dialled_at(peer.name)
        at = peer.endpoint
        if dialled is None and peer.facts.nat is NatKind.OPEN and at is not None:
            return next((each for each in peer.facts.listening if each.host == at.host), None)
        return dialled

    def wants(self, name: Name, use: LinkUse, endpoint: Endpoint | None) -> bool:
        if use is LinkUse.MEMBER:
            return not self._core.is_client and self._core.table.wants(name, endpoint)
        return len(self._core.links) < self._core.settings.max_links // 2

    def first_hops(self) -> tuple[ILink, ...]:
        """Whom we ask about our own neighbourhood: who speaks for us, and the nearest two of the table."""
        names = [entry.name for entry in self._core.table.nearest(self._core.identity.name, 2)]
        if self.proxy is not None:
            names.append(self.proxy)
        links = (self._core.links.link_to(name) for name in dict.fromkeys(names))
        return tuple(link for link in links if link is not None)


def _counted_by(link: ILink) -> tuple[Endpoint | None, Endpoint | None]:
    """The address that the table's limits count a peer by: its own, or that of the node in the middle."""
    at = link.connection.peer
    return (None, at) if link.path_kind is PathKind.TUNNEL else (at, None)
