"""
Group queries: who are the nodes nearest to a name?

A GroupQuery travels to the node nearest to the name, and that node answers with the close group as it
knows it. It may also be put to a certain node, which answers from its own table: neighbours may all lack the
same node, while somebody far away has it. A query that is not answered in time is sent again by another
first hop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...config import Settings
from ...crust.interfaces import ILink
from ...errors import CloseReason, LimitReached, PeerUnreachable, ServiceStopped
from ...names import Name
from ...timing.timers import cancel
from ...wire.messages import NONCE_BYTES, GroupAnswer, GroupQuery
from ..links.peer import Peer, PeerListener

ATTEMPTS: Final = 3


class Group(NamedTuple):
    """
    An answer.

    @ivar members: the names, nearest first.
    @ivar informant: the node that answered: it can reach all of them.
    """

    members: tuple[Name, ...]
    informant: Name


@dataclass(slots=True)
class _Query:
    target: Name
    of: Name | None
    via: ILink | None
    nonce: bytes
    attempts: int = 0
    timer: IDelayedCall | None = None
    result: Deferred[Group] = field(default_factory=Deferred)


class GroupQueries(PeerListener):
    """
    Our queries that wait for an answer. Made by the service at each start, fed with the answers that come,
    discarded after L{stop}.
    """

    def __init__(
        self,
        settings: Settings,
        clock: IReactorTime,
        random: Random,
        send: Callable[[GroupQuery, Name | None, ILink | None, int], None],
    ) -> None:
        """
        @param send: sends a query to a certain node, or with C{None} towards the node nearest to its target,
            over the given link if there is one; the number of the attempt, from 0, is to choose the first
            hop otherwise.
        """
        self._settings = settings
        self._clock = clock
        self._random = random
        self._send = send
        self._queries: dict[bytes, _Query] = {}
        self._stopped = False

    def __len__(self) -> int:
        return len(self._queries)

    def ask(self, target: Name, via: ILink | None = None, of: Name | None = None) -> Deferred[Group]:
        """
        Ask for the close group of C{target}.

        @param of: the node to ask; C{None} asks the node nearest to C{target}.
        @param via: the first hop; C{None} leaves the choice to the routing table.
        @return: fires with the answer; fails with L{PeerUnreachable} when no answer came to
            any of the attempts, with L{LimitReached} when too many queries are waiting, and with
            L{ServiceStopped}.
        """
        if self._stopped:
            return fail(ServiceStopped("the service has been stopped"))
        if len(self._queries) >= self._settings.max_outstanding:
            limit = self._settings.max_outstanding
            return fail(LimitReached("too many queries wait for an answer", "max_outstanding", limit))
        nonce = self._random.randbytes(NONCE_BYTES)
        query = _Query(target, of, via, nonce)
        query.result = Deferred(lambda _: self._forget(nonce))
        self._queries[nonce] = query
        self._attempt(query)
        return query.result

    def answered(self, answer: GroupAnswer, informant: Name) -> bool:
        """
        An answer came, from this node. One that nobody asked for, or for another name, means nothing.

        @return: whether it was asked for.
        """
        query = self._queries.get(answer.nonce)
        if query is None or query.target.raw != answer.target:
            return False
        self._forget(answer.nonce)
        members = sorted({Name(raw) for raw in answer.members}, key=query.target.distance)
        query.result.callback(Group(tuple(members), informant))
        return True

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """
        There is no link to this node any more: what it was asked itself fails with L{PeerUnreachable}, and
        what it was to pass on is asked again by another first hop, at once.
        """
        for query in list(self._queries.values()):
            if query.of == peer.name:
                self._forget(query.nonce)
                query.result.errback(PeerUnreachable(f"the link to {peer.name.short} was lost"))
            elif query.via is not None and query.via.peer == peer.name:
                query.via = None
                if query.attempts < ATTEMPTS:
                    cancel(query.timer)
                    self._attempt(query)

    def stop(self) -> None:
        """Fail everything that waits, and take nothing more."""
        self._stopped = True
        for nonce in list(self._queries):
            query = self._queries[nonce]
            self._forget(nonce)
            query.result.errback(ServiceStopped("the service has been stopped"))

    def _attempt(self, query: _Query) -> None:
        if query.attempts == ATTEMPTS:
            self._forget(query.nonce)
            query.result.errback(
                PeerUnreachable(f"nobody answered who is near {query.target.short}, {ATTEMPTS} times asked")
            )
            return
        # the timer is set first: an answer may come from within the call
        query.timer = self._clock.callLater(self._settings.ack_timeout / 4, self._attempt, query)
        query.attempts += 1
        message = GroupQuery(query.nonce, query.target.raw)
        self._send(message, query.of, query.via, query.attempts - 1)

    def _forget(self, nonce: bytes) -> None:
        query = self._queries.pop(nonce, None)
        if query is not None:
            cancel(query.timer)
