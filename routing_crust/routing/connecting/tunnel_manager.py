"""
The tunnel manager: replaces tunnels by better links, and makes broken ones again.

While a tunnel lives, both ends try to replace it by requests like the first: at once when the NAT or the
addresses of this node change, otherwise after a wait that doubles. When a tunnel breaks because its relay is
gone or fails, the manager makes another through another relay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...endpoints import PathKind
from ...errors import CloseReason, RoutingCrustError
from ...names import Name
from ...timing.backoff import Backoff
from ...timing.timers import cancel
from ...wire.messages import LinkUse
from ..links.idle import IdleLinks
from ..links.peer import Peer, PeerListener
from ..links.registry import LinkRegistry
from ..membership.neighbourhood import Neighbourhood
from ..node import Node
from .connector import Connector
from .relay_choice import FAULT_WEIGHTS, RelayChoice

FIRST_WAIT_SECONDS: Final = 5.0
MAX_WAIT_SECONDS: Final = 600.0
"""Seconds between two attempts to replace a tunnel, at first and at most; a quarter more or less."""
MIN_WAIT_SECONDS: Final = 1.0
"""Seconds between two attempts at least, whatever has changed."""
OTHER_END_FIRST_SECONDS: Final = 1.0
"""Seconds that the end with the greater name leaves to the other when a tunnel has to be made again."""


class _LiveTunnel:
    """
    A tunnel that is up.

    @ivar name: the peer that it leads to.
    @ivar via: the node in its middle.
    @ivar tried: when the last attempt to replace it began, in seconds.
    @ivar timer: the delayed call that begins the next.
    """

    __slots__ = ("name", "timer", "tried", "use", "via", "waits")

    def __init__(self, name: Name, via: Name | None, use: LinkUse) -> None:
        self.name = name
        self.via = via
        self.use = use
        self.waits = Backoff(FIRST_WAIT_SECONDS, 2, MAX_WAIT_SECONDS)
        self.tried = float("-inf")
        self.timer: IDelayedCall | None = None


class TunnelManager(PeerListener):
    """Made at each start, told of peers, discarded after L{stop}."""

    log = Logger()

    def __init__(
        self,
        node: Node,
        links: LinkRegistry,
        relays: RelayChoice,
        connector: Connector,
        idle: IdleLinks,
        neighbourhood: Neighbourhood,
    ) -> None:
        self._node = node
        self._links = links
        self._relays = relays
        self._connector = connector
        self._idle = idle
        self._neighbourhood = neighbourhood
        self._tunnels: dict[Name, _LiveTunnel] = {}
        self._again: dict[Name, IDelayedCall] = {}
        self._when_unused: tuple[Callable[[Name], object], ...] = ()
        self._stopped = False

    def __len__(self) -> int:
        return len(self._tunnels)

    def when_unused(self, action: Callable[[Name], object]) -> None:
        """Call this with each relay whose last tunnel of ours has ended."""
        self._when_unused += (action,)

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """If the link is a tunnel, try to replace it from now on; otherwise stop trying."""
        known = self._tunnels.get(peer.name)
        cancel(self._again.pop(peer.name, None))
        if peer.link.path_kind is not PathKind.TUNNEL:
            if known is not None:
                self._forget(known)
        elif known is None or known.via != peer.link.via:
            # another relay: the waits of the old tunnel say nothing about this one
            if known is not None:
                self._forget(known)
            tunnel = self._tunnels[peer.name] = _LiveTunnel(peer.name, peer.link.via, peer.use)
            if peer.link.via is not None:
                self._idle.needed(peer.link.via)
            self._schedule(tunnel, tunnel.waits.bound)
        else:
            known.use = peer.use

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """If the link was a tunnel that broke, make another one."""
        known = self._tunnels.get(peer.name)
        if known is None:
            return
        self._forget(known)
        if reason not in FAULT_WEIGHTS or self._stopped:
            return
        if known.via is not None:
            self._relays.note_fault(peer.name, known.via, FAULT_WEIGHTS[reason])
        self._connector.tunnel_lost(peer.name, known.use, peer.since)
        if peer.name in self._idle.borrowed:
            return  # its borrower asks again if it still needs it
        # both ends notice the loss: if they asked at once, their requests would cross
        wait = 0.0 if self._node.name < peer.name else OTHER_END_FIRST_SECONDS
        self._again[peer.name] = self._node.clock.callLater(wait, self._make_again, peer.name, known.use)

    def uses(self, name: Name) -> bool:
        """Whether a tunnel of ours goes through this node."""
        return any(each.via == name for each in self._tunnels.values())

    def give_back(self, name: Name) -> None:
        """A link to this node was borrowed for a tunnel: give it back, unless a tunnel goes over it."""
        if not self.uses(name):
            self._idle.give_back(name)

    def wake(self) -> None:
        """Our NAT or our addresses have changed: try at once to replace every tunnel."""
        now = self._node.clock.seconds()
        for tunnel in self._tunnels.values():
            tunnel.waits.reset()
            cancel(tunnel.timer)
            wait = max(0.0, tunnel.tried + MIN_WAIT_SECONDS - now)
            tunnel.timer = self._node.clock.callLater(wait, self._improve, tunnel)

    def stop(self) -> None:
        """Stop replacing tunnels, and stop making broken ones again."""
        self._stopped = True
        for tunnel in self._tunnels.values():
            cancel(tunnel.timer)
        self._tunnels.clear()
        for timer in self._again.values():
            cancel(timer)
        self._again.clear()

    def _schedule(self, tunnel: _LiveTunnel, wait: float) -> None:
        # jitter, so that the two ends of a tunnel do not keep asking at the same time
        jittered = wait * self._node.random.uniform(0.75, 1.25)
        tunnel.timer = self._node.clock.callLater(jittered, self._improve, tunnel)

    def _improve(self, tunnel: _LiveTunnel) -> None:
        tunnel.tried = self._node.clock.seconds()
        tunnel.waits.next_wait()
        self._schedule(tunnel, tunnel.waits.bound)
        self._connector.improve(tunnel.name, tunnel.use)

    def _make_again(self, name: Name, use: LinkUse) -> None:
        del self._again[name]
        if self._links.peer(name) is not None or use is LinkUse.ATTACHED:
            return
        if self._neighbourhood.bootstrapped:
            self._connector.request_link(name, use).addErrback(self._not_linked, name)

    def _not_linked(self, failure: Failure, name: Name) -> None:
        failure.trap(RoutingCrustError)
        self.log.debug("no other way to {peer}: {reason}", peer=name, reason=failure.getErrorMessage())

    def _forget(self, tunnel: _LiveTunnel) -> None:
        cancel(tunnel.timer)
        # first, so that it no longer counts as a user of its relay
        del self._tunnels[tunnel.name]
        if tunnel.via is not None and not self.uses(tunnel.via):
            self._idle.give_back(tunnel.via)
            for action in self._when_unused:
                action(tunnel.via)
