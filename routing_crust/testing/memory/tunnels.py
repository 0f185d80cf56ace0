"""
Tunnels in memory: links that depend on two others. Their frames do not pass through the node in the middle,
but they take as long as if they did, and nothing gets through where those two links are cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from math import fsum
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail

from ...crust.interfaces import ILink
from ...endpoints import Connection, Direction, PathKind, Protocol
from ...errors import ConnectFailed, ServiceStopped
from ...names import Name
from ...timing.timers import cancel
from .links import MemoryLink

if TYPE_CHECKING:
    from .crust import MemoryCrust

Way = Callable[[ILink, Name], ILink | None]


class TunnelAttempt:
    """One tunnel that is being opened. Made by a crust, discarded when its Deferred has fired."""

    def __init__(
        self, crust: MemoryCrust, relay: MemoryLink, peer: Name, token: bytes, requester: bool
    ) -> None:
        self._crust = crust
        self._relay = relay
        self._peer = peer
        self._token = token
        self._requester = requester
        network = crust.network
        there_and_back = fsum(network.delay() for _ in range(4))
        self._patience = max(0.0, crust.settings.hello_timeout - there_and_back)
        self._call = crust.clock.callLater(there_and_back, self._answered)
        self.link: Deferred[ILink] = Deferred(lambda _: self.stop())

    def stop(self) -> None:
        """Try no more."""
        self._crust.tunnels_opening.pop(self, None)
        cancel(self._call)

    def _answered(self) -> None:
        problem = self._problem()
        if problem is None:
            self._call = self._crust.clock.callLater(self._patience, self._fail, "no answer")
        elif problem:
            self._fail(problem)

    def _fail(self, problem: str) -> None:
        self.stop()
        self.link.errback(ConnectFailed(((f"a tunnel through {self._relay.peer}", problem),)))

    def _is_cut_off(self, leg: MemoryLink) -> bool:
        network = self._crust.network
        return network.is_cut_off(leg) or network.is_cut_off(leg.other)

    def _problem(self) -> str | None:
        """Why there is no tunnel; empty if there is one now, and C{None} if nobody says anything."""
        relay = self._relay
        middle = relay.other.crust
        if self._is_cut_off(relay):
            return None
        if relay.over is not None or relay.path_kind is PathKind.TUNNEL:
            return "there is no direct link to the node in the middle"
        way = None if middle.tunnel_way is None else middle.tunnel_way(relay.other, self._peer)
        if not isinstance(way, MemoryLink) or way.path_kind is PathKind.TUNNEL or way.over is not None:
            return "the node in the middle has no direct link to the peer"
        if self._is_cut_off(way):
            return None
        target = way.other.crust
        expected = (self._crust.identity.name, self._token, not self._requester)
        if not target.running or expected not in target.expected:
            return "the peer does not expect a tunnel"
        self.stop()
        self._join(way, target)
        return ""

    def _join(self, way: MemoryLink, target: MemoryCrust) -> None:
        crust, relay, network = self._crust, self._relay, self._crust.network
        binding = network.random.randbytes(32)
        network.tunnels += 1
        here, there = relay.connection, way.other.connection
        link = MemoryLink(
            crust,
            target,
            Connection(Protocol.TUNNEL, here.peer, here.local, network.tunnels),
            Direction.CONNECTED,
            binding,
        )
        link.other = MemoryLink(
            target,
            crust,
            Connection(Protocol.TUNNEL, there.peer, there.local, network.tunnels),
            Direction.ACCEPTED,
            binding,
        )
        link.other.other = link
        for end in (link, link.other):
            end.path_kind = PathKind.TUNNEL
            end.token = self._token
            end.via = relay.peer
            end.legs = (relay, way)
        link.initiator, link.other.initiator = self._requester, not self._requester
        network.joined(link)
        crust.tunnelled(link, self.link)
        target.tunnelled(link.other, None)
        for end in (link, link.other):
            end.pipe.put(network.random.uniform(0, network.delay()), end.other.come_up)


def open_tunnel(
    crust: MemoryCrust, relay: ILink, peer: Name, token: bytes, requester: bool
) -> Deferred[ILink]:
    """See L{ICrust.tunnel}."""
    if not crust.running:
        return fail(ServiceStopped())
    assert isinstance(relay, MemoryLink)
    attempt = TunnelAttempt(crust, relay, peer, token, requester)
    crust.tunnels_opening[attempt] = None
    return attempt.link
