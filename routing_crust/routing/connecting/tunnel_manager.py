"""
Tunnels: links by way of a third node, where nothing else works; when they are made, through whom, and for how
long it is tried to do better.

Each end of a request names up to four nodes that have a direct link with it and can be dialled by others.
When punching has gone on for C{tunnel_after}, or cannot help, whoever asked for the connection opens a
tunnel: through a node that both have a link with, else through one of the other's, with which it first makes
a link, else through one of its own that may have a link with the other as well. The first that does it is
taken.

As long as a tunnel lives both ends try to replace it, by requests like the first: at once when what is known
of the NAT or of our addresses changes, else after a wait that doubles. When it is lost, since the node in the
middle is gone or does not do what it should, another is made through somebody else.

In the middle this node takes its peers to each other if it has direct links with both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...bounded_dict import BoundedDict
from ...crust.interfaces import ILink
from ...endpoints import Endpoint, PathKind
from ...errors import CloseReason, ConnectFailed, RoutingCrustError
from ...names import Name
from ...timing.timers import cancel
from ...wire.codec import to_wire
from ...wire.messages import LinkUse, WireContact
from ..links.peer import Peer, PeerListener

if TYPE_CHECKING:
    from ..core import RoutingCore

MOST_RELAYS: Final = 4
"""How many nodes each end names, and how many of its own it tries without knowing better."""
TRY_FOR: Final = 3.0
"""Seconds until another node is tried, if one does not answer."""
FIRST_WAIT: Final = 5.0
LONGEST_WAIT: Final = 600.0
"""Seconds between two attempts to replace a tunnel, at first and at most; a quarter more or less."""
SHORTEST_WAIT: Final = 1.0
"""Seconds between two attempts, whatever has changed."""
OTHER_END_FIRST: Final = 1.0
"""Seconds that the end with the greater name leaves to the other when a tunnel has to be made anew."""
DISTRUST: Final = 60.0
"""Seconds for which a node is not used again for a peer, after too much was wrong with tunnels through it."""
TOO_MUCH: Final = 3
"""A tunnel that is broken is that; one that has ended, as the node in the middle said, is a third of it."""
MOST_DISTRUSTED: Final = 1024

_FAULTS: Final = {
    CloseReason.TUNNEL_ENDED: 1,
    CloseReason.CONNECTION_LOST: TOO_MUCH,
    CloseReason.INACTIVE: TOO_MUCH,
    CloseReason.STALLED: TOO_MUCH,
    CloseReason.TLS_REFUSED: TOO_MUCH,
}
"""How wrong it is that a tunnel is lost for this reason; others are no fault, and nothing takes its place."""


class _Tunnel:
    """A peer that a tunnel leads to, and when it is tried to do better."""

    __slots__ = ("name", "timer", "tried", "use", "via", "wait")

    def __init__(self, name: Name, via: Name | None, use: LinkUse) -> None:
        self.name = name
        self.via = via
        self.use = use
        self.wait = FIRST_WAIT
        self.tried = float("-inf")
        self.timer: IDelayedCall | None = None


class TunnelManager(PeerListener):
    """
    Made with each start, told of links that are confirmed and lost, discarded after L{stop}.
    """

    log = Logger()

    def __init__(self, core: RoutingCore) -> None:
        self._core = core
        self._tunnels: dict[Name, _Tunnel] = {}
        self._again: dict[Name, IDelayedCall] = {}
        self._faults: BoundedDict[tuple[Name, Name], tuple[float, int]] = BoundedDict(MOST_DISTRUSTED)
        self._stopped = False

    def __len__(self) -> int:
        return len(self._tunnels)

    # In the middle.

    def way(self, link: ILink, name: Name) -> ILink | None:
        """By which link the peer of another link may be taken to somebody."""
        links = self._core.links
        peer = links.peer(name)
        if peer is None or link not in links.confirmed or peer.link.path_kind is PathKind.TUNNEL:
            return None
        return peer.link

    # At the ends: whom we name, and whom we choose.

    def relays(self, other: Name, theirs: Collection[Name] = ()) -> tuple[WireContact, ...]:
        """
        Who may be in the middle of a tunnel to us: those that the other end has named first, then those
        nearest to its name.

        @param theirs: whom the other end has named.
        """
        found: dict[Name, Endpoint] = {}
        for peer in self._by_preference(other, theirs):
            endpoint = self._core.contacts.dialable_at(peer)
            if endpoint is not None:
                found[peer.name] = endpoint
                if len(found) == MOST_RELAYS:
                    break
        return tuple(WireContact(name.raw, to_wire(endpoint)) for name, endpoint in found.items())

    def _by_preference(self, other: Name, theirs: Collection[Name]) -> Iterator[Peer]:
        """Whom we could name; some of them more than once."""
        links = self._core.links
        near = [each.name for each in self._core.table.nearest(other, 2 * MOST_RELAYS)]
        for name in (*sorted(theirs, key=other.distance), *near):
            peer = links.peer(name)
            if peer is not None and self._is_usable(peer, other):
                yield peer
        yield from sorted(self._usable(other), key=lambda each: other.distance(each.name))

    def open(self, peer: Name, nonce: bytes, theirs: Sequence[Name]) -> Deferred[ILink]:
        """
        Make a tunnel for a request of ours that was answered.

        @param theirs: whom the peer has named.
        @return: fires with the link, which is not confirmed yet; fails with L{ConnectFailed}. It can be
            cancelled.
        """
        return Deferred.fromCoroutine(self._open(peer, nonce, theirs))

    async def _open(self, peer: Name, nonce: bytes, theirs: Sequence[Name]) -> ILink:
        problems: list[tuple[str, str]] = []
        for name in self._choice(peer, theirs):
            result = await self._through(name, peer, nonce)
            if isinstance(result, str):
                problems.append((f"by way of {name.short}", result))
            else:
                return result
        raise ConnectFailed(tuple(problems) or (("a tunnel", "nobody is known who could be in its middle"),))

    async def _through(self, name: Name, peer: Name, nonce: bytes) -> ILink | str:
        """A tunnel through this node, or why there is none."""
        try:
            link = await self._limited(self._link_to(name))
            return await self._limited(self._core.crust.tunnel(link, peer, nonce, True))
        except RoutingCrustError as error:
            if not self.uses(name):
                self._core.idle.give_back(name)
            return str(error)

    def _choice(self, peer: Name, theirs: Sequence[Name]) -> list[Name]:
        """Who may be in the middle, best first."""
        own = [each.name for each in self._usable(peer)]
        common = [name for name in theirs if name in own]
        nearest = sorted(own, key=peer.distance)[:MOST_RELAYS]
        skip = (peer, self._core.identity.name)
        names = dict.fromkeys(each for each in (*common, *theirs, *nearest) if each not in skip)
        return [name for name in names if not self._is_distrusted(peer, name)]

    def _usable(self, other: Name) -> list[Peer]:
        """Our direct links that will stay, to nodes other than this one."""
        return [each for each in self._core.links.peers if self._is_usable(each, other)]

    def _is_usable(self, peer: Peer, other: Name) -> bool:
        return (
            peer.link.path_kind is not PathKind.TUNNEL
            and not peer.facts.is_client
            and peer.name != other
            and (peer.use >= LinkUse.DIRECT or peer.name == self._core.proxy)
        )

    def _link_to(self, name: Name) -> Deferred[ILink]:
        """A direct link to whoever is to be in the middle."""
        peer = self._core.links.peer(name)
        if peer is None:
            return self._core.borrow(name)
        if peer.use is LinkUse.ATTACHED and self._core.connector.is_requesting(name, LinkUse.MEMBER):
            # in a moment another link takes the place of this one, which would end the tunnel
            return self._core.connector.request_link(name, LinkUse.MEMBER)
        return succeed(peer.link)

    async def _limited(self, waiting: Deferred[ILink]) -> ILink:
        timer = self._core.clock.callLater(TRY_FOR, _time_out, waiting)
        try:
            return await waiting
        except CancelledError:
            if timer.active():
                raise
            raise ConnectFailed((("it", f"did not answer within {TRY_FOR:g} s"),)) from None
        finally:
            cancel(timer)

    # What becomes of tunnels.

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """A link was confirmed: if it is a tunnel, try to replace it; if it is none, no longer."""
        known = self._tunnels.get(peer.name)
        cancel(self._again.pop(peer.name, None))
        if peer.link.path_kind is not PathKind.TUNNEL:
            if known is not None:
                self._forget(known)
        elif known is None or known.via != peer.link.via:
            if known is not None:
                self._forget(known)
            tunnel = self._tunnels[peer.name] = _Tunnel(peer.name, peer.link.via, peer.use)
            if peer.link.via is not None:
                self._core.idle.needed(peer.link.via)
            self._schedule(tunnel, self._core.clock.seconds())
        else:
            known.use = peer.use

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """The last link to a peer is lost. If it was a tunnel that broke, make another one."""
        known = self._tunnels.get(peer.name)
        if known is None:
            return
        self._forget(known)
        if reason not in _FAULTS or self._stopped:
            return
        if known.via is not None:
            self._note_fault(peer.name, known.via, _FAULTS[reason])
        self._core.connector.tunnel_lost(peer.name, known.use, peer.since)
        if peer.name in self._core.idle.borrowed:
            return  # whoever needs it asks again
        wait = 0.0 if self._core.identity.name < peer.name else OTHER_END_FIRST
        self._again[peer.name] = self._core.clock.callLater(wait, self._ask_again, peer.name, known.use)

    def uses(self, name: Name) -> bool:
        """Whether a tunnel of ours goes through this node."""
        return any(each.via == name for each in self._tunnels.values())

    def wake(self) -> None:
        """What is known of our NAT or our addresses has changed: try at once to replace every tunnel."""
        now = self._core.clock.seconds()
        for tunnel in self._tunnels.values():
            tunnel.wait = FIRST_WAIT
            cancel(tunnel.timer)
            wait = max(0.0, tunnel.tried + SHORTEST_WAIT - now)
            tunnel.timer = self._core.clock.callLater(wait, self._improve, tunnel)

    def stop(self) -> None:
        """Try nothing any more."""
        self._stopped = True
        for tunnel in self._tunnels.values():
            cancel(tunnel.timer)
        self._tunnels.clear()
        for timer in self._again.values():
            cancel(timer)
        self._again.clear()

    def _schedule(self, tunnel: _Tunnel, now: float) -> None:
        wait = tunnel.wait * self._core.random.uniform(0.75, 1.25)
        tunnel.timer = self._core.clock.callLater(wait, self._improve, tunnel)

    def _improve(self, tunnel: _Tunnel) -> None:
        now = self._core.clock.seconds()
        tunnel.tried = now
        tunnel.wait = min(2 * tunnel.wait, LONGEST_WAIT)
        self._schedule(tunnel, now)
        self._core.connector.improve(tunnel.name, tunnel.use)

    def _ask_again(self, name: Name, use: LinkUse) -> None:
        del self._again[name]
        if self._core.links.peer(name) is None and self._core.bootstrapped and use is not LinkUse.ATTACHED:
            self._core.connector.request_link(name, use).addErrback(self._in_vain, name)

    def _in_vain(self, failure: Failure, name: Name) -> None:
        failure.trap(RoutingCrustError)
        self.log.debug("no other way to {peer}: {reason}", peer=name, reason=failure.getErrorMessage())

    def _forget(self, tunnel: _Tunnel) -> None:
        cancel(tunnel.timer)
        del self._tunnels[tunnel.name]
        if tunnel.via is not None and not self.uses(tunnel.via):
            self._core.idle.give_back(tunnel.via)
            self._core.attachment.relay_not_needed(tunnel.via)

    def _note_fault(self, peer: Name, relay: Name, weight: int) -> None:
        now = self._core.clock.seconds()
        since, faults = self._faults.get((peer, relay), (now, 0))
        faults = weight if now - since >= DISTRUST else faults + weight
        self._faults.put((peer, relay), (now, faults))

    def _is_distrusted(self, peer: Name, relay: Name) -> bool:
        since, faults = self._faults.get((peer, relay), (0.0, 0))
        return faults >= TOO_MUCH and self._core.clock.seconds() - since < DISTRUST


def _time_out(waiting: Deferred[ILink]) -> None:
    waiting.cancel()
