"""
Direct links: the links that applications, streams and tunnels ask for by name.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

from ...crust.interfaces import ILink
from ...errors import CloseReason, ExpectedConnectionExpired, NotConnected
from ...limits import EXPECTED_TIMEOUT_SECONDS
from ...names import Name
from ...wire.messages import LinkUse
from ..links.idle import IdleLinks
from ..links.registry import LinkRegistry
from ..membership.neighbourhood import Neighbourhood
from ..node import Node
from .connector import Connector


class DirectLinks:
    """Made with each start of the service, discarded with the run."""

    def __init__(
        self,
        node: Node,
        links: LinkRegistry,
        neighbourhood: Neighbourhood,
        connector: Connector,
        idle: IdleLinks,
        is_needed: Callable[[Name], bool],
    ) -> None:
        """
        @param is_needed: whether something uses the link to this peer, even an idle one.
        """
        self._node = node
        self._links = links
        self._neighbourhood = neighbourhood
        self._connector = connector
        self._idle = idle
        self._is_needed = is_needed

    def connect(self, name: Name) -> Deferred[ILink]:
        """
        Get a link to a node, the existing one or a new one, and keep it for as long as it lives.

        @return: fires with the confirmed link. Fails with L{ExpectedConnectionExpired}, with L{NotConnected}
            or with L{ServiceStopped}.
        """
        return Deferred.fromCoroutine(self._connect(name)).addCallback(self._keep)

    def borrow(self, name: Name) -> Deferred[ILink]:
        """Get a link as L{connect} does, but let it be closed when it has been given back and is idle."""
        self._idle.needed(name)
        peer = self._links.peer(name)
        # a client's only link stays anyway; any other attachment is dropped when its node has joined
        if peer is not None and (peer.use >= LinkUse.DIRECT or self._node.is_client or peer.facts.is_client):
            return succeed(peer.link)
        self._idle.borrow(name)
        return Deferred.fromCoroutine(self._connect(name))

    def drop_idle(self, name: Name) -> None:
        """A borrowed link has been idle: close it, if it serves nothing else."""
        peer = self._links.peer(name)
        if peer is not None and peer.use is LinkUse.DIRECT and not self._is_needed(name):
            self._links.drop(name, CloseReason.NO_LONGER_NEEDED, "it was idle")

    def _keep(self, link: ILink) -> ILink:
        self._idle.keep(link.peer)
        return link

    async def _connect(self, name: Name) -> ILink:
        deadline = self._node.clock.seconds() + EXPECTED_TIMEOUT_SECONDS
        # a request may be lost on its way, and the caller has asked for a link, not for one attempt
        while True:
            if not self._neighbourhood.bootstrapped:
                raise NotConnected("there is no link to the network; wait for when_connected()")
            try:
                return await self._connector.request_link(name, LinkUse.DIRECT)
            except ExpectedConnectionExpired:
                if self._node.clock.seconds() >= deadline:
                    raise
