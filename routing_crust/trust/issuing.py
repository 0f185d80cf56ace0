"""
Issuing certificates and making statements, as the authority or as a member that may.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..errors import InvalidName, NotAuthorized
from ..identity import Identity
from ..limits import DAY_SECONDS
from ..names import Name
from .certificate import CERTIFICATE_LABEL, ISSUING_ROLES, Certificate, MemberRole, SignedCertificate
from .codec import encode_body
from .judging import may_give
from .networks import authority_of, network_of
from .roster import Roster
from .statement import (
    STATEMENT_LABEL,
    SignedStatement,
    Statement,
    StatementKind,
    encode_statement_body,
    signed_statement,
)

MEMBER_LIFETIME_SECONDS: Final = 90 * DAY_SECONDS
ISSUER_LIFETIME_SECONDS: Final = 730 * DAY_SECONDS
"""
How long certificates of admins and inviters last: the authority that renews them may be offline for long.
"""


class Issuer:
    """
    An issuer of certificates. Made from the authority's key, or from a member's key and certificate.

    @ivar network: the id of the private network.
    @ivar certificate: the issuer's own; C{None} for the authority.
    """

    def __init__(self, identity: Identity, certificate: SignedCertificate | None = None) -> None:
        """
        @param identity: the key that signs: the authority's, or the member's.
        @raise NotAuthorized: the certificate is another member's, or does not allow its holder to issue.
        """
        name = identity.name
        if certificate is not None:
            own = certificate.certificate
            if own.name != name:
                raise NotAuthorized(f"the certificate of {own} belongs to another key")
            if not own.may_issue or certificate.issuer_certificate is not None:
                raise NotAuthorized(
                    f"{own} is neither an admin nor an inviter: ask one of them, or use the "
                    "machine that has the authority key"
                )
        self._identity = identity
        self.certificate = certificate
        self.network = network_of(name) if certificate is None else certificate.certificate.network

    def certificate_is_enough_for(self, roles: Iterable[MemberRole]) -> bool:
        """Whether this issuer may give these roles."""
        return self.certificate is None or ISSUING_ROLES.isdisjoint(roles)

    def issue(
        self,
        name: Name,
        nickname: str,
        roles: Iterable[MemberRole],
        now: float,
        *,
        tags: Iterable[str] = (),
        lifetime: float | None = None,
        above_serial: int = 0,
    ) -> SignedCertificate:
        """
        Issue a certificate. It ends no later than the issuer's own.

        @param now: in seconds since the epoch.
        @param lifetime: in seconds; by default 90 days, and two years for those who may issue themselves.
        @param above_serial: the serial of the member's last certificate, if there was one.
        @raise InvalidCertificate: no certificate can say this.
        @raise NotAuthorized: this issuer may not give it.
        """
        given = frozenset(roles)
        if lifetime is None:
            issues = not ISSUING_ROLES.isdisjoint(given)
            lifetime = ISSUER_LIFETIME_SECONDS if issues else MEMBER_LIFETIME_SECONDS
        begin, end = int(now), int(now + lifetime)
        above = self.certificate
        if above is not None:
            own = above.certificate
            begin, end = max(begin, own.not_before), min(end, own.not_after)
            if begin >= end:
                raise NotAuthorized(f"the certificate of {own} has expired: renew it first")
        # by the clock: this issuer may not know what another one has given the member
        serial = max(int(now * 1000), above_serial + 1)
        certificate = Certificate(self.network, name, nickname, given, frozenset(tags), begin, end, serial)
        problem = "" if above is None else may_give(above.certificate, certificate)
        if problem:
            raise NotAuthorized(f"{problem}: use the machine that has the authority key")
        body = encode_body(certificate)
        signature = self._identity.sign(CERTIFICATE_LABEL, self.network, body)
        return SignedCertificate(certificate, body, signature, above)

    def renew(self, last: Certificate, now: float) -> SignedCertificate:
        """
        Issue the next certificate of a member, with the nickname, the roles and the tags of the last one.
        Whether the member should have it is for the caller to judge.

        @raise NotAuthorized: this issuer may not give it.
        """
        if last.network != self.network:
            raise NotAuthorized(f"the certificate of {last} is of another network")
        return self.issue(last.name, last.nickname, last.roles, now, tags=last.tags, above_serial=last.serial)

    def ban(self, name: Name, roster: Roster, now: float, note: str = "") -> SignedStatement:
        """
        Ban a member. If this issuer has banned it already, that ban is returned.

        @param roster: what is known so far: the ban undoes the last pardon in it.
        @raise NotAuthorized: only admins ban; or the roster has no more room for this issuer.
        """
        pardon = roster.pardon_of(name)
        after = b"" if pardon is None else pardon.id
        return self._state(roster, Statement(self.network, StatementKind.BAN, name, int(now), 0, after, note))

    def revoke(self, name: Name, lowest: int, roster: Roster, now: float) -> SignedStatement:
        """
        Revoke a member's certificates whose serial is lower.

        @raise NotAuthorized: as in L{ban}.
        """
        return self._state(roster, Statement(self.network, StatementKind.REVOKE, name, int(now), lowest))

    def pardon(self, name: Name, roster: Roster, now: float) -> SignedStatement:
        """
        Make all bans of a member void that there are.

        @raise NotAuthorized: only the authority pardons.
        """
        if self.certificate is not None:
            raise NotAuthorized("only the authority lifts bans: use the machine that has the authority key")
        last = roster.pardon_of(name)
        number = 1 if last is None else last.statement.number + 1
        return self._state(roster, Statement(self.network, StatementKind.PARDON, name, int(now), number))

    def _state(self, roster: Roster, statement: Statement) -> SignedStatement:
        above = self.certificate
        if above is not None and not above.certificate.is_admin:
            raise NotAuthorized(f"{above.certificate} is an inviter, and only admins ban and revoke")
        body = encode_statement_body(statement)
        signature = self._identity.sign(STATEMENT_LABEL, self.network, body)
        signed = signed_statement(statement, body, signature, above)
        kept = roster.kept_for(signed)
        if kept is None:
            raise NotAuthorized(
                "the roster has no room for more statements of this issuer: let another admin or the "
                "authority make this one"
            )
        return kept


def is_authority_of(identity: Identity, network: str) -> bool:
    """Whether this key is the authority of a network."""
    try:
        return authority_of(network) == identity.name
    except InvalidName:
        return False
