"""Files from one folder into another: both ends, the disk and a stream."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import stat
from unittest import mock

from routing_crust.daemon.transfer import channel as channel_module
from routing_crust.daemon.transfer import receiver as receiver_module
from routing_crust.daemon.transfer import source as source_module
from routing_crust.daemon.transfer.channel import Channel, ChannelLost
from routing_crust.daemon.transfer.errors import TransferError
from routing_crust.daemon.transfer.messages import MAX_DATA_BYTES, Offer
from routing_crust.daemon.transfer.receiver import OFFER_SECONDS, Declined, Receiver
from routing_crust.daemon.transfer.source import Source
from routing_crust.daemon.transfer.store import Item, Store, temporary_name
from routing_crust.limits import MIB

from .ends import SENDER, TransferCase, channels


def some(size: int, seed: int = 0) -> bytes:
    """Bytes that differ everywhere."""
    block = hashlib.sha512(bytes([seed])).digest()
    return b"".join(hashlib.sha512(block + i.to_bytes(8, "big")).digest() for i in range(-(-size // 64)))[
        :size
    ]


class TransferTests(TransferCase):
    def test_file_arrives_with_its_hash(self) -> None:
        content = some(3 * MIB + 5)
        self.write("notes", content)
        self.run_transfer("notes")
        self.all_went_well()
        self.assert_same("notes")
        self.assertEqual(self.receiver.digests, {b"notes": hashlib.sha256(content).digest()})
        self.assertEqual(self.sender.sums.moved, len(content))
        self.assertEqual(self.receiver.sums, self.sender.sums)

    def test_disk_is_written_to_while_a_file_comes(self) -> None:
        """Else the end of a large file would wait for all of it."""
        content = some(20 * MIB)
        self.write("large", content)
        begun: list[tuple[int, int]] = []
        with mock.patch.object(
            os,
            "posix_fadvise",
            lambda _file, *range_and_advice: begun.append(range_and_advice[:2]),
            create=True,
        ):
            self.run_transfer("large")
        self.all_went_well()
        self.assertEqual([start for start, _ in begun], [0, begun[0][1]])
        self.assertGreaterEqual(sum(length for _, length in begun), 16 * MIB)

    def test_folders_and_several_items_arrive(self) -> None:
        for path in ("b/c/d", "b/c.x", "b/a", "z", "b/c/e/f/g", "a/empty"):
            self.write(path, b"" if path == "a/empty" else path.encode())
        (self.there / "b" / "hollow").mkdir()
        self.run_transfer("z", "b", "a")
        self.all_went_well()
        self.assert_same("z", "b", "a")
        self.assertEqual(set(self.receiver.digests), {b"z", b"b", b"a"})

    def test_more_files_than_may_be_named_ahead_arrive(self) -> None:
        for number in range(400):
            self.write(f"many/{number}", b"%d" % number)
        self.run_transfer("many")
        self.all_went_well()
        self.assert_same("many")

    def test_names_that_are_no_text_arrive(self) -> None:
        for name in (
            b"\xff\xfe",
            b"new\nline",
            "\u00fc".encode(),
            "u\u0308".encode(),
            b"-rf",
            b"a\\b",
            b"CON",
        ):
            (self.there / "odd").mkdir(exist_ok=True)
            with open(os.path.join(os.fsencode(self.there / "odd"), name), "wb") as file:
                file.write(name)
        self.run_transfer("odd")
        self.all_went_well()
        self.assert_same("odd")

    def test_links_devices_and_pipes_are_left_out(self) -> None:
        secret = self.write("secret/file")
        self.write("sent/file")
        (self.there / "sent" / "link").symlink_to(secret)
        (self.there / "sent" / "folder").symlink_to(secret.parent)
        os.mkfifo(self.there / "sent" / "pipe")
        self.run_transfer("sent")
        self.all_went_well()
        self.assertEqual(os.listdir(self.here / "sent"), ["file"])
        self.assertEqual(len(self.left_out), 3)

    def test_link_that_is_named_is_refused_with_what_to_do(self) -> None:
        (self.there / "link").symlink_to(self.write("file"))
        source = Source.of([self.there / "link"], self.left_out.append)
        self.assertIn("give what it points to", str(self.failureException and self.error_of(source)))

    def error_of(self, source: Source) -> TransferError:
        return self.assertRaises(TransferError, source.offer)

    def test_holes_are_not_sent_and_stay_holes(self) -> None:
        path = self.write("sparse", b"")
        with path.open("r+b") as file:
            file.seek(40 * MIB)
            file.write(b"middle")
            file.truncate(90 * MIB)
        self.run_transfer("sparse")
        self.all_went_well()
        self.assertLess(self.sender.sums.moved, 2 * MIB)
        self.assertEqual(self.sender.sums.covered, 90 * MIB)
        self.assertEqual(self.receiver.sums.covered, 90 * MIB)
        self.assertLess((self.here / "sparse").stat().st_blocks * 512, 4 * MIB)
        content = (self.here / "sparse").read_bytes()
        self.assertEqual(content, path.read_bytes())
        self.assertEqual(self.receiver.digests[b"sparse"], hashlib.sha256(content).digest())

    def test_permissions_are_those_of_the_sender_without_the_umask(self) -> None:
        self.write("tool").chmod(0o4775)
        self.write("shut/inner").chmod(0o440)
        (self.there / "shut").chmod(0o555)
        self.addCleanup((self.there / "shut").chmod, 0o755)
        self.addCleanup(os.umask, os.umask(0o027))
        self.run_transfer("tool", "shut")
        self.all_went_well()
        self.addCleanup((self.here / "shut").chmod, 0o755)
        modes = {
            each: stat.S_IMODE((self.here / each).stat().st_mode) for each in ("tool", "shut", "shut/inner")
        }
        self.assertEqual(modes, {"tool": 0o750, "shut": 0o550, "shut/inner": 0o440})

    def test_times_and_permissions_are_preserved_if_wanted(self) -> None:
        self.write("folder/tool").chmod(0o777)
        for each in ("folder/tool", "folder"):
            os.utime(self.there / each, ns=(10**18, 10**18 + 7))
        self.addCleanup(os.umask, os.umask(0o077))
        self.run_transfer("folder", preserve=True)
        self.all_went_well()
        for each in ("folder/tool", "folder"):
            self.assertEqual((self.here / each).stat().st_mtime_ns, 10**18 + 7)
        self.assertEqual(stat.S_IMODE((self.here / "folder/tool").stat().st_mode), 0o777)

    def test_nothing_has_its_name_before_it_is_complete(self) -> None:
        self.write("large", some(4 * MIB))
        self.run_transfer("large", blocks=2)
        self.assertNotIn("large", os.listdir(self.here))
        (folder,) = self.temporary()
        self.assertEqual(stat.S_IMODE((self.here / folder).stat().st_mode), 0o700)

    def test_what_is_not_wanted_is_not_sent(self) -> None:
        self.write("notes")
        offers: list[Offer] = []

        def decline(offer: Offer) -> None:
            offers.append(offer)
            raise Declined("no, thanks")

        self.run_transfer("notes", wanted=decline)
        self.assertEqual((offers[0].files, offers[0].size, offers[0].items), (1, 7, (b"notes",)))
        self.assertIn("no, thanks", str(self.problems[0]))
        self.assertEqual(os.listdir(self.here), [])


class ResumeTests(TransferCase):
    def test_only_what_is_missing_is_sent_after_a_break(self) -> None:
        content = some(8 * MIB + 11)
        self.write("large", content)
        self.run_transfer("large", blocks=3)
        self.assertIsNotNone(self.problems[0])
        self.run_transfer("large")
        self.all_went_well()
        self.assert_same("large")
        self.assertEqual(self.sender.sums.moved, len(content) - 3 * MAX_DATA_BYTES)
        self.assertEqual(self.receiver.digests[b"large"], hashlib.sha256(content).digest())

    def test_break_after_each_block_of_a_folder_is_made_good(self) -> None:
        for number in range(5):
            self.write(f"f/{number}", some(MIB * 3 // 2, number))
        (self.there / "f" / "0").chmod(0o444)
        for blocks in range(1, 9):
            self.run_transfer("f", blocks=1)
            self.assertNotIn("f", os.listdir(self.here), blocks)
        self.run_transfer("f")
        self.all_went_well()
        self.assert_same("f")

    def test_chunk_that_has_changed_is_sent_again(self) -> None:
        content = bytearray(some(6 * MIB))
        self.write("large", bytes(content))
        self.run_transfer("large", blocks=4)
        content[MIB + 5] ^= 1
        self.write("large", bytes(content))
        self.run_transfer("large")
        self.all_went_well()
        self.assert_same("large")
        self.assertEqual(self.sender.sums.moved, 3 * MIB)
        self.assertEqual(self.receiver.digests[b"large"], hashlib.sha256(content).digest())

    def test_file_that_has_become_shorter_or_a_folder_is_taken_as_it_is_now(self) -> None:
        for number, path in enumerate(("f/a", "f/b/c", "f/d")):
            self.write(path, some(2 * MIB, number))
        self.run_transfer("f", blocks=5)
        self.write("f/a", b"short")
        os.remove(self.there / "f/b/c")
        os.rmdir(self.there / "f/b")
        self.write("f/b", b"a file now")
        os.remove(self.there / "f/d")
        self.run_transfer("f")
        self.all_went_well()
        self.assert_same("f")
        self.write("g/x", some(2 * MIB))
        self.write("g/y", some(2 * MIB))
        self.run_transfer("g", blocks=3)
        os.remove(self.there / "g/x")
        self.write("g/x/inner", b"a folder now")
        self.run_transfer("g")
        self.all_went_well()
        self.assert_same("g")

    def test_what_is_in_its_place_already_is_not_sent(self) -> None:
        self.write("a", some(MIB))
        self.write("f/b", some(MIB))
        self.run_transfer("a", "f")
        self.run_transfer("a", "f")
        self.all_went_well()
        self.assertEqual((self.sender.sums.moved, self.sender.sums.covered), (0, 2 * MIB))

    def test_items_that_had_arrived_before_the_break_are_kept(self) -> None:
        self.write("a", some(2 * MIB))
        self.write("b", some(2 * MIB))
        self.run_transfer("a", "b", blocks=3)
        self.assertIn("a", os.listdir(self.here))
        self.run_transfer("a", "b")
        self.all_went_well()
        self.assert_same("a", "b")
        self.assertEqual(self.sender.sums.moved, MIB)

    def test_two_receivers_do_not_write_one_file(self) -> None:
        self.write("a")
        store = Store(self.here)
        self.addCleanup(store.close)
        (first, *_) = [each for each, _, _ in Source.of([self.there / "a"], print)._walk(print)]
        item = Item(store, SENDER, first)
        self.run_transfer("a")
        self.assertIn("is being received already", str(self.problems[1]))
        item.close()
        self.run_transfer("a")
        self.all_went_well()


class SilenceTests(TransferCase):
    def test_sender_that_offers_nothing_has_lost_its_turn(self) -> None:
        self.patch(receiver_module, "OFFER_SECONDS", 0.01)
        self.patch(channel_module, "_CLOSE_SECONDS", 0.01)
        _, receiving = channels(self)

        store = Store(self.here)
        self.addCleanup(store.close)
        receiver = Receiver(receiving, store, SENDER)
        self.assertIn("in time", str(self.assertRaises(ChannelLost, receiver.run, lambda offer: None)))

    def test_who_has_offered_has_any_time(self) -> None:
        """The receiver may have to ask somebody, and the sender to compare what is there."""
        self.write("note")
        limits: list[float | None] = []
        self.patch(Channel, "limit", lambda channel, seconds: limits.append(seconds))
        self.run_transfer("note", wanted=lambda offer: limits.append(-1))
        self.all_went_well()
        self.assertEqual(limits[:3], [OFFER_SECONDS, None, -1])


class RefusalTests(TransferCase):
    def refused(self, text: str) -> None:
        for problem in self.problems:
            self.assertIn(text, str(problem))

    def test_another_file_of_the_name_stays(self) -> None:
        self.write("notes", b"new")
        for other in (b"old", b"longer than new"):
            (self.here / "notes").write_bytes(other)
            self.run_transfer("notes")
            self.refused(
                "notes is there already, and is not the same: move it away, or receive with --overwrite"
            )
            self.assertEqual((self.here / "notes").read_bytes(), other)

    def test_file_is_overwritten_if_wanted(self) -> None:
        self.write("notes", b"new")
        (self.here / "notes").write_bytes(b"old")
        self.run_transfer("notes", overwrite=True)
        self.all_went_well()
        self.assert_same("notes")

    def test_folder_and_link_of_the_name_stay(self) -> None:
        outside = self.write("outside", b"not to be touched")
        self.write("f/a", b"new")
        (self.here / "f").mkdir()
        self.run_transfer("f", overwrite=True)
        self.refused("f is there already")
        (self.here / "f").rmdir()
        (self.here / "f").symlink_to(self.there)
        self.run_transfer("f", overwrite=True)
        self.refused("f is there already")
        self.write("outside2", b"new")
        (self.here / "outside2").symlink_to(outside)
        self.run_transfer("outside2", overwrite=True)
        self.refused("outside2 is there already")
        self.assertEqual(outside.read_bytes(), b"not to be touched")

    def test_name_that_is_taken_meanwhile_stays(self) -> None:
        self.write("notes", b"new")
        self.write("f/notes", b"new")
        real = Item._publish

        def publish(item: Item) -> None:
            if item._complete and not item._open_files:
                if item.name == b"f":
                    (self.here / "f").mkdir()
                else:
                    (self.here / "notes").write_bytes(b"old")
            real(item)

        for name in ("notes", "f"):
            with mock.patch.object(Item, "_publish", publish):
                self.run_transfer(name)
            self.refused(f"{name} is there already")
        self.assertEqual((self.here / "notes").read_bytes(), b"old")

    def test_full_disk_is_one_line_and_can_be_resumed(self) -> None:
        content = some(5 * MIB)
        self.write("large", content)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, hard))
        try:
            self.run_transfer("large")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        self.refused("large: the file is larger than the system allows")
        self.assertEqual(os.listdir(self.here), self.temporary())
        self.run_transfer("large")
        self.all_went_well()
        self.assert_same("large")
        self.assertEqual(self.sender.sums.moved, 3 * MIB)

    def test_disk_without_room_is_said_by_both_ends(self) -> None:
        self.write("large", some(2 * MIB))
        full = OSError(errno.ENOSPC, "No space left on device")
        with mock.patch("os.pwrite", side_effect=full):
            self.run_transfer("large")
        self.refused("large: the disk is full")
        with mock.patch("os.fstatvfs") as disk:
            disk.return_value = mock.Mock(f_bavail=1, f_frsize=4096)
            self.run_transfer("large")
            # of what is resumed nobody knows how much is missing
            self.all_went_well()
            self.write("larger", some(2 * MIB))
            self.run_transfer("larger")
        self.refused(f"the disk has 4096 bytes left, and these are {2 * MIB}")

    def test_file_that_changes_meanwhile_is_said_and_resumed(self) -> None:
        path = self.write("log", some(3 * MIB))
        real = source_module.OutgoingFile.missing

        def missing(file: source_module.OutgoingFile, want: object):  # type: ignore[no-untyped-def]
            for number, block in enumerate(real(file, want)):  # type: ignore[arg-type]
                if number == 1:
                    changes.pop()()
                yield block

        def append() -> None:
            with path.open("ab") as file:
                file.write(b"more")

        changes = [append, lambda: os.truncate(path, MIB)]
        while changes:
            with mock.patch.object(source_module.OutgoingFile, "missing", missing):
                self.run_transfer("log")
            self.refused("log has changed while it was sent: send it again")
            self.assertEqual(os.listdir(self.here), self.temporary())
            path.write_bytes(some(4 * MIB, 1))
        self.run_transfer("log")
        self.all_went_well()
        self.assert_same("log")

    def test_files_that_are_added_meanwhile_are_not_smuggled_in(self) -> None:
        self.write("f/a")
        self.run_transfer("f", meanwhile=lambda: self.write("f/b"))
        self.refused("more has come to these files while they were sent")

    def test_names_that_are_too_long_for_the_disk_are_one_line(self) -> None:
        self.write("n" * 200)
        with mock.patch("os.link", side_effect=OSError(errno.ENAMETOOLONG, "File name too long")):
            self.run_transfer("n" * 200)
        self.refused("the name is too long for the disk")

    def test_disk_that_takes_two_names_for_one_keeps_neither(self) -> None:
        self.write("f/A", b"one")
        self.write("f/a", b"two")
        real = os.open

        def folded(path, flags, mode=0o777, *, dir_fd=None):  # type: ignore[no-untyped-def]
            if flags & os.O_CREAT and isinstance(path, bytes):
                path = path.lower()
            return real(path, flags, mode, dir_fd=dir_fd)

        with mock.patch("os.open", folded):
            self.run_transfer("f")
        self.refused("f/a has a name that this disk takes for that of another")
        self.assertEqual(os.listdir(self.here), self.temporary())

    def test_temporary_folder_of_somebody_else_is_not_used(self) -> None:
        self.write("notes")
        planted = self.here / os.fsdecode(temporary_name(SENDER, b"notes"))
        planted.mkdir()
        planted.chmod(0o777)
        self.run_transfer("notes")
        self.refused("is not a folder of this user alone")
        planted.rmdir()
        planted.symlink_to(self.there)
        self.run_transfer("notes")
        self.assertIsNotNone(self.problems[1])
        self.assertEqual(os.listdir(self.there), ["notes"])

    def test_link_in_a_temporary_folder_is_not_followed(self) -> None:
        outside = self.write("outside", b"not to be touched")
        self.write("notes", some(2 * MIB))
        self.write("f/g/h", some(2 * MIB))
        for item, inner in (("notes", "item"), ("f", "item"), ("f", "item/g"), ("f", "item/g/h")):
            self.run_transfer(item, blocks=1)
            (temporary,) = self.temporary()
            planted = self.here / temporary / inner
            os.rename(planted, self.there / "moved")
            planted.symlink_to(outside if inner in ("item/g/h",) or item == "notes" else self.there)
            before = sorted(os.listdir(self.there))
            self.run_transfer(item)
            self.all_went_well()
            self.assert_same(item)
            self.assertEqual(sorted(os.listdir(self.there)), before)
            os.rename(self.here / item, self.here / f"{item}-{len(inner)}")
            os.rename(self.there / "moved", self.here / f"moved-{item}-{len(inner)}")
        self.assertEqual(outside.read_bytes(), b"not to be touched")

    def test_other_name_of_a_file_is_not_written_through(self) -> None:
        outside = self.write("outside", b"not to be touched")
        self.write("notes", some(2 * MIB))
        self.run_transfer("notes", blocks=1)
        (temporary,) = self.temporary()
        os.remove(self.here / temporary / "item")
        os.link(outside, self.here / temporary / "item")
        self.run_transfer("notes")
        self.all_went_well()
        self.assertEqual(outside.read_bytes(), b"not to be touched")
