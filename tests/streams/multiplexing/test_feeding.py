"""Whose turn it is to send."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import MIB
from routing_crust.streams.frames import StreamReason
from routing_crust.streams.multiplexing.feeding import BULK_IN_FLIGHT_BYTES, INTERACTIVE_SECONDS
from routing_crust.streams.multiplexing.machine import CREDIT_BYTES
from routing_crust.streams.multiplexing.scheduler import LONE_QUANTUM, QUANTUM

from ..ends import Pair


class FairnessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pair = Pair()
        self.one = self.pair.one

    def frames_until(self, number: int) -> int:
        """How many frames go out, one at a time, before there is one of this stream."""
        for count in range(1000):
            self.one.feed(1)
            stream = int.from_bytes(self.one.out.pop()[1][:4], "big")
            self.one.out.clear()
            if stream == number:
                return count
        raise AssertionError("never")

    def test_small_answer_waits_for_no_bulk_stream(self) -> None:
        """An answer of a few bytes waits for no frame of sixty-four bulk streams, time and again."""
        bulk = [self.pair.open()[0] for _ in range(64)]
        small, *_ = self.pair.open()
        for stream in bulk:
            stream.write(bytes(4 * MIB))
        self.one.feed(100 * QUANTUM)
        self.one.out.clear()
        for _ in range(50):
            small.write(b"ping")
            self.assertEqual(self.frames_until(small.number), 0)
            self.one.feed(2 * QUANTUM)
            self.one.out.clear()

    def test_bulk_streams_take_turns(self) -> None:
        """Each of sixty-four waits for one frame of each other."""
        bulk = [self.pair.open()[0] for _ in range(64)]
        for stream in bulk:
            stream.write(bytes(MIB))
        self.one.feed(64 * QUANTUM)
        self.one.out.clear()
        for _ in range(10):
            self.assertLessEqual(self.frames_until(bulk[17].number), 64)

    def sizes(self) -> set[int]:
        """The sizes of the frames that go out while there is room for four small ones."""
        self.one.out.clear()
        self.one.feed(4 * QUANTUM)
        return {len(payload) - 4 for _, payload in self.one.out}

    def test_stream_sends_large_frames_only_while_it_is_alone(self) -> None:
        bulk, _, _, _ = self.pair.open()
        other, *_ = self.pair.open()
        small, *_ = self.pair.open()
        bulk.write(bytes(40 * QUANTUM))
        self.assertEqual(self.sizes(), {LONE_QUANTUM})
        other.write(bytes(8 * QUANTUM))
        self.assertEqual(self.sizes(), {QUANTUM})
        other.reset(StreamReason.CANCELLED)
        self.one.feed(8 * QUANTUM)
        self.pair.settle()
        small.write(b"ping")
        bulk.write(bytes(20 * QUANTUM))
        self.assertEqual(self.sizes(), {4, QUANTUM})
        self.pair.settle()
        self.pair.clock.advance(2 * INTERACTIVE_SECONDS)
        bulk.write(bytes(20 * QUANTUM))
        self.assertEqual(self.sizes(), {LONE_QUANTUM})

    def test_less_on_its_way_beside_small(self) -> None:
        """While another sends little and often, a bulk stream has less on its way, and later more again."""
        bulk, _, _, theirs = self.pair.open()
        small, *_ = self.pair.open()
        bulk.write(bytes(8 * MIB))
        self.pair.settle()
        theirs.reading = False
        small.write(b"ping")
        self.pair.settle()
        bulk.write(bytes(8 * MIB))
        self.pair.settle()
        self.assertLess(theirs.unread, BULK_IN_FLIGHT_BYTES + QUANTUM)
        self.pair.clock.advance(2 * INTERACTIVE_SECONDS)
        theirs.read(CREDIT_BYTES)
        self.pair.come_to_rest()
        self.assertGreater(theirs.unread, 3 * BULK_IN_FLIGHT_BYTES)
        theirs.reading = True
        theirs.read(theirs.unread)
        self.pair.settle()
        self.assertEqual(len(theirs.received), 16 * MIB)
