"""
All peers that there are streams with: those with a link, and those whose streams wait for one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine, Iterator
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ...bounded_dict import BoundedDict
from ...crust.interfaces import ILink
from ...errors import LinkClosed
from ...limits import KIB, MIB
from ...names import Name
from ...quietlog import QuietLog
from ..errors import SessionEnded
from ..frames import Ended
from ..multiplexing.stream import Stream
from .peer import ENDS_SESSION, NodeStreams, PeerStreams
from .reconnection import Reconnection

MAX_SUSPENDED_PEERS: Final = 1024
"""Peers whose streams are suspended."""
MAX_SUSPENDED_BYTES: Final = 256 * MIB
"""
What is kept for suspended streams of all peers. Beyond that, the oldest of the peer with most are ended.
"""
MAX_LAID_ASIDE: Final = 256
"""
Peers without a link and without a stream that waits, of whose sessions something is kept. Beyond that, the
oldest of the prefix with most goes: each link has a session, and links come and go with free keys.
"""
MAX_LAID_ASIDE_BYTES: Final = 64 * KIB
"""What is kept for each of them."""
LINES_AT_ONCE: Final = 4
"""Lines of the log about peers of one prefix whose links are lost, or that are back."""


class StreamsOwner(NodeStreams, Protocol):
    """What the peers need besides."""

    def describe(self, name: Name) -> str:
        """What people call this peer."""

    def reconnect(self, name: Name) -> Coroutine[Deferred[Any], Any, object]:
        """Get a link to this peer."""

    def ask_again(self, name: Name) -> None:
        """Ask this peer for a link once more; L{reconnect} is under way."""


class Peers:
    """Made, and discarded, with the streams of a node. It is the L{PeerOwner} of each peer."""

    log = Logger()

    def __init__(self, owner: StreamsOwner) -> None:
        self.name = owner.name
        self.settings = owner.settings
        self.clock = owner.clock
        self.random = owner.random
        self.eventually = owner.eventually
        self._owner = owner
        # several peers may be behind the address of one relay
        self._quiet = QuietLog(self.log, owner.clock.seconds, LINES_AT_ONCE)
        self._peers: dict[Name, PeerStreams] = {}
        self._reconnections: dict[Name, Reconnection] = {}
        self._laid_aside: dict[Name, PeerStreams] = {}
        self._ended: BoundedDict[Name, Ended] = BoundedDict(MAX_SUSPENDED_PEERS)

    def __iter__(self) -> Iterator[PeerStreams]:
        return iter(tuple(self._peers.values()))

    def __len__(self) -> int:
        return len(self._peers)

    def get(self, name: Name) -> PeerStreams | None:
        """The streams with this peer, if it has a link or streams that wait for one."""
        return self._peers.get(name)

    def prefix_of(self, name: Name | str) -> str:
        """What a peer is counted by: the prefix of its link; its name, if there is none."""
        peer = self._peers.get(name) if isinstance(name, Name) else None
        return str(name) if peer is None else peer.prefix

    def suspension(self, peer: PeerStreams) -> dict[str, object] | None:
        """
        Since when the streams with this peer wait and why, what is kept for them, for how much longer they
        may wait, and what is being tried, as values for JSON; C{None} if they do not wait.
        """
        since = peer.suspended_since
        if since is None:
            return None
        reconnection = self._reconnections.get(peer.name)
        return {
            "seconds": round(self.clock.seconds() - since, 1),
            "because": str(peer.because),
            "streams": len(peer.waiting),
            "kept": peer.kept,
            "left": round(max(peer.waiting, default=0.0), 1),
            "trying": "there is a link, and the peer has not gone on yet"
            if reconnection is None
            else reconnection.state,
        }

    # What becomes of links.

    def link_gained(self, link: ILink) -> None:
        """There is a link to a peer that had none."""
        name = link.peer
        peer = self._peers.get(name) or self._laid_aside.pop(name, None)
        if peer is None:
            self._peers[name] = PeerStreams(self, link, self._ended.pop(name, Ended.NONE), True)
        else:
            self._stop_asking(name)
            self._peers[name] = peer
            peer.link_gained(link)

    def link_found(self, link: ILink) -> None:
        """A peer had a link before there were streams here."""
        self._peers[link.peer] = PeerStreams(self, link, Ended.NONE, False)

    def link_lost(self, link: ILink, reason: LinkClosed) -> None:
        """The last link to a peer is gone."""
        name = link.peer
        peer = self._peers[name]
        if reason.reason in ENDS_SESSION:
            self._ended.put(name, Ended.CLOSED)
            self._end(peer, reason)
        elif peer.suspend(reason):
            self._suspended(peer, reason)
        elif self._peers.get(name) is peer:  # else a handler has stopped the service
            self._lay_aside(peer)

    def banned(self, name: Name, reason: LinkClosed) -> None:
        """A peer without a link is banned: nothing of it is kept."""
        self._stop_asking(name)
        self._ended.pop(name, None)
        laid_aside = self._laid_aside.pop(name, None)
        if laid_aside is not None:
            laid_aside.end(reason)
        peer = self._peers.get(name)
        if peer is not None and not peer.attached:
            self._end(peer, reason)

    def _suspended(self, peer: PeerStreams, reason: LinkClosed) -> None:
        name = peer.name
        # a handover that breaks has the other link at once: then nobody waits
        self.eventually.call(self._say_that_they_wait, peer, reason)
        self._stop_asking(name)
        self._reconnections[name] = Reconnection(
            self.clock,
            self.random,
            lambda: self._owner.reconnect(name),
            lambda: self._ask_again(name),
            lambda: len(self._reconnections),
            peer.unreachable,
        )
        self._bound()

    def _ask_again(self, name: Name) -> None:
        self._owner.ask_again(name)
        # a protocol that heeds no producer goes on writing meanwhile
        self._bound()

    def _say_that_they_wait(self, peer: PeerStreams, reason: LinkClosed) -> None:
        if peer.attached or self._peers.get(peer.name) is not peer:
            return
        peer.told = True
        self._quiet.info(
            "suspended",
            "the link to {who} is lost ({reason}): {streams} waiting for another one",
            by=peer.prefix,
            who=self._owner.describe(peer.name),
            peer=peer.name,
            reason=reason,
            streams=counted_streams(len(peer.waiting)),
        )

    def _stop_asking(self, name: Name) -> None:
        reconnection = self._reconnections.pop(name, None)
        if reconnection is not None:
            reconnection.stop()

    def _lay_aside(self, peer: PeerStreams) -> None:
        """Keep a session in which no stream waits, for what the peer has sent and says when it comes back."""
        if peer.kept > MAX_LAID_ASIDE_BYTES:
            self._ended.put(peer.name, Ended.EXPIRED)
            self._end(peer, SessionEnded(Ended.EXPIRED, peer.because))
        else:
            del self._peers[peer.name]
            self._laid_aside[peer.name] = peer
            if len(self._laid_aside) > MAX_LAID_ASIDE:
                self._forget(self._who_goes(list(self._laid_aside.values()), {}))

    def _forget(self, peer: PeerStreams) -> None:
        del self._laid_aside[peer.name]
        self._ended.put(peer.name, Ended.NO_ROOM)
        peer.end(SessionEnded(Ended.NO_ROOM, peer.because))

    def _end(self, peer: PeerStreams, problem: Exception) -> None:
        # taken out first: a handler that opens a stream in this moment must find no peer
        del self._peers[peer.name]
        peer.end(problem)

    def _bound(self) -> None:
        """Let suspended streams go until those that are left are few enough, and keep little enough."""
        waiting = [each for each in self._peers.values() if not each.attached]
        kept = {each: each.kept for each in waiting}
        total = sum(kept.values())
        while waiting and (total > MAX_SUSPENDED_BYTES or len(waiting) > MAX_SUSPENDED_PEERS):
            oldest = self._who_goes(waiting, kept if total > MAX_SUSPENDED_BYTES else {})
            waiting.remove(oldest)
            total -= kept[oldest]
            self._stop_asking(oldest.name)
            self._ended.put(oldest.name, Ended.NO_ROOM)
            self._end(oldest, SessionEnded(Ended.NO_ROOM, oldest.because))

    def _who_goes(self, waiting: list[PeerStreams], kept: dict[PeerStreams, int]) -> PeerStreams:
        """The oldest of the prefix that keeps most, or has most peers if nothing is said of that."""
        sums: Counter[str] = Counter()
        for each in waiting:
            sums[each.prefix] += kept.get(each, 1)
        fullest = sums.most_common(1)[0][0]
        theirs = (each for each in waiting if each.prefix == fullest)
        return min(theirs, key=lambda each: each.suspended_since or 0.0)

    def stop(self, problem: Exception) -> None:
        """The service stops: end all streams."""
        peers, self._peers = {**self._laid_aside, **self._peers}, {}
        self._laid_aside.clear()
        self._ended.clear()
        for name in list(self._reconnections):
            self._stop_asking(name)
        for peer in peers.values():
            peer.end(problem)

    # For each peer.

    def stream_requested(self, name: Name, stream: Stream) -> None:
        """A peer wants to open a stream."""
        self._owner.stream_requested(name, stream)

    def idle(self, name: Name) -> None:
        """The last stream with this peer is over."""
        self._owner.idle(name)

    def resumed(self, peer: PeerStreams, size: int) -> None:
        """The streams with this peer go on."""
        since = peer.suspended_since
        # where no stream has waited, nobody has missed anything
        if not peer.waiting:
            return
        text = (
            "{who} is back after {seconds:.1f} s: {streams} resumed, {size} bytes sent again"
            if peer.told
            else "{streams} with {who} resumed over another link ({reason}), {size} bytes sent again"
        )
        peer.told = False
        self._quiet.info(
            "resumed",
            text,
            by=peer.prefix,
            who=self._owner.describe(peer.name),
            peer=peer.name,
            reason=peer.because,
            seconds=0.0 if since is None else self.clock.seconds() - since,
            streams=counted_streams(len(peer.waiting)),
            size=size,
        )

    def expired(self, peer: PeerStreams) -> None:
        """No stream with this peer waits for a link any more."""
        name = peer.name
        self._stop_asking(name)
        if peer.attached:
            # a link came, and the peer has not resumed on it: it may do with a new session
            self._end(peer, SessionEnded(Ended.EXPIRED, peer.because))
            self._peers[name] = PeerStreams(self, peer.link, Ended.EXPIRED, False)
        else:
            self._lay_aside(peer)
        self._owner.idle(name)


def counted_streams(count: object) -> str:
    """The number of streams, in words for people."""
    return "1 stream" if count == 1 else f"{count} streams"
