"""
Renewal: a member's certificate is replaced before it ends, without anybody's doing.

From a third of its lifetime on, a member asks one after the other of its peers that may issue. It shows the
new certificate to all its peers, so that their links last longer too. A member whose certificate has
expired has no link to ask by: an issuer that it dials gives it a new one instead of a link
(C{private_members}), and that is taken here.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ...crust.interfaces import ILink
from ...errors import CloseReason, WireError
from ...history import Way
from ...limits import DAY_SECONDS
from ...names import NAME_BYTES, Name
from ...quietlog import QuietLog
from ...timing.ratelimit import KeyedLimits
from ...timing.timers import cancel
from ...trust.certificate import SignedCertificate
from ...trust.codec import decode_certificate, encode_certificate
from ...trust.judging import date_text, ends_soon, wants_renewal
from ...wire.codec import decode, encode
from ...wire.framing import FrameKind
from ...wire.members import Refused, Renewal
from ..links.peer import Peer, PeerListener
from ..links.registry import LinkRegistry
from ..node import Node
from .private_members import CLOCKS_APART_SECONDS, PrivateMembers

LOOK_EVERY_SECONDS: Final = 300.0
"""Between two looks at our own certificate."""
ASK_AGAIN_SECONDS: Final = 3600.0
"""Before an issuer that has refused, or not answered, is asked again."""
WARN_EVERY_SECONDS: Final = DAY_SECONDS
"""Between two warnings that our certificate ends soon."""
MAX_REFUSALS: Final = 64
"""Peers whose refusals are remembered, for people to read."""
QUESTIONS_AT_ONCE: Final = 4
QUESTION_EVERY_SECONDS: Final = 60.0
"""Between two answers to a peer's questions, in the long run: each costs a signature."""


