"""
Observations: the endpoints at which our peers have seen us, and what follows from them.

A node behind a NAT does not know the external endpoint of its listening port, but each peer that it has
dialled from that port has seen it, and says so in its Hello. One peer may lie, and many peers may be one
liar. So networks count (/24 or /48): each has one vote, its latest observation, and an endpoint is believed
when two networks agree and no other has twice as many votes. However many peers in one network lie, they can
neither make us believe an endpoint nor, against two other networks, keep us from believing one.

When links break or fall silent, or the network of the host changes, the NAT may have restarted, or have
another address. Observations on links that are gone are then I{in doubt}, unless links to enough networks are
alive: they have no vote any more, and new ones are wanted.

An endpoint that only one network has seen, or that each has seen differently, or that is in doubt, is
I{tentative}: it is worth a try when a link is made, but it is not announced as a fact.

From the endpoints follows the kind of the NAT (RFC 4787, section 4.1; RFC 5780, section 4.3): the same one
for all destinations is endpoint-independent mapping, a different port for each is the opposite.

L{believed_in}, L{tentative_in} and L{kind_of_nat} are plain functions of votes; L{Observations} keeps
the observations behind the votes. No timers: expired ones are left out of each result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ...endpoints import Endpoint
from ...names import Name
from ...wire.messages import NatKind

OBSERVATION_LIFETIME_SECONDS: Final = 600.0
"""How long an observation counts after its link has gone."""
MAX_OBSERVATIONS: Final = 256
"""Observations that are kept."""
MAX_OBSERVATIONS_OF_A_NETWORK: Final = 4
ENOUGH_NETWORKS: Final = 2
"""Networks that have to agree."""
MAX_BELIEVED: Final = 2
"""Endpoints of one family: a host may have more than one way out."""
MAX_TENTATIVE: Final = 2


@dataclass(frozen=True, slots=True)
class _Observation:
    seen: Endpoint
    v6: bool
    link: Hashable
    local: str
    ended: float | None = None
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class _Key:
    """
    Who has seen us.

    @ivar dialled: whether we had dialled the observer. One that has dialled us reports the endpoint that it
        dialled, which says nothing about how our NAT maps what we dial.
    """

    observer: Name
    network: str
    dialled: bool


class Observations:
    """
    Made by L{ExternalAddresses<routing_crust.crust.netstate.external_addresses.ExternalAddresses>}, discarded
    with it.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the clock: C{IReactorTime.seconds}.
        """
        self._seconds = seconds
        self._kept: dict[_Key, _Observation] = {}
        self._latest: Endpoint | None = None
        # of what is kept, when the first ended: most calls find nothing to forget, and need not look
        self._first_end = float("inf")

    def __len__(self) -> int:
        return len(self._kept)

    def add(
        self, observer: Name, at: Endpoint, seen: Endpoint, dialled: bool, link: Hashable, local: str
    ) -> None:
        """
        Note that a peer has seen us.

        @param at: where the observer is.
        @param seen: where it says that we are; of the same family.
        @param dialled: whether we had dialled it.
        @param link: over which it says so; the observation expires after that has L{ended}.
        @param local: the address of ours that this link is from.
        """
        key = _Key(observer, at.prefix, dialled)
        self._kept.pop(key, None)  # so that it comes last
        of_network = [each for each in self._kept if each.network == key.network]
        # one host can have any number of names, but not of networks
        if len(of_network) >= MAX_OBSERVATIONS_OF_A_NETWORK:
            del self._kept[of_network[0]]
        elif len(self._kept) >= MAX_OBSERVATIONS:
            # ended observations go first: live links cannot be asked again
            gone = (each for each, kept in self._kept.items() if kept.ended is not None)
            del self._kept[next(gone, next(iter(self._kept)))]
        latest = self._latest
        if latest is not None and seen == latest:
            seen = latest  # most have seen the same, and what is identical need not be compared
        self._latest = seen
        self._kept[key] = _Observation(seen, seen.is_v6, link, local)

    def ended(self, link: Hashable) -> bool:
        """
        A link is gone.

        @return: whether anything was observed on it.
        """
        keys = [key for key, kept in self._kept.items() if kept.link is link]
        for key in keys:
            self._kept[key] = replace(self._kept[key], ended=self._seconds())
            self._first_end = min(self._first_end, self._seconds())
        return bool(keys)

    def doubt(self) -> bool:
        """
        The NAT may have forgotten our ports: a link has broken, or the network around us has changed.

        @return: whether anything is in doubt that was not.
        """
        live = [key for key, kept in self._kept.items() if kept.ended is None]
        # a NAT that had restarted would have broken the links to all networks
        if len(dict.fromkeys(key.network for key in live)) >= ENOUGH_NETWORKS:
            return False
        keys = [key for key, kept in self._kept.items() if kept.ended is not None and not kept.doubted]
        for key in keys:
            self._kept[key] = replace(self._kept[key], doubted=True)
        return bool(keys)

    def keep_only(self, local: Collection[str]) -> None:
        """Forget what was seen of addresses other than these, which are our current ones."""
        # another address of ours may be behind another NAT, or behind none
        self._kept = {key: kept for key, kept in self._kept.items() if kept.local in local}

    def networks(self) -> frozenset[str]:
        """Which networks that we have dialled have seen us, beyond doubt."""
        self._forget()
        return frozenset(key.network for key, kept in self._kept.items() if key.dialled and not kept.doubted)

    def votes(self, v6: bool, dialled_only: bool = False) -> dict[str, Endpoint]:
        """
        The vote of each network, the one that has been the same for longest first. While links to enough
        networks are alive, these alone count: the NAT may have another address than when the others ended.

        @param v6: of which family.
        """
        self._forget()
        all_votes: dict[str, Endpoint] = {}
        live: dict[str, Endpoint] = {}
        for key, kept in self._kept.items():
            if kept.v6 is v6 and (key.dialled or not dialled_only) and not kept.doubted:
                network, seen = key.network, kept.seen
                if all_votes.setdefault(network, seen) is not seen:
                    _put(all_votes, network, seen)
                if kept.ended is None and live.setdefault(network, seen) is not seen:
                    _put(live, network, seen)
        return live if len(live) >= ENOUGH_NETWORKS else all_votes

    def doubtful(self, v6: bool, dialled_only: bool = False) -> dict[str, Endpoint]:
        """
        The latest observation of each network, also if it is in doubt.

        @param v6: of which family.
        """
        self._forget()
        found: dict[str, Endpoint] = {}
        for key, kept in self._kept.items():
            if kept.v6 == v6 and (key.dialled or not dialled_only):
                if found.setdefault(key.network, kept.seen) is not kept.seen:
                    _put(found, key.network, kept.seen)
        return found

    def _forget(self) -> None:
        long_ago = self._seconds() - OBSERVATION_LIFETIME_SECONDS
        if self._first_end > long_ago:
            return
        self._kept = {
            key: kept for key, kept in self._kept.items() if kept.ended is None or kept.ended > long_ago
        }
        ends = (kept.ended for kept in self._kept.values() if kept.ended is not None)
        self._first_end = min(ends, default=float("inf"))


def believed_in(votes: Mapping[str, Endpoint]) -> tuple[Endpoint, ...]:
    """
    Which endpoints are believed.

    @param votes: what each network has seen, of one family.
    @return: those with the most votes first; at most L{MAX_BELIEVED}.
    """
    counts = Counter(votes.values()).most_common()
    enough = [
        (seen, count) for seen, count in counts if count >= ENOUGH_NETWORKS and count * 2 >= counts[0][1]
    ]
    return tuple(seen for seen, _ in enough[:MAX_BELIEVED])


def tentative_in(
    votes: Mapping[str, Endpoint], doubtful: Mapping[str, Endpoint] | None = None
) -> tuple[Endpoint, ...]:
    """
    Which endpoints are worth a try although nothing is believed; none if something is.

    Behind a symmetric NAT their ports are of no use, but their address is: the peer's NAT has to be opened
    for it.

    @param doubtful: what is in doubt; it comes last.
    @return: those that were seen first; at most L{MAX_TENTATIVE}.
    """
    if believed_in(votes):
        return ()
    return tuple(dict.fromkeys((*votes.values(), *(doubtful or {}).values())))[:MAX_TENTATIVE]


def kind_of_nat(votes: Mapping[str, Endpoint], own: Collection[Endpoint]) -> NatKind:
    """
    What the votes of networks that we have dialled say of the NAT.

    It is C{CONE} if a majority has seen one endpoint, and nobody another address: a NAT with several gives
    the next destination either. It is so, too, if all have seen one of our own, for then there is no
    translation. It is C{SYMMETRIC} if a majority has seen one address but not one port. It is never C{OPEN}:
    that takes a connection that was let in.

    @param votes: of one family.
    @param own: where we listen.
    """
    seen = list(votes.values())
    if not seen:
        return NatKind.UNKNOWN
    best, count = Counter(seen).most_common(1)[0]
    # seen at an address of our own by all: no translation, even if one network alone says so
    is_one_port = count >= ENOUGH_NETWORKS and count * 2 > len(seen)
    hosts = Counter(each.host for each in seen)
    if (is_one_port and len(hosts) == 1) or (best in own and count == len(seen)):
        return NatKind.CONE
    if max(hosts.values()) * 2 > len(seen) >= ENOUGH_NETWORKS and not is_one_port:
        return NatKind.SYMMETRIC
    return NatKind.UNKNOWN


def _put(votes: dict[str, Endpoint], network: str, seen: Endpoint) -> None:
    """Replace a network's vote; one that has not changed keeps its place."""
    before = votes.get(network)
    if before != seen:
        votes.pop(network, None)
        votes[network] = seen
