"""
Directory sync: all members of a private network know each other's certificates, also of those that they have
never met, so nicknames are good everywhere.

When two members get a link, each sends the summary of its directory. An end that sees that the other one
holds something else asks for it, with the ids of what it has itself in the parts that differ; it asks one
peer at a time, so a new member is told of all others once. What is new goes on to some peers, and from there
to all; a member that it misses learns of it from a comparison with a peer, each minute.

A member can tell only what an issuer has signed: anything else ends the link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ...crust.interfaces import ILink
from ...errors import CloseReason, LinkClosed, WireError
from ...names import Name
from ...quietlog import QuietLog
from ...timing.ratelimit import KeyedLimits
from ...timing.timers import cancel, is_pending
from ...trust.certificate import SignedCertificate
from ...trust.codec import encode_certificate
from ...trust.member_directory import BUCKETS, CERTIFICATE_ID_BYTES
from ...wire.codec import decode, encode
from ...wire.framing import FrameKind
from ...wire.members import MAX_CERTIFICATES_IN_A_FRAME, MemberCertificates, MemberSummary, MembersWanted
from ..links.peer import Peer, PeerListener
from ..links.registry import LinkRegistry
from ..node import Node
from .private_members import PrivateMembers

NEWS_DELAY_SECONDS: Final = 1.0
"""How long news is collected before it is passed on together."""
NEWS_PEERS: Final = 6
"""Peers that are told of what is new."""
COMPARE_EVERY_SECONDS: Final = 60.0
"""Between two comparisons with one of the peers."""
COMPARED_LATELY_SECONDS: Final = 10.0
"""A summary is not answered with ours if the peer got ours within this time."""
PULL_SECONDS: Final = 3.0
"""How long a peer has to send what it was asked for, before another one is asked."""
IDS_IN_A_FRAME: Final = 4096
QUESTIONS_AT_ONCE: Final = 8
QUESTION_EVERY_SECONDS: Final = 10.0
"""Between two answers to a peer's questions, in the long run; each may cost us all that we hold."""


