"""
The policy: which peers may have a link with us, and for what.

A peer is attached (a client or a joining node, of which the other end is the proxy), a member (in the routing
table) or has a direct link that an application asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from ...config import Role
from ...crust.interfaces import ILink
from ...endpoints import Direction, PathKind
from ...errors import CloseReason
from ...names import Name
from ...wire.messages import LinkUse
from ..links.handshake import PeerFacts
from ..links.peer import Permit, Refuse
from ..links.registry import LinkRegistry
from ..node import Node
from ..state import State
from .network_time import NetworkTime
from .proxied import ProxiedPeers
from .routing_table import RoutingTable, counted_by

MIN_MOVED_SECONDS: Final = 30.0
"""Seconds for which a tunnel stays at least before another may take its place because it is faster."""


class ExpectedPurposes(Protocol):
    """Knows the expected links, by their requests."""

    def purpose(self, link: ILink, nonce: bytes) -> Permit | None:
        """What a link whose Hello names this request is for; C{None} if no request is open."""

    def permitted_use(self, peer: Name) -> LinkUse:
        """The greatest use of all requests between us and this peer; ATTACHED if there is none."""

    def turn_away(self, peer: Name, nonce: bytes) -> None:
        """The table has no room for this peer at the address of its link: end the request."""


class MembershipPolicy:
    """Made with each start of the service, asked by the registry of links, discarded with the run."""

    def __init__(
        self,
        node: Node,
        state: Callable[[], State],
        table: RoutingTable,
        links: LinkRegistry,
        expected: ExpectedPurposes,
        time: NetworkTime,
        proxied: ProxiedPeers,
    ) -> None:
        self._node = node
        self._state = state
        self._table = table
        self._links = links
        self._expected = expected
        self._time = time
        self._proxied = proxied

    def judge(self, link: ILink, facts: PeerFacts) -> Permit | Refuse:
        """Whether a peer whose Hello holds may have what it wants."""
        if self._state() is State.TERMINATED:
            return Refuse(CloseReason.STOPPING)
        if facts.purpose:
            return self._judge_expected(link, facts)
        if link.direction is Direction.CONNECTED:
            # we have dialled it for no request, so it is to be our proxy
            if facts.is_client:
                return Refuse(CloseReason.NOT_WANTED, "it is a client, which cannot speak for others")
            return Permit(LinkUse.ATTACHED)
        return self._judge_newcomer(link, facts)

    def has_room(self, link: ILink, use: LinkUse) -> bool:
        """Whether the table has room for the peer of this link, if it is to be a member."""
        return use is not LinkUse.MEMBER or self._table.refusal(link.peer, *counted_by(link)) is None

    def permitted_use(self, link: ILink) -> LinkUse:
        """The greatest use for which we ask the peer of this link or that we have granted it."""
        use = self._expected.permitted_use(link.peer)
        return use if self.has_room(link, use) else LinkUse.DIRECT

    def _judge_expected(self, link: ILink, facts: PeerFacts) -> Permit | Refuse:
        nonce = facts.purpose
        beside = self._links.beside(link, nonce)
        if beside is not None:
            return beside  # it takes no new place
        verdict = self._expected.purpose(link, nonce)
        if verdict is not None and self._moves(link, verdict.use):
            verdict = replace(verdict, beside=True)
        if verdict is None and self._links.peer(link.peer) is not None:
            # the second of two links: the first has settled their request
            return Refuse(CloseReason.SUPERSEDED)
        if verdict is not None and verdict.use is LinkUse.MEMBER:
            if facts.is_client:
                self._expected.turn_away(link.peer, nonce)
                return Refuse(CloseReason.NOT_WANTED, "it is a client, which cannot route for others")
            # The link shows the peer's true address. A link accepted without room would make the peer believe
            # that it is a member.
            problem = self._table.refusal(link.peer, *counted_by(link))
            if problem:
                self._expected.turn_away(link.peer, nonce)
                return Refuse(CloseReason.NOT_WANTED, problem)
        return verdict or Refuse(CloseReason.NOT_WANTED, "nobody asked for it")

    def _moves(self, link: ILink, use: LinkUse) -> bool:
        """
        Whether a tunnel is to take the place of one through another relay: of the two ends one has found it
        to be faster. Not soon after the last, since each costs a handover, and the end that asks may be
        wrong.
        """
        peer = self._links.peer(link.peer)
        if peer is None or link.path_kind is not PathKind.TUNNEL or peer.link.path_kind is not link.path_kind:
            return False
        age = self._node.clock.seconds() - peer.since
        return link.via != peer.link.via and use >= peer.use and age >= MIN_MOVED_SECONDS

    def _judge_newcomer(self, link: ILink, facts: PeerFacts) -> Permit | Refuse:
        if self._node.is_client:
            return Refuse(CloseReason.NOT_WANTED, "clients accept no links")
        # A node without a network would be a dead end for the newcomer. Two nodes that know only each other
        # may still meet: otherwise each would refuse the other for ever.
        is_member = self._state() is State.CONNECTED and len(self._table) > 0
        may_accept = is_member or self._node.settings.role is Role.FIRST
        if not may_accept and (facts.is_client or not self._is_known(link.peer)):
            return Refuse(CloseReason.BOOTSTRAPPING, "we are not in the network yet ourselves")
        problem = self._proxied.make_room(link, facts.is_client)
        return Refuse(CloseReason.TOO_MANY_LINKS, problem) if problem else Permit(LinkUse.ATTACHED)

    def _is_known(self, name: Name) -> bool:
        """Whether this node is one of our contacts, which we are trying to reach ourselves."""
        contacts = (*self._node.settings.contacts, *self._node.crust.saved_contacts())
        return any(contact.name == name for contact in contacts)

    def greeted(self, link: ILink, facts: PeerFacts) -> None:
        """A peer's Hello was verified: pass on the time and our external address that it reports."""
        self._time.greeted(link.peer, facts.time)
        if facts.observed is not None:
            self._node.crust.observed(link, facts.observed)
