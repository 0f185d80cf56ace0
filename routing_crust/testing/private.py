"""
A private network in a simulation: its founder, who has the authority's key and gives everybody a certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ..config import Role
from ..identity import Identity
from ..limits import DAY_SECONDS
from ..routing.private.membership import Membership
from ..trust.certificate import ISSUING_ROLES, MemberRole, SignedCertificate
from ..trust.issuing import Issuer
from ..trust.networks import network_of
from ..trust.roster import Roster

ALL_ROLES: Final = (MemberRole.NODE, MemberRole.RELAY, MemberRole.INVITE, MemberRole.ADMIN)
MEMBER_ROLES: Final = (MemberRole.NODE, MemberRole.RELAY)

FOUNDED_BEFORE_SECONDS: Final = 300 * DAY_SECONDS
"""Age of a network, so that its admin can have issued certificates that have expired."""


class Founder:
    """
    Made with a private network.

    @ivar authority: the key that the network's id names.
    @ivar network: the network's id.
    @ivar admin: the key of the first node, which is an admin, once there is one.
    """

    def __init__(self, authority: Identity, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the clock by which certificates are dated.
        """
        self.authority = authority
        self.network = network_of(authority.name)
        self.admin: Identity | None = None
        self._seconds = seconds
        self._admin_certificate: SignedCertificate | None = None

    def membership(
        self,
        identity: Identity,
        role: Role = Role.NODE,
        nickname: str = "member",
        *,
        roles: Iterable[MemberRole] | None = None,
        tags: Iterable[str] = (),
        lifetime: float | None = None,
        since: float | None = None,
        roster: Roster | None = None,
    ) -> Membership:
        """
        The credentials of one node. Those of the first are an admin's.

        @param roles: what it may do; by default what its role wants, and for the first one everything.
        @param lifetime: of the certificate, in seconds; the default is that of the issuer.
        @param since: when it was issued; the default is now, for the founder long ago.
        @param roster: what it knows; the default is nothing.
        """
        given = self._roles(role) if roles is None else tuple(roles)
        if since is None:
            since = self._seconds() - (FOUNDED_BEFORE_SECONDS if self.admin is None else 0.0)
        issuer = self.issuer(given)
        signed = issuer.issue(identity.name, nickname, given, since, tags=tags, lifetime=lifetime)
        if self.admin is None and MemberRole.ADMIN in given:
            self.admin, self._admin_certificate = identity, signed
        return Membership(signed, roster)

    def issuer(self, roles: Iterable[MemberRole] = MEMBER_ROLES) -> Issuer:
        """The issuer of a certificate with these roles: the admin, or the authority where it may not."""
        issues = not ISSUING_ROLES.isdisjoint(roles)
        if self.admin is None or issues:
            return Issuer(self.authority)
        return Issuer(self.admin, self._admin_certificate)

    def _roles(self, role: Role) -> tuple[MemberRole, ...]:
        if self.admin is None:
            return ALL_ROLES
        return (MemberRole.CLIENT,) if role is Role.CLIENT else MEMBER_ROLES


def nickname_of(number: int) -> str:
    """The nickname of a node by its number."""
    return f"member-{number}"
