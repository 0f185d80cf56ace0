"""
Obstacles in the network in memory: what keeps connections from carrying, and tests that make them do so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...crust.interfaces import ILink
from .transport import Host, MemoryTransport, end_of

End = ILink | MemoryTransport
"""One end of a connection: as a link, or as that runs over it."""
Way = End | tuple[Host, Host]
"""What one end of a connection sends, or everything that goes from the first host to the second."""


class Obstacles:
    """
    The connections of a network, and what stands in their way. Obstacles between hosts outlast the processes
    there.

    @ivar disturbed: whether there is any obstacle at all; without one no connection is looked at.
    """

    def __init__(self) -> None:
        self.disturbed = False
        self._links: dict[MemoryTransport, None] = {}
        self._groups: dict[str, int] = {}
        self._shut: dict[tuple[str, str], None] = {}
        self._asleep: dict[str, None] = {}
        self._blocked: set[tuple[str, str]] = set()
        self._half_open: set[MemoryTransport] = set()
        self._held: list[Way] = []

    @property
    def links(self) -> list[MemoryTransport]:
        """The connections of which at least one end is alive, by the end that dialled, oldest first."""
        return list(self._links)

    def partition(self, groups: Iterable[Iterable[Host]]) -> None:
        """
        Let nothing pass between hosts of different groups, until L{heal}. Those in no group are one
        more group together. What is sent meanwhile waits, and arrives on healing if the connection still
        lives then; dials time out. It takes the place of an earlier partition.
        """
        self._groups = {each.host: number for number, group in enumerate(groups) for each in group}
        self._ways_changed()

    def heal(self) -> None:
        """End the partition, and open every way that L{shut} has shut."""
        self._shut.clear()
        self.partition(())

    def shut(self, sender: Host, receiver: Host) -> None:
        """Let nothing pass from one host to another, but the other way: a partition of one direction."""
        self._shut[sender.host, receiver.host] = None
        self._ways_changed()

    def sleep(self, host: Host) -> None:
        """Let nothing reach a host, and nothing leave it, until L{wake}."""
        self._asleep[host.host] = None
        self._ways_of_changed(host)

    def wake(self, host: Host) -> None:
        """Undo L{sleep}."""
        self._asleep.pop(host.host, None)
        self._ways_of_changed(host)

    def block(self, dialler: Host, target: Host) -> None:
        """Let the dials of C{dialler} to C{target} time out, as a firewall in front of C{target} does."""
        self._blocked.add((dialler.host, target.host))

    def unblock(self, dialler: Host, target: Host) -> None:
        """Undo L{block}."""
        self._blocked.discard((dialler.host, target.host))

    def cut(self, link: End) -> None:
        """Break a connection: both ends hear C{CONNECTION_LOST}, and what is on its way is lost."""
        end = end_of(link)
        for each in (end, end.other):
            each.lose()

    def half_open(self, link: End) -> None:
        """Let nothing pass on a connection any more, without telling: both ends find out by its silence."""
        both = end_of(link), end_of(link).other
        self._half_open.update(both)
        self._ways_changed(lambda end: end in both)

    def mend(self, link: End) -> None:
        """
        Undo L{half_open}: the connection goes on, if its ends have not given it up. Where one of them went
        down with its host meanwhile, it stays as it is.
        """
        both = end_of(link), end_of(link).other
        if not any(end.dead for end in both):
            self._half_open.difference_update(both)
            self._ways_changed(lambda end: end in both)

    def hold(self, way: Way) -> None:
        """
        Keep everything that goes this way, until L{release}: what is written, ends and resets, and before
        all these the news that a connection is there. The timeouts of both ends run on.
        """
        self._held.append(way)
        self.disturbed = True

    def release(self, way: Way, count: int | None = None) -> None:
        """
        Let go of what is held.

        @param count: how many things to deliver, each before this returns, oldest first; the rest is
            still held. C{None} ends the holding.
        @raise ValueError: this way is not held, or fewer things are.
        """
        if count is None:
            self._held.remove(way)
            self._ways_changed()
            return
        if way not in self._held:
            raise ValueError(f"{way!r} is not held")
        for _ in range(count):
            waiting = [end for end in self._ends() if end.pipe.due and self._goes(end, way)]
            min(waiting, key=lambda end: end.pipe.due[0][0]).pipe.deliver_first()

    def waiting(self, way: Way) -> int:
        """How many things are on this way and have not arrived."""
        return sum(len(end.pipe.due) for end in self._ends() if self._goes(end, way))

    # What the ends of connections ask.

    def stands_still(self, end: MemoryTransport) -> bool:
        if not self.disturbed:
            return False
        return self.is_cut_off(end) or any(self._goes(end, way) for way in self._held)

    def is_cut_off(self, end: MemoryTransport) -> bool:
        """Whether what this end sends cannot reach the other."""
        return end in self._half_open or not self._passes(end.host.host, end.other.host.host)

    def _passes(self, sender: str, receiver: str) -> bool:
        groups = self._groups
        if groups and groups.get(sender, -1) != groups.get(receiver, -1):
            return False
        if self._asleep and (sender in self._asleep or receiver in self._asleep):
            return False
        return not self._shut or (sender, receiver) not in self._shut

    @staticmethod
    def _goes(end: MemoryTransport, way: Way) -> bool:
        if not isinstance(way, tuple):
            return end is end_of(way)
        return (end.host.host, end.other.host.host) == (way[0].host, way[1].host)

    def _ends(self) -> list[MemoryTransport]:
        return [end for link in self._links for end in (link, link.other)]

    def _ways_of_changed(self, host: Host) -> None:
        address = host.host
        self._ways_changed(lambda end: end.host.host == address or end.other.host.host == address)

    def _ways_changed(self, touches: Callable[[MemoryTransport], bool] = lambda end: True) -> None:
        """
        @param touches: whether this changes anything for this end.
        """
        self.disturbed = bool(self._groups or self._shut or self._asleep or self._half_open or self._held)
        for end in self._ends():
            if touches(end):
                end.pipe.go_on()
