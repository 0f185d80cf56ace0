"""
Roster sync: all members of a private network hold the same statements.

Each Hello shows the digest of its sender's roster. If two rosters differ when a link is confirmed, an end
sends the ids of what it holds. The other one answers with the statements that are missing there and, if it
lacks some itself, with its own ids. A node sends what is new to it on to all its peers at once. So a
statement reaches every member that is not cut off from all honest ones, whatever others hold back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ...crust.interfaces import ILink
from ...errors import CloseReason, LinkClosed, WireError
from ...names import Name
from ...quietlog import QuietLog
from ...timing.ratelimit import KeyedLimits
from ...trust.roster import (
    MAX_ADMINS_IN_ROSTER,
    MAX_STATEMENTS_OF_AN_ADMIN,
    MAX_STATEMENTS_OF_THE_AUTHORITY,
)
from ...trust.statement import ID_BYTES, SignedStatement, decode_statement
from ...wire.codec import decode, encode
from ...wire.framing import FrameKind
from ...wire.members import MAX_STATEMENTS_IN_A_FRAME, RosterIds, RosterStatements
from ..links.peer import Peer, PeerListener
from ..links.registry import LinkRegistry
from ..node import Node
from .private_members import PrivateMembers

MAX_ROSTER_STATEMENTS: Final = (
    MAX_ADMINS_IN_ROSTER * MAX_STATEMENTS_OF_AN_ADMIN + MAX_STATEMENTS_OF_THE_AUTHORITY
)
IDS_IN_A_FRAME: Final = 2048
COMPARISONS_AT_ONCE: Final = 8
ASKED_FOR_SECONDS: Final = 5.0
"""How long after its ids were sent a node expects what it lacks, and does not send them again in answer."""
COMPARISON_EVERY_SECONDS: Final = 10.0
"""Between two answers to a peer's ids, in the long run; each may cost us all that we hold."""


class RosterSync(PeerListener):
    """Made with each start, told of peers and fed with their frames, discarded with the run."""

    log = Logger()

    def __init__(
        self, node: Node, members: PrivateMembers, links: LinkRegistry, changed: Callable[[], object]
    ) -> None:
        """
        @param changed: called when the roster has changed, before others are told.
        """
        self._members = members
        self._links = links
        self._changed = changed
        self._quiet = QuietLog(self.log, node.clock.seconds)
        self._ids: dict[ILink, list[bytes]] = {}
        # both ends compare as a rule: then neither answers the other with its ids
        self._asked: dict[Name, float] = {}
        self._seconds = node.clock.seconds
        self._rates: KeyedLimits[Name] = KeyedLimits.of_buckets(
            1 / COMPARISON_EVERY_SECONDS, COMPARISONS_AT_ONCE, node.clock.seconds
        )

    @property
    def kinds(self) -> tuple[FrameKind, ...]:
        """The kinds of frames that come here."""
        return FrameKind.ROSTER_IDS, FrameKind.ROSTER

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """Compare rosters, unless the Hello has shown that they are the same."""
        if before is not None and before.link is peer.link:
            return
        if before is not None:
            self._ids.pop(before.link, None)
        if peer.facts.roster != self._members.digest:
            self._send_ids(peer.link, answer=False)

    def peer_reset(self, peer: Peer, reason: LinkClosed) -> None:
        """Statements may be lost on their way: compare rosters."""
        self._ids.pop(peer.link, None)
        self._send_ids(peer.link, answer=False)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """Forget what has come of a comparison. Its rate stays: a new link brings no new one."""
        self._ids.pop(peer.link, None)
        self._asked.pop(peer.name, None)

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A frame came.

        @raise WireError: it does not hold.
        """
        if kind == FrameKind.ROSTER_IDS:
            self._ids_received(link, decode(RosterIds, payload))
        else:
            found = decode(RosterStatements, payload).statements
            self.add([decode_statement(each) for each in found], link)

    def add(self, statements: Iterable[SignedStatement], came_by: ILink | None = None) -> int:
        """
        Add statements to the roster, and send on what is new.

        @param came_by: the link that they came by; C{None} if they are made here.
        @return: how many are new.
        @raise WireError: one of them does not hold.
        """
        new = self._members.add(statements)
        if not new:
            return 0
        # first: a member that they ban is not sent them, but told why its link ends
        self._changed()
        for peer in self._links.peers:
            if peer.link is not came_by:
                self._send(peer.link, new)
        return len(new)

    def _ids_received(self, link: ILink, message: RosterIds) -> None:
        if len(message.ids) % ID_BYTES:
            raise WireError("the ids of a roster are cut short")
        ids = self._ids.setdefault(link, [])
        ids += [message.ids[at : at + ID_BYTES] for at in range(0, len(message.ids), ID_BYTES)]
        if len(ids) > MAX_ROSTER_STATEMENTS:
            raise WireError("the peer lists more statements than a roster can have")
        if message.more:
            return
        del self._ids[link]
        if not self._rates.take(link.peer):
            self._quiet.info(
                "comparisons",
                "{peer} compares rosters too often: not answered",
                by=link.connection.peer.prefix,
                peer=link.peer,
            )
            return
        theirs = frozenset(ids)
        self._send(link, self._members.roster.missing(theirs))
        is_asked = self._seconds() - self._asked.get(link.peer, -inf) < ASKED_FOR_SECONDS
        # or the two ends would send each other their ids for ever
        if not message.answer and not is_asked and not theirs <= self._members.roster.ids:
            self._send_ids(link, answer=True)

    def _send_ids(self, link: ILink, *, answer: bool) -> None:
        if not answer:
            self._asked[link.peer] = self._seconds()
        ids = [each.id for each in self._members.roster.statements]
        for at in range(0, max(1, len(ids)), IDS_IN_A_FRAME):
            some = b"".join(ids[at : at + IDS_IN_A_FRAME])
            message = RosterIds(some, at + IDS_IN_A_FRAME < len(ids), answer)
            link.send(FrameKind.ROSTER_IDS, encode(message))

    def _send(self, link: ILink, statements: Sequence[SignedStatement]) -> None:
        if statements:
            # not waited for: it ends with the last frame, or with the link
            Deferred.fromCoroutine(_send_all(link, statements)).addErrback(_link_is_gone)


async def _send_all(link: ILink, statements: Sequence[SignedStatement]) -> None:
    for at in range(0, len(statements), MAX_STATEMENTS_IN_A_FRAME):
        if not link.writable:
            await link.when_writable()
        some = tuple(each.encoded for each in statements[at : at + MAX_STATEMENTS_IN_A_FRAME])
        link.send(FrameKind.ROSTER, encode(RosterStatements(some)))


def _link_is_gone(failure: object) -> None:
    """Its next link compares the rosters again."""
