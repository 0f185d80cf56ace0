"""
External addresses: how we appear outside our own networks, and how we know it.

Four sources come together here: our own addresses, the ports that routers have mapped for us, the endpoints
at which peers have seen us (L{Observations}), and the peers that were able to dial us. From these follow the
endpoints that we name to others (L{rank_candidates}), the kind of our NAT, and whether we are dialable.

The proof that we are dialable is a connection from a host outside that we have not dialled: no filter of a
NAT or firewall has been opened for it (RFC 4787, section 5). Where all nodes are linked with each other there
is no such host. To a global address of our own, which no NAT translates, a connection from another port than
we have dialled is proof enough while nothing speaks against it: firewalls follow connections, not hosts. No
peer's word is enough for that. Only others can tell us that we are not dialable, so a single report is
believed as long as no proof contradicts it.

The internet counts as outside; where C{private_dialling} is C{always} private addresses do too, for then the
two cannot be told apart; the networks of our own interfaces never do.

No I/O, no timers: each input is a plain call, and changes are reported within it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_network
from typing import Final

from ...addresses import Kind, kind_of
from ...bounded_dict import BoundedDict
from ...config import Settings
from ...endpoints import Direction, Endpoint, PathKind, PrivateDialling
from ...errors import CloseReason
from ...limits import MAX_CANDIDATES
from ...names import Name
from ...wire.messages import NatKind
from ..interfaces import ILink
from ..reachability import Dialable, OwnEndpoint, Reachability
from .candidates import Candidates, rank_candidates
from .host import HostAddress, dialable_endpoints, on_link_networks
from .observations import ENOUGH_NETWORKS, Observations, believed_in, kind_of_nat, tentative_in

FILTER_OPEN_SECONDS: Final = 600.0
"""How long a host that we have dialled may find a filter open."""
WANTED_NETWORKS: Final = 3
"""Networks that are to see what a NAT makes of us: two may see the same one of its addresses by chance."""
MAX_DIALLED_HOSTS: Final = 4096
MAX_ACCEPTED_STRANGERS: Final = 1024
"""Accepted connections from strangers whose peers are not verified yet."""
PROOF_SECONDS: Final = 120.0
"""How long a proof that we are dialable outweighs peers that deny it."""
_AS_BY_A_NAT: Final = (CloseReason.INACTIVE, CloseReason.CONNECTION_LOST)
"""The reasons of links that a NAT has forgotten."""
_CARRIERS: Final = "100.64.0.0/10"
"""The addresses for use behind NATs of carriers (RFC 6598)."""
ENOUGH_DENIALS: Final = 2
"""Peers that must deny it before the proof is dropped."""


class ExternalAddresses:
    """
    Made by crust, fed with each link and address, reset with each start.

    @ivar candidates: the endpoints that we name to others.
    @ivar reachability: how others can reach us, as far as we know.
    @ivar on_link: the networks of our own interfaces, as texts.
    @ivar own_hosts: the addresses of our own interfaces, as texts.
    """

    def __init__(
        self,
        settings: Settings,
        seconds: Callable[[], float],
        endpoints_changed: Callable[[tuple[Endpoint, ...]], None],
        reachability_changed: Callable[[Reachability], None],
    ) -> None:
        """
        @param seconds: the clock: C{IReactorTime.seconds}.
        @param endpoints_changed: called with the endpoints of L{candidates} when they change.
        @param reachability_changed: called with L{reachability} when it changes.
        """
        self._settings = settings
        self._seconds = seconds
        self._endpoints_changed = endpoints_changed
        self._reachability_changed = reachability_changed
        self.reset()

    def reset(self) -> None:
        """Forget everything, without a report."""
        self.candidates = Candidates()
        self.reachability = Reachability(NatKind.UNKNOWN, Dialable.UNKNOWN, self._seconds())
        self.on_link: tuple[str, ...] = ()
        self.own_hosts: frozenset[str] = frozenset()
        self._ports: frozenset[int] = frozenset()
        self._own: tuple[Endpoint, ...] = ()
        self._mapped: dict[Endpoint, int] = {}
        self._observations = Observations(self._seconds)
        self._dialled: BoundedDict[str, float] = BoundedDict(MAX_DIALLED_HOSTS)
        self._dialled_ports: BoundedDict[Endpoint, float] = BoundedDict(MAX_DIALLED_HOSTS)
        self._strangers: BoundedDict[Endpoint, None] = BoundedDict(MAX_ACCEPTED_STRANGERS)
        self._connected: dict[ILink, str] = {}
        self._proven = float("-inf")
        self._denied: dict[Name, None] = {}

    @property
    def outside(self) -> tuple[Endpoint, ...]:
        """The candidates in our requests at which hosts outside may be able to dial us."""
        return tuple(each for each in self.candidates.asked if self._kind_is_outside(each))

    def is_outside(self, endpoint: Endpoint) -> bool:
        """Whether this is a host outside our own networks."""
        address = endpoint.address
        return self._kind_is_outside(endpoint) and not any(
            address.version == network.version and address in network
            for network in map(ip_network, self.on_link)
        )

    def may_observe(self, endpoint: Endpoint) -> bool:
        """Whether dialling this endpoint from our listening port would tell us something new."""
        seen = self._observations.networks()
        return (
            bool(self._ports)
            and len(seen) < (WANTED_NETWORKS if self._is_translated else ENOUGH_NETWORKS)
            and endpoint.prefix not in seen
            and self.is_outside(endpoint)
        )

    # What happens.

    def network_changed(self) -> None:
        """
        The network around this host has changed. Links that are alive show where we are seen now; what was
        seen on links that are gone may not hold any more, even though none has broken.
        """
        if self._is_translated and self._observations.doubt():
            self._look()

    def host(self, listening: Sequence[Endpoint], addresses: Sequence[HostAddress]) -> None:
        """
        Take the current addresses of the host.

        @param listening: where we listen, with the real ports.
        """
        self.on_link = on_link_networks(addresses)
        self.own_hosts = frozenset(str(each.address) for each in addresses)
        self._ports = frozenset(each.port for each in listening)
        self._own = dialable_endpoints(listening, addresses, len(listening) * (len(addresses) + 1))
        self._observations.keep_only([str(each.address) for each in addresses])
        self._look()

    def mapped(self, external: Endpoint, local_port: int) -> None:
        """A router forwards this endpoint to a port of ours."""
        self._mapped[external] = local_port
        self._look()

    @property
    def inner_networks(self) -> tuple[str, ...]:
        """The networks of the carriers that our routers are behind, as far as routers have told us."""
        return tuple({_network_of_carrier(each): None for each in self._inner})

    @property
    def _inner(self) -> list[Endpoint]:
        return [each for each in self._mapped if kind_of(each.address) is not Kind.GLOBAL]

    def unmapped(self, external: Endpoint) -> None:
        """A router no longer forwards this endpoint. Without effect if it was not known."""
        if self._mapped.pop(external, None) is not None:
            self._look()

    def dialled(self, endpoint: Endpoint) -> None:
        """We dial an endpoint, from any port: its host may get in through the filter that this opens."""
        self._dialled.put(endpoint.host, self._seconds())
        self._dialled_ports.put(endpoint, self._seconds())

    def accepting(self, peer: Endpoint) -> None:
        """A connection was accepted: note whether a stranger's, since we may dial its host meanwhile."""
        if self._is_stranger(peer):
            self._strangers.put(peer, None)

    def link_up(self, link: ILink) -> None:
        """A link of either direction is up, before its peer has said anything."""
        if link.path_kind is PathKind.TUNNEL:
            return  # its addresses are those of the link to the relay
        if link.direction is Direction.CONNECTED:
            self._connected[link] = link.connection.peer.host
        elif link.path_kind in (PathKind.DIRECT, PathKind.MAPPED):
            self._got_in(link)

    def link_lost(self, link: ILink, reason: CloseReason = CloseReason.NO_LONGER_NEEDED) -> None:
        """A link that was up is gone."""
        host = self._connected.pop(link, None)
        if host is not None:
            # the filter that we had opened stays open for a while after the connection
            self._dialled.put(host, self._seconds())
        told = self._observations.ended(link)
        doubted = reason in _AS_BY_A_NAT and self._is_translated and self._observations.doubt()
        if told or doubted:
            self._look()

    def observed(self, link: ILink, seen: Endpoint) -> None:
        """A link's peer says where it sees us; one peer alone is not believed."""
        # only what leaves the listening port shows how the NAT maps that port
        local, at = link.connection.local, link.connection.peer
        if (
            link.path_kind is not PathKind.TUNNEL
            and local.port in self._ports
            and seen.is_v6 == at.is_v6
            and self.is_outside(at)
            and self._kind_is_outside(seen)
        ):
            dialled = link.direction is Direction.CONNECTED
            self._observations.add(link.peer, at, seen, dialled, link, local.host)
            self._look()

    def _got_in(self, link: ILink) -> None:
        """A peer has dialled us: see whether that proves that others can."""
        peer = link.connection.peer
        if peer in self._strangers or self._is_stranger(peer):
            self._strangers.pop(peer, None)
            self._proven = self._seconds()
            self._denied.clear()
            self._set(Dialable.YES)
        elif self.reachability.dialable is Dialable.UNKNOWN and self._came_untranslated(link):
            self._set(Dialable.YES)

    def not_reached(self, by: Name) -> None:
        """This peer says that a node has tried to dial us and failed."""
        if self.reachability.dialable is Dialable.UNKNOWN:
            self._set(Dialable.NO)
        elif self._seconds() - self._proven > PROOF_SECONDS:
            self._denied[by] = None
            if len(self._denied) >= ENOUGH_DENIALS:
                self._denied.clear()
                self._set(Dialable.NO)

    # What follows.

    @property
    def _is_translated(self) -> bool:
        """Whether a peer sees us at an address that is not ours, so that a NAT may forget us."""
        seen = [*self._observations.votes(False).values(), *self._observations.votes(True).values()]
        return any(each not in self._own for each in seen)

    def _kind_is_outside(self, endpoint: Endpoint) -> bool:
        kind = kind_of(endpoint.address)
        everywhere = self._settings.private_dialling is PrivateDialling.ALWAYS
        return kind is Kind.GLOBAL or (kind is Kind.PRIVATE and everywhere)

    def _came_untranslated(self, link: ILink) -> bool:
        """Whether a connection came to a global address of our own, for which we had opened no way."""
        peer, local = link.connection.peer, link.connection.local
        dialled = self._dialled_ports.get(peer, float("-inf"))
        return (
            kind_of(local.address) is Kind.GLOBAL
            and local.host in self.own_hosts
            and self.is_outside(peer)
            and peer.host not in self.own_hosts
            and self._seconds() - dialled > FILTER_OPEN_SECONDS
        )

    def _is_stranger(self, peer: Endpoint) -> bool:
        """Whether a connection from there got in through no filter that we had opened."""
        now = self._seconds()
        return (
            self.is_outside(peer)
            and now - self._dialled.get(peer.host, float("-inf")) > FILTER_OPEN_SECONDS
            and peer.host not in self._connected.values()
            # ourselves, or a neighbour, through our router
            and all(peer.host != each.host for each in self.candidates.asked)
        )

    def _look(self) -> None:
        """Rank the candidates again, and report changes."""
        before = self.candidates
        believed, tentative = list[Endpoint](), list[Endpoint]()
        for v6 in (False, True) if self._ports else ():
            votes = self._observations.votes(v6)
            sure = believed_in(votes)
            believed += sure
            # each link that comes or goes leads here, in a flood many a second
            if not sure:
                tentative += tentative_in(votes, self._observations.doubtful(v6))
        self.candidates = rank_candidates(
            self._settings.external if self._ports else (),
            [each for each in self._mapped if kind_of(each.address) is Kind.GLOBAL],
            self._own,
            believed,
            tentative,
            MAX_CANDIDATES,
            self._inner,
        )
        if self.candidates.known != before.known:
            self._endpoints_changed(self.candidates.endpoints)
        gone = self._hosts_of(before) - self._hosts_of(self.candidates)
        # what was found out about another address says nothing about this one
        self._set(Dialable.UNKNOWN if gone else self.reachability.dialable)

    def _hosts_of(self, candidates: Candidates) -> set[str]:
        return {each.host for each in candidates.endpoints if self._kind_is_outside(each)}

    def _set(self, dialable: Dialable) -> None:
        before = self.reachability
        since = before.since if dialable is before.dialable else self._seconds()
        now = Reachability(self._nat(dialable), dialable, since)
        if now != before:
            self.reachability = now
            self._reachability_changed(now)

    def _nat(self, dialable: Dialable) -> NatKind:
        if dialable is Dialable.YES:
            return NatKind.OPEN
        kinds = [kind_of_nat(self._votes_on_the_kind(v6), self._own) for v6 in (False, True)]
        # peers will use the family whose NAT is easier to get through
        return next((each for each in (NatKind.CONE, NatKind.SYMMETRIC) if each in kinds), NatKind.UNKNOWN)

    def _votes_on_the_kind(self, v6: bool) -> dict[str, Endpoint]:
        """The votes that decide; a NAT that has restarted is taken for one of the same kind as before."""
        votes = self._observations.votes(v6, dialled_only=True)
        return votes if len(votes) >= ENOUGH_NETWORKS else self._observations.doubtful(v6, dialled_only=True)


