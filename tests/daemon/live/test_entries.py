"""
Entries that are added to the settings of a daemon that runs, and removed; and what is said of them.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role, Settings
from routing_crust.daemon.live.differences import describe, in_force
from routing_crust.daemon.live.entries import NotThere, ThereAlready, adding, removing
from routing_crust.endpoints import Contact
from routing_crust.errors import ConfigurationError
from routing_crust.forwarding_rules import Exposure, Forward, Nickname, Permission

from ..fakes import ALICE, BOB

SETTINGS = Settings(
    nicknames=(Nickname("alice", ALICE),),
    expose=(Exposure("web", "tcp:localhost:80"),),
    allow_peer=(Permission("web", None),),
    forward=(Forward("tcp:2222", ALICE, "ssh"),),
    contacts=(Contact.from_text(f"{BOB}@127.0.0.1:5483"),),
)


class AddingTests(SynchronousTestCase):
    def refused(self, kind: type[Exception], setting: str, text: str, *allow: str) -> str:
        return str(self.assertRaises(kind, adding, SETTINGS, setting, text, allow))

    def test_exposed_program_comes_with_those_that_may_have_it(self) -> None:
        settings = adding(SETTINGS, "expose", "ssh=tcp:localhost:22 keep 1h", ("alice", str(BOB)))
        self.assertEqual(settings.expose[1:], (Exposure("ssh", "tcp:localhost:22", 3600.0),))
        self.assertEqual(settings.allow_peer[1:], (Permission("ssh", ALICE), Permission("ssh", BOB)))

    def test_forward_and_contact_may_name_a_nickname(self) -> None:
        self.assertEqual(
            adding(SETTINGS, "forward", "8080=alice/web").forward[1:], (Forward("8080", ALICE, "web"),)
        )
        contact = Contact.from_text(f"{ALICE}@127.0.0.1:1")
        self.assertEqual(adding(SETTINGS, "contacts", "alice@127.0.0.1:1").contacts[1:], (contact,))

    def test_error_says_what_has_the_place_and_how_to_free_it(self) -> None:
        self.assertEqual(
            self.refused(ThereAlready, "expose", "web=tcp:localhost:81"),
            "web is exposed already (web=tcp:localhost:80): remove that first, with "
            "'routing-crust expose remove web'",
        )
        said = self.refused(ThereAlready, "forward", "2222=alice/x")
        self.assertIn("'routing-crust forward remove 2222'", said)
        self.assertIn("is a contact already", self.refused(ThereAlready, "contacts", f"{BOB}@127.0.0.1:5483"))

    def test_error_about_a_nickname_lists_those_that_there_are(self) -> None:
        for setting, text, allow in (
            ("forward", "tcp:1=laptop/x", ()),
            ("expose", "x=tcp:localhost:1", ("laptop",)),
            ("contacts", "laptop@127.0.0.1:1", ()),
        ):
            said = self.refused(ConfigurationError, setting, text, *allow)
            self.assertTrue(said.endswith("(nicknames: alice)"), said)

    def test_text_that_is_no_entry_is_refused_with_the_form(self) -> None:
        for setting in ("expose", "forward", "contacts"):
            self.assertRegex(self.refused(ConfigurationError, setting, "nonsense"), r"^\w+: .*nonsense")


class RemovingTests(SynchronousTestCase):
    def test_what_belongs_to_an_entry_goes_with_it(self) -> None:
        settings = removing(SETTINGS, "expose", "web")
        self.assertEqual((settings.expose, settings.allow_peer), ((), ()))
        self.assertEqual(settings.forward, SETTINGS.forward)

    def test_port_and_contact_are_known_by_each_of_their_names(self) -> None:
        for text in ("tcp:2222", "2222", f"tcp:2222={ALICE}/ssh"):
            self.assertEqual(removing(SETTINGS, "forward", text).forward, ())
        for text in (str(BOB), "127.0.0.1:5483", f"{BOB}@127.0.0.1:5483"):
            self.assertEqual(removing(SETTINGS, "contacts", text).contacts, ())

    def test_error_says_what_there_is(self) -> None:
        for setting, text, said in (
            ("expose", "ssh", "nothing is exposed as ssh; there is web"),
            ("forward", "tcp:1", "tcp:1 is not forwarded; there is tcp:2222"),
            ("contacts", "alice", f"alice is not a contact of the settings; there is {BOB}@127.0.0.1:5483"),
        ):
            self.assertEqual(str(self.assertRaises(NotThere, removing, SETTINGS, setting, text)), said)
        error = self.assertRaises(NotThere, removing, Settings(), "forward", "tcp:1")
        self.assertEqual(str(error), "tcp:1 is not forwarded, nor is anything else")


class DifferencesTests(SynchronousTestCase):
    def test_entries_of_lists_are_told_one_by_one(self) -> None:
        new = (Forward("tcp:2222", BOB, "ssh"), Forward("1", ALICE, "web"))
        self.assertEqual(
            list(describe("forward", SETTINGS.forward, new)),
            [f"forward: tcp:2222={ALICE}/ssh -> tcp:2222={BOB}/ssh", f"forward: 1={ALICE}/web added"],
        )
        self.assertEqual(
            list(describe("allow_peer", (Permission("a", ALICE),), (Permission("a", BOB),))),
            [f"allow_peer: a={BOB} added", f"allow_peer: a={ALICE} removed"],
        )

    def test_other_values_are_told_with_the_old_one(self) -> None:
        self.assertEqual(list(describe("max_links", 256, 9)), ["max_links: 256 -> 9"])
        self.assertEqual(list(describe("role", Role.NODE, Role.FIRST)), ["role: node -> first"])
        self.assertEqual(list(describe("port_mapping", True, False)), ["port_mapping: true -> false"])

    def test_what_needs_a_restart_is_not_in_force(self) -> None:
        wanted = Settings(max_links=9, group_size=3, network="other")
        settings, later = in_force(Settings(), wanted)
        self.assertEqual((settings, set(later)), (Settings(max_links=9), {"group_size", "network"}))

    def test_what_goes_only_with_a_restart_waits_for_it(self) -> None:
        running = Settings(role=Role.FIRST)
        wanted = Settings(contacts=SETTINGS.contacts, max_links=9)
        settings, later = in_force(running, wanted)
        self.assertEqual(settings, Settings(role=Role.FIRST, max_links=9))
        self.assertEqual(set(later), {"role", "contacts"})
