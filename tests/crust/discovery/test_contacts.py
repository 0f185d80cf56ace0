"""Contacts in a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from unittest import mock

from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent
from twisted.logger import globalLogPublisher as publisher
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.discovery import contacts as module
from routing_crust.crust.discovery.contacts import (
    DAMAGED_SUFFIX,
    FILE_NAME,
    MAX_WRITE_DELAY_SECONDS,
    WRITE_DELAY_SECONDS,
    ContactBook,
)
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.hosts.contacts import NamedContact
from routing_crust.names import Name

from ..addresses import contact, name


class ContactBookTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / FILE_NAME
        self.clock = Clock()
        self.events: list[dict[str, object]] = []
        publisher.addObserver(self.events.append)
        self.addCleanup(publisher.removeObserver, self.events.append)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def book(self, most: int = 10, folder: Path | None = None) -> ContactBook:
        book = ContactBook(folder or self.folder, most, name(9), self.clock)
        book.load()
        return book

    def warnings(self) -> list[str]:
        return [formatEvent(each) for each in self.events if each.get("log_level") is LogLevel.warn]

    def test_saved_contacts_are_read_after_a_restart(self) -> None:
        """The most recently proven one comes first."""
        book = self.book()
        one, two = contact("192.0.2.1:1", 1), contact("[2001:db8::1]:2")
        book.remember(one)
        book.remember(two)
        book.remember(one)
        book.flush()
        self.assertEqual(self.book().contacts(), (one, two))
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_contact_that_was_found_by_a_name_is_saved_by_it(self) -> None:
        """Its address of today may be another's tomorrow."""
        book = self.book()
        one, two, three = contact("192.0.2.1:1", 1), contact("192.0.2.2:2", 2), contact("192.0.2.3:3", 3)
        book.remember(one, by=NamedContact("home.example.org", 1))
        book.remember(two, by=NamedContact("example.org", 0))
        book.remember(three)
        self.assertEqual(book.contacts(), (three, two, one))
        book.flush()
        again = self.book()
        self.assertEqual(again.contacts(), (three,))
        home = NamedContact("home.example.org", 1, name(1))
        self.assertEqual(again.named, (NamedContact("example.org", 0), home))
        again.forget(name(1))
        again.flush()
        self.assertEqual(self.book().named, (NamedContact("example.org", 0),))

    def test_number_of_saved_names_is_bounded(self) -> None:
        book = self.book()
        for number in range(1, module.MAX_SAVED_NAMED + 3):
            book.remember(contact(f"192.0.2.1:{number}", 1), by=NamedContact("home.example.org", number))
        self.assertEqual(len(book.named), module.MAX_SAVED_NAMED)
        self.assertEqual(book.named[-1].port, 3)
        book.flush()

    def test_many_changes_cost_one_write(self) -> None:
        book = self.book()
        with mock.patch.object(module, "write_atomically", wraps=module.write_atomically) as write:
            for port in range(1, 6):
                self.clock.advance(WRITE_DELAY_SECONDS / 10)
                book.remember(Contact(Endpoint("192.0.2.1", port)))
            self.assertFalse(self.path.exists())
            self.clock.advance(WRITE_DELAY_SECONDS)
            self.assertEqual(write.call_count, 1)
        self.assertEqual(len(json.loads(self.path.read_bytes())["contacts"]), 5)
        book.flush()

    def test_changes_that_go_on_are_written_less_and_less_often(self) -> None:
        book = self.book()
        with mock.patch.object(module, "write_atomically") as write:

            def writes(changes: int) -> int:
                """While there is a change each second."""
                before = int(write.call_count)
                for port in range(1, 1 + changes):
                    book.remember(Contact(Endpoint("192.0.2.1", port)))
                    self.clock.advance(1)
                return int(write.call_count) - before

            self.assertEqual(writes(7), 3)
            self.assertLessEqual(writes(600), 14)
            self.clock.pump([MAX_WRITE_DELAY_SECONDS] * 2)
            self.assertEqual(writes(1), 1)
        book.flush()

    def test_newer_contact_replaces_one_of_its_name_or_endpoint(self) -> None:
        book = self.book()
        for each in (contact("192.0.2.1:1", 1), contact("192.0.2.2:1", 1), contact("192.0.2.2:1", 2)):
            book.remember(each)
        self.assertEqual(book.contacts(), (contact("192.0.2.2:1", 2),))
        book.flush()

    def test_unproven_contact_comes_last(self) -> None:
        """It replaces no other contact."""
        book = self.book(most=3)
        proven, hearsay = contact("192.0.2.1:1", 1), contact("192.0.2.2:1", 2)
        book.remember(proven)
        book.remember(hearsay, proven=False)
        book.remember(contact("192.0.2.3:1", 1), proven=False)
        book.remember(contact("192.0.2.1:1", 3), proven=False)
        self.assertEqual(book.contacts(), (proven, hearsay))
        for number in (4, 5):
            book.remember(contact(f"192.0.2.{number}:1", number), proven=False)
        self.assertEqual(book.contacts(), (proven, hearsay, contact("192.0.2.4:1", 4)))
        book.flush()

    def test_demoted_contact_comes_last_and_makes_room_first(self) -> None:
        """It stays there across a restart, until it proves itself again."""
        book = self.book(most=3)
        one, two, hearsay = contact("192.0.2.1:1", 1), contact("192.0.2.2:1", 2), contact("192.0.2.3:1", 3)
        book.remember(one)
        book.remember(two)
        book.remember(hearsay, proven=False)
        book.demote(two)
        book.demote(contact("192.0.2.9:1", 8))
        self.assertEqual((book.contacts(), book.proven), ((one, hearsay, two), (one,)))
        book.flush()
        again = self.book(most=3)
        self.assertEqual((again.contacts(), again.proven), ((one, hearsay, two), (one,)))
        again.remember(two)
        self.assertEqual(again.contacts(), (two, one, hearsay))
        again.demote(one)
        newcomer = contact("192.0.2.4:1", 4)
        again.remember(newcomer, proven=False)
        self.assertEqual(again.contacts(), (two, hearsay, newcomer))
        again.flush()

    def test_proven_contact_pushes_out_unproven_ones_first(self) -> None:
        book = self.book(most=2)
        one, two, three = (contact(f"192.0.2.{number}:1", number) for number in (1, 2, 3))
        book.remember(one)
        book.remember(two, proven=False)
        book.remember(three)
        self.assertEqual(book.contacts(), (three, one))
        book.flush()

    def test_contact_at_the_endpoint_of_one_and_of_the_name_of_another_replaces_both(self) -> None:
        book = self.book()
        book.remember(contact("192.0.2.1:1", 1))
        book.remember(contact("192.0.2.2:1", 2), proven=False)
        book.remember(contact("192.0.2.1:1", 2))
        self.assertEqual(book.contacts(), (contact("192.0.2.1:1", 2),))
        book.remember(contact("192.0.2.3:1", 1), proven=False)
        self.assertEqual(len(book.contacts()), 2)
        book.flush()

    def test_first_contact_is_not_written_again(self) -> None:
        book = self.book()
        book.remember(contact("192.0.2.1:1", 1))
        book.flush()
        book.remember(contact("192.0.2.1:1", 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_contact_proven_longest_ago_is_dropped(self) -> None:
        """This holds in memory and when the file is read."""
        book = self.book(most=3)
        for number in range(1, 6):
            book.remember(contact(f"192.0.2.{number}:1"))
        newest = tuple(contact(f"192.0.2.{number}:1") for number in (5, 4, 3))
        self.assertEqual(book.contacts(), newest)
        book.flush()
        self.assertEqual(self.book(most=2).contacts(), newest[:2])

    def test_own_name_is_no_contact_and_a_limit_of_0_keeps_none(self) -> None:
        book = self.book()
        book.remember(contact("192.0.2.1:1", 9))
        self.assertEqual(book.contacts(), ())
        none = self.book(most=0)
        none.remember(contact("192.0.2.1:1", 1))
        self.assertEqual(none.contacts(), ())

    def test_contacts_without_a_folder_stay_in_memory(self) -> None:
        book = ContactBook(None, 10, name(9), self.clock)
        book.load()
        book.remember(contact("192.0.2.1:1", 1))
        book.flush()
        self.assertEqual(book.contacts(), (contact("192.0.2.1:1", 1),))
        self.assertEqual(os.listdir(self.folder), [])

    def test_damaged_file_is_put_aside(self) -> None:
        """The log says so, and the node starts without contacts."""
        damages = [
            b"", b"{", b"[]", b"3", b'{"version": 2}', b'{"version": 1, "contacts": []}', b"\xff\xfe\x00",
            b'{"version": 2, "contacts": "x"}', b"[" * 100_000, b" " * 10_000,
        ]  # fmt: skip
        for number, data in enumerate(damages):
            self.path.write_bytes(data)
            self.assertEqual(self.book().contacts(), (), data[:40])
            self.assertFalse(self.path.exists())
            self.assertEqual((self.folder / (FILE_NAME + DAMAGED_SUFFIX)).read_bytes(), data)
            self.assertEqual(len(self.warnings()), number + 1)
        self.assertIn("the file is now", self.warnings()[0])

    def test_damaged_file_that_cannot_be_renamed_is_ignored(self) -> None:
        self.path.write_bytes(b"{")
        (self.folder / (FILE_NAME + DAMAGED_SUFFIX)).mkdir()
        self.assertEqual(self.book().contacts(), ())
        self.assertIn("cannot be put aside", self.warnings()[0])

    def test_file_that_cannot_be_read_is_left_alone(self) -> None:
        self.path.mkdir()
        self.assertEqual(self.book().contacts(), ())
        self.assertIn("cannot be read", self.warnings()[0])
        self.assertTrue(self.path.is_dir())

    def test_pipe_in_the_place_of_the_file_blocks_no_start(self) -> None:
        os.mkfifo(self.path)
        self.assertEqual(self.book().contacts(), ())
        self.assertIn("it is no plain file", self.warnings()[0])

    def test_full_file_is_loaded_with_few_comparisons(self) -> None:
        """The names and endpoints are looked up, not compared with each other."""
        texts = [
            str(Contact(Endpoint(f"192.0.{n % 250}.1", 1024 + n), Name(n.to_bytes(32, "big"))))
            for n in range(1, 1001)
        ]
        self.path.write_text(json.dumps({"version": 2, "contacts": texts}))
        with mock.patch.object(Name, "__eq__", autospec=True, side_effect=Name.__eq__) as compared:
            book = self.book(most=1000)
        self.assertEqual([str(each) for each in book.contacts()], texts)
        self.assertLess(compared.call_count, 10_000)

    def test_bad_entries_of_the_file_are_left_out(self) -> None:
        """So are repetitions and our own name."""
        texts = [
            "192.0.2.1:1", "nonsense", 7, "192.0.2.1:0", "224.0.0.1:5", f"{name(9)}@192.0.2.3:1",
            f"{name(1)}@192.0.2.4:1", f"{name(1)}@192.0.2.5:1", f"{name(2)}@192.0.2.4:1",
        ]  # fmt: skip
        self.path.write_text(json.dumps({"version": 2, "contacts": texts}))
        self.assertEqual(self.book().contacts(), (contact("192.0.2.1:1"), contact("192.0.2.4:1", 1)))
        (warning,) = self.warnings()
        self.assertIn("4 of the saved contacts are left out; the first: 'nonsense' is not", warning)

    def test_full_disk_keeps_the_old_file(self) -> None:
        """The log has one line, and the next change is written again."""
        book = self.book()
        book.remember(contact("192.0.2.1:1"))
        book.flush()
        before = self.path.read_bytes()
        with mock.patch("os.fsync", side_effect=OSError(28, "No space left on device")):
            for number in (2, 3):
                book.remember(contact(f"192.0.2.{number}:1"))
                self.clock.advance(2 * WRITE_DELAY_SECONDS)
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(os.listdir(self.folder), [FILE_NAME])
        (line,) = self.warnings()
        self.assertIn("cannot be saved", line)
        self.assertIn("No space left on device", line)
        book.remember(contact("192.0.2.4:1"))
        book.flush()
        self.assertEqual(len(self.book().contacts()), 4)
        self.assertTrue(any("saved again" in formatEvent(each) for each in self.events))

    def test_loading_does_not_replace_contacts_in_memory(self) -> None:
        """They may be newer, if they could not be written before a stop."""
        book = self.book()
        book.remember(contact("192.0.2.1:1"))
        book.load()
        self.assertEqual(book.contacts(), (contact("192.0.2.1:1"),))
        book.flush()
