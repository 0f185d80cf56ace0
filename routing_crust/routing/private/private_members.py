"""
The members of a private network, as one node judges them: by their certificates, the roster and the
network's time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final

from ...bounded_dict import BoundedDict
from ...errors import CloseReason, NotAuthorized, WireError
from ...identity import Identity
from ...names import Name
from ...trust.certificate import Certificate, MemberRole, SignedCertificate
from ...trust.codec import decode_certificate, encode_certificate
from ...trust.issuing import Issuer
from ...trust.judging import RENEWAL_GRACE_SECONDS, Problem, Rejection, date_text, genuine, judge
from ...trust.member_directory import MemberDirectory, certificate_id
from ...trust.roster import Roster, statement_problem
from ...trust.statement import SignedStatement
from ..members import Members, TurnedAway
from .membership import Membership

MAX_ISSUED: Final = 1024
"""Certificates that we have issued and that their members have not shown yet."""
CLOCKS_APART_SECONDS: Final = 3600.0
"""Difference of two clocks that is named when a certificate does not hold by the time."""

_REASONS: Final = {
    Problem.MISSING: CloseReason.NO_CERTIFICATE,
    Problem.OTHER_NETWORK: CloseReason.WRONG_NETWORK,
    Problem.BANNED: CloseReason.BANNED,
    Problem.NOT_YET: CloseReason.CERTIFICATE_TOO_EARLY,
    Problem.EXPIRED: CloseReason.CERTIFICATE_EXPIRED,
}


class PrivateMembers(Members):
    """
    Made with each start of the service, asked about each Hello, told of new statements and certificates,
    discarded with the run.
    """

    is_private = True

    def __init__(self, membership: Membership, identity: Identity, now: Callable[[], float]) -> None:
        """
        @param identity: our key, which also knows how to check signatures.
        @param now: the network's time.
        """
        self._membership = membership
        self._identity = identity
        self._now = now
        self._known = membership.known
        self._has_learned: Callable[[SignedCertificate], object] = _tell_nobody
        self._issued: BoundedDict[Name, int] = BoundedDict(MAX_ISSUED)

    @property
    def own(self) -> SignedCertificate:
        """Our certificate."""
        return self._membership.certificate

    @property
    def authority_is_here(self) -> bool:
        """Whether this node has the key of the network's authority."""
        return self._membership.authority is not None

    @property
    def roster(self) -> Roster:
        """The statements that we hold."""
        return self._membership.roster

    @property
    def shown(self) -> bytes:
        """Our certificate, encoded."""
        return encode_certificate(self.own)

    @property
    def digest(self) -> bytes:
        """The digest of our roster."""
        return self.roster.digest

    @property
    def known(self) -> tuple[Certificate, ...]:
        """The latest certificates of all members, as far as we have heard of them, ours not among them."""
        return tuple(each.certificate for each in self.known_signed)

    @property
    def current(self) -> Iterator[Certificate]:
        """Ours, and those of the members that we remember, but for banned members and what has expired."""
        return filter(self._holds_now, (self.own.certificate, *self.known))

    @property
    def directory(self) -> MemberDirectory:
        """The certificates of all members, ours too, as far as we have heard of them."""
        return self._known

    def current_of(self, name: Name) -> Certificate | None:
        """The certificate of a member, if we have heard of it and it is one still."""
        certificate = self.certificate_of(name)
        return certificate if certificate is not None and self._holds_now(certificate) else None

    def _holds_now(self, certificate: Certificate) -> bool:
        return certificate.not_after > self._now() and not self.is_banned(certificate.name)

    @property
    def known_signed(self) -> tuple[SignedCertificate, ...]:
        """The same, with their signatures."""
        return tuple(each for each in self._known.values() if each.certificate.name != self._identity.name)

    def now(self) -> float:
        """The network's time, by which certificates are judged, in seconds since the epoch."""
        return self._now()

    def certificate_of(self, name: Name) -> Certificate | None:
        """The latest certificate of a member that we have heard of."""
        found = self.own if name == self._identity.name else self._known.get(name)
        return None if found is None else found.certificate

    def judge(self, peer: Name, shown: bytes, is_client: bool, time: float) -> TurnedAway | None:
        """Judge what a Hello shows. The certificate of a member is remembered."""
        if not shown:
            return TurnedAway(CloseReason.NO_CERTIFICATE, "it has to be invited")
        try:
            signed = _decoded(shown)
        except WireError as error:
            return TurnedAway(CloseReason.BAD_CERTIFICATE, str(error))
        rejection = self.rejection(signed, peer)
        if rejection is not None:
            return self._turned_away(signed, rejection, time)
        own = signed.certificate
        if not (own.may_be_node or is_client):
            return TurnedAway(CloseReason.ROLE_NOT_GRANTED, f"{own} may only be a client")
        other = self._holder_of_its_nickname(own) if self.own.certificate.is_admin else None
        if other is not None:
            return TurnedAway(CloseReason.NICKNAME_TAKEN, f"{own} has the nickname of {other}")
        self.met(signed)
        return None

    def _holder_of_its_nickname(self, certificate: Certificate) -> Certificate | None:
        """The good member of which we heard first under this member's nickname, if there is one."""
        nickname = certificate.nickname.lower()
        # in the order in which we have heard of them
        for other in self._known.values():
            own = other.certificate
            if own.nickname.lower() != nickname:
                continue
            if own.name == certificate.name:
                return None
            if self.rejection(other, own.name) is None:
                return own
        return None

    def judge_again(self, peer: Name, shown: bytes) -> TurnedAway | None:
        """
        Judge a peer that has a link, after the roster or the time has changed.

        @param shown: what its Hello showed; a newer certificate that it has shown since counts instead.
        """
        signed, newer = _decoded(shown), self._known.get(peer)
        if newer is not None and newer.certificate.serial > signed.certificate.serial:
            signed = newer
        rejection = self.rejection(signed, peer)
        return None if rejection is None else self._turned_away(signed, rejection, 0.0)

    def rejection(self, signed: SignedCertificate, name: Name) -> Rejection | None:
        """Why a certificate is not good for this name now; C{None} if it is."""
        network = self._membership.network
        return judge(signed, network, name, self.roster, self._now(), self._identity)

    def is_banned(self, name: Name) -> bool:
        """Whether the roster has a ban that counts."""
        return self.roster.ban_of(name) is not None

    def may_relay(self, name: Name) -> bool:
        """Whether a member's certificate says that it may carry tunnels."""
        certificate = self.certificate_of(name)
        return certificate is not None and MemberRole.RELAY in certificate.roles

    def met(self, signed: SignedCertificate) -> None:
        """
        Remember a certificate that a member has shown and that was found good, unless there is a newer one.
        """
        own = signed.certificate
        if own.serial >= self._issued.get(own.name, 0):
            self._issued.pop(own.name, None)
        if self._membership.learn(signed):
            self._has_learned(signed)

    def learned_by(self, has_learned: Callable[[SignedCertificate], object]) -> None:
        """Have this called with each certificate that is new to us and was not told by L{learn}."""
        self._has_learned = has_learned

    def learn(self, encoded: Iterable[bytes]) -> list[SignedCertificate]:
        """
        Remember certificates of members that somebody tells us of.

        @return: those that we did not hold, and hold now.
        @raise WireError: one of them was issued by nobody who might issue it; those before it are kept.
        """
        new = []
        for each in encoded:
            if self._known.holds(certificate_id(each)):
                continue
            signed = _decoded(each)
            if not genuine(signed, self._membership.network, self._identity):
                raise WireError("a certificate of a member came that does not hold")
            # it may have ended while it was on its way, or have been banned: then nobody is to blame
            ended = self._now() > signed.certificate.not_after + RENEWAL_GRACE_SECONDS
            if not ended and self._membership.is_shared(signed) and self._membership.learn(signed):
                new.append(signed)
        return new

    def issued(self, signed: SignedCertificate) -> None:
        """Remember a certificate that was issued here, for its member as well, who may not have it yet."""
        self.met(signed)
        self._issued.put(signed.certificate.name, signed.certificate.serial)

    def waiting(self, name: Name) -> SignedCertificate | None:
        """The certificate that was issued here and that its member has not shown yet, if it is good."""
        latest = self._known.get(name) if name in self._issued else None
        return None if latest is None or self.rejection(latest, name) is not None else latest

    def add(self, statements: Iterable[SignedStatement]) -> tuple[SignedStatement, ...]:
        """
        Add statements to the roster.

        @return: those that we did not hold, and hold now.
        @raise WireError: one of them does not hold; nothing was changed.
        """
        before = self.roster
        known = before.ids
        new = [each for each in statements if each.id not in known]
        for each in new:
            problem = statement_problem(each, self._membership.network, self._identity)
            if problem:
                raise WireError(f"a statement of the roster does not hold: {problem}")
        after = before.adding(new, self._identity)
        if after is before:
            return ()
        self._membership.set_roster(after)
        kept = after.ids
        return tuple(each for each in new if each.id in kept)

    def replaces_own(self, signed: SignedCertificate) -> bool:
        """Whether this is a newer certificate of ours, which is good."""
        if signed.certificate.serial <= self.own.certificate.serial:
            return False
        # else an inviter could take the role of an admin away
        if self.own.certificate.may_issue and signed.issuer_certificate is not None:
            return False
        return self.rejection(signed, self._identity.name) is None

    def adopt(self, signed: SignedCertificate) -> None:
        """Show this certificate from now on: one that L{replaces_own}."""
        if self._membership.set_certificate(signed):
            self._has_learned(signed)

    def renew(self, last: Certificate) -> SignedCertificate | None:
        """The next certificate of a member, as far as we may issue it; or the latest one, if it is newer."""
        latest = self._newer(last)
        if latest is not None:
            return latest
        issuer = self._issuer_for(last)
        if issuer is None or self.is_banned(last.name):
            return None
        try:
            signed = issuer.renew(last, self._now())
        except NotAuthorized:
            return None
        self.issued(signed)
        return signed

    def newer_than(self, shown: bytes) -> SignedCertificate | None:
        """The latest certificate of the member whose Hello shows this one, if that is newer and good."""
        return self._newer(_decoded(shown).certificate)

    def _newer(self, certificate: Certificate) -> SignedCertificate | None:
        """The latest certificate of this member, if that is newer and good."""
        name = certificate.name
        latest = self._known.get(name)
        if latest is None or latest.certificate.serial <= certificate.serial:
            return None
        return latest if self.rejection(latest, name) is None else None

    def _issuer_for(self, last: Certificate) -> Issuer | None:
        """The issuer that may renew this certificate, of those whose keys are here."""
        membership = self._membership
        if membership.authority is not None:
            return Issuer(membership.authority)
        if last.may_issue or not self.own.certificate.may_issue:
            return None
        # an issuer that is not a member itself certifies nobody
        if self.rejection(self.own, self._identity.name) is not None:
            return None
        try:
            return Issuer(self._identity, self.own)
        except NotAuthorized:
            return None

    def _turned_away(self, signed: SignedCertificate, rejection: Rejection, time: float) -> TurnedAway:
        own, detail = signed.certificate, str(rejection)
        reason = _REASONS.get(rejection.problem, CloseReason.BAD_CERTIFICATE)
        if rejection.problem is Problem.BANNED:
            ban = self.roster.ban_of(own.name)
            assert ban is not None
            return TurnedAway(reason, f"{own}: {rejection.detail}", ban.issuer, float(ban.statement.time))
        if reason in (CloseReason.CERTIFICATE_EXPIRED, CloseReason.CERTIFICATE_TOO_EARLY):
            detail = self._in_time(rejection.detail, time)
        renewed = self._renewed(signed, rejection)
        given = b"" if renewed is None else encode_certificate(renewed)
        if given:
            detail += "; it was given a new one"
        at = {
            CloseReason.CERTIFICATE_TOO_EARLY: own.not_before,
            CloseReason.CERTIFICATE_EXPIRED: own.not_after,
        }
        return TurnedAway(reason, f"{own}: {detail}", None, float(at.get(reason, 0)), given)

    def _renewed(self, signed: SignedCertificate, rejection: Rejection) -> SignedCertificate | None:
        """What a member gets instead of a link: it has expired, or a newer certificate waits here."""
        if not rejection.may_ask:
            return None
        latest = self._newer(signed.certificate)
        if latest is not None:
            return latest
        # what is revoked, or comes from an issuer who is banned, only a person decides about
        if rejection.problem is not Problem.EXPIRED or self._problem_but_for_time(signed) is not None:
            return None
        return self.renew(signed.certificate)

    def _problem_but_for_time(self, signed: SignedCertificate) -> Rejection | None:
        own = signed.certificate
        network, then = self._membership.network, float(own.not_after)
        return judge(signed, network, own.name, self.roster, then, self._identity)

    def _in_time(self, detail: str, theirs: float) -> str:
        apart = theirs - self._now() if theirs else 0.0
        if abs(apart) < CLOCKS_APART_SECONDS:
            return detail
        return f"{detail}; its clock says {date_text(theirs)}, so one of the two clocks is wrong"


def _tell_nobody(_: SignedCertificate) -> None:
    """Before the service has started."""


@lru_cache(maxsize=1024)
def _decoded(shown: bytes) -> SignedCertificate:
    """
    @raise WireError: these bytes are no certificate.
    """
    return decode_certificate(shown)
