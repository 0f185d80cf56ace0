"""The credentials of a daemon: read at its start, kept when they change, and damage is named."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from routing_crust import Role, Settings
from routing_crust.daemon.members.credentials import certified_settings, load_membership, own_or_new_identity
from routing_crust.daemon.members.member_book import WRITE_DELAY_SECONDS, MemberBook
from routing_crust.daemon.state_directory import key_path
from routing_crust.endpoints import Endpoint
from routing_crust.errors import KeyFileError, TrustFileError
from routing_crust.identity import Identity
from routing_crust.routing.private.membership import Membership
from routing_crust.trust.certificate import MemberRole
from routing_crust.trust.issuing import Issuer
from routing_crust.trust.roster import Roster
from routing_crust.trust.state_files import (
    load_certificate,
    load_roster,
    save_beacon_secret,
    save_certificate,
    save_roster,
    write_authority,
)

from ..test_cli import CliTestCase

NOW = 1_800_000_000.0


class CredentialsTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self.note)
        self.addCleanup(globalLogPublisher.removeObserver, self.note)
        self.identity, self.authority = Identity.generate(), Identity.generate()
        self.issuer = Issuer(self.authority)
        self.network = self.issuer.network
        self.signed = self.issuer.issue(self.identity.name, "home", MemberRole.ADMIN.implied, NOW)
        save_certificate(self.folder, self.signed)
        save_beacon_secret(self.folder, b"b" * 32)
        self.roster = self.with_ban(self.with_ban(Roster(self.network)))

    def note(self, event: Any) -> None:
        self.lines.append(str(formatEvent(event)))

    def with_ban(self, roster: Roster) -> Roster:
        ban = self.issuer.ban(Identity.generate().name, roster, NOW)
        return roster.adding([ban], self.identity)

    def load(self) -> Membership:
        membership = load_membership(self.folder, self.network, self.identity)
        assert membership is not None
        return membership

    def test_no_new_key_is_made_beside_a_certificate(self) -> None:
        error = self.assertRaises(KeyFileError, own_or_new_identity, self.folder)
        self.assertIn("restore it from a copy, or have this machine invited again", str(error))
        self.assertFalse(key_path(self.folder).exists())
        (self.folder / "certificate").unlink()
        made = own_or_new_identity(self.folder)
        self.assertEqual(own_or_new_identity(self.folder).name, made.name)

    def test_open_network_needs_no_credentials(self) -> None:
        self.assertIsNone(load_membership(self.folder, "home", self.identity))

    def test_all_files_of_a_member_are_read(self) -> None:
        save_roster(self.folder, self.roster)
        self.assertIsNone(self.load().authority)
        write_authority(self.folder / "authority.key", self.authority)
        membership = self.load()
        self.assertEqual((membership.certificate, membership.roster), (self.signed, self.roster))
        assert membership.authority is not None
        self.assertEqual(membership.authority.name, self.authority.name)
        self.assertEqual(membership.beacon_secret, b"b" * 32)
        self.assertEqual(self.lines, [])

    def test_missing_secret_of_beacons_is_named_and_no_reason_to_stop(self) -> None:
        (self.folder / "beacon.secret").unlink()
        self.assertEqual(self.load().beacon_secret, b"")
        self.assertIn("members on the local network are not looked for", self.lines[-1])
        self.assertIn(f"{self.folder}/beacon.secret is missing", self.lines[-1])

    def test_certificate_of_a_client_makes_a_client_of_any_node(self) -> None:
        home = Settings(network=self.network, external=(Endpoint("192.0.2.1", 5483),))
        self.assertIs(certified_settings(home, None), home)
        self.assertIs(certified_settings(home, self.load()), home)
        client = self.issuer.issue(self.identity.name, "home", MemberRole.CLIENT.implied, NOW)
        save_certificate(self.folder, client)
        given = certified_settings(home, self.load())
        self.assertEqual((given.role, given.external), (Role.CLIENT, ()))
        self.assertIn("home", self.lines[-1])
        self.assertIn("is a client, as its certificate says", self.lines[-1])

    def test_what_changes_is_written(self) -> None:
        membership = self.load()
        renewed = self.issuer.renew(self.signed.certificate, NOW + 100)
        membership.set_certificate(renewed)
        membership.set_roster(self.roster)
        name = self.identity.name
        self.assertEqual(load_certificate(self.folder, self.network, name, self.identity), renewed)
        self.assertEqual(load_roster(self.folder, self.network, self.identity), (self.roster, ""))

    def test_what_cannot_be_written_is_logged_and_used(self) -> None:
        membership = self.load()
        (self.folder / "roster").mkdir()
        membership.set_roster(self.roster)
        self.assertEqual(membership.roster, self.roster)
        self.assertIn(f"the roster cannot be written in {self.folder} (", self.lines[-1])

    def test_members_that_were_met_are_known_after_the_next_start(self) -> None:
        clock = Clock()
        book = MemberBook(self.folder, self.network, clock)
        membership = load_membership(self.folder, self.network, self.identity, book)
        assert membership is not None
        others = [
            self.issuer.issue(Identity.generate().name, f"m{each}", MemberRole.RELAY.implied, NOW)
            for each in range(3)
        ]
        for each in others:
            membership.learn(each)
        self.assertEqual(list(self.load().known.values()), [self.signed])
        clock.advance(WRITE_DELAY_SECONDS)
        self.assertEqual(list(self.load().known.values()), [self.signed, *others])
        membership.learn(others[0])
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_stop_writes_what_was_not_written_yet(self) -> None:
        clock = Clock()
        book = MemberBook(self.folder, self.network, clock)
        book.flush()
        self.assertFalse((self.folder / "members").exists())
        book.keep((self.signed,))
        book.flush()
        self.assertEqual(list(self.load().known.values()), [self.signed])
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_members_that_cannot_be_written_are_logged_once(self) -> None:
        clock = Clock()
        (self.folder / "members").mkdir()
        book = MemberBook(self.folder, self.network, clock)
        for _ in range(2):
            book.keep((self.signed,))
            clock.advance(WRITE_DELAY_SECONDS)
        self.assertEqual(len(self.lines), 1)
        self.assertIn(f"the members cannot be written down in {self.folder} (", self.lines[0])

    def test_damaged_list_of_members_is_named(self) -> None:
        (self.folder / "members").write_text("what")
        self.assertEqual(list(self.load().known.values()), [self.signed])
        self.assertIn("the list of members", self.lines[-1])

    def test_torn_roster_is_put_aside_and_what_is_whole_of_it_used(self) -> None:
        save_roster(self.folder, self.roster)
        path = self.folder / "roster"
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        membership = self.load()
        self.assertEqual(len(membership.roster), 1)
        self.assertEqual((self.folder / "roster.damaged").read_bytes(), whole[:-20])
        self.assertIn("is torn or edited: 1 of its statements hold", self.lines[-1])
        self.assertIn(f"the damaged file is now {self.folder}/roster.damaged", self.lines[-1])
        self.assertEqual(self.load().roster, membership.roster)
        self.assertEqual(len(self.lines), 1)

    def test_certificate_of_another_key_or_authority_key_for_all_to_read_is_refused(self) -> None:
        write_authority(self.folder / "authority.key", self.authority)
        (self.folder / "authority.key").chmod(0o644)
        error = self.assertRaises(TrustFileError, self.load)
        self.assertIn("has mode 0644", str(error))
        self.identity = Identity.generate()
        self.assertIn("is that of home", str(self.assertRaises(TrustFileError, self.load)))
