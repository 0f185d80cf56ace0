"""
What an operator does about members: list and ban them, renew and change their certificates.

The authority's key is read again for each command, so taking it off the machine takes effect at once. Where
it is, it signs what only it may: certificates of admins and inviters, bans of these, and the lifting of bans.
All else is signed by this node's own key, if its certificate lets it.
"""

from __future__ import annotations

from collections.abc import Callable

from ...errors import InvalidName, NotAuthorized, RoutingCrustError
from ...forwarding_rules import known
from ...identity import Identity
from ...names import NAME_CHARACTERS, Name
from ...routing.private.network import PrivateNetwork
from ...routing.private.private_members import PrivateMembers
from ...routing.service import RoutingService
from ...trust.certificate import Certificate, MemberRole, SignedCertificate, check_tags
from ...trust.issuing import Issuer
from ...trust.judging import date_text
from ...trust.roster import Roster
from ...trust.statement import SignedStatement
from ..control.member_messages import (
    BanCommand,
    BannedReply,
    CertifiedReply,
    MembersCommand,
    MembersReply,
    RenewCommand,
    RoleCommand,
    TagCommand,
)
from ..control.server import ControlServer
from .listing import ban_text, member_table, member_tables
from .withdrawal import loss_of_admin, withdraw

MIN_PREFIX_CHARACTERS = 8
"""Characters of a name that must be given when its beginning stands for the member."""


class MemberError(RoutingCrustError):
    """A command about a member cannot be done; the error says why."""


