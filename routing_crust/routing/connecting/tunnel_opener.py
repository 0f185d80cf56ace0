"""
The tunnel opener: makes a link through a relay, for an answered request of ours, where nothing else works. It
tries the possible relays one after the other, and takes the first tunnel that comes up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from typing import Final

from twisted.internet.defer import CancelledError, Deferred

from ...crust.interfaces import ILink
from ...errors import ConnectFailed, RoutingCrustError
from ...names import Name
from ...timing.timers import cancel
from ...wire.messages import LinkUse
from ..links.peer import Peer
from ..links.registry import LinkRegistry
from ..node import Node
from .connector import Connector
from .relay_choice import RelayChoice

MIN_MEMBERSHIP_WAIT_SECONDS: Final = 0.5
MAX_MEMBERSHIP_WAIT_SECONDS: Final = 2.0
"""
Bounds of the time for which a tunnel through our proxy waits for our request that makes the proxy a member.
Between them it is as many round trips as that takes.
"""
MEMBERSHIP_ROUND_TRIPS: Final = 4
"""What a membership takes: a request and its answer, a connection, TLS, and the agreement on the link."""
TRY_SECONDS: Final = 3.0
"""Seconds that a link to a candidate, and then the tunnel through it, may take before the next is tried."""


class TunnelOpener:
    """Made at each start, and asked by the attempts."""

    def __init__(
        self,
        node: Node,
        links: LinkRegistry,
        relays: RelayChoice,
        connector: Connector,
        borrow: Callable[[Name], Deferred[ILink]],
        give_back: Callable[[Name], None],
    ) -> None:
        """
        @param borrow: gets a direct link until it is given back.
        @param give_back: says that a borrowed link is not needed, unless a tunnel goes over it.
        """
        self._node = node
        self._links = links
        self._relays = relays
        self._connector = connector
        self._borrow = borrow
        self._give_back = give_back

    def open(self, peer: Name, nonce: bytes, theirs: Sequence[Name], awaited: bool) -> Deferred[ILink]:
        """
        Make a tunnel for a request of ours that was answered.

        @param theirs: the nodes that the peer has named.
        @param awaited: whether somebody waits for the link.
        @return: fires with the link, which is not confirmed yet; fails with L{ConnectFailed}. It can be
            cancelled.
        """
        return Deferred.fromCoroutine(self._open(peer, nonce, theirs, awaited))

    async def _open(self, peer: Name, nonce: bytes, theirs: Sequence[Name], awaited: bool) -> ILink:
        problems: list[tuple[str, str]] = []
        # a tunnel that is there stays until a better one carries, so only better ones are tried
        for name in self._relays.better(peer) or self._relays.to_try(peer, theirs):
            result = await self._through(name, peer, nonce, awaited)
            if isinstance(result, str):
                problems.append((f"through {name.short}", result))
            else:
                return result
        raise ConnectFailed(tuple(problems) or (("a tunnel", "no node is known that could be its relay"),))

    async def _through(self, name: Name, peer: Name, nonce: bytes, awaited: bool) -> ILink | str:
        """A tunnel through this node, or the reason of the failure."""
        try:
            link = await self._link_to(name)
            return await self._limited(self._node.crust.tunnel(link, peer, nonce, True, awaited))
        except RoutingCrustError as error:
            # a failed attempt may have borrowed the link, and nothing else would give it back
            self._give_back(name)
            return str(error)

    async def _link_to(self, name: Name) -> ILink:
        """A direct link to the relay."""
        peer = self._links.peer(name)
        wait = 0.0 if peer is None else self._membership_wait(peer)
        if wait > 0:
            # another link is about to replace this one, which would end the tunnel
            with suppress(RoutingCrustError):
                return await self._limited(self._connector.request_link(name, LinkUse.MEMBER), wait)
            # no answer: the relay has no room in its table, and its link to us carries a tunnel all the same
            peer = self._links.peer(name)
        return await self._limited(self._borrow(name)) if peer is None else peer.link

    def _membership_wait(self, peer: Peer) -> float:
        """For how many more seconds a tunnel waits for a request that is to make its relay a member."""
        requests = self._connector.requests
        age = requests.request_age(peer.name)
        is_asked = peer.use is LinkUse.ATTACHED and requests.is_under_way(peer.name, LinkUse.MEMBER)
        if age is None or not is_asked:
            return 0.0
        trips = MEMBERSHIP_ROUND_TRIPS * peer.link.round_trip.smoothed_or(inf)
        return min(max(trips, MIN_MEMBERSHIP_WAIT_SECONDS), MAX_MEMBERSHIP_WAIT_SECONDS) - age

    async def _limited(self, waiting: Deferred[ILink], seconds: float = TRY_SECONDS) -> ILink:
        timer = self._node.clock.callLater(seconds, waiting.cancel)
        try:
            return await waiting
        except CancelledError:
            if timer.active():
                raise  # we were cancelled, not timed out
            raise ConnectFailed((("it", f"did not answer within {seconds:g} s"),)) from None
        finally:
            cancel(timer)
