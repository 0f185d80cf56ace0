"""
Joining, and staying joined: a node's place among the others.

In rounds: look up the close group of our own name (through the proxy while we are in no table, through
neighbours and a few others later), ask each member that is not linked yet for a connection, then fill the
buckets of the routing table in the same way. A round that found new nodes is followed by another soon; one
that found none while a member is missing, a little later each time; else the next one comes after
30 s. When the table changes near us the next round comes earlier. Changes far away can wait:
otherwise each of a hundred nodes would begin a round whenever one of them came.

A round asks only a few nodes for a connection. The next rounds ask the others that it found, and look up
nothing meanwhile, unless the table has changed near us.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...crust.interfaces import ILink
from ...errors import RoutingCrustError
from ...limits import REFRESH_INTERVAL_SECONDS
from ...names import Name
from ...timing.steadyclock import time_left
from ...timing.timers import cancel
from ...wire.messages import LinkUse
from ..mixed_groups import Whereabouts, mixed
from ..node import Node
from .close_group_lookup import CloseGroupLookup, Group
from .routing_table import RoutingTable

NEXT_ROUND_SECONDS: Final = 0.5
"""Seconds to the next round when there is something to do; jittered from half to one and a half of it."""
SETTLING_SECONDS: Final = 3.0
"""Seconds to the next round when a neighbour has come, with the same jitter: neighbours come in groups."""
ROUND_WAIT_FACTOR: Final = 1.5
"""How much longer the wait becomes with each round that found no new node."""
ASKED_A_ROUND: Final = 2
"""
Nodes that a member asks for a connection in a round, nearest first. Each request brings about two dials, and
when a partition ends all members ask at once.
"""
ASKED_BY_A_NEWCOMER: Final = 4
"""Nodes that a node without a close group asks in a round."""
BUCKETS_A_ROUND: Final = 3
ROUNDS_WITHOUT_LOOKING: Final = 4
"""Rounds in a row that may use what an earlier one has found, without a lookup."""
MAX_FOUND_NODES: Final = 64
"""Nodes that are kept for later rounds."""
PROXY_ANSWER_SECONDS: Final = 1.5
"""For what a proxy knows itself: one that says nothing may be replaced by another meanwhile."""
ASKED_AT_RANDOM: Final = 2
"""Nodes of the table that are queried in a round for the close group as they know it."""


class RequestLink(Protocol):
    """Asks nodes for connections: the connector."""

    def __call__(
        self, name: Name, use: LinkUse, via: ILink | None = None, informant: Name | None = None
    ) -> Deferred[ILink]:
        """Ask this node for a connection; callers share a request."""


class AskedNodes(Protocol):
    """Knows which nodes are or were asked for connections: the C{OutgoingRequests}."""

    def is_seeking(self, name: Name) -> bool:
        """Whether a request to this node may give us a link, or a greater use of the one that we have."""

    def is_cooling_down(self, name: Name) -> bool:
        """Whether this node is not asked on our own account for now, since it did not answer."""

    def cooldown_left(self, name: Name) -> float:
        """For how many more seconds that is so."""

    def was_silent(self, name: Name) -> bool:
        """Whether this node did not answer when it was asked last, however long ago."""


class Joiner:
    """
    Made by the service at each start, woken by a new proxy, told of changes in the table, discarded after
    L{rest}.

    @ivar group_connected: whether every reachable member of the close group is in the table.
    """

    log = Logger()

    def __init__(
        self,
        node: Node,
        table: RoutingTable,
        lookup: CloseGroupLookup,
        request_link: RequestLink,
        asked: AskedNodes,
        first_hops: Callable[[], tuple[ILink, ...]],
    ) -> None:
        """
        @param first_hops: the first hops for lookups of our own name: the proxy, or neighbours.
        """
        self._settings = node.settings
        self._own = node.name
        self._clock = node.clock
        self._random = node.random
        self._table = table
        self._lookup = lookup
        self._request_link = request_link
        self._asked = asked
        self._first_hops = first_hops
        self._when_changed: tuple[Callable[[bool], object], ...] = ()
        self._view: tuple[Name, ...] | None = None
        self._timer: IDelayedCall | None = None
        self._round: Deferred[None] | None = None
        self._again = False
        self._awake = False
        self._missed: frozenset[Name] = frozenset()
        self._wait = NEXT_ROUND_SECONDS
        self._may_ask = 0
        self._found: dict[Name, Name] = {}
        self._without_looking = 0
        self.group_connected = False

    @property
    def group_view(self) -> tuple[Name, ...]:
        """The close group of our name as our proxy and neighbours have told it; empty before they have."""
        return self._view or ()

    @property
    def misses_neighbours(self) -> bool:
        """Whether members of our close group that may still come are not in the table."""
        return bool(self._missing())

    def when_group_changed(self, *actions: Callable[[bool], object]) -> None:
        """Call these with the new value whenever L{group_connected} has changed."""
        self._when_changed += actions

    def wake(self) -> None:
        """Begin a round soon, and have it look up our close group."""
        self._awake = True
        self._without_looking = ROUNDS_WITHOUT_LOOKING
        self._wait = NEXT_ROUND_SECONDS
        self._judge()
        if self._round is not None:
            self._again = True
        else:
            self._schedule_by(NEXT_ROUND_SECONDS)

    def entered(self, name: Name) -> None:
        """A node has come into the table."""
        if not self.group_connected:
            self.wake()
            return
        self._judge()
        if name in self._table.close_group():
            self._without_looking = ROUNDS_WITHOUT_LOOKING
            if self._round is None:
                self._schedule_by(SETTLING_SECONDS)

    def left(self, was_near: bool) -> None:
        """
        A node has left the table.

        @param was_near: whether it was of our close group.
        """
        if was_near or not self.group_connected:
            self.wake()

    def consider(self, found: Group, via: ILink | None = None) -> None:
        """
        Ask those of the nodes for a connection that the table wants and that are not linked.

        @param via: the link to ask by; C{None} leaves it to the routing table.
        """
        for name in found.members:
            self._consider(name, found.informant, via)

    def _consider(self, name: Name, informant: Name, via: ILink | None = None) -> None:
        if self._is_worth_asking(name):
            self._again = True
            # what a probe finds is reached through its link alone, which does not last for a later round
            if self._may_ask > 0:
                self._ask(name, informant, via)
            elif via is None and len(self._found) < MAX_FOUND_NODES:
                self._found.setdefault(name, informant)
        elif via is None and self._is_to_be_asked_later(name):
            self._found.setdefault(name, informant)

    def _consider_in_turn(self, groups: Sequence[Group]) -> None:
        """Each who has answered names one node at a time: none of them alone says whom we ask."""
        for names in zip_longest(*(group.members for group in groups)):
            for group, name in zip(groups, names, strict=True):
                if name is not None:
                    self._consider(name, group.informant)

    def _heard(self, found: Group, most: int) -> Group:
        """
        A node without members has an answer: what it names is asked before the other answers have come, which
        they may not for long.

        @param most: how many.
        """
        if self._awake:
            wanted = [name for name in found.members if self._is_worth_asking(name)]
            for name in wanted[: min(most, self._may_ask)]:
                self._again = True
                self._ask(name, found.informant)
        return found

    def _ask(self, name: Name, informant: Name, via: ILink | None = None) -> None:
        self._may_ask -= 1
        asked = self._request_link(name, LinkUse.MEMBER, via, informant)
        asked.addErrback(self._not_linked, name)

    def _ask_who_was_found(self) -> bool:
        """Ask the nodes that an earlier round has found. Returns whether any was left to ask."""
        for name in list(self._found):
            if self._may_ask <= 0:
                break
            if self._is_to_be_asked_later(name):
                continue
            informant = self._found.pop(name)
            if self._is_worth_asking(name):
                self._again = True
                self._ask(name, informant)
        return self._again

    def probed(self, found: Group, via: ILink) -> None:
        """A probe has found nodes, perhaps of another part of the network: ask a few of them at once."""
        # the budget of the last round may be used up, and the link of the probe is closed soon
        self._may_ask = max(self._may_ask, ASKED_A_ROUND)
        self.consider(found, via)

    def _is_worth_asking(self, name: Name) -> bool:
        asked = self._asked
        return (
            self._table.seeks(name)
            # One for a stream would get into the way of ours, and gives us a link as well. But one that is to
            # replace a stream's tunnel never makes a member of it, and is repeated for as long as that lasts.
            and not asked.is_seeking(name)
            and not asked.is_cooling_down(name)
        )

    def _is_to_be_asked_later(self, name: Name) -> bool:
        """Whether this is a member of our close group that is cooling down after a silence."""
        return name in (self._view or ()) and self._table.seeks(name) and self._asked.is_cooling_down(name)

    def rest(self) -> None:
        """No node is left to ask: wait for L{wake}, and forget what was found."""
        self._view = None
        self._found.clear()
        self._again = self._awake = False
        self._cancel_timer()
        if self._round is not None:
            self._round.cancel()
        self._judge()

    def _schedule_by(self, seconds: float) -> None:
        """Have the next round begin in about that time, or earlier."""
        # a new wait may be drawn one and a half times as long, so a round that is about as near is left alone
        if self._timer is None or time_left(self._timer, self._clock) > 2 * seconds:
            self._schedule(seconds)

    def _schedule(self, seconds: float) -> None:
        self._cancel_timer()
        # jitter, since the end of a partition wakes all nodes at once
        self._timer = self._clock.callLater(seconds * self._random.uniform(0.5, 1.5), self._start_round)

    def _cancel_timer(self) -> None:
        cancel(self._timer)
        self._timer = None

    def _start_round(self) -> None:
        self._timer = None
        self._again = False
        newcomer = len(self._table) < self._settings.group_size and not self.group_connected
        self._may_ask = ASKED_BY_A_NEWCOMER if newcomer else ASKED_A_ROUND
        self._round = Deferred.fromCoroutine(self._do_round())
        self._round.addBoth(self._round_done)

    def _round_done(self, result: object) -> None:
        self._round = None
        self._missed = frozenset(self._missing())
        if not self._awake:
            return
        if isinstance(result, Failure):
            self.log.failure("a round of joining failed", result)
        if self._again:
            self._wait = NEXT_ROUND_SECONDS * 2
        elif self._missed or not self.group_connected:
            self._wait = min(ROUND_WAIT_FACTOR * self._wait, REFRESH_INTERVAL_SECONDS)
        else:
            self._wait = REFRESH_INTERVAL_SECONDS
        later = (each for each in self._found if self._is_to_be_asked_later(each))
        soonest = min(map(self._asked.cooldown_left, later), default=self._wait)
        # twice as long, since the wait may be drawn to be half of it
        self._schedule(min(self._wait, 2 * soonest + NEXT_ROUND_SECONDS))

    async def _do_round(self) -> None:
        if self.group_connected and self._without_looking < ROUNDS_WITHOUT_LOOKING:
            self._without_looking += 1
            if self._ask_who_was_found():
                return
        self._without_looking = 0
        # what earlier rounds have left over is older than the answers that come now
        self._found.clear()
        hops = self._first_hops()
        # the node nearest to us answers for all, and may lie: a proxy tells what it knows itself as well
        of = self._some_members() or [hop.peer for hop in hops]
        groups = await self._look_up(self._own, hops, of)
        members = {name for group in groups for name in group.members if name != self._own}
        if members:
            where = Whereabouts(self._table.known_networks)
            for group in groups:
                where.heard(group.informant, group.networks)
            nearest = sorted(members, key=self._own.distance)
            self._view = tuple(mixed(nearest, where.networks_of, self._settings.group_size))
        self._consider_in_turn(groups)
        self._judge()
        if self.group_connected:
            for target in self._table.missing_buckets(self._random)[:BUCKETS_A_ROUND]:
                for group in await self._look_up(target, (None,), ()):
                    self.consider(group)

    def _some_members(self) -> list[Name]:
        """Some of the table, near or far: neighbours may all lack the same node."""
        names = [entry.name for entry in self._table]
        return self._random.sample(names, min(ASKED_AT_RANDOM, len(names)))

    async def _look_up(
        self, target: Name, first_hops: tuple[ILink | None, ...], of: Sequence[Name]
    ) -> list[Group]:
        """Look up the target by these first hops, and ask these nodes for what they know themselves."""
        asked = [self._lookup.look_up(target, via) for via in first_hops]
        asked_themselves = [self._lookup.look_up(target, of=name) for name in of]
        if not self._table:
            for each in asked_themselves:
                each.addTimeout(PROXY_ANSWER_SECONDS, self._clock)
            asked += asked_themselves
            for each in asked:
                each.addCallback(self._heard, max(1, self._may_ask // len(asked)))
        else:
            asked += asked_themselves
        results = await DeferredList(asked, consumeErrors=True)
        if not self._awake:
            raise CancelledError  # a DeferredList that is cancelled still fires
        return [group for good, group in results if good]

    def _not_linked(self, failure: Failure, name: Name) -> None:
        failure.trap(RoutingCrustError, CancelledError)
        self.log.debug("no link to {name}: {reason}", name=name, reason=failure.getErrorMessage())
        self._judge()

    def _missing(self) -> list[Name]:
        """Members of our close group, as far as we know it, that are not in the table and may still come."""
        return [
            name
            for name in self._view or ()
            if name not in self._table and not self._asked.is_cooling_down(name)
        ]

    def _judge(self) -> None:
        missing = self._missing()
        if self.group_connected:
            # A newcomer has until the next round, since its request is under way. A node that has no room for
            # us is asked again from time to time, which must not end group_connected each time.
            missing = [name for name in missing if name in self._missed and not self._asked.was_silent(name)]
        connected = bool(self._view) and len(self._table) > 0 and not missing
        if connected != self.group_connected:
            self.group_connected = connected
            for action in self._when_changed:
                action(connected)
