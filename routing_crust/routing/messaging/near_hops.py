"""
Near hops: which of the nodes that lead to a name almost equally well is the next hop.

Greedy routing takes the node whose name is nearest to the destination, wherever on earth that is. Of the
nodes whose names are within C{NEAR_BITS} bits of it this takes the one that an envelope reaches soonest: by
the round trip of its link, and C{BIT_SECONDS} for each bit by which its name is farther, since that leaves
more to the hops that follow (proximity route selection; Gummadi and others, "The impact of DHT routing
geometry on resilience and proximity", 2003).

Who is in the table and in the close group does not depend on round trips, lookups go by names alone, and
each hop is nearer to the destination than the one before, so no envelope goes in circles.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from ...names import Name
from ..membership.neighbourhood import LinkLookup
from ..membership.routing_table import RoutingTable

NEAR_BITS: Final = 2
"""By how many bits a next hop's name may be farther from the destination than the nearest one's."""
BIT_SECONDS: Final = 0.025
"""How much longer a round trip may be for each bit that a name is nearer."""
UNMEASURED_SECONDS: Final = 0.15
"""What is assumed for the round trip of a link that was not measured yet."""
DOUBTED_SECONDS: Final = 8.0
"""What is assumed for a link that may be dead."""
MAX_CHOICE: Final = 8
"""Nodes that are compared."""


class NearHops:
    """Made by the forwarder, asked for the next hop of each envelope to a certain name."""

    def __init__(self, table: RoutingTable, links: LinkLookup) -> None:
        self._table = table
        self._links = links

    def next_hop(self, target: Name, exclude: Collection[Name] = frozenset()) -> Name | None:
        """
        The best next hop of those that are nearer to C{target} than we are; C{target} itself if it is in the
        table. C{None} if none is nearer.
        """
        own = self._table.own.distance(target)
        nearest = [each.name for each in self._table.nearest(target, MAX_CHOICE, exclude)]
        nearer = [name for name in nearest if name.distance(target) < own]
        if not nearer or nearer[0] == target:
            return nearer[0] if nearer else None
        most = nearer[0].distance(target).bit_length() + NEAR_BITS
        choice = [name for name in nearer if name.distance(target).bit_length() <= most]
        # of equals the nearest: min() takes the first
        return min(choice, key=lambda name: self._cost(name, target))

    def _cost(self, name: Name, target: Name) -> float:
        # none of the choice is ruled out
        link = self._links.link_to(name)
        if link is None or link.is_doubted:
            seconds = DOUBTED_SECONDS
        else:
            seconds = link.round_trip.smoothed_or(UNMEASURED_SECONDS)
        return seconds + BIT_SECONDS * name.distance(target).bit_length()
