"""
The invitation desk: what it writes into invitations, whom it gives a certificate, and what is on the disk
then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.control.member_messages import InvitationsCommand, InviteCommand, InvitedReply
from routing_crust.daemon.members import kept_ledger
from routing_crust.daemon.members.invitation_desk import InvitationDesk
from routing_crust.daemon.text import invitations_text
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.errors import (
    InvalidCertificate,
    InvalidEndpoint,
    InvalidInvitation,
    NotAuthorized,
    ServiceStopped,
)
from routing_crust.hosts.contacts import NamedContact
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.trust.certificate import Certificate, Ed25519Verifier, MemberRole, SignedCertificate
from routing_crust.trust.codec import decode_certificate
from routing_crust.trust.invitation import Invitation
from routing_crust.trust.issuing import Issuer
from routing_crust.trust.judging import judge
from routing_crust.trust.ledger import Ledger, LedgerEntry
from routing_crust.trust.ledger_file import load_ledger
from routing_crust.trust.ledger_sharing import frames_for
from routing_crust.trust.networks import network_of
from routing_crust.trust.redeeming import RedeemAnswer, RedeemRefusal, Redemption, Welcome, decode_welcome
from routing_crust.trust.roster import Roster
from routing_crust.trust.short_invitation import ShortInvitation
from routing_crust.trust.state_files import save_beacon_secret

from ..fakes import IDENTITIES, temporary_directory

AUTHORITY, FOUNDER, LAPTOP, PHONE = IDENTITIES[:4]
NETWORK = network_of(AUTHORITY.name)
NOW = 1_800_000_000.0


def name_of(identity: Identity) -> Name:
    return identity.name


def certified(identity: Identity, nickname: str, *roles: MemberRole) -> SignedCertificate:
    return Issuer(AUTHORITY).issue(name_of(identity), nickname, roles, NOW - 60)


class Here:
    """Credentials and surroundings of a member."""

    network = NETWORK

    def __init__(self, certificate: SignedCertificate) -> None:
        self.certificate = certificate
        self.key: Identity | None = None
        self.banned: set[Name] = set()
        self.told: list[str] = []
        self.changes = 0
        self.members: list[Certificate] = []
        self.calls: list[tuple[tuple[Endpoint, ...], float]] = []
        self.asked: Deferred[None] | None = None
        self.found: tuple[Contact, ...] = (
            Contact(Endpoint("192.168.1.2", 5483), name_of(FOUNDER)),
            Contact(Endpoint("5.5.5.5", 5483), name_of(PHONE)),
        )

    def authority_key(self) -> Identity | None:
        return self.key

    def doors(self) -> tuple[Contact, ...]:
        return self.found

    def known_members(self) -> Iterable[Certificate]:
        return self.members

    def describe(self, name: Name) -> str:
        return name.short

    def invitations_changed(self) -> None:
        self.changes += 1

    def tell_of(self, signed: SignedCertificate) -> None:
        self.told.append(signed.certificate.nickname)

    def is_banned(self, name: Name) -> bool:
        return name in self.banned

    def linked_members(self) -> int:
        return len(self.members)

    def is_exposed(self, protocol: str) -> bool:
        return protocol == "web"

    def when_routers_asked(self) -> Deferred[None]:
        self.asked = Deferred()
        return self.asked

    def call_on(self, endpoints: Iterable[Endpoint], until: float) -> None:
        self.calls.append((tuple(endpoints), until))


class DeskTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder: Path = temporary_directory(self)
        self.now = NOW
        self.here = Here(certified(FOUNDER, "desk", MemberRole.NODE, MemberRole.ADMIN))
        save_beacon_secret(self.folder, b"b" * 32)
        self.desk = self.opened()

    def opened(self) -> InvitationDesk:
        return InvitationDesk(self.folder, "home", FOUNDER, self.here, self.here, lambda: self.now)

    def invite(self, **options: object) -> Invitation:
        return Invitation.from_text(self.desk.invite(InviteCommand(**options)).line)  # type: ignore[arg-type]

    def attempt(self, invitation: Invitation, who: Identity = LAPTOP) -> Redemption:
        return Redemption(NETWORK, name_of(FOUNDER), invitation.secret, name_of(who), b"binding")

    def redeem(self, invitation: Invitation, who: Identity = LAPTOP, nickname: str = "mine") -> RedeemAnswer:
        attempt = self.attempt(invitation, who)
        answer = self.desk.redeem(name_of(who), b"binding", attempt.ask((2,), nickname))
        self.assertTrue(attempt.is_answered_by(answer))
        return answer

    def welcomed(self, invitation: Invitation, who: Identity = LAPTOP, nickname: str = "mine") -> Welcome:
        answer = self.redeem(invitation, who, nickname)
        self.assertEqual(answer.refusal, RedeemRefusal.NONE)
        return decode_welcome(answer.body)

    def certificate(self, welcome: Welcome, who: Identity = LAPTOP) -> Certificate:
        signed = decode_certificate(welcome.certificate)
        found = judge(signed, NETWORK, name_of(who), Roster(NETWORK), self.now, Ed25519Verifier())
        self.assertIsNone(found)
        return signed.certificate


class InvitingTests(DeskTestCase):
    def test_places_that_are_given_go_before_those_that_are_known(self) -> None:
        self.here.found = self.here.found[:1]
        reply = self.desk.invite(InviteCommand(addresses=("Home.Example.org:5483", "5.5.5.7:1")))
        invitation = Invitation.from_text(reply.line)
        self.assertEqual(invitation.hosts, (NamedContact("home.example.org", 5483),))
        self.assertEqual(list(map(str, invitation.endpoints)), ["5.5.5.7:1", "192.168.1.2:5483"])
        self.assertEqual(reply.endpoints, ("home.example.org:5483", "5.5.5.7:1", "192.168.1.2:5483"))
        # without them it would say that it works in the local network only
        self.assertEqual(reply.warning, "")
        self.assertIn("local network only", self.desk.invite(InviteCommand()).warning)

    def test_places_that_no_invitation_can_name_are_refused(self) -> None:
        name = name_of(FOUNDER)
        long = ".".join(["a" * 50] * 3)
        for given, what in (
            ((f"{name}@home.example.org:1",), f"leave {name}@ out"),
            (("dns:example.org",), "write HOST:PORT"),
            (tuple(f"5.5.5.{each}:1" for each in range(7)), "at most 6 places"),
            ((f"{long}.example.org:1",), "no room for these host names"),
            ((f"{long[:140]}:1", "[2001:db8::1]:1"), "no place for so many addresses"),
        ):
            problem = self.assertRaises(InvalidInvitation, self.desk.invite, InviteCommand(addresses=given))
            self.assertIn(what, str(problem))
        self.assertRaises(InvalidEndpoint, self.desk.invite, InviteCommand(addresses=("home",)))
        self.assertEqual(self.here.changes, 0)

    def test_invitation_right_after_the_start_has_what_the_router_maps(self) -> None:
        mapped = Contact(Endpoint("5.5.5.9", 5483), name_of(FOUNDER))
        self.here.found = self.here.found[:1]
        invited = self.desk.invite_when_known(InviteCommand())
        self.assertNoResult(invited)
        assert self.here.asked is not None
        self.here.found = (mapped, *self.here.found)
        self.here.asked.callback(None)
        reply = self.successResultOf(invited)
        assert isinstance(reply, InvitedReply)
        self.assertEqual((reply.endpoints[0], reply.warning), (str(mapped.endpoint), ""))

    def test_router_is_not_waited_for_where_another_way_is_known(self) -> None:
        self.successResultOf(self.desk.invite_when_known(InviteCommand()))
        self.here.found = ()
        for way in ({"at": ("5.5.5.7:1",)}, {"addresses": ("home.example.org:1",)}):
            self.successResultOf(self.desk.invite_when_known(InviteCommand(**way)))
        self.assertIsNone(self.here.asked)

    def test_stop_while_the_router_is_asked_makes_no_invitation(self) -> None:
        self.here.found = ()
        invited = self.desk.invite_when_known(InviteCommand())
        assert self.here.asked is not None
        self.here.asked.errback(ServiceStopped("the daemon is stopping"))
        self.failureResultOf(invited, ServiceStopped)
        self.assertEqual(self.here.changes, 0)

    def test_invitation_says_where_and_until_when(self) -> None:
        reply = self.desk.invite(InviteCommand(nickname="laptop", lifetime=3600.0))
        invitation = Invitation.from_text(reply.line)
        self.assertEqual(invitation.network, NETWORK)
        self.assertEqual(invitation.inviter, name_of(FOUNDER))
        self.assertEqual(invitation.endpoints, (Endpoint("192.168.1.2", 5483), Endpoint("5.5.5.5", 5483)))
        self.assertEqual((invitation.expiry, invitation.uses), (int(NOW) + 3600, 1))
        self.assertEqual(reply.expires, NOW + 3600)
        self.assertEqual(reply.warning, "")

    def test_invitation_that_works_in_the_local_network_only_says_so(self) -> None:
        self.here.found = self.here.found[:1]
        self.assertIn("this works in this local network only", self.desk.invite(InviteCommand()).warning)
        self.here.found = ()
        self.assertIn("nobody can dial this node", self.desk.invite(InviteCommand()).warning)

    def test_other_machine_that_can_be_dialled_is_dialled(self) -> None:
        self.here.found = self.here.found[:1]
        reply = self.desk.invite(InviteCommand(at=("5.5.5.9:5483",)))
        self.assertEqual(reply.warning, "")
        self.assertEqual(self.here.calls, [((Endpoint("5.5.5.9", 5483),), NOW + 86400)])

    def test_what_nobody_can_be_given_is_refused_at_once(self) -> None:
        for options, error, text in (
            ({"roles": ("king",)}, InvalidCertificate, "'king' is not a role"),
            ({"tags": ("a b",)}, InvalidCertificate, "'a b' cannot be a tag"),
            ({"roles": ("admin",)}, NotAuthorized, "only the authority makes admins and inviters"),
            ({"nickname": "desk"}, InvalidInvitation, "is called 'desk' already"),
            ({"nickname": "x", "uses": 2}, InvalidInvitation, "several machines cannot have one nickname"),
        ):
            found = self.assertRaises(error, self.invite, **options)
            self.assertIn(text, str(found))
        self.assertEqual(load_ledger(self.folder, NETWORK).entries, ())

    def test_authority_makes_admins(self) -> None:
        self.here.key = AUTHORITY
        welcome = self.welcomed(self.invite(nickname="laptop", roles=("node", "admin")))
        self.assertEqual(self.certificate(welcome).roles, {MemberRole.NODE, MemberRole.ADMIN})

    def test_plain_member_invites_nobody(self) -> None:
        issuer = Issuer(FOUNDER, self.here.certificate)
        self.here.certificate = issuer.issue(name_of(FOUNDER), "desk", (MemberRole.NODE,), NOW)
        self.assertIn(
            "is neither an admin nor an inviter", str(self.assertRaises(NotAuthorized, self.invite))
        )


class ShortTests(DeskTestCase):
    def short(self, **options: object) -> ShortInvitation:
        command = InviteCommand(short=True, **options)  # type: ignore[arg-type]
        return ShortInvitation.from_text(self.desk.invite(command).line)

    def test_it_names_the_own_address_that_most_can_dial(self) -> None:
        own = name_of(FOUNDER)
        public = Contact(Endpoint("5.5.5.9", 1024), own)
        v6 = Contact(Endpoint("2001:4860::9", 5483), own)
        for found, expected in (
            (self.here.found, "192.168.1.2:5483"),
            ((*self.here.found, v6), "[2001:4860::9]:5483"),
            ((*self.here.found, v6, public), "5.5.5.9:1024"),
        ):
            self.here.found = found
            self.assertEqual(str(self.short().endpoint), expected)
        self.assertEqual(str(self.short(addresses=("5.5.5.7:5483",)).endpoint), "5.5.5.7:5483")

    def test_it_is_redeemed_without_the_id_of_the_network(self) -> None:
        short = self.short(nickname="laptop")
        attempt = Redemption("", name_of(FOUNDER), short.secret(), name_of(LAPTOP), b"binding")
        answer = self.desk.redeem(name_of(LAPTOP), b"binding", attempt.ask((2,), ""))
        self.assertTrue(attempt.is_answered_by(answer))
        self.assertEqual(self.certificate(decode_welcome(answer.body)).nickname, "laptop")
        self.assertEqual(load_ledger(self.folder, NETWORK).entries[0].used_by, (name_of(LAPTOP),))

    def test_what_keeps_it_from_being_redeemed_is_said(self) -> None:
        # the whole line would name the member at 5.5.5.5
        reply = self.desk.invite(InviteCommand(short=True))
        self.assertIn("an invitation without --short names it", reply.warning)
        self.here.found = self.here.found[:1]
        self.assertIn("give it with --at", self.desk.invite(InviteCommand(short=True)).warning)
        self.here.found = (Contact(Endpoint("5.5.5.9", 5483), name_of(FOUNDER)),)
        self.assertEqual(self.desk.invite(InviteCommand(short=True)).warning, "")

    def test_router_is_waited_for_although_a_member_could_be_dialled(self) -> None:
        self.assertNoResult(self.desk.invite_when_known(InviteCommand(short=True)))

    def test_places_that_it_has_no_room_for_are_refused(self) -> None:
        for addresses in (("home.example.org:5483",), ("5.5.5.7:1", "5.5.5.8:1")):
            error = self.assertRaises(InvalidInvitation, self.short, addresses=addresses)
            self.assertIn("room for one address, and for no host name", str(error))
        self.here.found = self.here.found[1:]
        self.assertIn("leave --short out", str(self.assertRaises(InvalidInvitation, self.short)))
        self.assertEqual(self.here.changes, 0)


class RedeemingTests(DeskTestCase):
    def test_new_member_gets_what_the_invitation_says(self) -> None:
        welcome = self.welcomed(self.invite(nickname="laptop", roles=("client",), tags=("family",)))
        certificate = self.certificate(welcome)
        self.assertEqual((certificate.nickname, certificate.tags), ("laptop", {"family"}))
        self.assertEqual(certificate.roles, {MemberRole.CLIENT})
        self.assertEqual((welcome.label, welcome.members), ("home", 1))
        self.assertEqual(welcome.beacon_secret, b"b" * 32)
        self.assertEqual([each.name for each in welcome.contacts], [FOUNDER.name.raw, PHONE.name.raw])

    def test_nickname_is_the_joiners_where_the_invitation_leaves_it_open(self) -> None:
        self.assertEqual(self.certificate(self.welcomed(self.invite())).nickname, "mine")
        self.assertEqual(self.redeem(self.invite(), PHONE, "").refusal, RedeemRefusal.NICKNAME_MISSING)
        self.assertEqual(self.redeem(self.invite(), PHONE, "a b").refusal, RedeemRefusal.NICKNAME_MISSING)

    def test_invitation_is_used_up(self) -> None:
        invitation = self.invite(uses=2)
        self.welcomed(invitation, LAPTOP, "one")
        self.welcomed(invitation, PHONE, "two")
        self.assertEqual(self.redeem(invitation, IDENTITIES[5], "three").refusal, RedeemRefusal.USED_UP)

    def test_who_has_redeemed_it_is_answered_again(self) -> None:
        invitation = self.invite(nickname="laptop")
        self.welcomed(invitation)
        self.now += 10 * 86400
        self.assertEqual(self.certificate(self.welcomed(invitation)).nickname, "laptop")
        (entry,) = load_ledger(self.folder, NETWORK).entries
        self.assertEqual(entry.used_by, (name_of(LAPTOP),))

    def test_expired_one_is_refused_as_such(self) -> None:
        invitation = self.invite(lifetime=60.0)
        self.now += 61
        self.assertEqual(self.redeem(invitation).refusal, RedeemRefusal.EXPIRED)

    def test_wrong_secret_learns_nothing(self) -> None:
        invitation = self.invite()
        wrong = Redemption(NETWORK, name_of(FOUNDER), b"x" * 16, name_of(LAPTOP), b"binding")
        expected = RedeemAnswer(RedeemRefusal.UNKNOWN)
        answer = self.desk.redeem(name_of(LAPTOP), b"binding", wrong.ask((2,), "n"))
        self.assertEqual(answer, expected)
        right = self.attempt(invitation)
        for name, binding in ((name_of(PHONE), b"binding"), (name_of(LAPTOP), b"other")):
            self.assertEqual(self.desk.redeem(name, binding, right.ask((2,), "n")), expected)
        self.assertEqual(load_ledger(self.folder, NETWORK).entries[0].used_by, ())

    def test_use_is_on_the_disk_before_the_certificate_is_given(self) -> None:
        invitation = self.invite()
        with mock.patch.object(kept_ledger, "save_ledger", side_effect=OSError(28, "no space")):
            self.assertEqual(self.redeem(invitation).refusal, RedeemRefusal.CANNOT_ISSUE)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.welcomed(invitation)
        self.desk = self.opened()
        self.assertEqual(self.redeem(invitation, PHONE).refusal, RedeemRefusal.USED_UP)

    def test_nickname_of_another_member_is_taken(self) -> None:
        self.here.members = [certified(PHONE, "phone", MemberRole.NODE).certificate]
        refusal = self.redeem(self.invite(), LAPTOP, "phone").refusal
        self.assertEqual(refusal, RedeemRefusal.NICKNAME_TAKEN)
        self.assertEqual(self.redeem(self.invite(), LAPTOP, "desk").refusal, RedeemRefusal.NICKNAME_TAKEN)
        self.welcomed(self.invite(nickname="laptop"))
        error = self.assertRaises(InvalidInvitation, self.invite, nickname="laptop")
        self.assertIn("'laptop' already", str(error))

    def test_nickname_is_taken_whatever_the_case_of_its_letters(self) -> None:
        self.here.members = [certified(PHONE, "phone", MemberRole.NODE).certificate]
        self.assertEqual(self.redeem(self.invite(), LAPTOP, "Phone").refusal, RedeemRefusal.NICKNAME_TAKEN)
        self.welcomed(self.invite(nickname="laptop"))
        self.assertRaises(InvalidInvitation, self.invite, nickname="LapTop")

    def test_nickname_of_who_has_redeemed_and_was_banned_is_free(self) -> None:
        self.welcomed(self.invite(nickname="laptop"))
        self.here.banned.add(LAPTOP.name)
        self.invite(nickname="laptop")

    def test_invitations_are_listed_with_their_state_and_without_their_secrets(self) -> None:
        used, invitation = self.invite(nickname="laptop"), self.invite(uses=3, lifetime=7200.0)
        self.welcomed(used)
        first, second = self.desk.invitations(InvitationsCommand()).invitations
        self.assertEqual((first["state"], first["uses"], first["used_by"]), ("open", 3, []))
        self.assertEqual((second["state"], second["used_by"]), ("used up", [name_of(LAPTOP).short]))
        self.assertEqual(second["nickname"], "laptop")
        self.assertNotIn(invitation.secret.hex(), str(first))
        self.now += 7201
        self.assertEqual(self.desk.invitations(InvitationsCommand()).invitations[0]["state"], "expired")
        text = invitations_text((first, second))
        self.assertRegex(text, rf"{first['id']}  -  .* open .* 0 of 3  - ")

    def test_invitation_that_is_taken_back_is_refused_as_such(self) -> None:
        invitation = self.invite(uses=2)
        self.welcomed(invitation, LAPTOP, "one")
        (found,) = self.desk.invitations(InvitationsCommand()).invitations
        (void,) = self.desk.invitations(InvitationsCommand(found["id"])).invitations
        self.assertEqual(void["state"], "taken back")
        self.desk = self.opened()
        self.assertEqual(self.redeem(invitation, PHONE, "two").refusal, RedeemRefusal.VOID)
        # whose answer was lost gets it again
        self.welcomed(invitation, LAPTOP, "one")

    def test_what_cannot_be_taken_back_is_named(self) -> None:
        self.invite()
        (found,) = self.desk.invitations(InvitationsCommand()).invitations
        self.desk.invitations(InvitationsCommand(found["id"]))
        for which, problem in (("zzzz", "'zzzz': see"), (found["id"], "cannot be redeemed any more")):
            error = self.assertRaises(InvalidInvitation, self.desk.invitations, InvitationsCommand(which))
            self.assertIn(problem, str(error))

    def test_other_members_are_told_of_a_new_one_at_once(self) -> None:
        self.welcomed(self.invite(nickname="laptop"))
        self.assertEqual(self.here.told, ["laptop"])

    def test_who_was_banned_does_not_come_back_by_the_same_invitation(self) -> None:
        invitation = self.invite(uses=3)
        self.welcomed(invitation, LAPTOP, "one")
        self.here.banned.add(LAPTOP.name)
        self.assertEqual(self.redeem(invitation, LAPTOP, "one").refusal, RedeemRefusal.USED_UP)
        self.assertEqual(self.redeem(invitation, PHONE, "two").refusal, RedeemRefusal.USED_UP)
        self.assertEqual(self.redeem(self.invite(), LAPTOP, "one").refusal, RedeemRefusal.USED_UP)

    def test_inviter_that_tells_of_many_users_does_not_fill_the_log(self) -> None:
        """Their names cost it nothing."""
        lines: list[str] = []
        self.patch(
            self.desk._kept._quiet, "_log", Logger(observer=lambda event: lines.append(formatEvent(event)))
        )
        own = self.here.certificate.certificate
        peer = certified(LAPTOP, "inviter", MemberRole.NODE, MemberRole.INVITE).certificate
        for number in range(2, 11):
            users = tuple(Name(bytes([number, each]) * 16) for each in range(number))
            entry = LedgerEntry(b"s" * 16, int(NOW) + 60, 1, "", frozenset((MemberRole.NODE,)), used_by=users)
            for payload in frames_for(Ledger((entry,)), peer, own, NOW):
                self.assertTrue(self.desk.take(peer, payload))
        self.assertEqual(len(lines), 1)
        self.assertIn("an invitation for 1 was redeemed by ", lines[0])
        self.now += 120
        users = tuple(Name(bytes([each]) * 32) for each in range(20))
        self.desk._kept._warn_of_overuse(Ledger(), Ledger((replace(entry, used_by=users),)))
        self.assertIn(f"{users[15].short} and 4 more, since", lines[1])

    def told_by_an_admin(self, number: int) -> None:
        peer = certified(LAPTOP, "inviter", MemberRole.NODE, MemberRole.ADMIN).certificate
        entry = LedgerEntry(bytes([number]) * 16, int(NOW) + 60, 1, "", frozenset((MemberRole.NODE,)))
        for payload in frames_for(Ledger((entry,)), peer, self.here.certificate.certificate, NOW):
            self.assertTrue(self.desk.take(peer, payload))

    def test_what_members_tell_is_written_when_asked_for(self) -> None:
        """Not for each frame: that would be a wait for the disk each time."""
        for number in range(3):
            self.told_by_an_admin(number)
            self.assertEqual(load_ledger(self.folder, NETWORK).entries, ())
        with mock.patch.object(kept_ledger, "save_ledger", side_effect=OSError("full")):
            self.desk.save()
        self.desk.save()
        self.assertEqual(len(load_ledger(self.folder, NETWORK).entries), 3)
        with mock.patch.object(kept_ledger, "save_ledger") as saved:
            self.desk.save()
            self.assertFalse(saved.called)

    def test_inviter_is_told_which_protocols_are_not_exposed_here(self) -> None:
        invited = self.desk.invite(InviteCommand(allow=("web", "shh")))
        self.assertEqual(invited.not_exposed, ("shh",))

    def test_member_may_use_what_it_was_invited_to(self) -> None:
        invitation = self.invite(allow=("ssh",))
        self.assertFalse(self.desk.allows(name_of(LAPTOP), "ssh"))
        self.welcomed(invitation)
        self.desk = self.opened()
        self.assertTrue(self.desk.allows(name_of(LAPTOP), "ssh"))
        self.assertFalse(self.desk.allows(name_of(LAPTOP), "web"))
        self.assertFalse(self.desk.allows(name_of(PHONE), "ssh"))
