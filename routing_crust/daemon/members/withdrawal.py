"""
Withdrawal: what has to be issued and stated again when an admin or inviter loses a role. Its old
certificate is revoked, and what hangs on it would go as well: the certificates that it has issued, and the
bans of an admin.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ...errors import NotAuthorized
from ...trust.certificate import Certificate, SignedCertificate
from ...trust.issuing import Issuer
from ...trust.roster import Roster
from ...trust.statement import SignedStatement, StatementKind

NO_ADMIN: Final = (
    "nobody is an admin any more: until somebody is, only the authority key bans, and nobody but inviters "
    "lets members in and renews them; where that key is, 'routing-crust role MEMBER admin' makes one"
)


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """
    What takes the place of what a member has issued and stated.

    @ivar certificates: those of the members that it had certified.
    @ivar statements: its bans and revocations that counted, and last the revocation of its own certificate.
    """

    certificates: tuple[SignedCertificate, ...]
    statements: tuple[SignedStatement, ...]


def loss_of_admin(last: Certificate, current: Iterable[Certificate]) -> str:
    """
    What nobody can do any more, when an admin is none from now on; empty if there are others.

    @param last: its certificate so far.
    @param current: the certificates of all members that hold.
    """
    others = (each for each in current if each.is_admin and each.name != last.name)
    return NO_ADMIN if last.is_admin and next(others, None) is None else ""


def withdraw(
    authority: Issuer,
    last: Certificate,
    lowest: int,
    known: Iterable[SignedCertificate],
    roster: Roster,
    now: float,
) -> Withdrawal:
    """
    Issue and state again, as the authority, what a member has issued and stated; revoke its certificates.

    @param last: its certificate so far.
    @param lowest: the serial of its new one.
    @param known: the latest certificates of all members.
    @raise NotAuthorized: there is no room in the roster.
    """
    certificates = tuple(
        authority.renew(each.certificate, now)
        for each in known
        if each.issuer_certificate is not None
        and each.issuer == last.name
        and roster.ban_of(each.certificate.name) is None
    )
    statements = [
        _again(authority, each, roster, now)
        for each in roster.statements
        if each.issuer == last.name and roster.counts(each) and _matters(each, roster)
    ]
    return Withdrawal(certificates, (*statements, authority.revoke(last.name, lowest, roster, now)))


def _matters(signed: SignedStatement, roster: Roster) -> bool:
    said = signed.statement
    # of several about one member only the one that counts is needed, and the roster has little room
    if said.kind is StatementKind.BAN:
        return roster.ban_of(said.name) == signed
    return roster.revocation_of(said.name) == signed


def _again(authority: Issuer, signed: SignedStatement, roster: Roster, now: float) -> SignedStatement:
    said = signed.statement
    if said.kind is StatementKind.BAN:
        return authority.ban(said.name, roster, now, said.note)
    if said.kind is StatementKind.REVOKE:
        return authority.revoke(said.name, said.number, roster, now)
    raise NotAuthorized("a pardon is not an admin's to make")