class DirectorySync(PeerListener):
    """Made with each start, told of peers and fed with their frames, discarded after L{stop}."""

    log = Logger()

    def __init__(
        self,
        node: Node,
        members: PrivateMembers,
        links: LinkRegistry,
        own_came: Callable[[SignedCertificate], object],
    ) -> None:
        """
        @param own_came: called with certificates of ours that others have told us of.
        """
        self._node = node
        self._members = members
        self._links = links
        self._own_came = own_came
        self._quiet = QuietLog(self.log, node.clock.seconds)
        self._summaries: dict[ILink, bytes] = {}
        self._compared: dict[Name, float] = {}
        self._pulled: ILink | None = None
        self._news: list[tuple[SignedCertificate, ILink | None]] = []
        self._pull_timer: IDelayedCall | None = None
        self._news_timer: IDelayedCall | None = None
        self._compare_timer: IDelayedCall | None = None
        self._rates: KeyedLimits[Name] = KeyedLimits.of_buckets(
            1 / QUESTION_EVERY_SECONDS, QUESTIONS_AT_ONCE, node.clock.seconds
        )

    @property
    def kinds(self) -> tuple[FrameKind, ...]:
        """The kinds of frames that come here."""
        return FrameKind.MEMBER_SUMMARY, FrameKind.MEMBERS_WANTED, FrameKind.MEMBERS

    def start(self) -> None:
        """Tell others of members that we meet, and compare with them now and then."""
        self._members.learned_by(self._learned)
        self._later()

    def stop(self) -> None:
        """Tell nobody any more."""
        for timer in (self._pull_timer, self._news_timer, self._compare_timer):
            cancel(timer)

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """Tell a new peer what we hold."""
        if before is None:
            self._compare(peer.link)
        elif before.link is not peer.link:
            self._forget(before.link)

    def peer_reset(self, peer: Peer, reason: LinkClosed) -> None:
        """Certificates may be lost on their way: compare again."""
        self._compare(peer.link)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """Ask somebody else for what it was to send. Its rate stays: a new link brings no new one."""
        self._compared.pop(peer.name, None)
        self._forget(peer.link)

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A frame came.

        @raise WireError: it does not hold.
        """
        if kind == FrameKind.MEMBER_SUMMARY:
            self._summary_received(link, decode(MemberSummary, payload).digests)
        elif kind == FrameKind.MEMBERS_WANTED:
            self._wanted_received(link, decode(MembersWanted, payload))
        else:
            self._certificates_received(link, decode(MemberCertificates, payload).certificates)

    def _summary_received(self, link: ILink, summary: bytes) -> None:
        if summary == self._members.directory.summary:
            return
        if self._node.clock.seconds() - self._compared.get(link.peer, -inf) > COMPARED_LATELY_SECONDS:
            self._compare(link)
        self._summaries[link] = summary
        if not is_pending(self._pull_timer):
            self._pull()

    def _wanted_received(self, link: ILink, message: MembersWanted) -> None:
        ids, size = message.ids, CERTIFICATE_ID_BYTES
        if len(ids) % size or max(message.parts) >= BUCKETS:
            raise WireError("the peer asks for members in a way that does not hold")
        if not self._rates.take(link.peer):
            self._quiet.info(
                "questions",
                "{peer} asks for members too often: not answered",
                by=link.connection.peer.prefix,
                peer=link.peer,
            )
            return
        theirs = frozenset(ids[at : at + size] for at in range(0, len(ids), size))
        self._send(link, self._members.directory.missing(sorted(set(message.parts)), theirs))

    def _certificates_received(self, link: ILink, encoded: Sequence[bytes]) -> None:
        for signed in self._members.learn(encoded):
            self._tell(signed, link)
            if signed.certificate.name == self._node.name:
                self._own_came(signed)
        # nothing is left to wait for: go on to the next peer before its time is over
        if link is self._pulled and not self._members.directory.differing(self._summaries[link]):
            cancel(self._pull_timer)
            self._pull()

    def _pull(self) -> None:
        """Ask the next peer that holds something else for what we lack."""
        directory = self._members.directory
        if self._pulled is not None:
            self._summaries.pop(self._pulled, None)
            self._pulled = None
        for link, summary in list(self._summaries.items()):
            parts = directory.differing(summary)
            if parts:
                self._pulled = link
                self._ask(link, parts)
                self._pull_timer = self._node.clock.callLater(PULL_SECONDS, self._pull)
                return
            del self._summaries[link]

    def _ask(self, link: ILink, parts: Sequence[int]) -> None:
        some, ids = bytearray(), list[bytes]()
        for part in parts:
            some.append(part)
            ids += self._members.directory.ids_in(part)
            if len(ids) >= IDS_IN_A_FRAME or part == parts[-1]:
                link.send(FrameKind.MEMBERS_WANTED, encode(MembersWanted(bytes(some), b"".join(ids))))
                some, ids = bytearray(), []

    def _forget(self, link: ILink) -> None:
        self._summaries.pop(link, None)
        if link is self._pulled:
            cancel(self._pull_timer)
            self._pull()

    def _compare(self, link: ILink) -> None:
        self._compared[link.peer] = self._node.clock.seconds()
        link.send(FrameKind.MEMBER_SUMMARY, encode(MemberSummary(self._members.directory.summary)))

    def _later(self) -> None:
        self._compare_timer = self._node.clock.callLater(COMPARE_EVERY_SECONDS, self._compare_with_one)

    def _compare_with_one(self) -> None:
        self._later()
        self._members.directory.prune(self._members.now())
        peers = self._links.peers
        if peers:
            self._compare(self._node.random.choice(sorted(peers, key=lambda each: each.name)).link)

    def _learned(self, signed: SignedCertificate) -> None:
        self._tell(signed, None)

    def _tell(self, signed: SignedCertificate, came_by: ILink | None) -> None:
        self._news.append((signed, came_by))
        if not is_pending(self._news_timer):
            self._news_timer = self._node.clock.callLater(NEWS_DELAY_SECONDS, self._send_news)

    def _send_news(self) -> None:
        news, self._news = self._news, []
        peers = sorted(self._links.peers, key=lambda each: each.name)
        for peer in self._node.random.sample(peers, min(NEWS_PEERS, len(peers))):
            coded = ((encode_certificate(signed), came_by) for signed, came_by in news)
            shown = peer.facts.certificate
            # a peer that has shown or sent a certificate has it
            told = [each for each, came_by in coded if came_by is not peer.link and each != shown]
            self._send(peer.link, told)

    def _send(self, link: ILink, encoded: Sequence[bytes]) -> None:
        if encoded:
            # not waited for: it ends with the last frame, or with the link
            Deferred.fromCoroutine(_send_all(link, encoded)).addErrback(_link_is_gone)


async def _send_all(link: ILink, encoded: Sequence[bytes]) -> None:
    for at in range(0, len(encoded), MAX_CERTIFICATES_IN_A_FRAME):
        if not link.writable:
            await link.when_writable()
        some = tuple(encoded[at : at + MAX_CERTIFICATES_IN_A_FRAME])
        link.send(FrameKind.MEMBERS, encode(MemberCertificates(some)))


def _link_is_gone(failure: object) -> None:
    """The next comparison makes up for it."""