def _network_of_carrier(inner: Endpoint) -> str:
    """The addresses that a carrier may have given to neighbours of the one that has this."""
    shared = ip_network(_CARRIERS)
    return _CARRIERS if inner.address in shared else str(ip_network(f"{inner.host}/16", strict=False))


class AddressesOfCrust:
    """
    The part of L{ICrust<routing_crust.crust.interfaces.ICrust>} that L{ExternalAddresses} provides; a base
    class of its implementations.
    """

    _outside: ExternalAddresses

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return self._outside.candidates.endpoints

    @property
    def candidates(self) -> tuple[Endpoint, ...]:
        return self._outside.candidates.asked

    @property
    def sources(self) -> tuple[OwnEndpoint, ...]:
        return self._outside.candidates.known

    @property
    def outside(self) -> tuple[Endpoint, ...]:
        return self._outside.outside

    @property
    def on_link_networks(self) -> tuple[str, ...]:
        return self._outside.on_link

    @property
    def inner_networks(self) -> tuple[str, ...]:
        return self._outside.inner_networks

    @property
    def own_hosts(self) -> frozenset[str]:
        return self._outside.own_hosts

    @property
    def nat(self) -> NatKind:
        return self._outside.reachability.nat

    @property
    def reachability(self) -> Reachability:
        return self._outside.reachability

    def observed(self, link: ILink, endpoint: Endpoint) -> None:
        self._outside.observed(link, endpoint)

    def may_observe(self, endpoint: Endpoint) -> bool:
        return self._outside.may_observe(endpoint)

    def not_reached(self, by: Name) -> None:
        self._outside.not_reached(by)
