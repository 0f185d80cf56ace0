"""A mux opens streams, and takes those of its peer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import KIB
from routing_crust.errors import LimitReached, WireError
from routing_crust.streams.frames import EARLY_BYTES, StreamFrame, StreamReason, pack_number
from routing_crust.streams.multiplexing.stream import Stream

from ..ends import End, Pair

F = StreamFrame


class OpenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pair = Pair()
        self.one, self.two = self.pair.one, self.pair.two

    def test_each_end_uses_its_own_numbers(self) -> None:
        """Both ends number their streams, and neither uses the other's numbers."""
        numbers = [self.one.open("a")[0].number, self.one.open("b")[0].number, self.two.open("c")[0].number]
        self.pair.settle()
        self.assertEqual(numbers, [1, 3, 2])
        self.assertEqual([each.protocol for each in self.two.asked_for], ["a", "b"])
        self.assertEqual([each.protocol for each in self.one.asked_for], ["c"])
        for end, number in ((self.one, 1), (self.one, 3), (self.two, 2)):
            self.assertEqual(end.handlers[number].events, [("opened",)])

    def test_refused_stream_leaves_nothing_behind(self) -> None:
        """The reason comes through, and nothing is left at either end."""
        self.two.decide = lambda stream: stream.refuse(StreamReason.NOT_ALLOWED, "not you")
        _, handler = self.one.open()
        self.pair.settle()
        self.assertEqual(handler.events, [("refused", StreamReason.NOT_ALLOWED, "not you")])
        self.assertEqual((self.one.mux.streams, self.two.mux.streams), ({}, {}))
        self.assertEqual((self.one.over, self.two.over), ([1], [1]))

    def test_second_refusal_has_no_effect(self) -> None:
        """A second refusal, of something that is not asked any more, is nothing."""
        self.two.decide = self.two.later
        self.one.open()
        self.pair.settle()
        stream = self.two.asked_for[0]
        stream.refuse(StreamReason.FAILED)
        stream.refuse(StreamReason.FAILED)
        self.assertEqual(self.two.kinds(), [F.REFUSED])

    def test_cancelled_open_leaves_nothing_behind(self) -> None:
        """The opener gives up before, while and after the other end decides; nothing is left in any order."""
        for verdict in ("none", "accept", "refuse"):
            for crossing in (False, True):
                pair = Pair()
                pair.two.decide = pair.two.later
                stream, mine = pair.one.open()
                pair.settle()
                asked = pair.two.asked_for[0]
                if not crossing:
                    stream.reset(StreamReason.CANCELLED)
                if verdict == "accept":
                    pair.two.accept(asked)
                elif verdict == "refuse":
                    asked.refuse(StreamReason.FAILED)
                if crossing:
                    stream.reset(StreamReason.CANCELLED)
                pair.settle()
                self.assertEqual((pair.one.mux.streams, pair.two.mux.streams), ({}, {}), (verdict, crossing))
                self.assertEqual(mine.events, [])
                expected = [] if verdict == "refuse" else [("reset", StreamReason.CANCELLED, "")]
                self.assertEqual(pair.two.handlers[1].events, expected)

    def test_open_streams_are_limited_both_ways(self) -> None:
        """What we may open is limited by our setting, what the peer may by ours as well."""
        pair = Pair(max_streams=3)
        for _ in range(3):
            pair.one.open()
        self.assertRaises(LimitReached, pair.one.open)
        pair.settle()
        greedy = End(True, max_streams=5)
        modest = End(False, max_streams=3)
        handlers = [greedy.open()[1] for _ in range(5)]
        pair.deliver(greedy, modest)
        pair.deliver(modest, greedy)
        self.assertEqual([len(each.events) for each in handlers], [1] * 5)
        refusals = [each.events[0] for each in handlers if each.events[0][0] == "refused"]
        self.assertEqual(refusals, [("refused", StreamReason.TOO_MANY, "max_streams is 3")] * 2)
        self.assertEqual((len(greedy.mux.streams), len(modest.mux.streams)), (3, 3))
        # and when one is over there is room again
        greedy.mux.streams[1].close()
        greedy.feed()
        pair.deliver(greedy, modest)
        modest.mux.streams[1].close()
        modest.feed()
        pair.deliver(modest, greedy)
        _, handler = greedy.open()
        pair.deliver(greedy, modest)
        pair.deliver(modest, greedy)
        self.assertEqual(handler.events, [("opened",)])

    def think(self, stream: Stream) -> None:
        """Decide later, and read nothing until then."""
        self.two.later(stream)
        self.two.handlers[stream.number].reading = False

    def test_first_bytes_go_before_the_answer(self) -> None:
        """As many as are agreed on; the rest follows the answer."""
        self.two.decide = self.think
        stream, _ = self.one.open()
        stream.write(b"x" * (EARLY_BYTES + 100))
        self.one.flush()
        self.pair.deliver(self.one, self.two)
        handler, theirs = self.two.handlers[1], self.two.asked_for[0]
        self.assertEqual(handler.received, b"x" * EARLY_BYTES)
        theirs.accepted_by(handler)
        self.pair.settle()
        self.assertEqual(handler.received, b"x" * (EARLY_BYTES + 100))
        # they are part of the window that every stream has
        self.assertEqual((stream.send_window + len(handler.received), theirs.window), (256 * KIB, 256 * KIB))

    def test_first_bytes_of_a_refused_stream_are_dropped(self) -> None:
        """Those that crossed the refusal, those that waited, and those that are written afterwards."""
        self.two.decide = lambda stream: stream.refuse(StreamReason.NOT_ALLOWED)
        stream, handler = self.one.open()
        stream.write(b"crossing")
        self.one.flush()
        self.pair.deliver(self.one, self.two)
        stream.write(b"waiting")
        self.pair.deliver(self.two, self.one)
        self.assertEqual([each[0] for each in handler.events], ["refused"])
        stream.write(b"late")
        self.one.flush()
        self.assertEqual(self.one.kinds(), [])
        self.assertEqual((self.one.mux.streams, self.two.mux.streams), ({}, {}))

    def test_too_many_first_bytes_break_the_protocol(self) -> None:
        self.two.decide = self.think
        self.one.open()
        self.pair.deliver(self.one, self.two)
        self.two.receive(F.DATA, pack_number(1) + b"x" * EARLY_BYTES)
        self.assertRaises(WireError, self.two.receive, F.DATA, pack_number(1) + b"x")

    def test_last_stream_number_ends_opening(self) -> None:
        self.one.mux._next = 2**32 - 1
        self.one.open()
        self.assertRaises(LimitReached, self.one.open)
