"""
Mixed groups: which nodes are the close group of a name when some of them share a network.

The rule, everywhere where a close group is named: nodes are taken nearest first, but no /24 or /48 gets more
than a quarter of the places while nodes of other networks can fill them. If they cannot, each network may
have one node more, and so on until the group is full. So where one network is all there is, it fills the
group.

A node's network is that of the address at which somebody has a link with it, never one that it claims itself;
where there is but a tunnel it is the relay's. Loopback and private addresses say nothing of where a node is,
and are not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Final, TypeAlias, TypeVar

from ..addresses import Kind, kind_of
from ..endpoints import Endpoint
from ..names import Name

QUARTER: Final = 4
"""Parts of a close group, of which one network gets one."""
V4_NETWORK_BYTES: Final = 3
V6_NETWORK_BYTES: Final = 6
MIN_VOICES: Final = 2
"""Networks that must agree on where a node is before they are believed."""

Networks: TypeAlias = tuple[bytes, ...]
UNCOUNTED: Final[Networks] = ()
UNPLACED: Final[Networks] = (b"unplaced",)
"""The network of all nodes to which none of those that answer has a direct link."""

_Node = TypeVar("_Node")


def mixed(nearest_first: Iterable[_Node], networks: Callable[[_Node], Networks], size: int) -> list[_Node]:
    """
    The group of this number of these nodes, nearest first.

    @param networks: those that a node counts for; one that counts for none is not limited.
    """
    share = max(1, size // QUARTER)
    taken: Counter[bytes] = Counter()
    group: list[tuple[int, _Node]] = []
    left: Iterator[tuple[int, _Node]] = enumerate(nearest_first)
    while len(group) < size:
        passed_over: list[tuple[int, _Node]] = []
        for place in left:
            each = networks(place[1])
            if all(taken[network] < share for network in each):
                taken.update(each)
                group.append(place)
                if len(group) == size:
                    break
            else:
                passed_over.append(place)
        if not passed_over:
            break
        left = iter(passed_over)
        share += 1
    return [each for _, each in sorted(group, key=lambda place: place[0])]


def network_of(endpoint: Endpoint) -> bytes:
    """The first bytes of an address: its /24 or /48."""
    return endpoint.address.packed[: V6_NETWORK_BYTES if endpoint.is_v6 else V4_NETWORK_BYTES]


def is_counted(network: bytes) -> bool:
    """Whether these are the first bytes of an address that is good everywhere."""
    if len(network) not in (V4_NETWORK_BYTES, V6_NETWORK_BYTES):
        return False
    padding = 4 - V4_NETWORK_BYTES if len(network) == V4_NETWORK_BYTES else 16 - V6_NETWORK_BYTES
    return kind_of(ip_address(network + bytes(padding))) is Kind.GLOBAL


class Whereabouts:
    """
    In which networks nodes are: by our own links, else by what the nodes say that have answered us.

    Made for one search or one round of joining. Of those who answer each network has one voice about a node,
    however many of them are in it. What two networks say is believed, unless more of them say something else.
    Where one network alone tells of a node, it counts for that network as well as for the one that was told,
    so that a crowd cannot spread its members over others. An answer that names a private address means the
    network of the node that answers, since the two stand behind the same NAT.
    """

    def __init__(self, known: Callable[[Name], Networks | None]) -> None:
        """
        @param known: the networks of a node with which we have a link ourselves; C{None} of any other.
        """
        self._known = known
        self._said: dict[Name, Mapping[Name, bytes]] = {}
        self._placed: dict[Name, Networks] | None = None

    def heard(self, informant: Name, networks: Mapping[Name, bytes]) -> None:
        """A node has told in which networks it has links with others."""
        self._said[informant] = networks
        self._placed = None

    def networks_of(self, name: Name) -> Networks:
        """The networks for which a node counts: L{UNPLACED} if nobody knows."""
        known = self._known(name)
        if known is not None:
            return known
        if self._placed is None:
            self._placed = self._place()
        return self._placed.get(name, UNPLACED)

    def _place(self) -> dict[Name, Networks]:
        """From our own links outwards: a node that is placed has a voice about others."""
        placed: dict[Name, Networks] = {}
        ours = {known for informant in self._said if (known := self._known(informant)) is not None}
        while True:
            voices = self._voices(placed)
            sure = {name: said for name, heard in voices.items() if (said := _agreed(heard)) is not None}
            if not sure:
                # one link, as a client has, leaves nothing with which its word could be compared
                alone = not placed and len(ours) < MIN_VOICES
                sure = {name: _everywhere(heard, alone) for name, heard in voices.items()}
            if not sure:
                return placed
            # each turn places one more node at least, so this comes to an end
            placed.update(sure)

    def _voices(self, placed: Mapping[Name, Networks]) -> dict[Name, dict[Networks, Networks]]:
        """What is said of each node that is not placed, by the networks of those who say it."""
        voices: dict[Name, dict[Networks, Networks]] = {}
        for informant, networks in self._said.items():
            here = placed.get(informant) if (known := self._known(informant)) is None else known
            if here is None:
                continue
            for name, network in networks.items():
                # what a node says of itself is worth nothing
                if network and name != informant and name not in placed and self._known(name) is None:
                    voices.setdefault(name, {})[here] = (network,) if is_counted(network) else here
        return voices


def _agreed(heard: Mapping[Networks, Networks]) -> Networks | None:
    """What at least L{MIN_VOICES} networks say, and more than say anything else."""
    counts = Counter(heard.values()).most_common(2)
    if counts[0][1] < MIN_VOICES or (len(counts) > 1 and counts[0][1] == counts[1][1]):
        return None
    return counts[0][0]


def _everywhere(heard: Mapping[Networks, Networks], believed: bool) -> Networks:
    """
    Where a node is if each says something else: in all of these places, and where those are who say it.

    @param believed: whether those who say it are not counted.
    """
    places = [*heard.values()] if believed else [each for pair in heard.items() for each in pair]
    return tuple(dict.fromkeys(network for each in places for network in each))
