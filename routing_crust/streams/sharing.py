"""
Who makes room when peers have all the streams that they may have open here.

Each stream of a peer may hold a window and a buffer of memory, and a descriptor for the program that a daemon
exposes by it, so there is a bound on all of them. It is shared by the prefixes of the peers' addresses and
then by the peers: whoever holds most makes room.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..names import Name

MAX_STREAMS_OF_PEERS: Final = 1024
"""Streams that all peers together may have opened here."""


def who_makes_room(held: Mapping[Name, int], prefixes: Mapping[Name, str], asking: Name) -> Name | None:
    """
    Decide who has to give up a stream for a new one.

    @param held: how many streams each peer has opened, the new one among them.
    @param prefixes: the prefix of each peer's address.
    @param asking: the peer that opens the new one.
    @return: the peer that holds most in the prefix that holds most; C{None} if none holds more than C{asking}
        does.
    """
    sums: dict[str, int] = {}
    for name, count in held.items():
        sums[prefixes[name]] = sums.get(prefixes[name], 0) + count
    own = prefixes[asking]
    fullest = max(sums, key=lambda prefix: (sums[prefix], prefix == own))
    # one stream more would only be passed to and fro between two that hold as many
    if fullest != own and sums[fullest] <= sums[own]:
        return None
    largest = max((name for name in held if prefixes[name] == fullest), key=lambda name: held[name])
    if fullest == own and held[largest] <= held[asking]:
        return None
    return largest
