"""
The absence watch: whether a peer for which somebody waits is gone.

While somebody waits for a peer, it looks for it every few seconds: does the close group of its name know of
it, and does it answer where it was? A peer is gone when two looks in a row have found it gone, some time
apart, so that one that only restarts is not given up. A look finds it gone when most of the group says that
there is no such node, nobody says that there is one, and every known address that we can dial is refused.
One silent address, or a group that cannot be asked, is no proof: a peer behind a NAT, beyond a partition or
with lost messages is waited for as long as its callers wait.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...crust.reachability import Knock, Presence
from ...errors import PeerUnreachable, ServiceStopped
from ...history import Way
from ...limits import UNREACHABLE_SECONDS
from ...names import Name
from ...quietlog import QuietLog
from ...timing.backoff import Backoff
from ..membership.close_group_lookup import CloseGroupLookup
from ..membership.close_group_search import CloseGroupSearch
from ..membership.neighbourhood import Neighbourhood
from ..node import Node
from .group_word import GroupWord, Word
from .known_addresses import DialRules, KnownAddresses

FIRST_LOOK_SECONDS: Final = 0.5
"""From the beginning of a wait to the first look: most peers answer sooner."""
LOOK_APART_SECONDS: Final = 2.0
"""Between the beginnings of two looks that must agree: a peer that restarts is back by then."""
LOOK_AGAIN_SECONDS: Final = 5.0
"""The same after a look that has proven nothing; it doubles with each."""
MAX_LOOK_AGAIN_SECONDS: Final = 40.0
WORD_SECONDS: Final = 1.7
"""How long the close group is waited for; a member that is gone itself delays it by 1.5 s."""
LOOK_SECONDS: Final = 3.4
"""How long a whole look takes at most: a host that is off is reported by the last router after 3 s."""
FRESH_SECONDS: Final = 1.0
"""How long the outcome of a dial is used before the address is dialled again."""

Gone = Callable[[PeerUnreachable], object]


@dataclass(frozen=True, slots=True)
class Look:
    """
    What a look has found.

    @ivar knocks: what became of the dials; none if the group knows of the peer.
    @ivar ended: when it ended, in seconds.
    """

    word: Word
    knocks: tuple[Knock, ...]
    ended: float

    @property
    def is_absence(self) -> bool:
        """Whether all of it together says that the peer is gone."""
        found = [each.presence for each in self.knocks if each.presence is not Presence.NO_WAY]
        if any(each is not Presence.GONE for each in found):
            return False
        # where there is nobody to ask, its own host must have denied it
        return bool(found) if self.word.alone else self.word.is_denial

    @property
    def text(self) -> str:
        """The same in words."""
        return "; ".join([*(f"{each.endpoint}: {each.outcome}" for each in self.knocks), self.word.text])


@dataclass(slots=True)
class _Watched:
    """A peer that is waited for."""

    since: float
    waiting: list[Gone] = field(default_factory=list)
    last: Look | None = None
    looking: Deferred[None] | None = None


def watch_for_absence(
    node: Node,
    neighbourhood: Neighbourhood,
    search: CloseGroupSearch,
    lookup: CloseGroupLookup,
    rules: DialRules,
    has_answered: Callable[[Name], bool],
) -> AbsenceWatch:
    """Put an L{AbsenceWatch} together."""
    group = GroupWord(node, neighbourhood, search, lookup)
    return AbsenceWatch(node, group, KnownAddresses(node, rules), has_answered)


class AbsenceWatch:
    """Made with each start of the service, discarded with the run."""

    log = Logger()

    def __init__(
        self,
        node: Node,
        group: GroupWord,
        addresses: KnownAddresses,
        has_answered: Callable[[Name], bool],
    ) -> None:
        """
        @param has_answered: whether a peer is linked, or has answered a request that is under way.
        """
        self._node = node
        self._clock = node.clock
        self._group = group
        self._addresses = addresses
        self._has_answered = has_answered
        self._quiet = QuietLog(self.log, node.clock.seconds)
        self._watched: dict[Name, _Watched] = {}
        self._stopped = False

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, name: Name, gone: Gone) -> Callable[[], None]:
        """
        Wait for a peer.

        @param gone: called, once and on a later turn, when the peer is gone.
        @return: ends it; calling it again does nothing.
        """
        if self._stopped:
            return lambda: None
        watched = self._watched.get(name)
        if watched is None:
            watched = self._watched[name] = _Watched(self._clock.seconds())
            watched.looking = Deferred.fromCoroutine(self._look_out(name, watched))
            watched.looking.addErrback(self._ended)
        watched.waiting.append(gone)

        def stop() -> None:
            if gone in watched.waiting:
                watched.waiting.remove(gone)
                if not watched.waiting and self._watched.get(name) is watched:
                    self._forget(name)

        return stop

    def may_find(self, name: Name) -> bool:
        """Whether an address is known at which a peer can be looked for, even without a network."""
        return any(self._addresses.of(name))

    def unreachable(self, name: Name, problem: str, since: float) -> PeerUnreachable:
        """
        The error for a peer that was not reached.

        @param since: when it was tried first, in seconds.
        """
        tried = {
            each.where: each.text
            for each in self._node.crust.history.of(name).outcomes
            if each.at >= since and each.way in (Way.DIAL, Way.PUNCH, Way.TUNNEL) and not each.good
        }
        watched = self._watched.get(name)
        asked = "" if watched is None or watched.last is None else watched.last.word.text
        return PeerUnreachable(problem, tuple(tried.items()), asked)

    def stop(self) -> None:
        """Look for nobody any more. Idempotent."""
        self._stopped = True
        for name in list(self._watched):
            self._forget(name)

    def _forget(self, name: Name) -> None:
        watched = self._watched.pop(name)
        watched.waiting.clear()
        if watched.looking is not None:
            watched.looking.cancel()

    async def _look_out(self, name: Name, watched: _Watched) -> None:
        was_absent = False
        again = Backoff(LOOK_AGAIN_SECONDS, 2, MAX_LOOK_AGAIN_SECONDS)
        wait, apart = FIRST_LOOK_SECONDS, 0.0
        while True:
            await deferLater(self._clock, wait)
            began = self._clock.seconds()
            if self._has_answered(name):
                was_absent, wait = False, LOOK_AGAIN_SECONDS
                continue
            look = await self._look(name, watched.last)
            # what it waited for may have ended without an error when it was cancelled
            if self._watched.get(name) is not watched:
                return
            first, watched.last = watched.last is None, look
            if look.is_absence and was_absent:
                break
            was_absent = look.is_absence
            self._report(name, look, first)
            apart = apart if was_absent else again.after(apart)
            until = began + (LOOK_APART_SECONDS if was_absent else apart)
            wait = max(0.0, until - self._clock.seconds())
        network = self._node.settings.network
        # a member is in its network, and nobody knows a private network by its id
        where = "" if self._node.members.is_private else f", and in the network {network}"
        problem = self.unreachable(
            name, f"{self._node.brief(name)} cannot be reached: is it running{where}?", watched.since
        )
        # forgotten first: a waiter that is told may wait for it again
        del self._watched[name]
        while watched.waiting:
            watched.waiting.pop(0)(problem)

    async def _look(self, name: Name, before: Look | None) -> Look:
        began = self._clock.seconds()
        word = await self._group.ask(name, WORD_SECONDS)
        self._node.crust.history.tried(name, Way.REQUEST, "", word.text)
        if not (word.is_denial or word.alone):
            return Look(word, (), self._clock.seconds())
        # dials that took their time have just ended
        if before is not None and before.knocks and began - before.ended < FRESH_SECONDS:
            return Look(word, before.knocks, before.ended)
        # nothing is left of the time if the host has slept meanwhile
        left = max(0.0, began + LOOK_SECONDS - self._clock.seconds())
        knocks = await self._addresses.knock(name, left)
        for each in knocks:
            good = each.presence is Presence.THERE
            self._node.crust.history.tried(name, Way.DIAL, each.endpoint, each.outcome, good=good)
        return Look(word, knocks, self._clock.seconds())

    def _report(self, name: Name, look: Look, first: bool) -> None:
        if look.is_absence:
            self._quiet.info(
                "gone",
                "{peer} does not seem to be there, and is looked for again: {found}",
                peer=name,
                found=look.text,
            )
        elif first:
            self._quiet.info(
                "not there yet",
                "{peer} has not answered yet, and is waited for up to {seconds:g} s: {found}",
                peer=name,
                seconds=UNREACHABLE_SECONDS,
                found=look.text,
            )

    def _ended(self, failure: Failure) -> None:
        failure.trap(CancelledError, ServiceStopped)