class Administration:
    """Made by the daemon of a private network with its control socket, and discarded with it."""

    def __init__(
        self, routing: RoutingService, authority_key: Callable[[], Identity | None], label: str = ""
    ) -> None:
        """
        @param label: what the network is called here.
        @param authority_key: reads the key of the network's authority; C{None} if it is not kept here.
        """
        self._routing = routing
        self._authority_key = authority_key
        self._label = label

    def register(self, server: ControlServer) -> None:
        """Have these commands answered here."""
        server.handle(MembersCommand, self.members)
        server.handle(BanCommand, self.ban)
        server.handle(RenewCommand, self.renew)
        server.handle(TagCommand, self.tag)
        server.handle(RoleCommand, self.role)

    def members(self, command: MembersCommand) -> MembersReply:
        """Answer with the members that this node knows of."""
        members = self._members
        return MembersReply(
            network=self._routing.settings.network,
            label=self._label,
            authority=self._authority() is not None,
            members=member_tables(
                members.own.certificate, members.known, members.roster, self._links, members.now()
            ),
        )

    def ban(self, command: BanCommand) -> BannedReply:
        """
        Ban a member, or lift its bans, and tell all members.

        @raise MemberError: there is no such member, or it cannot be banned.
        @raise NotAuthorized: this node may not.
        """
        name, certificate = self._who(command.member)
        who, roster = _text(name, certificate), self._members.roster
        if command.lift:
            return self._lift(name, who, roster)
        if name == self._routing.node_name:
            raise MemberError("this is this node itself, which would lose all of its links: ban it elsewhere")
        authority, last, banned = self._authority(), roster.ban_of(name), ban_text(name, roster)
        rank = certificate is None or certificate.may_issue
        issuer = authority if authority is not None and (rank or self._own_issuer() is None) else None
        statement = (issuer or self._own()).ban(name, roster, self._members.now(), command.note)
        uncertified = [
            str(each.certificate)
            for each in self._members.known_signed
            if each.issuer_certificate is not None and each.issuer == name and each.certificate.name != name
        ]
        holders = tuple(self._members.current)
        self._network.add_statements([statement])
        after = self._members.roster
        return BannedReply(
            member=who,
            name=str(name),
            by=statement.issuer_text,
            linked=len(self._links),
            unbanned=tuple(self._name_text(each) for each in sorted(roster.banned - after.banned)),
            uncertified=tuple(sorted(uncertified)),
            before=banned if last is not None and last.issuer == statement.issuer else "",
            warning="" if banned or certificate is None else loss_of_admin(certificate, holders),
        )

    def renew(self, command: RenewCommand) -> CertifiedReply:
        """
        Issue new certificates that say the same, and give them to their members.

        @raise MemberError: there is no such member, or it is banned.
        @raise NotAuthorized: this node may not.
        """
        if not command.members:
            own = self._members.own.certificate
            if self._authority() is None and not own.may_issue:
                raise MemberError(
                    "admins and inviters that this node has links with renew its certificate by themselves: "
                    f"ask one of them for 'routing-crust renew {own.nickname}', if that must be now"
                )
            return CertifiedReply(members=(self._give(self._issuer(own).renew(own, self._members.now())),))
        lasts = [self._certificate(each) for each in command.members]
        # all of them are issued before any is given away: an error leaves everything as it was
        signed = [self._issuer(each).renew(each, self._members.now()) for each in lasts]
        return CertifiedReply(members=tuple(map(self._give, signed)))

    def tag(self, command: TagCommand) -> CertifiedReply:
        """
        Issue a certificate with other tags. Where one was removed, the older certificates are revoked.

        @raise MemberError: there is no such member, it is banned, or has no such tag.
        @raise InvalidCertificate: a tag is none, or there are too many.
        @raise NotAuthorized: this node may not.
        """
        last = self._certificate(command.member)
        added, removed = frozenset(command.add), frozenset(command.remove)
        check_tags(added)
        missing = removed - last.tags
        if missing:
            raise MemberError(f"{last} has no tag {min(missing)!r}: it has {_tags(last)}")
        if not added - last.tags and not removed:
            raise MemberError(f"{last} has these tags already: it has {_tags(last)}")
        issuer, now = self._issuer(last), self._members.now()
        tags = (last.tags | added) - removed
        signed = issuer.issue(last.name, last.nickname, last.roles, now, tags=tags, above_serial=last.serial)
        warning = ""
        if removed and last.may_issue:
            # a revocation would end the certificates that it has issued, too
            warning = (
                f"its old certificate, with {min(removed)!r}, is good until {date_text(last.not_after)}: it "
                "issues certificates, which a revocation would end as well"
            )
        elif removed:
            revocation = issuer.revoke(last.name, signed.certificate.serial, self._members.roster, now)
            # the member must have the new one first, or it would lose its links
            table = self._give(signed)
            self._network.add_statements([revocation])
            return CertifiedReply(members=(table,))
        return CertifiedReply(members=(self._give(signed),), warning=warning)

    def role(self, command: RoleCommand) -> CertifiedReply:
        """
        Issue a certificate with other roles. Where one is lost, the older certificates are revoked; the
        authority issues and states again what the admin or inviter has issued and stated before.

        @raise MemberError: there is no such member, it is banned, or may do just that already.
        @raise InvalidCertificate: there is no such role.
        @raise NotAuthorized: this node may not.
        """
        last = self._certificate(command.member)
        chosen = map(MemberRole.from_text, command.roles)
        roles = frozenset[MemberRole]().union(*(each.implied for each in chosen))
        if roles == last.roles:
            raise MemberError(f"{last} may do just that already: {_role_text(last.roles)}")
        members, now = self._members, self._members.now()
        issuer = self._issuer(last)
        if not issuer.certificate_is_enough_for(roles):
            issuer = self._authority() or issuer
        lost = last.roles - roles
        if lost and issuer.certificate is not None and last.name == self._routing.node_name:
            # it would revoke the certificate with which it signs that, and all that it has issued
            raise NotAuthorized(
                "only the authority takes the role from an admin or inviter that it has itself: use the "
                "machine that has the authority key, or another admin"
            )
        signed = issuer.issue(last.name, last.nickname, roles, now, tags=last.tags, above_serial=last.serial)
        serial = signed.certificate.serial
        others: tuple[SignedCertificate, ...] = ()
        statements: tuple[SignedStatement, ...] = ()
        warning = ""
        if lost and last.may_issue:
            known = [each for each in members.directory.values() if each.certificate.name != last.name]
            found = withdraw(issuer, last, serial, known, members.roster, now)
            others, statements = found.certificates, found.statements
            if MemberRole.ADMIN in lost:
                warning = loss_of_admin(last, tuple(members.current))
        elif lost:
            statements = (issuer.revoke(last.name, serial, members.roster, now),)
        if MemberRole.NODE in roles ^ last.roles:
            is_to_be = "node" if MemberRole.NODE in roles else "client"
            restart = (
                f"restart the daemon of {last} once it has the certificate: it is a {is_to_be} from then on"
            )
            warning = f"{warning}; {restart}" if warning else restart
        # they must have the new ones first, or they would lose their links
        tables = tuple(map(self._give, (signed, *others)))
        if statements:
            self._network.add_statements(statements)
        return CertifiedReply(members=tables, warning=warning)

    def _lift(self, name: Name, who: str, roster: Roster) -> BannedReply:
        if roster.ban_of(name) is None:
            raise MemberError(f"{who} is not banned")
        issuer = self._authority() or self._own()
        self._network.add_statements([issuer.pardon(name, roster, self._members.now())])
        return BannedReply(member=who, name=str(name), by="", linked=len(self._links))

    def _give(self, signed: SignedCertificate) -> dict[str, object]:
        delivered = self._network.give_certificate(signed)
        return {**member_table(signed.certificate), "delivered": delivered}

    def _certificate(self, text: str) -> Certificate:
        """
        The certificate of a member that is to have another one.

        @raise MemberError: there is none, or the member is banned.
        """
        name, certificate = self._who(text)
        banned = ban_text(name, self._members.roster)
        if banned:
            raise MemberError(f"{_text(name, certificate)} is banned {banned}")
        if certificate is None:
            raise MemberError(
                f"the certificate of {name.short} is not known here: it must have had a link with this node"
            )
        return certificate

    def _who(self, text: str) -> tuple[Name, Certificate | None]:
        """
        The member that a nickname, a name or the beginning of a name means, with its certificate if that is
        known.

        @raise MemberError: there is none, or there are several.
        """
        members = self._members
        all_known = (members.own.certificate, *members.known)
        found = {each.name for each in all_known if each.nickname == text}
        local = known(self._routing.settings.nicknames).get(text)
        if local is not None:
            found = {local}
        if not found and MIN_PREFIX_CHARACTERS <= len(text) < NAME_CHARACTERS:
            names = {each.name for each in all_known} | members.roster.banned
            found = {each for each in names if str(each).startswith(text.lower())}
        if len(found) > 1:
            texts = ", ".join(str(each) for each in sorted(found))
            raise MemberError(f"{text!r} can mean several members: {texts}; write the name")
        name = next(iter(found)) if found else self._name(text)
        return name, members.certificate_of(name)

    def _name(self, text: str) -> Name:
        try:
            return Name.from_text(text)
        except InvalidName:
            near = self._routing.directory.suggestion(text)
            raise MemberError(
                f"no member is known here that {text!r} means{near or ':'} 'routing-crust members' lists "
                "them. A member that was never seen here can be given by its whole name"
            ) from None

    def _issuer(self, certificate: Certificate) -> Issuer:
        """
        The issuer of the next certificate of a member: the authority where only it may, else this node.

        @raise NotAuthorized: neither is here.
        """
        authority = self._authority()
        if authority is not None and (certificate.may_issue or self._own_issuer() is None):
            return authority
        return self._own()

    def _authority(self) -> Issuer | None:
        key = self._authority_key()
        return None if key is None else Issuer(key)

    def _own(self) -> Issuer:
        return Issuer(self._routing.identity, self._members.own)

    def _own_issuer(self) -> Issuer | None:
        try:
            return self._own()
        except NotAuthorized:
            return None

    def _name_text(self, name: Name) -> str:
        return _text(name, self._members.certificate_of(name))

    @property
    def _links(self) -> list[dict[str, object]]:
        links = self._routing.status().get("links", [])
        assert isinstance(links, list)
        return links

    @property
    def _network(self) -> PrivateNetwork:
        """
        @raise MemberError: the node does not run.
        """
        network = self._routing.private_network
        if network is None:
            raise MemberError("the node does not run yet, or any more: try again")
        return network

    @property
    def _members(self) -> PrivateMembers:
        return self._network.members


def _text(name: Name, certificate: Certificate | None) -> str:
    return name.short if certificate is None else str(certificate)


def _role_text(roles: frozenset[MemberRole]) -> str:
    return ", ".join(each.text for each in sorted(roles))


def _tags(certificate: Certificate) -> str:
    return ", ".join(sorted(certificate.tags)) or "none"