class RenewalExchange(PeerListener):
    """Made with each start, told of peers and fed with their frames, discarded after L{stop}."""

    log = Logger()

    def __init__(self, node: Node, members: PrivateMembers, links: LinkRegistry) -> None:
        self._node = node
        self._members = members
        self._links = links
        self._quiet = QuietLog(self.log, node.clock.seconds)
        self._timer: IDelayedCall | None = None
        # when each issuer was asked last
        self._asked: dict[Name, float] = {}
        self._warned: float | None = None
        self._refusals: dict[Name, str] = {}
        self._rates: KeyedLimits[Name] = KeyedLimits.of_buckets(
            1 / QUESTION_EVERY_SECONDS, QUESTIONS_AT_ONCE, node.clock.seconds
        )

    @property
    def early_kinds(self) -> tuple[FrameKind, ...]:
        """The kinds of frames that come here, also before a link is confirmed."""
        return FrameKind.REFUSED, FrameKind.RENEWAL

    @property
    def refusals(self) -> dict[Name, str]:
        """The members that have refused us since our last link with them, and why, in words."""
        return self._refusals

    def start(self) -> None:
        """Look at our certificate now and from time to time."""
        self._look()

    def stop(self) -> None:
        """Look no more."""
        cancel(self._timer)

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """This peer takes us for a member; it may be one that issues."""
        self._refusals.pop(peer.name, None)
        if before is None:
            self._ask()
        # it was away when a newer one was issued, or has an old state directory
        newer = self._members.newer_than(peer.facts.certificate)
        if newer is not None:
            peer.link.send(FrameKind.RENEWAL, encode(Renewal(encode_certificate(newer))))

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """Forget what was asked of it, but not how often it has asked: a new link brings no new rate."""
        self._asked.pop(peer.name, None)

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A frame came.

        @raise WireError: it does not hold.
        """
        if kind == FrameKind.REFUSED:
            self._refused(link, decode(Refused, payload))
            return
        message = decode(Renewal, payload)
        if message.certificate:
            self._received(link, decode_certificate(message.certificate))
        elif message.reason:
            self._quiet.info(
                "not renewed",
                "{peer} does not renew our certificate: {reason}",
                by=link.connection.peer.prefix,
                peer=link.peer,
                reason=reason_text(message.reason),
            )
        elif link.is_verified:
            self._asked_by(link)
        else:
            raise WireError("a certificate was asked for before the Hello")

    def give(self, signed: SignedCertificate) -> bool:
        """
        Give a member a certificate that was issued here: at once if it is linked, else when it comes.

        @return: whether it has it.
        """
        name = signed.certificate.name
        if name == self._node.name:
            self._adopt(signed)
            return True
        self._members.issued(signed)
        link = self._links.link_to(name)
        if link is not None:
            link.send(FrameKind.RENEWAL, encode(Renewal(encode_certificate(signed))))
        return link is not None

    def _refused(self, link: ILink, message: Refused) -> None:
        reason = reason_text(message.reason)
        if len(message.by) == NAME_BYTES:
            by = Name(message.by)
            reason += f", by {self._node.brief(by)}"
        if message.at:
            reason += f", {date_text(message.at)}"
        if message.time and abs(message.time - self._now()) > CLOCKS_APART_SECONDS:
            reason += f" (its clock says {date_text(message.time)}, and ours {date_text(self._now())})"
        self._refusals.pop(link.peer, None)
        # put in again as the newest, so that the oldest is the one that goes
        self._refusals[link.peer] = reason
        while len(self._refusals) > MAX_REFUSALS:
            del self._refusals[next(iter(self._refusals))]
        said = f"it takes us for no member: {reason}"
        self._node.crust.history.tried(link.peer, Way.LINK, link.connection.peer, said)
        cause = "refused"
        self._quiet.warn(
            cause,
            "{peer} at {endpoint} takes this node for no member: {reason}",
            by=link.connection.peer.prefix,
            peer=link.peer,
            endpoint=link.connection.peer,
            reason=reason,
        )

    def _received(self, link: ILink, signed: SignedCertificate) -> None:
        """A certificate came: ours from an issuer, or a peer's newer one."""
        name = signed.certificate.name
        if name == self._node.name:
            self.own_came(signed)
        elif name != link.peer or not link.is_verified:
            raise WireError("a certificate came that is neither ours nor the peer's")
        elif self._members.rejection(signed, name) is None:
            self._members.met(signed)

    def own_came(self, signed: SignedCertificate) -> None:
        """A certificate of ours came: show it from now on, if it is a newer one, and good."""
        if self._members.replaces_own(signed):
            self._adopt(signed)

    def _adopt(self, signed: SignedCertificate) -> None:
        self._members.adopt(signed)
        self._asked.clear()
        self._warned = None
        self.log.info(
            "this node has a new certificate: it is {member}, until {end}",
            member=signed.certificate,
            end=date_text(signed.certificate.not_after),
        )
        if not (signed.certificate.may_be_node or self._node.is_client):
            self.log.warn(
                "by its certificate this node is a client from now on, and members refuse it: restart it"
            )
        shown = encode(Renewal(encode_certificate(signed)))
        for peer in self._links.peers:
            peer.link.send(FrameKind.RENEWAL, shown)

    def _asked_by(self, link: ILink) -> None:
        known = self._members.certificate_of(link.peer)
        if known is None or not self._rates.take(link.peer):
            return
        # asked too early is asked for something else than a renewal
        due = wants_renewal(known, self._now())
        signed = self._members.waiting(link.peer) or (self._members.renew(known) if due else None)
        answer = (
            Renewal(reason=int(CloseReason.ROLE_NOT_GRANTED if due else CloseReason.NOT_WANTED))
            if signed is None
            else Renewal(encode_certificate(signed))
        )
        link.send(FrameKind.RENEWAL, encode(answer))
        if signed is not None:
            self.log.info(
                "renewed the certificate of {member} until {end}",
                member=signed.certificate,
                end=date_text(signed.certificate.not_after),
            )

    def _look(self) -> None:
        self._timer = self._node.clock.callLater(LOOK_EVERY_SECONDS, self._look)
        own = self._members.own.certificate
        self._warn()
        # the founder has nobody to ask, and needs nobody
        if self._members.authority_is_here and wants_renewal(own, self._now()):
            signed = self._members.renew(own)
            if signed is not None:
                self._adopt(signed)
        self._ask()

    def _ask(self) -> None:
        """Ask the next peer that may issue, if our certificate is due."""
        now = self._node.clock.seconds()
        if not wants_renewal(self._members.own.certificate, self._now()):
            return
        for peer in self._links.peers:
            certificate = self._members.certificate_of(peer.name)
            # the others could only refuse
            if certificate is None or not certificate.may_issue:
                continue
            asked = self._asked.get(peer.name)
            if asked is None or now - asked >= ASK_AGAIN_SECONDS:
                self._asked[peer.name] = now
                peer.link.send(FrameKind.RENEWAL, encode(Renewal()))
                return

    def _warn(self) -> None:
        own, now = self._members.own.certificate, self._now()
        seconds = self._node.clock.seconds()
        if not ends_soon(own, now):
            return
        if self._warned is not None and seconds - self._warned < WARN_EVERY_SECONDS:
            return
        self._warned = seconds
        ended = now > own.not_after
        self.log.warn(
            "the certificate of this node, {member}, {ends} on {end}: no admin or inviter that may renew it "
            "was linked; see 'routing-crust members'",
            member=own,
            ends="has expired" if ended else "ends",
            end=date_text(own.not_after),
        )

    def _now(self) -> float:
        return self._node.network_now()


def reason_text(number: int) -> str:
    """A reason that a peer has given, in words."""
    try:
        return CloseReason(number).text
    except ValueError:
        return f"reason {number}"
