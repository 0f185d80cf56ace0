"""Streams between two ends that keep to the protocol: how they open, flow and end."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import KIB, MIB
from routing_crust.errors import LimitReached
from routing_crust.streams import mux
from routing_crust.streams.feeding import BULK_IN_FLIGHT_BYTES, INTERACTIVE_SECONDS
from routing_crust.streams.frames import StreamFrame, StreamReason
from routing_crust.streams.machine import CREDIT_BYTES
from routing_crust.streams.scheduler import LONE_QUANTUM, QUANTUM

from .ends import End, Pair

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

    def test_last_stream_number_ends_opening(self) -> None:
        self.one.mux._next = 2**32 - 1
        self.one.open()
        self.assertRaises(LimitReached, self.one.open)


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


class EndTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pair = Pair()
        self.one, self.two = self.pair.one, self.pair.two
        self.here, self.mine, self.there, self.theirs = self.pair.open()
        self.mine.events.clear()

    def gone(self) -> None:
        self.assertEqual((self.one.mux.streams, self.two.mux.streams), ({}, {}))

    def test_one_direction_ends_by_itself(self) -> None:
        """One way ends after all data; the other goes on."""
        self.here.write(bytes(MIB))
        self.here.finish()
        self.here.finish()
        self.pair.settle()
        self.assertEqual((self.mine.events, self.theirs.events), ([("all sent", False)], [("finished",)]))
        self.assertEqual(len(self.theirs.received), MIB)
        self.there.write(b"still here")
        self.there.finish()
        self.pair.settle()
        self.assertEqual((bytes(self.mine.received), self.mine.events[-1]), (b"still here", ("finished",)))
        self.here.close()
        self.there.close()
        self.pair.settle()
        self.gone()

    def test_close_discards_what_the_peer_still_sends(self) -> None:
        """After all data; what the peer still wanted to send is thrown away, and it hears how much."""
        self.theirs.reading = self.mine.reading = False
        self.there.write(bytes(MIB))
        self.pair.settle()
        self.here.write(b"last words")
        self.here.close()
        self.pair.settle()
        self.assertEqual(self.mine.events, [("all sent", True)])
        self.assertEqual(self.theirs.events, [("closed", 768 * KIB)])
        self.assertEqual(bytes(self.theirs.received), b"last words")
        self.there.write(b"for nothing")
        self.there.close()
        self.pair.settle()
        self.assertEqual(self.theirs.events[-1], ("all sent", True))
        self.gone()

    def test_close_waits_for_data_without_credit(self) -> None:
        """As long as there is data without credit, the end waits."""
        self.theirs.reading = False
        self.here.write(bytes(300 * KIB))
        self.here.close()
        self.pair.settle()
        self.assertEqual(self.mine.events, [])
        self.theirs.read(256 * KIB)
        self.pair.settle()
        self.assertEqual((self.mine.events, self.theirs.events), ([("all sent", True)], [("closed", 0)]))

    def test_close_that_waited_for_credit(self) -> None:
        """It does not wait any more when the peer has closed as well."""
        self.theirs.reading = False
        self.here.write(bytes(300 * KIB))
        self.here.close()
        self.pair.settle()
        self.there.close()
        self.pair.settle()
        self.assertEqual(self.mine.events, [("closed", 44 * KIB), ("all sent", True)])
        self.gone()

    def test_data_after_our_close(self) -> None:
        """What comes before the peer knows is dropped, still within its window, and not reported."""
        self.here.close()
        self.one.feed()
        self.there.write(b"too late")
        self.two.feed()
        self.pair.settle()
        self.assertEqual((bytes(self.mine.received), self.here.unread), (b"", 0))
        self.there.close()
        self.pair.settle()
        self.gone()

    def test_close_at_both_ends(self) -> None:
        self.here.close()
        self.there.close()
        self.one.feed()
        self.two.feed()
        self.pair.settle()
        self.assertEqual((self.mine.events, self.theirs.events), ([("all sent", True)], [("all sent", True)]))
        self.gone()

    def test_reset_is_told_at_once_with_its_reason(self) -> None:
        """At once, with what waits thrown away; the other end hears why."""
        self.here.write(bytes(MIB))
        self.here.reset(StreamReason.ABORTED, "enough")
        self.here.reset(StreamReason.FAILED)
        self.assertEqual(self.here.buffer.size, 0)
        self.pair.settle()
        self.assertEqual(self.mine.events, [])
        self.assertEqual(self.theirs.events, [("reset", StreamReason.ABORTED, "enough")])
        self.gone()

    def test_reset_at_both_ends(self) -> None:
        self.here.reset(StreamReason.ABORTED)
        self.there.reset(StreamReason.ABORTED)
        self.pair.settle()
        self.assertEqual((self.mine.events, self.theirs.events), ([], []))
        self.gone()

    def test_reset_may_cross_a_close(self) -> None:
        self.here.close()
        self.one.feed()
        self.there.reset(StreamReason.ABORTED)
        self.pair.settle()
        self.assertEqual((self.mine.events, self.theirs.events), ([("all sent", True)], []))
        self.gone()

    def test_reset_after_the_peers_close(self) -> None:
        self.here.close()
        self.pair.settle()
        self.there.reset(StreamReason.ABORTED)
        self.pair.settle()
        self.gone()

    def test_data_after_our_reset(self) -> None:
        """What was on its way is dropped."""
        self.there.write(b"on its way")
        self.there.finish()
        self.two.feed()
        self.here.reset(StreamReason.ABORTED)
        self.pair.settle()
        self.assertEqual((bytes(self.mine.received), self.mine.events), (b"", []))
        self.gone()

    def test_own_resets_stay_below_the_limit(self) -> None:
        """We stay below what the peer takes; those that must wait are given up at once for their users."""
        self.patch(mux, "MAX_STREAM_RESETS", 10)
        pair = Pair()
        streams = [pair.open()[0] for _ in range(20)]
        for stream in streams:
            stream.reset(StreamReason.ABORTED)
        pair.settle()
        self.assertEqual(len(pair.one.mux.streams), 12)
        # one of those that wait is ended by the peer, before and in another way
        pair.two.mux.streams[streams[-1].number].reset(StreamReason.FAILED)
        pair.two.mux.streams[streams[-2].number].write(b"unheard")
        pair.two.mux.streams[streams[-2].number].close()
        pair.settle()
        self.assertEqual(len(pair.one.mux.streams), 11)
        for _ in range(20):
            pair.clock.advance(1)
            pair.settle()
        self.assertEqual((pair.one.mux.streams, pair.two.mux.streams), ({}, {}))
        self.assertEqual(pair.clock.getDelayedCalls(), [])

    def test_lost_link_is_told_to_every_user_once(self) -> None:
        """Everyone hears, once, but for those who are done."""
        done, handler, *_ = self.pair.open()
        done.reset(StreamReason.ABORTED)
        handler.events.clear()
        opening, waiting = self.one.open()
        self.here.write(bytes(MIB))
        self.one.mux.end(ValueError("gone"))
        self.assertEqual(self.mine.events, [("lost", "gone")])
        self.assertEqual(waiting.events, [("lost", "gone")])
        self.assertEqual(handler.events, [])
        self.assertEqual(self.one.mux.streams, {})
        # and whatever they do now is of no effect
        self.one.out.clear()
        self.here.write(b"x")
        self.here.close()
        self.here.reset(StreamReason.ABORTED)
        opening.reset(StreamReason.CANCELLED)
        self.one.feed()
        self.assertEqual(self.one.kinds(), [])

    def test_link_lost_from_within(self) -> None:
        """A writer may end everything when it hears that there is room."""
        other, others, *_ = self.pair.open()
        others.events.clear()
        for stream in (self.here, other):
            stream.write(b"x")
            stream.wants_room = True
        self.mine.room = lambda: self.one.mux.end(ValueError("gone"))  # type: ignore[method-assign]
        self.one.feed()
        self.assertEqual((self.mine.events, others.events), ([("lost", "gone")], [("lost", "gone")]))

    def test_close_and_link_lost_from_within(self) -> None:
        """Those whose end has been sent hear of it even so; those who only half closed hear of the loss."""
        closing, closed, *_ = self.pair.open()
        half, halves, *_ = self.pair.open()
        closed.events.clear()
        halves.events.clear()
        self.here.write(b"x")
        self.here.wants_room = True
        closing.close()
        half.finish()
        self.mine.room = lambda: self.one.mux.end(ValueError("gone"))  # type: ignore[method-assign]
        self.one.feed()
        self.assertEqual(closed.events, [("all sent", True)])
        self.assertEqual(halves.events, [("lost", "gone")])
