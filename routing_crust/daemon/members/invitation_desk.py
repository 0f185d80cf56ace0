"""
The invitation desk of a daemon: makes invitations, and gives certificates to those who redeem them.

That an invitation was used is on the disk before the certificate leaves this process: after a crash it may be
used less often than it says, never more. Whoever has redeemed one gets a certificate again when the answer
was lost, and no use of it more is counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from secrets import token_bytes
from typing import Final, Protocol

from twisted.logger import Logger

from ...endpoints import Contact, Endpoint, is_local_only
from ...errors import InvalidCertificate, InvalidInvitation, NotAuthorized, TrustFileError
from ...forwarding_rules import is_nickname
from ...identity import Identity
from ...names import Name
from ...quietlog import QuietLog
from ...routing.service import RoutingService
from ...trust.certificate import ISSUING_ROLES, Certificate, MemberRole, SignedCertificate
from ...trust.codec import encode_certificate
from ...trust.invitation import MAX_INVITATION_ENDPOINTS, SECRET_BYTES, Invitation
from ...trust.issuing import Issuer
from ...trust.ledger import Ledger, LedgerEntry
from ...trust.ledger_file import load_ledger, save_ledger
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
from ...trust.state_files import load_authority, load_beacon_secret
from ...wire.codec import to_wire
from ...wire.messages import WireContact
from ..control.member_messages import InviteCommand, InvitedReply

DEFAULT_ROLES: Final = frozenset((MemberRole.NODE, MemberRole.RELAY))
OWN_ENDPOINTS: Final = 3
"""Of those that an invitation names; the others are members that pass on to us."""


class Credentials(Protocol):
    """
    What a member has to show and to sign with.

    @ivar network: the id of the private network.
    @ivar certificate: this member's.
    """

    network: str
    certificate: SignedCertificate


class Surroundings(Protocol):
    """What the desk asks of the node, and of its state directory."""

    def authority_key(self) -> Identity | None:
        """
        The key of the network's authority, where that is; else C{None}.

        @raise TrustFileError: it cannot be used.
        """
        ...

    def doors(self) -> tuple[Contact, ...]:
        """Where this node, and then other members, can be dialled, as far as is known."""
        ...

    def known_members(self) -> Iterable[Certificate]:
        """The certificates of members that hold now, as far as this node has heard of them."""
        ...

    def tell_of(self, signed: SignedCertificate) -> None:
        """Tell all members of a new one."""
        ...

    def is_banned(self, name: Name) -> bool:
        """Whether this member is banned."""
        ...

    def linked_members(self) -> int:
        """How many members it has links with."""
        ...

    def call_on(self, endpoints: Iterable[Endpoint], until: float) -> None:
        """Dial these places until then, so that somebody there can redeem an invitation."""
        ...


class NodeSurroundings:
    """The L{Surroundings} of a daemon's desk."""

    def __init__(self, routing: RoutingService, state_dir: Path) -> None:
        self._routing = routing
        self._state_dir = state_dir
        self.doors = routing.doors
        self.call_on = routing.call_on

    def authority_key(self) -> Identity | None:
        """See L{Surroundings.authority_key}."""
        return load_authority(self._state_dir, self._routing.settings.network)

    def known_members(self) -> Iterable[Certificate]:
        """See L{Surroundings.known_members}."""
        network = self._routing.private_network
        return () if network is None else network.members.current

    def tell_of(self, signed: SignedCertificate) -> None:
        """See L{Surroundings.tell_of}."""
        network = self._routing.private_network
        if network is not None:
            network.members.met(signed)

    def is_banned(self, name: Name) -> bool:
        """See L{Surroundings.is_banned}."""
        network = self._routing.private_network
        return network is not None and network.members.is_banned(name)

    def linked_members(self) -> int:
        """See L{Surroundings.linked_members}."""
        links = self._routing.status().get("links", ())
        return len(links) if isinstance(links, Sequence) else 0


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
        self._state_dir = state_dir
        self._label = label[:MAX_LABEL_CHARACTERS]
        self._identity = identity
        self._own = identity.name
        self._credentials = credentials
        self._surroundings = surroundings
        self._now = now
        self._quiet = QuietLog(self.log, now)
        self._ledger: Ledger = load_ledger(state_dir, credentials.network)
        self._beacon_secret = load_beacon_secret(state_dir)

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
        doors = tuple(each.endpoint for each in self._doors())
        invitation = Invitation(
            self._credentials.network,
            self._own,
            doors,
            token_bytes(SECRET_BYTES),
            int(now + command.lifetime),
            command.uses,
        )
        entry = LedgerEntry(
            invitation.secret,
            invitation.expiry,
            command.uses,
            command.nickname,
            roles,
            frozenset(command.tags),
            command.allow,
        )
        self._keep(self._ledger.adding(entry, now))
        if at:
            self._surroundings.call_on(at, invitation.expiry)
        self.log.info(
            "made an invitation for {who}, until {until}",
            who=command.nickname or f"{command.uses} members",
            until=time.strftime("%Y-%m-%d %H:%M", time.localtime(invitation.expiry)),
        )
        return InvitedReply(
            line=invitation.text,
            expires=float(invitation.expiry),
            endpoints=tuple(map(str, doors)),
            warning="" if at else _warning(doors),
        )

    def allows(self, name: Name, protocol: str) -> bool:
        """Whether a member was invited with leave to use this protocol here."""
        return any(name in each.used_by and protocol in each.allow for each in self._ledger.entries)

    def redeem(self, name: Name, binding: bytes, redeem: Redeem) -> RedeemAnswer:
        """Judge a try; see L{Inviter<routing_crust.routing.inviting.doorkeeper.Inviter>}."""
        entry = self._ledger.find(redeem.invitation)
        if entry is None:
            self._refused(name, RedeemRefusal.UNKNOWN)
            return RedeemAnswer(RedeemRefusal.UNKNOWN)
        own = self._own
        attempt = Redemption(self._credentials.network, own, entry.secret, name, binding)
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
        if name not in entry.used_by and entry.is_expired(self._now()):
            return RedeemRefusal.EXPIRED
        # who was banned may still have the line, and another key costs nothing
        is_void = any(map(self._surroundings.is_banned, (*entry.used_by, name)))
        if is_void or entry.is_used_up_for(name):
            return RedeemRefusal.USED_UP
        if not is_nickname(nickname):
            return RedeemRefusal.NICKNAME_MISSING
        return RedeemRefusal.NICKNAME_TAKEN if self._is_taken(nickname, name) else RedeemRefusal.NONE

    def _welcome(self, entry: LedgerEntry, name: Name, nickname: str) -> bytes:
        signed = self._issue(name, nickname, entry.roles, entry.tags)
        contacts = tuple(
            WireContact(each.name.raw, to_wire(each.endpoint))
            for each in self._doors()[:MAX_WELCOME_CONTACTS]
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
        self._keep(self._ledger.spending(entry.id, name))
        # so that no other admin gives its nickname away before it has come
        self._surroundings.tell_of(signed)
        self.log.info("{member} has redeemed an invitation", member=str(signed.certificate))
        return welcome

    def _issue(
        self, name: Name, nickname: str, roles: frozenset[MemberRole], tags: frozenset[str]
    ) -> SignedCertificate:
        # read anew each time, so that taking the key off this machine takes effect at once
        authority = None if ISSUING_ROLES.isdisjoint(roles) else self._surroundings.authority_key()
        if authority is not None:
            issuer = Issuer(authority)
        else:
            issuer = Issuer(self._identity, self._credentials.certificate)
        return issuer.issue(name, nickname, roles, self._now(), tags=tags)

    def _doors(self) -> tuple[Contact, ...]:
        own, found = self._own, self._surroundings.doors()
        mine = [each for each in found if each.name == own][:OWN_ENDPOINTS]
        others = [each for each in found if each.name != own]
        return tuple((mine + others)[:MAX_INVITATION_ENDPOINTS])

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
            for each in self._ledger.entries
        )

    def _keep(self, ledger: Ledger) -> None:
        save_ledger(self._state_dir, self._credentials.network, ledger)
        self._ledger = ledger

    def _refused(self, name: Name, refusal: RedeemRefusal) -> None:
        self._quiet.info(
            refusal.name,
            "refused the invitation of {name}: {reason}",
            name=name,
            reason=refusal.name.lower().replace("_", " "),
        )


def _warning(doors: tuple[Endpoint, ...]) -> str:
    """What keeps an invitation with these endpoints from being redeemed."""
    if not doors:
        return (
            "nobody can dial this node: it listens nowhere, and it has no link with a member that does. "
            "Say with --at where it can dial the other machine"
        )
    if all(is_local_only(each) for each in doors):
        return (
            "this works in this local network only: no address of this node, or of a member that it has a "
            "link with, can be dialled from outside. If the other machine has such an address, give it "
            "with --at"
        )
    return ""
