"""
The invitation desk of a daemon: makes invitations, and gives certificates to those who redeem them.

That an invitation was used is on the disk before the certificate leaves this process: after a crash it may be
used less often than it says, never more. A node whose answer was lost gets a certificate again, and no
further use is counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from ...endpoints import Endpoint
from ...errors import InvalidCertificate, InvalidInvitation, NotAuthorized, TrustFileError
from ...forwarding_rules import is_nickname
from ...identity import Identity
from ...names import Name
from ...quietlog import QuietLog
from ...trust.certificate import ISSUING_ROLES, MemberRole, SignedCertificate
from ...trust.codec import encode_certificate
from ...trust.invitation import Invitation
from ...trust.issuing import Issuer
from ...trust.ledger import LedgerEntry
from ...trust.redeeming import (
    MAX_LABEL_CHARACTERS,
    MAX_WELCOME_CONTACTS,
    Redeem,
    RedeemAnswer,
    RedeemRefusal,
    Redemption,
    Welcome,
    encode,
)
from ...trust.state_files import load_beacon_secret
from ...wire.codec import to_wire
from ...wire.messages import WireContact
from ..control.member_messages import InvitationsCommand, InvitationsReply, InviteCommand, InvitedReply
from ..control.messages import Reply
from .invitation_writer import InvitationWriter
from .kept_ledger import KeptLedger
from .listing import INVITATION_ID_CHARACTERS, invitation_table
from .surroundings import Credentials, Surroundings

DEFAULT_ROLES: Final = frozenset((MemberRole.NODE, MemberRole.RELAY))


class InvitationDesk:
    """
    The L{Inviter<routing_crust.routing.inviting.doorkeeper.Inviter>} of a daemon. Made with the daemon's
    start, discarded with its stop.
    """

    log = Logger()

    def __init__(
        self,
        state_dir: Path,
        label: str,
        identity: Identity,
        credentials: Credentials,
        surroundings: Surroundings,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param label: what the network is called here.
        @raise TrustFileError: the list of invitations, or the secret of the beacons, cannot be used.
        """
        self._label = label[:MAX_LABEL_CHARACTERS]
        self._identity = identity
        self._own = identity.name
        self._credentials = credentials
        self._surroundings = surroundings
        self._writer = InvitationWriter(credentials.network, identity.name, surroundings)
        self._now = now
        self._quiet = QuietLog(self.log, now)
        self._kept = kept = KeptLedger(state_dir, credentials, surroundings.describe, now)
        self.told_to, self.take, self.save = kept.told_to, kept.take, kept.save
        self._beacon_secret = load_beacon_secret(state_dir)

    def invite_when_known(self, command: InviteCommand) -> Deferred[Reply]:
        """
        As L{invite}, but soon after the start wait for the address that a router maps for us: without it the
        other machine could not dial this one.

        @return: fires with the reply, or fails with what L{invite} raises or
            L{ServiceStopped<routing_crust.errors.ServiceStopped>}.
        """
        ready: Deferred[None] = succeed(None)
        if self._writer.needs_a_router(command):
            ready = self._surroundings.when_routers_asked()
        return ready.addCallback(lambda _: self.invite(command))

    def invite(self, command: InviteCommand) -> InvitedReply:
        """
        Make an invitation.

        @raise InvalidCertificate: nobody can be given what the command says.
        @raise InvalidInvitation: it cannot be made so.
        @raise NotAuthorized: this node may not give that.
        @raise LimitReached: there are too many already.
        """
        roles = frozenset(map(MemberRole.from_text, command.roles)) or DEFAULT_ROLES
        now = self._now()
        if command.nickname and command.uses > 1:
            raise InvalidInvitation(
                "several machines cannot have one nickname: leave it to them, or invite each by itself"
            )
        if command.nickname:
            self._check_free(command.nickname)
        # now, not when somebody comes with it, who could do nothing about it
        self._issue(self._own, command.nickname or "somebody", roles, frozenset(command.tags))
        at = tuple(Endpoint.from_text(each) for each in command.at)
        expiry = int(now + command.lifetime)
        made = self._writer.written(command, expiry)
        entry = LedgerEntry(
            made.secret if isinstance(made, Invitation) else made.secret(),
            expiry,
            command.uses,
            command.nickname,
            roles,
            frozenset(command.tags),
            command.allow,
        )
        self._kept.keep(self._kept.ledger.adding(entry, now))
        self._surroundings.invitations_changed()
        if at:
            self._surroundings.call_on(at, expiry)
        self.log.info(
            "made an invitation for {who}, until {until}",
            who=command.nickname or f"{command.uses} members",
            until=time.strftime("%Y-%m-%d %H:%M", time.localtime(expiry)),
        )
        return InvitedReply(
            line=made.text,
            expires=float(expiry),
            endpoints=tuple(map(str, (*made.hosts, *made.endpoints))),
            warning=self._writer.warning(command, made),
            not_exposed=tuple(each for each in command.allow if not self._surroundings.is_exposed(each)),
        )

    def invitations(self, command: InvitationsCommand) -> InvitationsReply:
        """
        List the invitations, the latest first, or take one back.

        @raise InvalidInvitation: there is none with this id, there are several, or it cannot be used anyway.
        """
        found = self._kept.ledger.entries[::-1]
        if command.void:
            entry = self._find(command.void)
            self._kept.keep(self._kept.ledger.voiding(entry.id))
            self._surroundings.invitations_changed()
            self.log.info("the invitation {id} is taken back", id=entry.id.hex()[:INVITATION_ID_CHARACTERS])
            found = tuple(each for each in self._kept.ledger.entries if each.id == entry.id)
        own, now = self._credentials.certificate.certificate, self._now()
        describe = self._surroundings.describe
        return InvitationsReply(tuple(invitation_table(each, own, describe, now) for each in found))

    def _find(self, beginning: str) -> LedgerEntry:
        found = [each for each in self._kept.ledger.entries if each.id.hex().startswith(beginning.lower())]
        if not found:
            raise InvalidInvitation(
                f"no invitation is known here whose id begins with {beginning!r}: see "
                "'routing-crust invite --list'"
            )
        if len(found) > 1:
            raise InvalidInvitation(
                f"{len(found)} invitations have ids that begin with {beginning!r}: write more"
            )
        if not found[0].is_open(self._now()):
            raise InvalidInvitation(f"the invitation {beginning} cannot be redeemed any more anyway")
        return found[0]

    def has(self, which: bytes) -> bool:
        """Whether there is a copy here of this invitation, by somebody else who is not banned."""
        entry = self._kept.ledger.find(which)
        if entry is None or entry.inviter is None or self._surroundings.is_banned(entry.inviter):
            return False
        return self._credentials.certificate.certificate.is_admin

    def allows(self, name: Name, protocol: str) -> bool:
        """Whether a member was invited with leave to use this protocol here."""
        return any(name in each.used_by and protocol in each.allow for each in self._kept.ledger.entries)

    def redeem(self, name: Name, binding: bytes, redeem: Redeem) -> RedeemAnswer:
        """Judge a try; see L{Inviter<routing_crust.routing.inviting.doorkeeper.Inviter>}."""
        entry = self._kept.ledger.find(redeem.invitation)
        if entry is None:
            self._refused(name, RedeemRefusal.UNKNOWN)
            return RedeemAnswer(RedeemRefusal.UNKNOWN)
        inviter = self._own if entry.inviter is None else entry.inviter
        attempt = Redemption(redeem.network, inviter, entry.secret, name, binding)
        # the same answer as above: nobody without the secret may learn which invitations there are
        if not attempt.is_asked_by(redeem):
            self._refused(name, RedeemRefusal.UNKNOWN)
            return RedeemAnswer(RedeemRefusal.UNKNOWN)
        nickname = entry.nickname or redeem.nickname
        refusal = self._refusal(entry, name, nickname)
        if refusal is RedeemRefusal.NONE:
            try:
                return attempt.answer(refusal, self._welcome(entry, name, nickname))
            except (NotAuthorized, InvalidCertificate, TrustFileError, OSError) as error:
                self.log.error("cannot let {who} in: {problem}", who=nickname, problem=error)
                refusal = RedeemRefusal.CANNOT_ISSUE
        self._refused(name, refusal)
        return attempt.answer(refusal)

    def _refusal(self, entry: LedgerEntry, name: Name, nickname: str) -> RedeemRefusal:
        if entry.void and name not in entry.used_by:
            return RedeemRefusal.VOID
        if name not in entry.used_by and entry.is_expired(self._now()):
            return RedeemRefusal.EXPIRED
        # a banned member may still have the line, and another key costs nothing
        is_void = any(map(self._surroundings.is_banned, (*entry.used_by, name)))
        if is_void or entry.is_used_up_for(name):
            return RedeemRefusal.USED_UP
        if not is_nickname(nickname):
            return RedeemRefusal.NICKNAME_MISSING
        return RedeemRefusal.NICKNAME_TAKEN if self._is_taken(nickname, name) else RedeemRefusal.NONE

    def _welcome(self, entry: LedgerEntry, name: Name, nickname: str) -> bytes:
        # before the use is counted: an invitation must not be used up by a failure
        signed = self._issue(name, nickname, entry.roles, entry.tags)
        contacts = tuple(
            WireContact(each.name.raw, to_wire(each.endpoint))
            for each in self._writer.doors()[:MAX_WELCOME_CONTACTS]
            if each.name is not None
        )
        welcome = encode(
            Welcome(
                self._label,
                encode_certificate(signed),
                self._beacon_secret,
                contacts,
                1 + self._surroundings.linked_members(),
            )
        )
        # last, since it may fail; and before the certificate leaves this process
        self._kept.keep(self._kept.ledger.spending(entry.id, name))
        # so that no other admin gives its nickname away before it has come
        self._surroundings.tell_of(signed)
        self._surroundings.invitations_changed()
        self.log.info("{member} has redeemed an invitation", member=str(signed.certificate))
        return welcome

    def _issue(
        self, name: Name, nickname: str, roles: frozenset[MemberRole], tags: frozenset[str]
    ) -> SignedCertificate:
        # read each time, so that taking the key off this machine takes effect at once
        authority = None if ISSUING_ROLES.isdisjoint(roles) else self._surroundings.authority_key()
        if authority is not None:
            issuer = Issuer(authority)
        else:
            issuer = Issuer(self._identity, self._credentials.certificate)
        return issuer.issue(name, nickname, roles, self._now(), tags=tags)

    def _check_free(self, nickname: str) -> None:
        if self._is_taken(nickname, None):
            raise InvalidInvitation(f"another member is called {nickname!r} already: choose another nickname")

    def _is_taken(self, nickname: str, name: Name | None) -> bool:
        known = (*self._surroundings.known_members(), self._credentials.certificate.certificate)
        if any(each.nickname.lower() == nickname.lower() and each.name != name for each in known):
            return True
        # those that have redeemed, and that we have not met as members yet
        return any(
            each.nickname.lower() == nickname.lower()
            and any(user != name and not self._surroundings.is_banned(user) for user in each.used_by)
            for each in self._kept.ledger.entries
        )

    def _refused(self, name: Name, refusal: RedeemRefusal) -> None:
        self._quiet.info(
            refusal.name,
            "refused the invitation of {name}: {reason}",
            name=name,
            reason=refusal.name.lower().replace("_", " "),
        )
