"""
The network's time: our clock, put right by those of the members of our table.

Requests carry the time at which they were made, so that none can be replayed later. If every node trusted its
own clock, a node whose clock is an hour off could never get a link. So each Hello, and each answer to a group
query, carries the sender's time.

Names are free, so only members vote, and contacts that we have dialled ourselves, while they have a link.
Those of one address prefix have one voice together. Our own clock is a voice as well: the time moves when
more than half of the voices say so. A node without members, which has just started or is a client, believes
its proxy, on which it depends in any case. If the proxy was wrong, our clock and the first member are enough
to put that right. Two nodes that know only each other, one with a wrong clock, learn the time from the
contacts that they probe: without those neither would get another member. Voices that are divided evenly bring
about a probe, whose contact is one voice more.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median_low
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ...bounded_dict import BoundedDict
from ...endpoints import Direction
from ...errors import CloseReason
from ...names import Name
from ...wire.messages import LinkUse
from ..links.peer import Peer, PeerListener
from .routing_table import counted_by, prefix_of

SLIP_SECONDS: Final = 5.0
"""
Seconds by which the network may differ from our clock before we follow it. Below that we report our own
clock: if all nodes followed each other, all would fall behind by the time that messages take.
"""
MAX_VOICES: Final = 6
"""Address prefixes whose voices count beside our own: those whose members reported last."""
MAX_GREETINGS: Final = 256
"""Peers whose time is kept from their Hello until it turns out what they are for us."""


class NetworkTime(PeerListener):
    """
    Made with each start of the service, fed with the time in each verified Hello and each answer, told of
    peers and of the proxy.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._greetings: BoundedDict[Name, float] = BoundedDict(MAX_GREETINGS)
        self._voices: dict[Name, str] = {}
        self._members: set[Name] = set()
        self._chosen: Name | None = None
        # in the order of their last reports
        self._reports: dict[Name, float] = {}
        self._proxy: Name | None = None
        self._offset = 0.0
        self._last = clock.seconds()
        self._when_moved: tuple[Callable[[], object], ...] = ()
        self._when_divided: tuple[Callable[[], object], ...] = ()

    def when_moved(self, *actions: Callable[[], object]) -> None:
        """Call these whenever a report has moved the time by more than L{SLIP_SECONDS}."""
        self._when_moved += actions

    def when_divided(self, *actions: Callable[[], object]) -> None:
        """Call these whenever half of the voices say one time, and the others another, after a report."""
        self._when_divided += actions

    @property
    def offset(self) -> float:
        """How many seconds the network is ahead of our clock; 0.0 if that is right, as far as we know."""
        return self._offset if abs(self._offset) > SLIP_SECONDS else 0.0

    def now(self) -> float:
        """The network's time, in seconds since the epoch."""
        return self._look() + self.offset

    def greeted(self, peer: Name, time: float) -> None:
        """A peer's Hello has just reported its time, which counts if it becomes a member, or our proxy."""
        if time:
            self._greetings.put(peer, time - self._look())

    def heard(self, peer: Name, time: float) -> None:
        """An answer has just reported a node's time; 0 means that it has none to report."""
        if not time:
            return
        ahead = time - self._look()
        if peer == self._proxy and not self._members:
            self._move(ahead)
        if peer in self._voices:
            self._report(peer, ahead)

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """A member gets a voice, and a contact that we dialled; a peer that is neither any more loses it."""
        if peer.name == self._chosen:
            self._chosen = None
        is_member = peer.use is LinkUse.MEMBER
        if not is_member:
            self._members.discard(peer.name)
            if peer.use is not LinkUse.ATTACHED or peer.link.direction is not Direction.CONNECTED:
                self._silence(peer.name)
                return
        else:
            self._members.add(peer.name)
        self._give_voice(peer)
        # that of a proxy is asked for again in a moment
        ahead = (self._greetings.pop if is_member else self._greetings.get)(peer.name, None)
        if ahead is not None:
            self._report(peer.name, ahead)

    def chosen(self, peer: Peer) -> None:
        """
        We have chosen this one of the peers that have dialled us, as we choose a contact to dial: it has a
        voice until another is chosen. All of them together may be of one mind, since they have chosen us.
        """
        if self._chosen is not None:
            self._silence(self._chosen)
        self._chosen = peer.name
        self._give_voice(peer)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """A node without a link has no voice."""
        self._silence(peer.name)

    def proxy_changed(self, proxy: Name | None) -> None:
        """Believe our new proxy, unless there are members to ask."""
        self._look()
        self._proxy = proxy
        ahead = None if proxy is None else self._greetings.get(proxy)
        if ahead is not None and not self._members:
            self._move(ahead)

    def forget(self) -> None:
        """The last link is lost: discard the offsets, since our clock may be set while no peer reports."""
        self._voices.clear()
        self._members.clear()
        self._chosen = None
        self._reports.clear()
        self._offset = 0.0

    def _report(self, member: Name, ahead: float) -> None:
        self._reports.pop(member, None)
        self._reports[member] = ahead
        if not self._members:
            return  # the proxy is believed
        spoken: dict[str, list[float]] = {}
        for name, said in reversed(self._reports.items()):
            spoken.setdefault(self._voices[name], []).append(said)
        # the lower median is what one of them has said: a mean of two would be nobody's time
        voices = sorted([0.0, *(median_low(said) for said in list(spoken.values())[:MAX_VOICES])])
        # of an even number the two in the middle are candidates, and we stay with the nearer one
        low, high = voices[(len(voices) - 1) // 2], voices[len(voices) // 2]
        before = self.offset
        self._move(min((low, high), key=lambda each: abs(each - before)))
        if high - low > SLIP_SECONDS:
            for action in self._when_divided:
                action()

    def _move(self, offset: float) -> None:
        before, self._offset = self.offset, offset
        if abs(self.offset - before) > SLIP_SECONDS:
            for action in self._when_moved:
                action()

    def _give_voice(self, peer: Peer) -> None:
        # on a local network, where addresses tell nothing apart, each name has its own
        self._voices[peer.name] = prefix_of(*counted_by(peer.link)) or str(peer.name)

    def _silence(self, name: Name) -> None:
        if name == self._chosen:
            self._chosen = None
        self._voices.pop(name, None)
        self._members.discard(name)
        self._reports.pop(name, None)

    def _look(self) -> float:
        """Our clock's time. If the clock was set back since the last reading, correct the offsets."""
        now = self._clock.seconds()
        if now < self._last:
            back = self._last - now
            for reports in (self._greetings, self._reports):
                for peer, ahead in reports.items():
                    reports[peer] = ahead + back
            self._offset += back if self._reports or self._proxy is not None else 0.0
        self._last = now
        return now
