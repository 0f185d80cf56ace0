"""
Close group search: the nodes nearest to a name, by what several nodes say and as far as it has proven true.

One answer may be false, or never come. So the nodes of our table that are nearest to the name, in different
networks, are asked both for what they know and to pass the query on, each another way; what they say is
merged with our own table. A name counts when it has proven itself: there is a link with it, or it has
answered, by its signature. Those that are named and nearer than what is proven are asked themselves, which
may name others.

Names are free, so the group is chosen by the rule of L{routing_crust.routing.mixed_groups}. In which network
a node is we know by our own link with it, or by what those who answer have seen of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail, succeed

from ...errors import NotConnected, PeerUnreachable, ServiceStopped
from ...names import Name
from ...timing.timers import cancel
from ..mixed_groups import Whereabouts, mixed
from ..node import Node
from .close_group_lookup import CloseGroupLookup, Group
from .neighbourhood import LinkLookup, Neighbourhood

WAYS: Final = 3
"""Nodes of the table that are asked at first."""
ROUNDS: Final = 4
"""How often nodes are asked that others have named."""
ASKED_MORE: Final = 4
"""Nodes beyond a full group that are asked in a round."""
ROUND_SECONDS: Final = 1.5
"""How long a round waits for answers when one has come or some nodes are proven."""


class CloseGroupSearch:
    """Made with each start of the service, discarded with the run: what it waits for, the lookup ends."""

    def __init__(
        self, node: Node, neighbourhood: Neighbourhood, links: LinkLookup, lookup: CloseGroupLookup
    ) -> None:
        self._node = node
        self._neighbourhood = neighbourhood
        self._links = links
        self._lookup = lookup

    def close_group(self, target: Name) -> Deferred[tuple[Name, ...]]:
        """
        Find the nodes nearest to a name, ourselves among them if we are one of them.

        @return: fires with at most C{group_size} names, nearest first; fails with L{PeerUnreachable} when no
            answer came, with L{NotConnected}, and as
            that of C{CloseGroupLookup.look_up}.
        """
        neighbourhood = self._neighbourhood
        if not neighbourhood.bootstrapped:
            return fail(NotConnected("there is no link to the network; wait for when_connected()"))
        # no node is nearer that we know of: a query would come straight back to us
        if not self._node.is_client and neighbourhood.table.next_hop(target) is None:
            return succeed(neighbourhood.close_group(target))
        return Deferred.fromCoroutine(self._search(target))

    async def _search(self, target: Name) -> tuple[Name, ...]:
        size = self._node.settings.group_size
        ours = set() if self._node.is_client else {self._node.name}
        where = Whereabouts(self._neighbourhood.known_networks)
        # a link proves a name: what is in our own table needs no answer
        proven = {*self._neighbourhood.close_group(target), *ours}
        named = set(proven)
        asked = {self._node.name}

        def group_of(names: Iterable[Name], count: int) -> list[Name]:
            return mixed(sorted(names, key=target.distance), where.networks_of, count)

        def heard(groups: list[Group]) -> None:
            for group in groups:
                where.heard(group.informant, group.networks)
                proven.add(group.informant)
                named.update((group.informant, *group.members))

        heard(await self._answers(self._first_queries(target), proven != ours))
        for _ in range(ROUNDS):
            # one that was asked and is not proven has had its chance
            candidates = [name for name in named if name in proven or name not in asked]
            if proven.issuperset(group_of(candidates, size)):
                break
            doubtful = [name for name in group_of(candidates, size + ASKED_MORE) if name not in proven]
            asked.update(doubtful)
            queries = [self._lookup.look_up(target, of=name) for name in doubtful]
            heard(await self._answers(queries, proven != ours))
        return tuple(group_of(proven, size))

    def _first_queries(self, target: Name) -> list[Deferred[Group]]:
        table, proxy = self._neighbourhood.table, self._neighbourhood.proxy
        if proxy is not None or self._node.is_client:
            # the proxy has a link with us: what the node that is nearest says may all be made up
            own_view = [] if proxy is None else [self._lookup.look_up(target, of=proxy)]
            return [self._lookup.look_up(target), *own_view]
        names = table.group_of(target, WAYS, (self._node.name,))
        ways = [link for link in map(self._links.link_to, names) if link is not None]
        queries = [self._lookup.look_up(target, via=link) for link in ways]
        return queries + [self._lookup.look_up(target, of=name) for name in names]

    async def _answers(self, queries: Iterable[Deferred[Group]], enough: bool) -> list[Group]:
        """
        Wait for answers, not for long if there is something to go by without them.

        @param enough: whether there is.
        @raise PeerUnreachable: no answer came, and there is nothing to go by.
        """
        waiting = list(queries)
        groups: list[Group] = []
        patience = self._node.clock.callLater(ROUND_SECONDS, self._call_off, waiting, groups, enough)
        kept = [each.addCallback(_kept, groups) for each in waiting]
        results: list[tuple[bool, Any]] = await DeferredList(kept, consumeErrors=True)
        problems = [what.value for good, what in results if not good]
        # not by us: the caller has cancelled it, and wants no other round
        if patience.active() and any(isinstance(each, CancelledError) for each in problems):
            cancel(patience)
            raise CancelledError
        cancel(patience)
        if not groups and not enough:
            raise problems[0] if problems else PeerUnreachable("nobody was there to be asked")
        # a stop ends the search, whatever it has found by then
        for problem in problems:
            if isinstance(problem, ServiceStopped):
                raise problem
        return groups

    def _call_off(self, waiting: list[Deferred[Group]], groups: list[Group], enough: bool) -> None:
        if groups or enough:
            for each in waiting:
                each.cancel()


def _kept(group: Group, groups: list[Group]) -> Group:
    groups.append(group)
    return group
