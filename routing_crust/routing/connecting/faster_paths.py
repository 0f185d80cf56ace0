"""
Faster paths: moves a link that is in use to another address of its peer where that is clearly nearer.

The first address that answers gets the link, and nearly always that is the first in line. Its way may be a
VPN's while the two hosts stand in one room, or lead an IPv6 tunnel through another country; and what was the
shorter way once need not be so for ever. So each end looks from time to time how long a TLS handshake takes
at the host that the link leads to and at the peer's other addresses, one after the other, so that none waits
for another's. An address that is clearly nearer, some times in a row, is dialled. The new link names the
other by its mark, as one beside a doubted link does, and the handover loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf, isinf
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ...crust.interfaces import ILink, account_of
from ...crust.reachability import Presence
from ...endpoints import Endpoint, PathKind
from ...errors import CloseReason, ConnectFailed, LimitReached, ServiceStopped
from ...names import Name
from ...timing.backoff import Backoff
from ...timing.timers import cancel
from ..links.handover import mark_of
from ..links.peer import Peer, PeerListener
from ..links.registry import LinkRegistry
from ..node import Node
from .candidates import CandidateExchange

LOOK_SECONDS: Final = 30.0
"""Between two looks: at the links that are due, and those for which a better path was found the last time."""
FIRST_WAIT_SECONDS: Final = 60.0
MAX_WAIT_SECONDS: Final = 600.0
"""Until a link is due again for which none was found; it doubles. One that has become slower is due."""
MIN_GAIN_SECONDS: Final = 0.02
MIN_GAIN_SHARE: Final = 0.2
"""A path is better if its handshake, which takes two round trips, is shorter by both of these."""
JUDGEMENTS: Final = 3
"""How often in a row the same path must have been better; once more for the end with the greater name."""


@dataclass(slots=True)
class _JudgedLink:
    """
    A link that is no tunnel.

    @ivar due: when it is to be judged next, in seconds.
    @ivar round_trip: what one took when it was judged last, in seconds.
    @ivar better: the path that was better the last time.
    @ivar times: how often in a row.
    """

    link: ILink
    due: float = 0.0
    round_trip: float = inf
    better: Endpoint | None = None
    times: int = 0
    waits: Backoff = field(default_factory=lambda: Backoff(FIRST_WAIT_SECONDS, 2, MAX_WAIT_SECONDS))

    @property
    def is_slower(self) -> bool:
        """Whether a round trip takes clearly longer than when it was judged last."""
        now = self.link.round_trip.smoothed_or(0.0)
        return now > self.round_trip + max(MIN_GAIN_SECONDS / 2, MIN_GAIN_SHARE * self.round_trip)


class FasterPaths(PeerListener):
    """Made at each start, told of peers, discarded after L{stop}."""

    log = Logger()

    def __init__(
        self,
        node: Node,
        links: LinkRegistry,
        candidates: CandidateExchange,
        in_use: Callable[[Name], bool],
    ) -> None:
        """
        @param in_use: whether an application or a stream uses the link with a peer: others are left alone.
        """
        self._node = node
        self._links = links
        self._candidates = candidates
        self._in_use = in_use
        self._watched: dict[Name, _JudgedLink] = {}
        self._timer: IDelayedCall | None = None
        self._looking: Deferred[None] | None = None

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """Watch its link, if that is no tunnel."""
        known = self._watched.get(peer.name)
        if known is not None and known.link is peer.link:
            return
        self._watched.pop(peer.name, None)
        if peer.link.path_kind is not PathKind.TUNNEL:
            self._watched[peer.name] = _JudgedLink(peer.link)
            self._look_later()

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """Forget its link."""
        self._watched.pop(peer.name, None)

    def network_changed(self) -> None:
        """Other paths may be open now, or faster."""
        for watched in self._watched.values():
            watched.due = 0.0
            watched.waits.reset()

    def stop(self) -> None:
        """Look at nothing any more."""
        self._watched.clear()
        cancel(self._timer)
        self._timer = None
        if self._looking is not None:
            self._looking.cancel()

    def _look_later(self) -> None:
        if self._timer is None and self._looking is None and self._watched:
            self._timer = self._node.clock.callLater(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        self._looking = Deferred.fromCoroutine(self._judge_all())
        self._looking.addBoth(self._looked)

    def _looked(self, outcome: object) -> object:
        self._looking = None
        self._look_later()
        return outcome

    async def _judge_all(self) -> None:
        now = self._node.clock.seconds()
        due = [each for each in self._watched.values() if now >= each.due or each.is_slower]
        # cancelled when everything stops
        with suppress(CancelledError, ServiceStopped):
            for watched in due:
                peer = self._links.peer(watched.link.peer)
                if peer is not None and peer.link is watched.link and self._in_use(peer.name):
                    await self._judge(peer, watched)

    async def _judge(self, peer: Peer, watched: _JudgedLink) -> None:
        endpoint = await self._nearest(peer)
        if self._links.link_to(peer.name) is not watched.link:
            return
        watched.round_trip = watched.link.round_trip.smoothed_or(inf)
        watched.times = watched.times + 1 if endpoint == watched.better else 1
        watched.better = endpoint
        watched.due = 0.0
        # both ends may find it at once, and one move is enough
        if endpoint is None or watched.times >= JUDGEMENTS + (self._node.name > peer.name):
            watched.better = None
            watched.due = self._node.clock.seconds() + watched.waits.next_wait()
            if endpoint is not None:
                await self._move(peer, endpoint)

    async def _nearest(self, peer: Peer) -> Endpoint | None:
        """The other address of a peer that is nearest, if it is clearly nearer than that of its link."""
        at = peer.link.connection.peer.host
        places = self._candidates.places(peer)
        present = [each for each in places if each.host == at]
        others = [each for each in places if each.host != at]
        if not present or not others:
            return None
        now = await self._handshake_seconds(present[0], peer.name)
        # without an answer there is no measure: a firewall may let in nothing but the link
        enough = -inf if isinf(now) else now - max(MIN_GAIN_SECONDS, MIN_GAIN_SHARE * now)
        nearest: Endpoint | None = None
        for endpoint in others:
            seconds = await self._handshake_seconds(endpoint, peer.name)
            if seconds <= enough:
                nearest, enough = endpoint, seconds
        return nearest

    async def _handshake_seconds(self, endpoint: Endpoint, name: Name) -> float:
        began = self._node.clock.seconds()
        (dial,) = self._node.crust.knock((endpoint,), name)
        answered = (await dial).presence is Presence.THERE
        return self._node.clock.seconds() - began if answered else inf

    async def _move(self, peer: Peer, endpoint: Endpoint) -> None:
        link = peer.link
        self.log.info(
            "{who} is nearer at {endpoint} than at {before}: the link moves there",
            who=self._node.brief(peer.name),
            peer=peer.name,
            endpoint=endpoint,
            before=link.connection.peer,
        )
        # the history has the outcome
        with suppress(ConnectFailed, LimitReached):
            await self._node.crust.connect((endpoint,), peer.name, mark_of(link), account_of(link))
