"""
Close group lookup: which nodes are nearest to a name?

A GroupQuery travels to the node nearest to the name, and that node answers with the close group as it
knows it, and in which networks it has links with these nodes. A query may also be addressed to one node,
which answers from its own table: neighbours may all lack the same node, while a node far away has it. A query
that is not answered in time is sent again by another first hop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall

from ...crust.interfaces import ILink
from ...errors import CloseReason, LimitReached, PeerUnreachable, ServiceStopped, WireError
from ...names import NAME_BYTES, Name
from ...timing.timers import cancel
from ...wire.codec import MAX_CONTROL_BYTES, decode, encode
from ...wire.fields import NONCE_BYTES
from ...wire.messages import Envelope, EnvelopeKind, GroupAnswer, GroupQuery
from ..control import SendControl
from ..links.peer import Peer, PeerListener
from ..node import Node
from .neighbourhood import Neighbourhood
from .network_time import NetworkTime

MAX_LOOKUPS: Final = 10_000
"""Queries that wait for an answer."""
MAX_LOOKUP_ATTEMPTS: Final = 3
"""How often a query is sent, each time by another first hop if there is one."""


class Group(NamedTuple):
    """
    An answer.

    @ivar members: the names, nearest first.
    @ivar informant: the node that answered: it can reach all of them.
    @ivar networks: in which networks it has links with them, as far as it says.
    @ivar speaker: who has a link with the target, as the informant says; C{None} if it knows of nobody.
    """

    members: tuple[Name, ...]
    informant: Name
    networks: Mapping[Name, bytes] = MappingProxyType({})
    speaker: Name | None = None


@dataclass(slots=True)
class _Query:
    target: Name
    of: Name | None
    via: ILink | None
    nonce: bytes
    attempts: int = 0
    timer: IDelayedCall | None = None
    result: Deferred[Group] = field(default_factory=Deferred)


class CloseGroupLookup(PeerListener):
    """
    Our queries that wait for an answer, and the answers to those of others. Made with each start of the
    service, fed with the queries and answers that come, discarded after L{stop}.
    """

    def __init__(
        self, node: Node, neighbourhood: Neighbourhood, send: SendControl, time: NetworkTime
    ) -> None:
        self._node = node
        self._neighbourhood = neighbourhood
        self._settings = node.settings
        self._clock = node.clock
        self._random = node.random
        self._send = send
        self._time = time
        self._queries: dict[bytes, _Query] = {}
        self._stopped = False

    def __len__(self) -> int:
        return len(self._queries)

    def look_up(self, target: Name, via: ILink | None = None, of: Name | None = None) -> Deferred[Group]:
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
        if len(self._queries) >= MAX_LOOKUPS:
            return fail(LimitReached("too many queries wait for an answer", "", MAX_LOOKUPS))
        nonce = self._random.randbytes(NONCE_BYTES)
        query = _Query(target, of, via, nonce)
        query.result = Deferred(lambda _: self._forget(nonce))
        self._queries[nonce] = query
        self._attempt(query)
        return query.result

    def answer_received(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        """
        An answer came. It is ignored if it fits no pending query, or comes from a node that was not asked.

        @raise WireError: it is none.
        """
        answer = decode(GroupAnswer, envelope.body, MAX_CONTROL_BYTES)
        query = self._queries.get(answer.nonce)
        if query is None or query.target.raw != answer.target or query.of not in (None, source):
            return
        if len(answer.networks) > len(answer.members):
            raise WireError("an answer names more networks than nodes")
        speaker = _name_or_none(answer.speaker)
        # forgotten first: the callback may look up again, within MAX_LOOKUPS
        self._forget(answer.nonce)
        names = [Name(raw) for raw in answer.members]
        networks = dict(zip(names, answer.networks, strict=False))
        # the informant may name a node twice, and in any order
        members = sorted(set(names), key=query.target.distance)
        # a member that has not heard of a ban may still have a link with the banned one
        members = [name for name in members if not self._node.members.is_banned(name)]
        # the time first: what is asked for because of the answer bears it
        self._time.heard(source, answer.time)
        query.result.callback(Group(tuple(members), source, networks, speaker))

    def query_received(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        """
        Another node asks. The answer goes back by the link that the query came by.

        @raise WireError: it is no query.
        """
        query = decode(GroupQuery, envelope.body, MAX_CONTROL_BYTES)
        target = Name(query.target)
        # the requester knows itself, and one more node in its place may be new to it
        told = self._neighbourhood.told_about(target, source)
        members, networks = tuple(name.raw for name in told), tuple(told.values())
        now = self._node.network_now()
        speaker = self._neighbourhood.speaker_of(target)
        said = b"" if speaker is None else speaker.raw
        answer = encode(GroupAnswer(query.nonce, target.raw, members, networks, now, said))
        proxy = Name(envelope.source_proxy) if envelope.source_proxy else None
        self._send(EnvelopeKind.GROUP_ANSWER, source, answer, proxy, link)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """
        Queries that were addressed to this peer fail with L{PeerUnreachable}. Queries that it was to pass on
        are sent again by another first hop, at once.
        """
        for query in list(self._queries.values()):
            if query.of == peer.name:
                self._forget(query.nonce)
                query.result.errback(PeerUnreachable(f"the link to {peer.name.short} was lost"))
            elif query.via is not None and query.via.peer == peer.name:
                query.via = None
                if query.attempts < MAX_LOOKUP_ATTEMPTS:
                    cancel(query.timer)
                    self._attempt(query)

    def proxy_changed(self, proxy: Name | None) -> None:
        """What the former proxy was to pass on is sent again by the new one, at once."""
        if proxy is not None:
            for query in list(self._queries.values()):
                query.via = None
                # the attempts so far went by a proxy that may have led nowhere
                query.attempts = 0
                cancel(query.timer)
                self._attempt(query)

    def stop(self) -> None:
        """Fail every pending query, and accept no more."""
        self._stopped = True
        for nonce in list(self._queries):
            query = self._queries[nonce]
            self._forget(nonce)
            query.result.errback(ServiceStopped("the service has been stopped"))

    def _attempt(self, query: _Query) -> None:
        if query.attempts == MAX_LOOKUP_ATTEMPTS:
            self._forget(query.nonce)
            query.result.errback(
                PeerUnreachable(
                    f"{MAX_LOOKUP_ATTEMPTS} lookups of the group of {query.target.short} got no answer"
                )
            )
            return
        # The timer is set first: an answer may come from within the call. It is a quarter of ack_timeout, so
        # that all attempts are over before a message's first deadline.
        query.timer = self._clock.callLater(self._settings.ack_timeout / 4, self._attempt, query)
        query.attempts += 1
        self._send(
            EnvelopeKind.GROUP_QUERY,
            query.target if query.of is None else query.of,
            encode(GroupQuery(query.nonce, query.target.raw)),
            None,
            query.via,
            query.attempts - 1,
            nearest=query.of is None,
        )

    def _forget(self, nonce: bytes) -> None:
        query = self._queries.pop(nonce, None)
        if query is not None:
            cancel(query.timer)


def _name_or_none(raw: bytes) -> Name | None:
    """
    @raise WireError: it is no name, and not empty.
    """
    if len(raw) not in (0, NAME_BYTES):
        raise WireError("the speaker of an answer is not a name")
    return Name(raw) if raw else None
