"""
The path watch of a node behind a NAT: whether the way out is still the one that its links were made by.

A router that restarts, or gets another address, tells nobody: the links through it are dead, and each finds
out by itself, at its next heartbeat. So what happens to some says something about all. While nothing comes
from outside, one link is probed every C{SILENCE_SECONDS}, each in its turn, which brings its heartbeat
forward; so is the next one when a link is doubted. If nothing at all comes within C{ANSWER_SECONDS} then, all
are probed. If a link breaks, the next one is probed at once; when links to two networks have broken within a
few seconds, or one has and another is doubted while nothing comes, the path has: the others have to answer or
are cut. Where two networks say so, one that is doubted and has owed an answer for C{OWED_SECONDS} has had its
time, and is cut at once.

Only links count that lead from a private address to a global one. Other networks have no part in this: a host
that dies takes its own links with it, and a peer's prefix counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...addresses import Kind, kind_of
from ...endpoints import Endpoint, PathKind
from ...errors import CloseReason, LinkClosed
from ...timing.timers import cancel
from ..interfaces import ANSWER_WITHIN_SECONDS, ILink
from .uplinks import source_for

SILENCE_SECONDS: Final = 1.0
"""Between two looks whether anything has come from outside. A link is probed if nothing has."""
ANSWER_SECONDS: Final = 0.5
"""
How long after such a probe nothing may come from outside before all links are probed; longer on slow paths.
"""
MAX_ANSWER_SECONDS: Final = 2.0
BREAKS_WITHIN_SECONDS: Final = 10.0
"""Links to several networks that break within this time have broken for one reason."""
ENOUGH_BREAKS: Final = 2
ANSWER_AFTER_BREAKS_SECONDS: Final = 1.0
"""How long the others have to answer then: a link that is merely slow does not break."""
TIMERS_ROUND_SECONDS: Final = 0.1
"""How much less than this an answer may have been owed when the time is over, since timers are rounded."""
OWED_SECONDS: Final = ANSWER_AFTER_BREAKS_SECONDS - TIMERS_ROUND_SECONDS
"""A doubted link that has owed an answer for this long has had its time."""
MIN_PROBES_INTERVAL_SECONDS: Final = 3.0
"""Between two times that all links are probed."""
MIN_INTERVAL_SECONDS: Final = 10.0
"""Between two times that they have to answer."""


class PathWatch:
    """Made by crust, told of its links, stopped with it. Without links through a NAT it has no timer."""

    def __init__(self, clock: IReactorTime, links: Iterable[ILink], broken: Callable[[], None]) -> None:
        """
        @param links: those that are up, oldest first; looked at again each time.
        @param broken: called when the path has broken.
        """
        self._clock = clock
        self._links = links
        self._broken = broken
        self._timer: IDelayedCall | None = None
        self._breaks: dict[str, float] = {}
        self._turn: list[ILink] = []
        self._answer: IDelayedCall | None = None
        self._probed_all = self._broke = self._proven = float("-inf")

    def through_nat(self) -> list[ILink]:
        """The links that go through a NAT, as far as their addresses show."""
        return [each for each in self._links if is_through_nat(each)]

    def link_up(self, link: ILink) -> None:
        """A link is up."""
        if self._timer is None and is_through_nat(link):
            self._timer = self._clock.callLater(SILENCE_SECONDS, self._look)

    def link_silent(self, link: ILink) -> None:
        """Nothing has come over a link since we sent something: see whether anything comes over others."""
        # an answer that is waited for already tells as much
        if is_through_nat(link) and self._answer is None:
            self._turn.append(link)  # it is probed already
            self._probe_next()

    def link_doubted(self, link: ILink) -> None:
        """A link may be dead: if nothing else comes from outside, all may be."""
        if not is_through_nat(link):
            return
        now = self._clock.seconds()
        if 0 <= now - self._proven < ANSWER_AFTER_BREAKS_SECONDS:
            self._demand_answer(link)
        elif any(each.has_heard for each in self.through_nat()):
            self._probe_next()  # that may have come before the path broke
        elif any(0 <= now - when < BREAKS_WITHIN_SECONDS for when in self._breaks.values()):
            self._path_broke()
        else:
            self._probe_all()

    def link_lost(self, link: ILink, reason: LinkClosed) -> None:
        """A link that was up is gone."""
        self._turn = [each for each in self._turn if each is not link]
        broke = reason.reason is CloseReason.CONNECTION_LOST and not reason.by_peer
        if not (broke and link.is_verified and is_through_nat(link)):
            return
        now = self._clock.seconds()
        self._breaks = {
            prefix: when for prefix, when in self._breaks.items() if 0 <= now - when < BREAKS_WITHIN_SECONDS
        }
        self._breaks[link.connection.peer.prefix] = now
        if len(self._breaks) < ENOUGH_BREAKS:
            self._probe_next()
        else:
            self._proven = now
            self._path_broke()

    def stop(self) -> None:
        """Probe nothing any more."""
        cancel(self._timer)
        cancel(self._answer)
        self._timer = self._answer = None
        self._turn.clear()
        self._breaks.clear()
        self._probed_all = self._broke = self._proven = float("-inf")

    def _look(self) -> None:
        self._timer = None
        links = self.through_nat()
        if not links:
            return
        self._timer = self._clock.callLater(SILENCE_SECONDS, self._look)
        if not any(each.has_heard for each in links):
            self._probe_next()
        for each in links:
            each.has_heard = False

    def _probe_next(self) -> None:
        links = self.through_nat()
        # those first that have not had their turn
        waiting = [each for each in links if each not in self._turn and each.is_verified]
        # the other links to a network that has just broken tell nothing new
        waiting = [each for each in waiting if each.connection.peer.prefix not in self._breaks]
        if not waiting:
            self._turn.clear()
            waiting = links[:1]
        del waiting[1:]
        for each in waiting:
            self._turn.append(each)
            each.probe()
        if self._answer is None:
            for each in links:
                each.has_heard = False
            wait = max(map(answer_time, waiting), default=ANSWER_SECONDS)
            self._answer = self._clock.callLater(wait, self._see_the_answer)

    def _see_the_answer(self) -> None:
        self._answer = None
        if not any(each.has_heard for each in self.through_nat()):
            self._probe_all()

    def _path_broke(self) -> None:
        now = self._clock.seconds()
        if 0 <= now - self._broke < MIN_INTERVAL_SECONDS:
            return
        self._broke = now
        # what was acted upon must not count for the next time
        self._breaks.clear()
        for each in self.through_nat():
            self._demand_answer(each)
        self._broken()

    def _demand_answer(self, link: ILink) -> None:
        # a break and a doubt may have two causes; breaks of two networks have one
        has_had_time = link.is_doubted and link.owed_for >= OWED_SECONDS
        if has_had_time and self._proven >= self._broke:
            link.abort(CloseReason.INACTIVE, "the path has broken, and the peer owed an answer already")
        else:
            link.must_answer(ANSWER_AFTER_BREAKS_SECONDS)

    def _probe_all(self) -> None:
        now = self._clock.seconds()
        if 0 <= now - self._probed_all < MIN_PROBES_INTERVAL_SECONDS:
            return
        self._probed_all = now
        for each in self.through_nat():
            each.probe()


def answer_time(link: ILink) -> float:
    """How long an answer over a link may take: as long as TCP would wait for it (RFC 6298), within bounds."""
    seconds = link.round_trip.smoothed_or(0.0) + 4 * (link.round_trip.variation or 0.0)
    return min(max(ANSWER_SECONDS, seconds), MAX_ANSWER_SECONDS)


def answer_limit(link: ILink, source: Callable[[Endpoint], str] = source_for) -> float:
    """
    Within how many seconds a link has to answer when the host's network has changed.

    @param source: gives the address from which the system would dial an endpoint.
    """
    if is_through_nat(link):
        with suppress(OSError):
            # the host prefers another uplink now, whose router does not know the connection
            if source(link.connection.peer) != link.connection.local.host:
                return ANSWER_AFTER_BREAKS_SECONDS
    return ANSWER_WITHIN_SECONDS


def is_through_nat(link: ILink) -> bool:
    """Whether a link leads from a private address to a global one; a tunnel is its relay's."""
    if link.path_kind is PathKind.TUNNEL:
        return False
    local, peer = link.connection.local.address, link.connection.peer.address
    return kind_of(peer) is Kind.GLOBAL and kind_of(local) is not Kind.GLOBAL
