"""Data and credit between two muxes."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import KIB, MIB
from routing_crust.streams.frames import StreamFrame, StreamReason
from routing_crust.streams.multiplexing.machine import CREDIT_BYTES
from routing_crust.streams.multiplexing.scheduler import LONE_QUANTUM

from ..ends import Pair

F = StreamFrame


class DataTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pair = Pair()
        self.one, self.two = self.pair.one, self.pair.two
        self.here, self.mine, self.there, self.theirs = self.pair.open()

    def test_data_passes_both_ways(self) -> None:
        self.here.write(b"hello ")
        self.here.write(b"there")
        self.there.write(b"and back")
        self.pair.settle()
        self.assertEqual(
            (bytes(self.theirs.received), bytes(self.mine.received)), (b"hello there", b"and back")
        )

    def test_writes_of_one_turn_are_one_frame(self) -> None:
        """What is written in one turn of the reactor is one frame."""
        for _ in range(10):
            self.here.write(b"x")
        self.assertEqual(self.one.kinds(), [])
        self.one.feed()
        self.assertEqual(self.one.sent(), [(F.DATA, b"x" * 10)])

    def test_large_data_goes_in_quanta_with_credit(self) -> None:
        """Much data comes through in frames of a quantum, with credit as it is read."""
        data = bytes(range(256)) * 4096 * 4
        self.here.write(data)
        self.pair.settle()
        self.assertEqual(bytes(self.theirs.received), data)
        self.assertEqual((self.here.buffer.size, self.there.unread), (0, 0))

    def test_unread_stream_stops_only_its_sender(self) -> None:
        """Nobody reads: the sender stops when the window is full, and no other stream does."""
        self.theirs.reading = False
        here, _, _, theirs = self.pair.open()
        self.here.write(bytes(MIB))
        here.write(bytes(MIB))
        self.pair.settle()
        self.assertEqual((len(self.theirs.received), len(theirs.received)), (256 * KIB, MIB))
        self.assertEqual((self.here.send_window, self.here.buffer.size), (0, 768 * KIB))
        self.theirs.reading = True
        self.theirs.read(256 * KIB)
        self.pair.come_to_rest()
        self.assertEqual(len(self.theirs.received), MIB)

    def test_credit_is_worth_it(self) -> None:
        """None for a few bytes; for more once nothing has come for a turn; for half of the window at once."""
        self.theirs.reading = False
        self.here.write(bytes(256 * KIB))
        self.pair.settle()
        self.theirs.read(CREDIT_BYTES - 1)
        self.two.turn()
        self.assertEqual(self.two.next_turn, [])
        self.theirs.read(1)
        self.two.turn()
        self.assertEqual(self.two.kinds(), [])
        self.two.turn()
        self.assertEqual(self.two.sent(), [(F.CREDIT, CREDIT_BYTES.to_bytes(4, "big"))])
        self.assertEqual(self.two.next_turn, [])
        self.theirs.read(128 * KIB)
        self.assertEqual(self.two.sent(), [(F.CREDIT, (128 * KIB).to_bytes(4, "big"))])

    def test_credit_waits_while_more_comes(self) -> None:
        """As long as something comes in each turn; then all of it is one CREDIT."""
        due = 0
        for size in (CREDIT_BYTES, 10 * KIB, 20 * KIB):
            due += size
            self.here.write(bytes(size))
            self.one.flush()
            self.pair.deliver(self.one, self.two)
            self.two.turn()
            self.assertEqual(self.two.kinds(), [])
        self.two.turn()
        self.assertEqual(self.two.sent(), [(F.CREDIT, due.to_bytes(4, "big"))])
        self.assertEqual(self.two.next_turn, [])

    def test_credit_that_is_void(self) -> None:
        """What is owed when the peer sends no more, or the stream or the link is lost, nobody gets."""
        ends: tuple[Callable[[DataTests], object], ...] = (
            lambda test: test.here.finish(),
            lambda test: test.here.close(),
            lambda test: test.here.reset(StreamReason.CANCELLED),
            lambda test: test.there.reset(StreamReason.CANCELLED),
            lambda test: test.two.mux.end(ConnectionLost()),
        )
        for end in ends:
            self.setUp()
            self.here.write(bytes(CREDIT_BYTES))
            self.one.flush()
            self.pair.deliver(self.one, self.two)
            end(self)
            self.one.flush()
            self.pair.deliver(self.one, self.two)
            for _ in range(3):
                self.two.turn()
            self.assertNotIn(F.CREDIT, self.two.kinds())
            self.assertEqual(self.two.next_turn, [])

    def test_window_grows_for_a_fast_reader_only(self) -> None:
        """A stream that is read as fast as it comes may have more on its way; one that is not may not."""
        self.here.write(bytes(8 * MIB))
        self.pair.settle()
        self.assertEqual(self.there.window, MIB)
        here, _, there, theirs = self.pair.open()
        here.write(bytes(8 * MIB))
        theirs.reading = False
        for _ in range(40):
            self.pair.settle()
            self.pair.clock.advance(1)
            theirs.read(theirs.unread)
        self.assertEqual(there.window, 256 * KIB)

    def test_room_is_reported_once(self) -> None:
        """A writer that waits for room hears of it once."""
        self.here.write(bytes(200_000))
        self.here.wants_room = True
        self.one.feed(100_000)
        self.assertEqual(self.mine.events, [("opened",)])
        self.one.feed(100_000)
        self.assertEqual(self.mine.events, [("opened",), ("room",)])
        self.pair.settle()
        self.assertEqual(self.mine.events, [("opened",), ("room",)])

    def test_feeding_stops_with_the_room(self) -> None:
        """No more is sent than there is room for, but for one frame; and nothing, when there is nothing."""
        self.here.write(bytes(10 * LONE_QUANTUM))
        self.one.feed(LONE_QUANTUM + 1)
        self.assertEqual(len(self.one.out), 1)
        self.one.feed(LONE_QUANTUM + 9)
        self.assertEqual(len(self.one.out), 3)
        self.one.feed(0)
        self.assertEqual(len(self.one.out), 3)
