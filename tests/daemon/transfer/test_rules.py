"""What may be said and when: the frames, and the rules of both ends, without a disk and without a stream."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.transfer.messages import (
    HASH_BYTES,
    MAX_CHUNKS,
    MAX_DATA_BYTES,
    MAX_FILE_BYTES,
    MAX_MESSAGE_BYTES,
    VERSION,
    Accept,
    Data,
    Done,
    End,
    Entry,
    Failed,
    FrameReader,
    Message,
    Offer,
    ProtocolBroken,
    Want,
    chunk_bytes,
    data_head,
    decode,
    message_frame,
)
from routing_crust.daemon.transfer.receiving import MAX_AHEAD, ReceivingRules, Stage
from routing_crust.daemon.transfer.sending import SendingRules
from routing_crust.limits import MIB

HASH = bytes(HASH_BYTES)
NOTHING = Want(0, b"", False)


def offer(files: int = 10, folders: int = 10, size: int = 1000, version: int = VERSION) -> Offer:
    return Offer(version, files, folders, size, size, (b"a",))


def entry(*path: bytes, size: int | None = 3) -> Entry:
    return Entry(path, 0o644, 0, size)


names = st.sampled_from([b"a", b"b", b"c", b"..", b"a/b"])
messages = st.one_of(
    st.builds(offer, st.integers(0, 4), st.integers(0, 4), st.integers(0, 20)),
    st.just(Accept()),
    st.builds(
        Entry,
        st.lists(names, min_size=1, max_size=3).map(tuple),
        st.just(0o644),
        st.just(0),
        st.none() | st.integers(0, 9),
    ),
    st.builds(Want, st.integers(0, 9), st.sampled_from([b"", HASH]), st.booleans()),
    st.just(End(HASH)),
    st.just(Done()),
    st.just(Failed("enough")),
)
datas = st.builds(Data, st.integers(0, 9), st.binary(min_size=1, max_size=4))


class FrameTests(SynchronousTestCase):
    def test_frames_are_read_wherever_they_are_split(self) -> None:
        said: list[Message] = [offer(), entry(b"a"), Want(1, HASH, True), End(HASH), Failed("no"), Done()]
        frames = [message_frame(each) for each in said]
        frames.insert(2, data_head(7, 10) + b"0123456789")
        whole = b"".join(frames)
        for step in (1, 2, 7, 64, len(whole)):
            reader = FrameReader()
            heard: list[Message] = []
            content = {}
            for start in range(0, len(whole), step):
                for frame in reader.take(whole[start : start + step]):
                    if isinstance(frame, Data):
                        content.update(
                            zip(range(frame.offset, frame.offset + 10), frame.content, strict=False)
                        )
                    else:
                        heard.append(frame)
            self.assertEqual(heard, said)
            self.assertEqual(bytes(content[each] for each in sorted(content)), b"0123456789")
            self.assertEqual(min(content), 7)

    def test_no_head_makes_the_reader_hold_more_than_a_message(self) -> None:
        for head in (
            (0).to_bytes(1, "big") + (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big"),
            (1).to_bytes(1, "big") + (MAX_DATA_BYTES + 9).to_bytes(4, "big"),
            (1).to_bytes(1, "big") + (8).to_bytes(4, "big"),
            (2).to_bytes(1, "big") + (1).to_bytes(4, "big"),
        ):
            self.assertRaises(ProtocolBroken, list, FrameReader().take(head))

    @given(st.binary(max_size=200), st.integers(1, 50))
    def test_any_bytes_are_frames_or_are_refused(self, content: bytes, step: int) -> None:
        reader = FrameReader()
        try:
            for start in range(0, len(content), step):
                list(reader.take(content[start : start + step]))
        except ProtocolBroken:
            return

    @given(messages.map(msgspec.msgpack.encode), st.integers(0, 60), st.binary(min_size=1, max_size=3))
    def test_bytes_that_are_changed_are_a_message_or_are_refused(
        self, body: bytes, at: int, change: bytes
    ) -> None:
        try:
            decode(body[:at] + change + body[at + len(change) :])
        except ProtocolBroken:
            return

    def test_sizes_and_names_beyond_all_bounds_are_no_messages(self) -> None:
        for bad in (
            Entry((b"a",), 0o644, 0, 2**63 - 1),
            Entry((b"a",), 0o644, 0, MAX_FILE_BYTES + 1),
            Entry((b"a",), 0o644, 0, -1),
            Entry((b"a",), 0o4755, 0, 1),
            Entry((b"a" * 256,), 0o644, 0, 1),
            Entry((b"",), 0o644, 0, 1),
            Entry((), 0o644, 0, 1),
            Entry((b"a",) * 101, 0o644, 0, 1),
            offer(files=1_000_001),
            offer(size=2**63 - 1),
            Offer(VERSION, 1, 1, 1, 1, (b"a",) * 21),
            End(b"short"),
            Want(1, bytes(HASH_BYTES * MAX_CHUNKS + 1), False),
        ):
            self.assertRaises(ProtocolBroken, decode, msgspec.msgpack.encode(bad))

    def test_hashes_of_any_file_fit_into_one_message(self) -> None:
        for size in (0, 1, MIB, MIB * MAX_CHUNKS, MIB * MAX_CHUNKS + 1, 20 * 1024 * MIB, MAX_FILE_BYTES):
            self.assertLessEqual(-(-size // chunk_bytes(size)), MAX_CHUNKS)
        self.assertEqual(chunk_bytes(2 * 1024 * MIB), MIB)


class ReceivingTests(SynchronousTestCase):
    def running(self, **offered: int) -> ReceivingRules:
        rules = ReceivingRules()
        rules.told(offer(**offered))
        rules.accepted()
        return rules

    def broken(self, rules: ReceivingRules, message: Message, text: str) -> None:
        self.assertIn(text, str(self.assertRaises(ProtocolBroken, rules.told, message)))

    def named(self, rules: ReceivingRules, *entries: Entry) -> None:
        for each in entries:
            rules.told(each)

    def begun(self, rules: ReceivingRules, size: int = 10, want: Want = NOTHING) -> None:
        rules.told(entry(b"a", size=size))
        rules.answered(rules.expected[0], want)

    def test_transfer_that_keeps_the_rules_is_done(self) -> None:
        rules = self.running()
        self.named(rules, entry(b"a", size=None), entry(b"a", b"b"), entry(b"a", b"c", size=0), entry(b"b"))
        for each in list(rules.expected):
            rules.answered(each, NOTHING)
            if each.size:
                rules.data(Data(0, b"12"))
                rules.data(Data(2, b"3"))
            rules.told(End(HASH))
        rules.told(Done())
        self.assertIs(rules.stage, Stage.DONE)

    def test_names_that_lead_elsewhere_are_refused(self) -> None:
        for path in ((b"..",), (b".",), (b"a/b",), (b"/etc",), (b"a\0",), (b".routing-crust-x",)):
            self.broken(self.running(), entry(*path), "name")
        self.broken(self.running(), entry(b".Routing-Crust-x"), "temporary")
        rules = self.running(folders=200)
        path: tuple[bytes, ...] = ()
        for _ in range(16):
            path = (*path, b"n" * 255)
            rules.told(entry(*path, size=None))
        self.broken(rules, entry(*path, b"n" * 255), "bytes")

    def test_names_come_once_and_in_their_order(self) -> None:
        for first, second in ((b"b", b"a"), (b"a", b"a")):
            rules = self.running()
            rules.told(entry(first))
            self.broken(rules, entry(second), "twice")
            rules = self.running()
            self.named(rules, entry(b"f", size=None), entry(b"f", first))
            self.broken(rules, entry(b"f", second, size=None), "twice")

    def test_file_is_in_no_file_and_in_no_folder_that_was_left(self) -> None:
        rules = self.running()
        rules.told(entry(b"a"))
        self.broken(rules, entry(b"a", b"b"), "before the folder")
        rules = self.running()
        self.named(rules, entry(b"a", size=None), entry(b"b", size=None))
        self.broken(rules, entry(b"a", b"z"), "before the folder")

    def test_nothing_comes_beyond_the_offer(self) -> None:
        rules = self.running(files=2)
        self.named(rules, entry(b"a", size=0), entry(b"b", size=0))
        self.broken(rules, entry(b"c", size=0), "more comes than was offered")
        rules = self.running(folders=1)
        rules.told(entry(b"a", size=None))
        self.broken(rules, entry(b"b", size=None), "more comes than was offered")
        self.broken(self.running(size=2), entry(b"b"), "more comes than was offered")

    def test_a_million_files_are_not_held(self) -> None:
        rules = self.running(files=1_000_000)
        for number in range(MAX_AHEAD):
            rules.told(entry(b"%06d" % number, size=0))
        self.broken(rules, entry(b"z", size=0), "in advance")

    def test_bytes_come_once_and_within_their_file(self) -> None:
        for before, offset, content in (
            (4, 3, b"x"),
            (4, 0, b"x"),
            (4, 9, b"xx"),
            (0, 2**63 - 1, b"x"),
            (0, 10, b"x"),
        ):
            rules = self.running()
            self.begun(rules)
            if before:
                rules.data(Data(0, bytes(before)))
            self.assertRaises(ProtocolBroken, rules.data, Data(offset, content))

    def test_bytes_of_no_file_are_refused(self) -> None:
        rules = self.running()
        self.assertRaises(ProtocolBroken, rules.data, Data(0, b"x"))
        rules.told(entry(b"a"))
        self.assertRaises(ProtocolBroken, rules.data, Data(0, b"x"))
        self.broken(rules, End(HASH), "not begun")
        rules.answered(rules.expected[0], Want(3, HASH, True))
        self.assertRaises(ProtocolBroken, rules.data, Data(0, b"x"))

    def test_transfer_does_not_end_within_a_file(self) -> None:
        rules = self.running()
        self.begun(rules)
        self.broken(rules, Done(), "have not")

    def test_transfer_of_nothing_is_refused(self) -> None:
        """Else a sender could end the wait for a file as if that had come; one file fewer is no fault."""
        self.broken(self.running(), Done(), "nothing has come")
        rules = self.running()
        self.begun(rules)
        rules.told(End(HASH))
        rules.told(Done())
        self.assertIs(rules.stage, Stage.DONE)

    def test_messages_out_of_place_are_refused(self) -> None:
        self.broken(ReceivingRules(), entry(b"a"), "may not come now")
        self.broken(ReceivingRules(), Done(), "may not come now")
        offered = ReceivingRules()
        offered.told(offer())
        for each in (offer(), entry(b"a"), End(HASH), Done(), Accept(), NOTHING):
            self.broken(offered, each, "may not come now")
        for each in (offer(), Accept(), NOTHING):
            self.broken(self.running(), each, "may not come now")
        self.broken(ReceivingRules(), offer(version=VERSION + 1), "update the older one")

    def test_nothing_follows_a_failure(self) -> None:
        rules = self.running()
        rules.told(Failed("x"))
        for each in (entry(b"a"), Done(), Failed("y")):
            self.broken(rules, each, "may not come now")

    @given(st.lists(st.one_of(messages, datas), max_size=30))
    def test_any_order_is_taken_or_refused_and_what_is_taken_keeps_the_bounds(
        self, said: list[Message | Data]
    ) -> None:
        rules = ReceivingRules()
        model = Model()
        for each in said:
            try:
                if isinstance(each, Data):
                    rules.data(each)
                else:
                    rules.told(each)
            except ProtocolBroken:
                return
            model.took(each)
            if isinstance(each, Offer):
                rules.accepted()
            if isinstance(each, Entry) and each.size is not None:
                rules.answered(rules.expected[-1], NOTHING)


class Model:
    """What must hold of all that a receiver takes, told from the whole of it."""

    def __init__(self) -> None:
        self.offer: Offer | None = None
        self.entries: list[Entry] = []
        self.ended = 0
        self.bytes: list[tuple[int, int]] = []

    def took(self, each: Message | Data) -> None:
        if isinstance(each, Offer):
            assert self.offer is None
            self.offer = each
        elif isinstance(each, Failed):
            return
        assert self.offer is not None
        if isinstance(each, Entry):
            self.entries.append(each)
            self._entries()
        files = [one for one in self.entries if one.size is not None]
        if isinstance(each, Data):
            end = each.offset + len(each.content)
            size = files[self.ended].size
            assert size is not None
            assert end <= size
            assert all(end <= start or stop <= each.offset for start, stop in self.bytes)
            self.bytes.append((each.offset, end))
        if isinstance(each, End):
            self.ended += 1
            self.bytes = []
            assert self.ended <= len(files)
        if isinstance(each, Done):
            assert self.ended == len(files)

    def _entries(self) -> None:
        assert self.offer is not None
        paths = [each.path for each in self.entries]
        folders = {each.path for each in self.entries if each.size is None}
        assert len(set(paths)) == len(paths)
        assert all(path[:-1] in folders for path in paths if len(path) > 1)
        assert not any(b".." in path or b"/" in b"".join(path) for path in paths)
        assert len(folders) <= self.offer.folders
        assert len(paths) - len(folders) <= self.offer.files
        assert sum(each.size or 0 for each in self.entries) <= self.offer.size


class SendingTests(SynchronousTestCase):
    def running(self, sizes: Iterable[int] = ()) -> SendingRules:
        rules = SendingRules()
        rules.told(Accept())
        for number, size in enumerate(sizes):
            rules.named(entry(b"%d" % number, size=size))
        return rules

    def broken(self, rules: SendingRules, message: Message, text: str) -> None:
        self.assertIn(text, str(self.assertRaises(ProtocolBroken, rules.told, message)))

    def test_receiver_asks_for_chunks_that_are_there(self) -> None:
        for want, text in (
            (Want(11, HASH, False), "11 bytes of a file of 10"),
            (Want(10, b"", False), "hashes"),
            (Want(0, HASH, False), "hashes"),
            (Want(10, HASH + HASH, False), "hashes"),
            (Want(9, HASH, True), "another size"),
        ):
            self.broken(self.running([10]), want, text)

    def test_receiver_answers_each_file_once(self) -> None:
        rules = self.running([10, 0])
        rules.told(NOTHING)
        rules.told(NOTHING)
        self.broken(rules, NOTHING, "may not come now")
        self.assertEqual([rules.next_want(), rules.next_want(), rules.next_want()], [NOTHING, NOTHING, None])

    def test_receiver_cannot_confirm_what_was_not_sent(self) -> None:
        self.broken(SendingRules(), Done(), "may not come now")
        rules = self.running([10])
        self.broken(rules, Done(), "may not come now")
        rules.told(NOTHING)
        rules.ended()
        rules.done()
        rules.told(Done())
        self.assertTrue(rules.confirmed)
        self.broken(rules, Done(), "after the end")

    def test_files_are_named_ahead_within_bounds(self) -> None:
        rules = self.running([1] * (MAX_AHEAD - 1))
        self.assertTrue(rules.may_name(1))
        rules.named(entry(b"z", size=1))
        self.assertFalse(rules.may_name(1))
        rules.ended()
        self.assertTrue(rules.may_name(1))
        huge = self.running([MIB * MAX_CHUNKS] * 2)
        self.assertFalse(huge.may_name(MIB))
        self.assertTrue(self.running().may_name(MAX_FILE_BYTES))

    def test_reason_of_the_receiver_is_kept(self) -> None:
        rules = self.running()
        rules.told(Failed("the disk is full"))
        self.assertEqual((rules.stage, rules.problem, rules.over), (Stage.FAILED, "the disk is full", True))

    @given(st.lists(messages, max_size=20))
    def test_any_order_is_taken_or_refused(self, said: list[Message]) -> None:
        rules = SendingRules()
        left = 3
        for each in said:
            try:
                rules.told(each)
            except ProtocolBroken:
                return
            if rules.stage is Stage.RUNNING and left:
                rules.named(entry(b"%d" % left, size=5))
                left -= 1
            # three files were named at most, and nothing was done
            assert not rules.confirmed
        wants = iter(rules.next_want, None)
        assert len(list(wants)) <= 3
