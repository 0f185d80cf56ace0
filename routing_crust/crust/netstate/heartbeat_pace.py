"""
The pace of heartbeats: how long a link may be idle, in each network that this host is in.

Some NATs and firewalls forget a connection that has been idle for 15 s, and say so to nobody. The sign of
that: a link was idle, its heartbeat was not answered, and the same peer is linked by another connection,
so it is not dead itself. When this has happened twice, at different times, heartbeats come twice as often
there. What is known of a network is kept while the service runs, also when the host has been elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ...addresses import Kind, kind_of
from ...bounded_dict import BoundedDict
from ...endpoints import PathKind
from ...errors import CloseReason, LinkClosed
from ...names import Name
from ..interfaces import ILink

MIN_HEARTBEAT_SECONDS: Final = 8.0
"""The shortest pace."""
ONE_CAUSE_SECONDS: Final = 10.0
"""Deaths within this time have one cause: a router that restarts forgets all connections at once."""
REMEMBERED_SECONDS: Final = 600.0
"""How long a first death counts, and one of a peer that has not come back."""
ENOUGH_DEATHS: Final = 2
MAX_NETWORKS: Final = 64
MAX_DEAD: Final = 256
_DEATHS: Final = (CloseReason.CONNECTION_LOST, CloseReason.INACTIVE, CloseReason.STALLED)


class HeartbeatPace:
    """Made by crust, told of its links, asked by them."""

    def __init__(self, seconds: Callable[[], float], longest: float) -> None:
        """
        @param seconds: the clock: C{IReactorTime.seconds}.
        @param longest: the pace where nothing is known, in seconds.
        """
        self._seconds = seconds
        self._longest = longest
        self._pace: BoundedDict[str, float] = BoundedDict(MAX_NETWORKS)
        self._deaths: BoundedDict[str, tuple[float, ...]] = BoundedDict(MAX_NETWORKS)
        # dead links whose peers have not come back: our network, and when
        self._dead: BoundedDict[Name, tuple[str, float]] = BoundedDict(MAX_DEAD)

    def of(self, network: str) -> float:
        """How long a link from this network of ours may be idle, in seconds."""
        return self._pace.get(network, self._longest)

    def link_up(self, link: ILink) -> None:
        """A link is up: if one to the same peer has died, the peer was alive."""
        network, when = self._dead.pop(link.peer, ("", 0.0))
        if network and 0 <= self._seconds() - when < REMEMBERED_SECONDS:
            self._found_dead(network, when)

    def link_lost(self, link: ILink, reason: LinkClosed, others: Iterable[ILink]) -> None:
        """
        A link is gone.

        @param others: the links that there are.
        """
        died = reason.reason in _DEATHS and not reason.by_peer and link.died_idle
        # a tunnel lives by the heartbeats of its relay's link, and near hosts have no NAT between them
        if not died or link.path_kind is PathKind.TUNNEL or not _is_global(link):
            return
        network = link.connection.local.prefix
        if any(each.peer == link.peer for each in others):
            self._found_dead(network, self._seconds())
        else:
            self._dead.put(link.peer, (network, self._seconds()))

    def _found_dead(self, network: str, when: float) -> None:
        deaths = [each for each in self._deaths.get(network, ()) if 0 <= when - each < REMEMBERED_SECONDS]
        if any(when - each < ONE_CAUSE_SECONDS for each in deaths):
            return
        deaths.append(when)
        if len(deaths) >= ENOUGH_DEATHS:
            # links have to die at the new pace, too, before there is a shorter one
            deaths.clear()
            # the settings may ask for a pace that is shorter than ours ever gets
            self._pace.put(network, min(self._longest, max(MIN_HEARTBEAT_SECONDS, self.of(network) / 2)))
        self._deaths.put(network, tuple(deaths))


def _is_global(link: ILink) -> bool:
    return kind_of(link.connection.peer.address) is Kind.GLOBAL
