"""How streams end, each by itself and all at once."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import KIB, MIB
from routing_crust.streams.frames import StreamReason
from routing_crust.streams.multiplexing import resets

from ..ends import Pair


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

    def test_close_waits_for_no_credit_of_a_peer_that_has_closed(self) -> None:
        """It does not wait any more when the peer has closed as well."""
        self.theirs.reading = False
        self.here.write(bytes(300 * KIB))
        self.here.close()
        self.pair.settle()
        self.there.close()
        self.pair.settle()
        self.assertEqual(self.mine.events, [("closed", 44 * KIB), ("all sent", True)])
        self.gone()

    def test_data_after_our_close_is_dropped(self) -> None:
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

    def test_end_that_was_cut_off_is_told_behind_the_data(self) -> None:
        """Even if the data waits for credit; and the first end that was asked for counts."""
        self.theirs.reading = False
        self.here.write(bytes(300 * KIB))
        self.here.close((StreamReason.FAILED, "so"))
        self.here.close()
        self.pair.settle()
        self.assertEqual(self.theirs.events, [])
        self.theirs.read(256 * KIB)
        self.pair.settle()
        self.assertEqual(len(self.theirs.received), 300 * KIB)
        self.assertEqual(self.theirs.events, [("cut off", 0, StreamReason.FAILED, "so")])
        self.assertEqual(self.mine.events, [("all sent", True)])
        self.there.close()
        self.pair.settle()
        self.gone()

    def test_both_ends_may_close_at_once(self) -> None:
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

    def test_data_after_our_reset_is_dropped(self) -> None:
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
        self.patch(resets, "MAX_STREAM_RESETS", 10)
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

    def test_link_may_be_lost_from_within_a_callback(self) -> None:
        """A writer may end everything when it hears that there is room."""
        other, others, *_ = self.pair.open()
        others.events.clear()
        for stream in (self.here, other):
            stream.write(b"x")
            stream.wants_room = True
        self.mine.room = lambda: self.one.mux.end(ValueError("gone"))  # type: ignore[method-assign]
        self.one.feed()
        self.assertEqual((self.mine.events, others.events), ([("lost", "gone")], [("lost", "gone")]))

    def test_loss_from_within_reaches_each_stream_as_it_stands(self) -> None:
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
