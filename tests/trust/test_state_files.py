"""The files of a private network: whole or not at all, and damage is named."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import TrustFileError
from routing_crust.identity import Identity
from routing_crust.trust import ledger_file
from routing_crust.trust.certificate import MemberRole
from routing_crust.trust.issuing import Issuer
from routing_crust.trust.ledger import Ledger, LedgerEntry
from routing_crust.trust.ledger_file import load_ledger, save_ledger
from routing_crust.trust.ledger_sharing import MAX_INVITERS, MAX_USERS_OF_AN_INVITER
from routing_crust.trust.networks import network_of
from routing_crust.trust.state_files import (
    BEACON_FILE,
    load_authority,
    load_beacon_secret,
    load_certificate,
    load_members,
    load_roster,
    put_roster_aside,
    save_beacon_secret,
    save_certificate,
    save_members,
    save_roster,
    write_authority,
)

from .members import ALICE, AUTHORITY, BOB, EMPTY, NETWORK, NOW, VERIFIER, certified, key_of, name_of

CAROL = certified("carol", MemberRole.RELAY, ALICE)
OTHER = network_of(name_of("other"))


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        self.assertIn(old, text)
        path.write_text(text.replace(old, new, 1))


class CertificateFileTests(FileTests):
    def setUp(self) -> None:
        super().setUp()
        save_certificate(self.folder, CAROL)

    def problem(self, network: str = NETWORK, word: str = "carol") -> str:
        error = self.assertRaises(
            TrustFileError, load_certificate, self.folder, network, name_of(word), VERIFIER
        )
        return str(error)

    def test_certificate_is_the_same_after_writing_and_reading(self) -> None:
        self.assertEqual(load_certificate(self.folder, NETWORK, name_of("carol"), VERIFIER), CAROL)

    def test_file_says_to_people_whose_it_is(self) -> None:
        text = (self.folder / "certificate").read_text()
        self.assertIn(f"# {CAROL.certificate} in {NETWORK}, until 2027-04-15 08:00 UTC.", text)

    def test_missing_certificate_is_named(self) -> None:
        (self.folder / "certificate").unlink()
        self.assertIn("there is no certificate at", self.problem())

    def test_certificate_of_another_network_or_key_is_named(self) -> None:
        self.assertIn(f"is of the network {NETWORK}, and not of {OTHER}", self.problem(OTHER))
        self.assertIn("is that of carol", self.problem(word="dave"))

    def test_file_torn_anywhere_is_refused(self) -> None:
        path = self.folder / "certificate"
        whole = path.read_bytes()
        for length in range(len(whole) - 1):
            path.write_bytes(whole[:length])
            self.assertIn("is damaged (", self.problem())

    def test_edited_certificate_is_refused(self) -> None:
        path = self.folder / "certificate"
        lines = path.read_text().split("\n")
        for at in range(3, len(lines) - 1):
            changed = list(lines)
            changed[at] = ("B" if lines[at][10] == "A" else "A").join((lines[at][:10], lines[at][11:]))
            path.write_text("\n".join(changed))
            problem = self.problem()
            self.assertIn("restore it from a copy, or have this machine invited again", problem)

    def test_pipe_in_place_of_the_file_does_not_block(self) -> None:
        path = self.folder / "certificate"
        path.unlink()
        os.mkfifo(path)
        self.assertIn("no plain file", self.problem())


class RosterFileTests(FileTests):
    roster = EMPTY.adding(
        [
            AUTHORITY.ban(name_of("dave"), EMPTY, NOW),
            ALICE.ban(name_of("erin"), EMPTY, NOW, "lost"),
            BOB.ban(name_of("erin"), EMPTY, NOW),
        ],
        VERIFIER,
    )

    def test_roster_is_the_same_after_writing_and_reading(self) -> None:
        save_roster(self.folder, self.roster)
        self.assertEqual(load_roster(self.folder, NETWORK, VERIFIER), (self.roster, ""))

    def test_missing_roster_is_an_empty_one(self) -> None:
        self.assertEqual(load_roster(self.folder, NETWORK, VERIFIER), (EMPTY, ""))

    def test_what_is_whole_of_a_torn_roster_is_used_and_the_loss_is_named(self) -> None:
        save_roster(self.folder, self.roster)
        path = self.folder / "roster"
        whole = path.read_bytes()
        for length in range(len(whole) - 1):
            path.write_bytes(whole[:length])
            found, problem = load_roster(self.folder, NETWORK, VERIFIER)
            self.assertIn(f"is torn or edited: {len(found)} of its statements hold", problem)
            self.assertLessEqual(found.ids, self.roster.ids)
            self.assertLess(len(found), 3)

    def test_statement_that_somebody_wrote_into_the_file_is_left_out(self) -> None:
        save_roster(self.folder, self.roster)
        other = self.folder / "other"
        other.mkdir()
        stranger = Issuer(Identity.generate())
        empty = type(EMPTY)(stranger.network)
        save_roster(other, empty.adding([stranger.ban(name_of("alice"), empty, NOW)], Identity.generate()))
        with (self.folder / "roster").open("a") as file:
            file.write((other / "roster").read_text().split("\n")[1] + "\n")
        found, problem = load_roster(self.folder, NETWORK, VERIFIER)
        self.assertEqual(found, self.roster)
        self.assertIn("torn or edited", problem)

    def test_statement_taken_out_of_the_file_is_missed(self) -> None:
        save_roster(self.folder, self.roster)
        path = self.folder / "roster"
        lines = path.read_text().split("\n")
        path.write_text("\n".join((*lines[:2], *lines[3:])))
        self.assertIn("2 of its statements hold", load_roster(self.folder, NETWORK, VERIFIER)[1])

    def test_roster_of_another_network_is_refused(self) -> None:
        save_roster(self.folder, self.roster)
        error = self.assertRaises(TrustFileError, load_roster, self.folder, OTHER, VERIFIER)
        self.assertIn(f"is of the network {NETWORK}, and not of {OTHER}", str(error))

    def test_damaged_roster_can_be_put_aside(self) -> None:
        save_roster(self.folder, self.roster)
        aside = put_roster_aside(self.folder)
        self.assertTrue(aside.exists())
        self.assertFalse((self.folder / "roster").exists())


class MembersFileTests(FileTests):
    members = (CAROL, certified("dave", MemberRole.RELAY, BOB), certified("erin", MemberRole.INVITE))

    def setUp(self) -> None:
        super().setUp()
        save_members(self.folder, NETWORK, self.members)
        self.path = self.folder / "members"

    def test_members_are_the_same_after_writing_and_reading(self) -> None:
        self.assertEqual(load_members(self.folder, NETWORK, VERIFIER), (self.members, ""))

    def test_missing_list_is_an_empty_one(self) -> None:
        self.path.unlink()
        self.assertEqual(load_members(self.folder, NETWORK, VERIFIER), ((), ""))

    def test_what_is_whole_of_a_damaged_list_is_used_and_the_rest_is_named(self) -> None:
        whole = self.path.read_bytes()
        for length in (len(whole) - 5, 400, 20, 0):
            self.path.write_bytes(whole[:length])
            found, problem = load_members(self.folder, NETWORK, VERIFIER)
            self.assertEqual(found, self.members[: len(found)])
            self.assertLess(len(found), 3)
            self.assertIn(f"{len(found)} of its certificates hold", problem)

    def test_certificates_that_nobody_has_signed_are_left_out(self) -> None:
        forged = replace(CAROL, signature=bytes(64))
        other = Issuer(key_of("other")).issue(name_of("mallory"), "m", MemberRole.NODE.implied, NOW)
        save_members(self.folder, NETWORK, (forged, other, CAROL))
        found, problem = load_members(self.folder, NETWORK, VERIFIER)
        self.assertEqual(found, (CAROL,))
        self.assertIn("is damaged or of another network", problem)

    def test_file_that_cannot_be_one_is_named_and_left(self) -> None:
        self.path.unlink()
        self.path.mkdir()
        found, problem = load_members(self.folder, NETWORK, VERIFIER)
        self.assertEqual(found, ())
        self.assertIn("cannot be read", problem)


class AuthorityFileTests(FileTests):
    def setUp(self) -> None:
        super().setUp()
        self.authority = Identity.generate()
        self.network = network_of(self.authority.name)
        self.path = self.folder / "authority.key"
        write_authority(self.path, self.authority)

    def problem(self, network: str) -> str:
        return str(self.assertRaises(TrustFileError, load_authority, self.folder, network))

    def test_authority_key_is_kept_for_its_owner_alone(self) -> None:
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        found = load_authority(self.folder, self.network)
        assert found is not None
        self.assertEqual(found.name, self.authority.name)

    def test_most_members_have_none(self) -> None:
        self.path.unlink()
        self.assertIsNone(load_authority(self.folder, self.network))

    def test_key_that_others_can_read_is_refused(self) -> None:
        self.path.chmod(0o644)
        problem = self.problem(self.network)
        self.assertIn("the authority key", problem)
        self.assertIn("has mode 0644, so others may read it", problem)
        self.assertIn("found a new network", problem)

    def test_damaged_key_is_refused(self) -> None:
        self.path.write_bytes(self.path.read_bytes()[:60])
        self.assertIn("go on without it", self.problem(self.network))

    def test_key_of_another_network_is_refused(self) -> None:
        self.assertIn(f"is that of the network {self.network}, and not of {OTHER}", self.problem(OTHER))

    def test_key_that_is_there_is_never_replaced(self) -> None:
        error = self.assertRaises(TrustFileError, write_authority, self.path, Identity.generate())
        self.assertIn("is there already", str(error))


class LedgerFileTests(FileTests):
    ledger = Ledger(
        (
            LedgerEntry(
                b"0123456789abcdef",
                int(NOW),
                3,
                "carol",
                MemberRole.RELAY.implied,
                frozenset({"web", "db"}),
                ("ssh",),
                (name_of("carol"),),
            ),
            LedgerEntry(b"another secret..", int(NOW), 1, "", MemberRole.CLIENT.implied),
        )
    )

    def setUp(self) -> None:
        super().setUp()
        save_ledger(self.folder, NETWORK, self.ledger)

    def problem(self, network: str = NETWORK) -> str:
        return str(self.assertRaises(TrustFileError, load_ledger, self.folder, network))

    def test_ledger_is_the_same_after_writing_and_reading(self) -> None:
        self.assertEqual(load_ledger(self.folder, NETWORK), self.ledger)

    def test_missing_ledger_is_empty(self) -> None:
        (self.folder / "invitations").unlink()
        self.assertEqual(load_ledger(self.folder, NETWORK), Ledger())

    def test_file_that_is_torn_edited_or_of_another_network_is_refused(self) -> None:
        self.assertIn("and not of", self.problem(OTHER))
        self.edit("invitations", '"version": 1', '"version": 2')
        self.assertIn("is damaged (it has another version)", self.problem())
        for text in ("", "[]", "7", '{"version": 1}', "[" * 100_000):
            (self.folder / "invitations").write_text(text)
            self.assertIn("restore it from a copy, or move it away", self.problem())

    def test_copies_of_all_inviters_with_all_their_users_can_be_read_again(self) -> None:
        """The largest file that others can bring about is one that is read at the next start."""
        users = (name_of("carol"),) * MAX_USERS_OF_AN_INVITER
        one = replace(self.ledger.entries[0], used_by=users, inviter=name_of("dora"))
        save_ledger(self.folder, NETWORK, Ledger((one,)))
        size = (self.folder / "invitations").stat().st_size
        self.assertLess(MAX_INVITERS * size, ledger_file._MAX_LEDGER_FILE_BYTES * 3 // 4)

    def test_file_is_for_its_owner_alone(self) -> None:
        self.assertEqual((self.folder / "invitations").stat().st_mode & 0o777, 0o600)


class BeaconSecretTests(FileTests):
    def test_secret_is_the_same_after_writing_and_reading(self) -> None:
        self.assertEqual(load_beacon_secret(self.folder), b"")
        save_beacon_secret(self.folder, bytes(range(32)))
        self.assertEqual(load_beacon_secret(self.folder), bytes(range(32)))
        self.assertEqual((self.folder / BEACON_FILE).stat().st_mode & 0o777, 0o600)

    def test_damaged_secret_is_refused_and_named(self) -> None:
        for text in ("", "00", "x" * 64, "0" * 500):
            (self.folder / BEACON_FILE).write_text(text)
            error = self.assertRaises(TrustFileError, load_beacon_secret, self.folder)
            self.assertIn(str(self.folder / BEACON_FILE), str(error))
