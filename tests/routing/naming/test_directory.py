"""What texts stand for: nicknames, tags, and beginnings of names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import InvalidName
from routing_crust.names import Name
from routing_crust.routing.naming.directory import PeerDirectory
from routing_crust.trust.certificate import Certificate, MemberRole

ALICE, BOB, CAROL = (Name(bytes([number]) * 32) for number in (1, 2, 3))
TWIN = Name(BOB.raw[:16] + bytes(16))
"""Begins as BOB does."""
NETWORK = f"key:{Name(bytes([9]) * 32)}"


def certificate(name: Name, nickname: str, *tags: str) -> Certificate:
    return Certificate(NETWORK, name, nickname, frozenset((MemberRole.NODE,)), frozenset(tags), 0, 10, 1)


class Members:
    """Those of a test."""

    def __init__(self, current: Iterable[Certificate], gone: Iterable[Certificate] = ()) -> None:
        self.current = tuple(current)
        self._all = {each.name: each for each in (*self.current, *gone)}

    def certificate_of(self, name: Name) -> Certificate | None:
        return self._all.get(name)

    def current_of(self, name: Name) -> Certificate | None:
        return next((each for each in self.current if each.name == name), None)


class DirectoryTests(SynchronousTestCase):
    def directory(
        self, *members: Certificate, known: Iterable[Name] = (), gone: Iterable[Certificate] = ()
    ) -> PeerDirectory:
        shown = Members(members, gone)
        return PeerDirectory({"al": ALICE}, True, lambda: known, lambda: shown)

    def open_directory(self, *known: Name) -> PeerDirectory:
        return PeerDirectory({"al": ALICE}, False, lambda: known, lambda: None)

    def problem(self, directory: PeerDirectory, text: str) -> str:
        return str(self.assertRaises(InvalidName, directory.name_of, text))

    def test_nickname_of_a_certificate_stands_for_its_member(self) -> None:
        directory = self.directory(certificate(BOB, "bob"))
        self.assertEqual(directory.name_of(" bob\n"), BOB)
        self.assertEqual(directory.describe(BOB), f"bob ({BOB.short})")
        self.assertEqual(directory.describe(CAROL), str(CAROL))
        self.assertEqual(directory.brief(BOB), f"bob ({BOB.short})")
        self.assertEqual(directory.brief(CAROL), CAROL.short)

    def test_nickname_of_the_settings_goes_before_one_of_a_certificate(self) -> None:
        """Else an issuer of certificates could lead our connections to another node."""
        directory = self.directory(certificate(BOB, "al"), certificate(ALICE, "alice"))
        self.assertEqual((directory.name_of("al"), directory.nickname_of(ALICE)), (ALICE, "al"))
        self.assertFalse(directory.allowance(["al"])(BOB))

    def test_nickname_of_a_member_that_is_none_any_more_is_free(self) -> None:
        gone = [certificate(CAROL, "laptop")]
        directory = self.directory(certificate(BOB, "laptop"), gone=gone)
        self.assertEqual(directory.name_of("laptop"), BOB)

    def test_nickname_of_two_members_is_refused_with_their_names(self) -> None:
        directory = self.directory(certificate(BOB, "laptop"), certificate(CAROL, "laptop"))
        problem = self.problem(directory, "laptop")
        self.assertIn("2 members have the nickname 'laptop'", problem)
        self.assertIn(f"({BOB}, {CAROL})", problem)

    def test_unknown_nickname_is_refused_with_what_could_give_it(self) -> None:
        self.assertIn(
            "no nickname that the setting nicknames or a member has",
            self.problem(self.directory(), "carol"),
        )
        self.assertIn("the setting nicknames gives", self.problem(self.open_directory(), "carol"))

    def test_mistyped_nickname_is_refused_with_those_that_are_like_it(self) -> None:
        directory = self.directory(certificate(BOB, "laptop"), certificate(CAROL, "desk"))
        for text, meant in (("dekt", "'desk'"), ("LAPTOP", "'laptop'"), ("laptops", "'laptop'")):
            self.assertTrue(self.problem(directory, text).endswith(f": did you mean {meant}?"), text)
        self.assertNotIn("did you mean", self.problem(directory, "phone"))

    def test_open_network_names_the_nicknames_that_there_are(self) -> None:
        self.assertTrue(self.problem(self.open_directory(), "xyz").endswith("(nicknames: al)"))

    def test_nicknames_and_tags_that_nobody_has_are_told(self) -> None:
        directory = self.directory(certificate(BOB, "laptop"))
        allowance = directory.allowance(["labtop", "laptop", "al", "tag:staff", ALICE])
        self.assertEqual(allowance.unmet_nicknames(), [("labtop", ": did you mean 'laptop'?")])
        self.assertEqual(allowance.unmet_tags(), ["staff"])

    def test_beginning_of_one_known_name_stands_for_it(self) -> None:
        """In an open network too; upper case is accepted, as in names."""
        for text in (BOB.short, str(BOB)[:40], BOB.short.upper()):
            self.assertEqual(self.open_directory(ALICE, BOB, BOB).name_of(text), BOB)

    def test_beginning_of_several_names_is_refused_with_these(self) -> None:
        problem = self.problem(self.open_directory(BOB, TWIN, ALICE), BOB.short)
        self.assertIn(f"{BOB.short!r} is the beginning of 2 names: write more of it", problem)
        self.assertIn(str(BOB), problem)
        self.assertIn(str(TWIN), problem)
        self.assertNotIn(str(ALICE), problem)
        self.assertEqual(self.open_directory(BOB, TWIN).name_of(str(BOB)[:51]), BOB)

    def test_many_candidates_are_not_all_listed(self) -> None:
        twins = [Name(BOB.raw[:16] + bytes([number]) * 16) for number in range(9)]
        problem = self.problem(self.open_directory(*twins), BOB.short)
        self.assertIn("9 names", problem)
        self.assertEqual(len(re.findall(r"\w{52}", problem)), 5)

    def test_beginning_of_no_known_name_and_a_short_one_are_refused(self) -> None:
        self.assertIn(
            "no node is known whose name begins", self.problem(self.open_directory(BOB), CAROL.short)
        )
        self.assertIn(
            "no name, which has 52 characters", self.problem(self.open_directory(BOB), BOB.short[:7])
        )

    def test_nickname_goes_before_the_beginning_of_a_name(self) -> None:
        directory = self.directory(certificate(CAROL, BOB.short), known=[BOB])
        self.assertEqual(directory.name_of(BOB.short), CAROL)

    def test_tag_and_nickname_allow_who_shows_them(self) -> None:
        directory = self.directory(certificate(BOB, "bob", "admins", "eu"), certificate(CAROL, "carol", "eu"))
        self.assertEqual(
            [directory.allowance(["tag:admins"])(each) for each in (ALICE, BOB, CAROL)], [False, True, False]
        )
        self.assertEqual(
            [directory.allowance(["carol", ALICE])(each) for each in (ALICE, BOB, CAROL)], [True, False, True]
        )
        self.assertEqual(directory.allowance(["carol", "tag:eu"]).texts, ("carol", "tag:eu"))

    def test_a_tag_is_nobodys_nickname(self) -> None:
        """Nor may a member that is called like a tag have what the tag gives."""
        directory = self.directory(certificate(BOB, "admins"))
        self.assertFalse(directory.allowance(["tag:admins"])(BOB))
        self.assertRaises(InvalidName, directory.name_of, "tag:admins")

    def test_everybody_or_nobody_is_allowed(self) -> None:
        directory = self.open_directory()
        self.assertEqual(directory.allowance([BOB, "*"]).texts, ("*",))
        self.assertTrue(directory.allowance(["*"])(CAROL))
        self.assertFalse(directory.allowance([])(CAROL))

    def test_nothing_is_granted_to_the_beginning_of_a_name(self) -> None:
        """It would belong to anybody who makes a key with this beginning."""
        for directory in (self.open_directory(BOB), self.directory(known=[BOB])):
            error = self.assertRaises(InvalidName, directory.allowance, [str(BOB)[:40]])
            self.assertIn("give the whole name", str(error))
        self.assertFalse(self.directory(known=[BOB]).allowance([BOB.short])(BOB))

    def test_nothing_but_names_and_texts_is_taken(self) -> None:
        for use in (self.open_directory().name_of, lambda given: self.open_directory().allowance([given])):
            self.assertRaises(TypeError, use, BOB.raw)
