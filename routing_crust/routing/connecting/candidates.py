"""
Candidates: the addresses that the two ends of a connection request give each other. Crust knows ours. Those
of a peer are given by a stranger, who may name the address of a third party to have us dial it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Protocol

from twisted.logger import Logger

from ...endpoints import (
    LOWEST_PORT_FROM_STRANGERS,
    WEB_PORTS,
    Endpoint,
    is_local_only,
    refusal_to_dial,
)
from ...history import Way
from ...limits import MAX_CANDIDATES
from ...names import Name
from ...quietlog import QuietLog
from ...timing.ratelimit import KeyedLimits, SlidingWindow
from ...timing.shares import Account, SharedWindow
from ...wire.codec import from_wire, to_wire
from ...wire.fields import WireEndpoint
from ..links.peer import Peer
from ..node import Node

MAX_ANSWERED_PER_PREFIX_PER_MINUTE: Final = 32
"""Addresses in one /24 or /48 that may be dialled because answers named them."""
MAX_ANSWERED_PER_LOCAL_ENDPOINT_PER_MINUTE: Final = 8
"""Dials of one local address and port because answers named it."""
MAX_BY_TUNNEL_PER_MINUTE: Final = 120
"""
Addresses that may be dialled because peers at the far ends of tunnels named them in requests of their own.
"""


class KnownPeers(Protocol):
    """Knows the peers that we have links with: the registry of links."""

    def peer(self, name: Name) -> Peer | None:
        """The peer with this name, if there is a confirmed link to it."""

    def dialled_at(self, name: Name) -> Endpoint | None:
        """The address at which we last dialled this peer with success, without its help."""


class CandidateExchange:
    """Made at each start, asked by what sends and receives requests and responses."""

    log = Logger()

    def __init__(self, node: Node, links: KnownPeers) -> None:
        self._links = links
        self._settings = node.settings
        self._crust = node.crust
        self._quiet = QuietLog(self.log, node.clock.seconds)
        seconds = node.clock.seconds
        self._answered: KeyedLimits[str] = KeyedLimits(
            lambda: SlidingWindow(MAX_ANSWERED_PER_PREFIX_PER_MINUTE, 60.0, seconds)
        )
        self._by_tunnel = SharedWindow(MAX_BY_TUNNEL_PER_MINUTE, 60.0, seconds)
        self._answered_locally: KeyedLimits[Endpoint] = KeyedLimits(
            lambda: SlidingWindow(MAX_ANSWERED_PER_LOCAL_ENDPOINT_PER_MINUTE, 60.0, seconds)
        )

    def ours(self) -> tuple[WireEndpoint, ...]:
        """The addresses at which others may be able to dial us, for a request or a response."""
        return tuple(to_wire(each) for each in self._crust.candidates[:MAX_CANDIDATES])

    def dialable(self, peer: Name, candidates: tuple[WireEndpoint, ...], source: str) -> tuple[Endpoint, ...]:
        """
        The addresses of a peer that may be dialled; the others are logged with the reason. Last comes where
        we know it from elsewhere: a firewall may let us out to no other port of it.

        @param source: the message that gave them, in words.
        """
        found: list[Endpoint] = []
        given = candidates[:MAX_CANDIDATES]
        # before any is refused: a person who asks why there is no link should see all that we were told
        self._crust.history.told(peer, map(from_wire, given), source)
        for each in given:
            endpoint = from_wire(each)
            problem = self.refusal(peer, endpoint, given)
            if problem is None:
                found.append(endpoint)
            else:
                self._crust.history.tried(peer, Way.DIAL, endpoint, f"not dialled: {problem}")
                self._quiet.info(
                    problem,
                    "{endpoint}, given by {peer}, is not dialled: {reason}",
                    endpoint=endpoint,
                    peer=peer,
                    reason=problem,
                )
        # nobody's word but ours and the operator's: it needs none of the checks above
        found += [each for each in self._known_at(peer) if each not in found]
        return tuple(found[:MAX_CANDIDATES])

    def _take(self, endpoint: Endpoint) -> bool:
        """Whether the limits on answers allow a dial. If so, it is counted."""
        # each by itself: a whole network may stand on one machine
        if is_local_only(endpoint):
            return self._answered_locally.take(endpoint)
        return self._answered.take(endpoint.prefix)

    def _known_at(self, peer: Name) -> list[Endpoint]:
        """Where an operator says that a peer is, and where we have dialled it."""
        configured = [each.endpoint for each in self._crust.configured_contacts() if each.name == peer]
        dialled = self._links.dialled_at(peer)
        return configured if dialled is None else [dialled, *configured]

    def places(self, peer: Peer) -> tuple[Endpoint, ...]:
        """Where a peer with a link can be dialled now: by its Hello, by an operator, and where we have."""
        said = [each for each in peer.facts.listening if self.refusal(peer.name, each) is None]
        found = dict.fromkeys((*self._known_at(peer.name), *said))
        return self.affordable(peer.name, tuple(found)[:MAX_CANDIDATES])

    def refusal(self, peer: Name, endpoint: Endpoint, given: Sequence[WireEndpoint] = ()) -> str | None:
        """
        Why an address that a peer has given is not dialled; C{None} if it is.

        @param given: all that it has given, this one among them.
        """
        crust = self._crust
        networks = crust.on_link_networks
        # a false claim to our address has us dial into our carrier's network, and nothing of ours
        if {from_wire(each).host for each in given} & {each.host for each in crust.outside}:
            networks += crust.inner_networks
        # proven or configured for this very peer; another's word for it would not do
        if endpoint not in crust.endpoints and crust.is_known(endpoint, peer):
            return None
        return refusal_to_dial(
            endpoint,
            self._settings.private_dialling,
            crust.endpoints,
            networks,
            crust.own_hosts,
            self._low_ports(peer, endpoint),
        )

    def _low_ports(self, peer: Name, endpoint: Endpoint) -> Collection[int]:
        """
        Which ports below 1024 this peer may name: without a link to it none. With one it has proven its name,
        but not that an address is its own, so that it could still mean a third party's mail server. So it may
        name those ports alone at which nothing but the web is, and all of the address at which we see it.
        """
        known = self._links.peer(peer)
        if known is None:
            return ()
        at = known.endpoint
        is_its_own = at is not None and at.host == endpoint.host and not is_local_only(endpoint)
        return range(1, LOWEST_PORT_FROM_STRANGERS) if is_its_own else WEB_PORTS

    def affordable(self, peer: Name, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        """
        The addresses of a response that may be dialled now: at most C{MAX_ANSWERED_PER_PREFIX_PER_MINUTE} a
        minute, and of local ones, of which a whole network may stand on one machine, each at most
        C{MAX_ANSWERED_PER_LOCAL_ENDPOINT_PER_MINUTE} times.

        A request counts against C{stranger_dials}. A response does not, since we asked for it. But
        its sender is often a node that we know by name only, and may name a third party's address as well.
        """
        found = []
        for each in endpoints:
            if self._crust.is_known(each, peer) or self._take(each):
                found.append(each)
            else:
                problem = "too many answers named addresses near it within a minute"
                self._crust.history.tried(peer, Way.DIAL, each, f"not dialled: {problem}")
        return tuple(found)

    def as_answered(
        self, peer: Name, endpoints: tuple[Endpoint, ...], asked_by: Account
    ) -> tuple[Endpoint, ...]:
        """
        The addresses in a request by a peer to whom a tunnel leads, or a link that may be dead, which may be
        dialled as if they were in an answer. We ask for a better link as well, so to a third party it makes
        no difference which of the two ends is first; and strangers who spend their budget cannot keep that
        link from being replaced.

        @param asked_by: who is held to account, and gets no more of what all such peers may name than others.
        """
        found: list[Endpoint] = []
        for each in endpoints:
            # the rest would be refused as well
            if not self._by_tunnel.may_take(asked_by):
                break
            self._by_tunnel.take(asked_by)
            found += self.affordable(peer, (each,))
        return tuple(found)
