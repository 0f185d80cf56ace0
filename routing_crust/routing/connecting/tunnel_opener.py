"""
The tunnel opener: makes a link through a relay, for an answered request of ours, where nothing else works. It
tries the possible relays one after the other, and takes the first tunnel that comes up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import CancelledError, Deferred, succeed

from ...crust.interfaces import ILink
from ...errors import ConnectFailed, RoutingCrustError
from ...names import Name
from ...timing.timers import cancel
from ...wire.messages import LinkUse
from ..links.registry import LinkRegistry
from ..node import Node
from .connector import Connector
from .relay_choice import RelayChoice

MEMBERSHIP_WAIT_SECONDS: Final = 2.0
"""How old a request may be that is to make our proxy a member, for a tunnel through it to wait for that."""
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
            link = await self._limited(self._link_to(name))
            return await self._limited(self._node.crust.tunnel(link, peer, nonce, True, awaited))
        except RoutingCrustError as error:
            # a failed attempt may have borrowed the link, and nothing else would give it back
            self._give_back(name)
            return str(error)

    def _link_to(self, name: Name) -> Deferred[ILink]:
        """A direct link to the relay."""
        peer = self._links.peer(name)
        if peer is None:
            return self._borrow(name)
        age = self._connector.request_age(name)
        # an older request may never be answered, and the tunnel is wanted now
        is_new = age is not None and age < MEMBERSHIP_WAIT_SECONDS
        if peer.use is LinkUse.ATTACHED and is_new and self._connector.is_requesting(name, LinkUse.MEMBER):
            # another link is about to replace this one, which would end the tunnel
            return self._connector.request_link(name, LinkUse.MEMBER)
        return succeed(peer.link)

    async def _limited(self, waiting: Deferred[ILink]) -> ILink:
        timer = self._node.clock.callLater(TRY_SECONDS, waiting.cancel)
        try:
            return await waiting
        except CancelledError:
            if timer.active():
                raise  # we were cancelled, not timed out
            raise ConnectFailed((("it", f"did not answer within {TRY_SECONDS:g} s"),)) from None
        finally:
            cancel(timer)
