"""
The tunnel manager: replaces tunnels by better links, and makes broken ones again.

While a tunnel lives, both ends try to replace it by requests like the first: at once when the NAT or the
addresses of this node change, otherwise after a wait that doubles. When a tunnel breaks because its relay is
gone or fails, the manager makes another through another relay.

Both ends also judge every C{JUDGE_SECONDS}, by what they have measured and been told, whether another relay
would be clearly faster. If that holds for some time, the end asks the other one again, which tells its own
times with the answer, and if it still holds makes a second tunnel. The first one carries until both ends have
agreed on the second, and the handover loses nothing.
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
from .relay_choice import FAULT_WEIGHTS, MIN_MOVE_SECONDS, RelayChoice

FIRST_WAIT_SECONDS: Final = 5.0
MAX_WAIT_SECONDS: Final = 600.0
"""Seconds between two attempts to replace a tunnel, at first and at most; a quarter more or less."""
MIN_WAIT_SECONDS: Final = 1.0
"""Seconds between two attempts at least, whatever has changed."""
JUDGE_SECONDS: Final = 10.0
"""Between two judgements of whether a tunnel has the right relay."""
MEASURE_SECONDS: Final = 60.0
"""Between two measurements of each tunnel, and of the links to its possible relays, that need no traffic."""
JUDGEMENTS: Final = 3
"""
Judgements in a row that must have found another relay better; one more at the end with the greater name.
"""
OTHER_END_FIRST_SECONDS: Final = 1.0
"""Seconds that the end with the greater name leaves to the other when a tunnel has to be made again."""


class _LiveTunnel:
    """
    A tunnel that is up.

    @ivar name: the peer that it leads to.
    @ivar via: the node in its middle.
    @ivar tried: when the last attempt to replace it began, in seconds.
    @ivar timer: the delayed call that begins the next.
    @ivar outdone: how often in a row another relay was better.
    @ivar probed: when it and its possible relays were measured last, in seconds.
    """

    __slots__ = ("name", "outdone", "probed", "timer", "tried", "use", "via", "waits")

    def __init__(self, name: Name, via: Name | None, use: LinkUse) -> None:
        self.name = name
        self.via = via
        self.use = use
        self.waits = Backoff(FIRST_WAIT_SECONDS, 2, MAX_WAIT_SECONDS)
        self.tried = self.probed = float("-inf")
        self.outdone = 0
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
        self._judging: IDelayedCall | None = None
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
            tunnel = _LiveTunnel(peer.name, peer.link.via, peer.use)
            if known is not None:
                # it was moved: what keeps the ends from dialling each other is as it was
                tunnel.waits, tunnel.tried = known.waits, known.tried
                self._forget(known)
            self._tunnels[peer.name] = tunnel
            if peer.link.via is not None:
                self._idle.needed(peer.link.via)
            self._schedule(tunnel, tunnel.waits.bound)
            if self._judging is None:
                self._judging = self._node.clock.callLater(JUDGE_SECONDS, self._judge)
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
        cancel(self._judging)
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

    def _judge(self) -> None:
        """Check whether each tunnel has the right relay."""
        now = self._node.clock.seconds()
        self._judging = self._node.clock.callLater(JUDGE_SECONDS, self._judge) if self._tunnels else None
        for tunnel in list(self._tunnels.values()):
            peer = self._links.peer(tunnel.name)
            if peer is None:
                continue
            self._relays.measured(peer)
            if now - tunnel.probed >= MEASURE_SECONDS or self._relays.is_changing(peer):
                # an end that only answers heartbeats would measure nothing
                tunnel.probed = now
                self._relays.probe(peer)
            if not self._relays.better(tunnel.name):
                tunnel.outdone = 0
                continue
            tunnel.outdone += 1
            # both ends may find it at once, and one request is enough
            if tunnel.outdone < JUDGEMENTS + (self._node.name > tunnel.name):
                peer.link.probe()
            elif now - tunnel.tried >= MIN_MOVE_SECONDS:
                # what kept it from being moved the last time may be there still
                tunnel.tried, tunnel.outdone = now, 0
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
