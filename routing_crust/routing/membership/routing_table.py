"""
The routing table: which nodes this one has links with, and which of them is the next hop to a name.

Entries are in buckets by how many leading bits their name shares with ours (Maymounkov and Mazieres,
"Kademlia", 2002, without the splitting). Two facts make all questions cheap. Seen from a target that shares
p bits with us, the nodes in bucket p are nearer than all others, and nearer than we are; those in
deeper buckets and we ourselves come next, then the shallower buckets in falling order.

A bucket is filled up to C{bucket_size}: beyond that we ask no node for a link. Twice that many are let in, so
that a node that comes later finds room with nodes whose buckets are full. The close group of our name,
C{group_size} of the nodes nearest to us by the rule of L{routing_crust.routing.mixed_groups}, is always let
in; if a bucket is over its limit then, its farthest node outside that group is dropped.

An address prefix may not have more than its share, near us or not: names are cheap, addresses are not. A node
that came in through a tunnel counts for its relay's prefix. A direct link that replaces the tunnel is never
refused: if the share of its own prefix is taken, the node goes on counting for the relay's, so that a relay
never brings in more nodes than its prefix may have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from random import Random
from typing import Any, Final

from ...config import Settings
from ...crust.interfaces import ILink
from ...endpoints import Endpoint, PathKind, is_local_only
from ...names import NAME_BITS, NAME_BYTES, Name
from ..mixed_groups import UNCOUNTED, Networks, mixed, network_of

ROOM_FACTOR: Final = 2
"""A bucket may hold this many times C{bucket_size}."""
DEEPEST_SOUGHT: Final = 40
"""How many buckets are filled."""
_THROUGH: Final = "tunnels through "
_RELAYED: Final = b"through "
_NOBODY: Final[frozenset[Name]] = frozenset()


@dataclass(frozen=True, slots=True)
class PeerEntry:
    """
    A node in the table.

    @ivar endpoint: its address, for the limits by prefix; C{None} is not counted.
    @ivar via: if a tunnel leads to it, the address of the relay. Those with the same one are
        counted together.
    @ivar link: what its owner keeps with it; nothing is done with it here.
    """

    name: Name
    endpoint: Endpoint | None = None
    link: Any = None
    via: Endpoint | None = None


class RoutingTable:
    """
    The table of one node. Made by the service at each start, fed as links are confirmed and lost; discarded
    with the run. It does no I/O and sends no pings: what is in it has a live link, because its owner
    removes what has not.
    """

    def __init__(self, own: Name, settings: Settings) -> None:
        self.own = own
        self._own = own.number
        self._group_size = settings.group_size
        self._bucket_size = settings.bucket_size
        self._most_in_bucket = ROOM_FACTOR * settings.bucket_size
        # two of them can change meanwhile
        self._settings = settings
        self._entries: dict[Name, PeerEntry] = {}
        self._by_number: dict[int, PeerEntry] = {}
        self._buckets: list[list[int]] = [[] for _ in range(NAME_BITS)]
        self._depth = 0  # all buckets from here on are empty
        self._prefixes: dict[Name, str] = {}
        # nodes that came in through a tunnel, and still count as they did then
        self._as_tunnelled: set[Name] = set()
        self._of_prefix: dict[str, int] = {}
        self._group: tuple[Name, ...] | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[PeerEntry]:
        """All entries, in the order in which they came."""
        return iter(tuple(self._entries.values()))

    def get(self, name: Name) -> PeerEntry | None:
        """The entry of this node, if there is one."""
        return self._entries.get(name)

    # Who may be in it.

    def refusal(
        self, name: Name, endpoint: Endpoint | None = None, via: Endpoint | None = None
    ) -> str | None:
        """
        Decide whether a node may come in. One that is in already may come in again.

        @param endpoint: its address, if that is known.
        @param via: if a tunnel leads to it, the address of the relay.
        @return: C{None} if it may, else the reason in a few words.
        """
        if name == self.own:
            return "it is this node itself"
        bucket = self.own.common_prefix(name)
        problem = self._prefix_problem(name, bucket, prefix_of(endpoint, via))
        if problem and self._replaces_tunnel(name, endpoint):
            return None
        if problem or name in self._entries:
            return problem
        if len(self._buckets[bucket]) >= self._most_in_bucket and not self._would_be_close(
            PeerEntry(name, endpoint, via=via)
        ):
            return f"its bucket holds {len(self._buckets[bucket])} nodes (twice the setting bucket_size)"
        return None

    def wants(self, name: Name, endpoint: Endpoint | None = None) -> bool:
        """Whether a node is not in the table and may come in, which decides about its request."""
        return name not in self._entries and self.refusal(name, endpoint) is None

    def seeks(self, name: Name, endpoint: Endpoint | None = None) -> bool:
        """Whether to ask a node for a link: its bucket is not full yet, or it would be in our close group."""
        if not self.wants(name, endpoint):
            return False
        bucket = self._buckets[self.own.common_prefix(name)]
        return len(bucket) < self._bucket_size or self._would_be_close(PeerEntry(name, endpoint))

    def add(self, entry: PeerEntry) -> list[PeerEntry]:
        """
        Let a node in, or replace what is kept of it.

        @return: the entries that are not in the table any more, or did not get in: the new one itself
            if it may not come in, else those that had to make room. An entry that was replaced is not among
            them.
        """
        if self.refusal(entry.name, entry.endpoint, entry.via) is not None:
            # it may have been in the table with another address: its old entry must not outlive the refusal
            self.remove(entry.name)
            return [entry]
        # taken before the change, to tell which node falls out of it
        group = self.close_group()
        index = self.own.common_prefix(entry.name)
        prefix = prefix_of(entry.endpoint, entry.via)
        as_tunnelled = bool(self._prefix_problem(entry.name, index, prefix))
        if as_tunnelled:
            prefix = self._prefixes.get(entry.name, "")
        self.remove(entry.name)
        self._entries[entry.name] = entry
        self._by_number[entry.name.number] = entry
        self._buckets[index].append(entry.name.number)
        self._depth = max(self._depth, index + 1)
        self._group = None
        if prefix:
            self._prefixes[entry.name] = prefix
            self._of_prefix[prefix] = self._of_prefix.get(prefix, 0) + 1
        if as_tunnelled:
            self._as_tunnelled.add(entry.name)
        dropped = self._overflow(index)
        # a node that fell out of the group may have had a place above the limit of its bucket
        fell_out = set(group).difference(self.close_group())
        for name in (each for each in group if each in fell_out):
            dropped += self._overflow(self.own.common_prefix(name))
        return dropped

    def remove(self, name: Name) -> PeerEntry | None:
        """
        Forget a node.

        @return: its entry, if it was in the table.
        """
        entry = self._entries.pop(name, None)
        if entry is None:
            return None
        del self._by_number[name.number]
        self._buckets[self.own.common_prefix(name)].remove(name.number)
        while self._depth and not self._buckets[self._depth - 1]:
            self._depth -= 1
        self._group = None
        self._as_tunnelled.discard(name)
        prefix = self._prefixes.pop(name, "")
        if prefix:
            self._of_prefix[prefix] -= 1
            if not self._of_prefix[prefix]:
                del self._of_prefix[prefix]
        return entry

    # Who is near.

    def close_group(self) -> tuple[Name, ...]:
        """The close group of our name, without us: C{group_size} nodes, or all if there are fewer."""
        if self._group is None:
            group = mixed(self._by_distance(self.own), _networks, self._group_size)
            self._group = tuple(each.name for each in group)
        return self._group

    def group_of(
        self,
        target: Name,
        count: int,
        exclude: Collection[Name] = _NOBODY,
        own_networks: Networks = UNCOUNTED,
    ) -> tuple[Name, ...]:
        """
        C{count} of the nodes nearest to C{target}, ourselves among them, by the rule of mixed groups.

        @param own_networks: our own, as others see us.
        """
        us = () if self.own in exclude else (PeerEntry(self.own),)
        entries = merge(self._by_distance(target, exclude), us, key=lambda each: target.distance(each.name))
        group = mixed(entries, lambda each: own_networks if each.name == self.own else _networks(each), count)
        return tuple(each.name for each in group)

    def known_networks(self, name: Name) -> Networks | None:
        """For which networks a node counts in a close group; C{None} if it is not in the table."""
        entry = self._entries.get(name)
        return None if entry is None else _networks(entry)

    def nearest(self, target: Name, count: int, exclude: Collection[Name] = _NOBODY) -> list[PeerEntry]:
        """The C{count} nodes nearest to C{target}, or all if there are fewer; nearest first."""
        return list(islice(self._by_distance(target, exclude), count))

    def _by_distance(self, target: Name, exclude: Collection[Name] = _NOBODY) -> Iterator[PeerEntry]:
        goal = target.number
        skipped = {each.number ^ goal for each in exclude}
        for group in self._rings(self.own.common_prefix(target)):
            distances = [number ^ goal for number in group]
            distances.sort()
            for distance in distances:
                if distance not in skipped:
                    yield self._by_number[distance ^ goal]

    def is_close_to(self, target: Name) -> bool:
        """Whether we are among the C{group_size} nodes nearest to C{target}, as far as we know."""
        shared = self.own.common_prefix(target)
        if shared == NAME_BITS:
            return True
        # a bucket that fills the group by itself spares the sums over the deeper ones
        nearer = len(self._buckets[shared])
        if nearer < self._group_size:
            goal = target.number
            ours = self._own ^ goal
            nearer += sum([number ^ goal < ours for number in self._deeper(shared)])
        return nearer < self._group_size

    def next_hop(self, target: Name, exclude: Collection[Name] = _NOBODY) -> PeerEntry | None:
        """
        The node nearest to C{target} of those that are nearer to it than we are; C{target} itself if it is
        in the table. C{None} if none is nearer.
        """
        entry = self._entries.get(target)
        if entry is not None and target not in exclude:
            return entry
        shared = self.own.common_prefix(target)
        if shared == NAME_BITS:
            return None
        goal = target.number
        ours = self._own ^ goal
        # every node of that bucket is nearer than any deeper one, so those are read only if it has none
        return self._least(self._buckets[shared], goal, ours, exclude) or self._least(
            self._deeper(shared), goal, ours, exclude
        )

    def missing_buckets(self, random: Random) -> list[Name]:
        """
        Targets for lookups: a random name in each bucket that could hold more, down to the deepest in use,
        but no deeper than a network of a million million nodes would need: names can be made to lie deep.

        @return: the names, in random order, so that a caller that takes a few at a time reaches all of them.
        """
        targets = [
            self._random_name(index, random)
            for index in range(min(self._depth, DEEPEST_SOUGHT))
            if len(self._buckets[index]) < self._bucket_size
        ]
        random.shuffle(targets)
        return targets

    def bucket_sizes(self) -> list[int]:
        """How many nodes each bucket holds, from the one that shares no bit with us to the last in use."""
        return [len(each) for each in self._buckets[: self._depth]]

    def _deeper(self, shared: int) -> list[int]:
        return [number for bucket in self._buckets[shared + 1 : self._depth] for number in bucket]

    def _rings(self, shared: int) -> Iterator[list[int]]:
        """All numbers, in groups: each is nearer than the next to any target that shares this many bits."""
        if shared < self._depth:
            yield self._buckets[shared]
            yield self._deeper(shared)
        for index in range(min(shared, self._depth) - 1, -1, -1):
            yield self._buckets[index]

    def _least(
        self, numbers: list[int], goal: int, below: int, exclude: Collection[Name]
    ) -> PeerEntry | None:
        skipped = {each.number for each in exclude}
        distances = [number ^ goal for number in numbers if number not in skipped]
        least = min(distances, default=below)
        return self._by_number[least ^ goal] if least < below else None

    def _would_be_close(self, newcomer: PeerEntry) -> bool:
        """Whether a node that is not in the table would be in the close group of our name."""
        group = self.close_group()
        if len(group) < self._group_size:
            return True
        entries = merge(
            self._by_distance(self.own), (newcomer,), key=lambda each: self.own.distance(each.name)
        )
        return newcomer in mixed(entries, _networks, self._group_size)

    def _replaces_tunnel(self, name: Name, endpoint: Endpoint | None) -> bool:
        """Whether this would be a direct link with a node that is in the table by a tunnel."""
        entry = self._entries.get(name)
        return (
            endpoint is not None
            and entry is not None
            and (entry.via is not None or name in self._as_tunnelled)
        )

    def _prefix_problem(self, name: Name, bucket: int, prefix: str) -> str | None:
        if not prefix:
            return None
        before = self._prefixes.get(name) == prefix
        if self._of_prefix.get(prefix, 0) - before >= self._settings.max_same_prefix_in_table:
            return f"too many nodes in the table are in {prefix} (the setting max_same_prefix_in_table)"
        if prefix.startswith(_THROUGH):
            return None
        here = [self._by_number[number].name for number in self._buckets[bucket]]
        same = sum([self._prefixes.get(each) == prefix for each in here])
        if same - before >= self._settings.max_same_prefix_in_bucket:
            return f"too many nodes in its bucket are in {prefix} (the setting max_same_prefix_in_bucket)"
        return None

    def _overflow(self, index: int) -> list[PeerEntry]:
        """Make a bucket small enough again, if it is too large."""
        bucket = self._buckets[index]
        if len(bucket) <= self._most_in_bucket:
            return []
        group = {each.number for each in self.close_group()}
        outside = [number for number in bucket if number not in group]
        if not outside:
            return []  # the limit is smaller than the group, which goes before it
        farthest = self._by_number[max(outside, key=self._own.__xor__)]
        self.remove(farthest.name)
        return [farthest]

    def _random_name(self, index: int, random: Random) -> Name:
        """A name that shares just C{index} leading bits with ours."""
        below = NAME_BITS - index - 1
        number = self._own ^ (1 << below)
        number ^= random.getrandbits(below)
        return Name(number.to_bytes(NAME_BYTES, "big"))


def prefix_of(endpoint: Endpoint | None, via: Endpoint | None) -> str:
    """What the limits count a node by; empty if they do not count it."""
    at = endpoint or via
    if at is None or is_local_only(at):
        return ""
    # an attacker that makes up nodes could be in the middle of the tunnels to all of them
    return at.prefix if endpoint else _THROUGH + at.prefix


def counted_networks(endpoint: Endpoint | None, via: Endpoint | None) -> Networks:
    """The networks for which a close group counts a node: its own, or for a tunnel that of the relay."""
    at = endpoint or via
    if at is None or is_local_only(at):
        return UNCOUNTED
    return (network_of(at) if endpoint else _RELAYED + network_of(at),)


def _networks(entry: PeerEntry) -> Networks:
    return counted_networks(entry.endpoint, entry.via)


def counted_by(link: ILink) -> tuple[Endpoint | None, Endpoint | None]:
    """The address that the table's limits count a peer by: its own, or that of the relay."""
    at = link.connection.peer
    return (None, at) if link.path_kind is PathKind.TUNNEL else (at, None)
