"""The parts of a mux: the send buffer, the scheduler and the windows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import KIB, MIB, Settings
from routing_crust.streams.multiplexing.scheduler import QUANTUM, Scheduler
from routing_crust.streams.multiplexing.sendbuffer import SendBuffer
from routing_crust.streams.multiplexing.windows import Windows


class SendBufferTests(SynchronousTestCase):
    @given(st.lists(st.one_of(st.binary(max_size=20), st.integers(0, 30))))
    def test_bytes_come_out_in_order_in_any_pieces(self, steps: list[bytes | int]) -> None:
        """Whatever is put in and taken out, in whatever pieces: the same bytes in the same order."""
        buffer, model, taken = SendBuffer(), b"", b""
        for each in steps:
            if isinstance(each, bytes):
                buffer.append(each)
                model += each
            else:
                count = min(each, buffer.size)
                piece = buffer.take(b"head", count)
                self.assertEqual((piece[:4], len(piece)), (b"head", count + 4))
                taken += piece[4:]
            self.assertEqual(buffer.size, len(model) - len(taken))
        self.assertEqual(taken + buffer.take(b"", buffer.size), model)

    def test_cleared_buffer_is_empty(self) -> None:
        buffer = SendBuffer()
        buffer.append(b"abc")
        buffer.take(b"", 1)
        buffer.clear()
        buffer.append(b"de")
        self.assertEqual((buffer.size, buffer.take(b"", 2)), (2, b"de"))


class Sender:
    """Something that has this many bytes to send."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self.in_line = False
        self.allowance = 0
        self.round = -1


class SchedulerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.scheduler: Scheduler[Sender] = Scheduler()

    def turn(self) -> str:
        sender = self.scheduler.next()
        if sender is None:
            return ""
        size = min(sender.size, QUANTUM)
        sender.size -= size
        self.scheduler.sent(sender, size, sender.size > 0)
        return sender.name

    def turns(self, count: int) -> str:
        return "".join(self.turn() for _ in range(count))

    def test_bulk_streams_take_equal_turns(self) -> None:
        """Bulk streams take turns; adding one twice gives it no more of them."""
        for name in "abc":
            sender = Sender(name, 10 * QUANTUM)
            self.scheduler.add(sender)
            self.scheduler.add(sender)
        self.assertEqual(len(self.scheduler), 3)
        self.assertEqual(self.turns(30), "abc" * 10)
        self.assertEqual((self.turn(), len(self.scheduler)), ("", 0))

    def test_idle_stream_goes_first_within_its_share(self) -> None:
        """What had nothing to send goes before the bulk, again and again, but with no more than its share."""
        bulk = [Sender(name, 100 * QUANTUM) for name in "abcd"]
        for sender in bulk:
            self.scheduler.add(sender)
        self.turns(6)
        small = Sender("s", 0)
        order = ""
        for _ in range(8):
            small.size = 100
            self.scheduler.add(small)
            order += self.turn()
        self.assertEqual(order, "s" * 8)
        greedy = Sender("g", 100 * QUANTUM)
        self.scheduler.add(greedy)
        order = self.turns(12)
        self.assertEqual((order[0], order.count("g")), ("g", 3))

    def test_stream_gains_nothing_by_leaving_the_line(self) -> None:
        """A stream that always sends a quantum and leaves the line gets no more than one that stays."""
        bulk, leaver = Sender("b", 1000 * QUANTUM), Sender("l", 0)
        self.scheduler.add(bulk)
        order = ""
        for _ in range(100):
            leaver.size = max(leaver.size, QUANTUM)
            self.scheduler.add(leaver)
            order += self.turn()
        self.assertLessEqual(abs(order.count("b") - order.count("l")), 3)

    @given(st.lists(st.integers(1, 5 * QUANTUM), min_size=1, max_size=12))
    def test_busy_streams_differ_by_two_quanta_at_most(self, sizes: list[int]) -> None:
        """While two streams both have something to send, they differ by two quanta at the most."""
        scheduler: Scheduler[Sender] = Scheduler()
        senders = [Sender(str(number), size) for number, size in enumerate(sizes)]
        sent = dict.fromkeys((each.name for each in senders), 0)
        for sender in senders:
            scheduler.add(sender)
        while (sender := scheduler.next()) is not None:
            size = min(sender.size, QUANTUM)
            sender.size -= size
            sent[sender.name] += size
            scheduler.sent(sender, size, sender.size > 0)
            busy = [sent[each.name] for each in senders if each.size]
            if busy:
                self.assertLessEqual(max(busy) - min(busy), 2 * QUANTUM)
        self.assertEqual(list(sent.values()), sizes)


class WindowsTests(SynchronousTestCase):
    def test_few_streams_get_full_windows(self) -> None:
        """A few streams have what is set, and fast ones more."""
        windows = Windows(Settings())
        self.assertEqual(windows.enlarged(windows.least), 256 * KIB)
        self.assertEqual(windows.enlarged(256 * KIB), 256 * KIB)
        self.assertEqual(windows.enlarged(256 * KIB, True), 512 * KIB)
        self.assertEqual(windows.enlarged(512 * KIB, True), MIB)
        self.assertEqual(windows.enlarged(MIB, True), MIB)

    @given(
        st.integers(1, 300),
        st.integers(MIB, 64 * MIB),
        st.integers(16 * KIB, 2 * MIB),
        st.lists(st.tuples(st.integers(0, 599), st.booleans(), st.booleans()), max_size=200),
    )
    def test_windows_never_exceed_the_memory(
        self, streams: int, memory: int, full: int, steps: list[tuple[int, bool, bool]]
    ) -> None:
        """Whatever streams come, grow and go: all windows fit into the memory, and each has the least."""
        memory = max(memory, 16 * KIB * streams)
        settings = Settings(max_streams=streams, stream_memory=memory, stream_window=full)
        windows = Windows(settings)
        open_ones: dict[int, int] = {}
        for any_number, fast, close in steps:
            number = any_number % (2 * streams)
            if close and number in open_ones:
                windows.give_back(open_ones.pop(number))
            elif not close:
                open_ones[number] = windows.enlarged(open_ones.get(number, windows.least), fast)
            self.assertLessEqual(sum(open_ones.values()), memory)
            self.assertTrue(all(each >= windows.least > 0 for each in open_ones.values()))
        for each in open_ones.values():
            windows.give_back(each)
        self.assertEqual(windows._spare, Windows(settings)._spare)
