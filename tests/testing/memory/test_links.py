"""The network in memory: frames, back-pressure, and how links end."""

from __future__ import annotations

from routing_crust.crust.link import link, sending, sendqueue
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.wire.framing import HEADER_BYTES, FrameKind
from tests.producers import RecordingProducer

from .memory_case import KIND, MemoryTestCase

FRAME = bytes(60 * 1024)


class FrameTests(MemoryTestCase):
    """What is sent arrives, in order, and within the limits."""

    def test_frames_arrive_in_order_after_the_latency(self) -> None:
        """Frames of both directions arrive in order, each after the latency; they are counted."""
        here, there = self.pair()
        sent = self.clock.seconds()
        for number in range(5):
            here.send(KIND, bytes([number]))
        there.send(255, b"back")
        self.assertEqual(here.queued, 5 * (1 + HEADER_BYTES))
        self.network.settle(0.009)
        self.assertEqual(self.recorder(there).payloads, [])
        self.network.settle(0.002)
        self.assertEqual(self.recorder(there).payloads, [bytes([number]) for number in range(5)])
        self.assertEqual(self.recorder(here).of("message"), [(255, b"back")])
        self.assertApproximates(self.recorder(there).times[-1], sent + self.network.latency, 1e-9)
        self.assertEqual((here.queued, self.network.frames), (0, 6))
        self.assertEqual(self.network.bytes, 6 * HEADER_BYTES + 9)

    def test_latency_may_change(self) -> None:
        """A shorter latency does not let a frame overtake another."""
        here, there = self.pair()
        here.send(KIND, b"slow")
        self.network.settle(0)
        self.network.latency = 0.001
        here.send(KIND, b"fast")
        self.network.settle(0.005)
        self.assertEqual(self.recorder(there).payloads, [])
        self.network.settle(0.006)
        self.assertEqual(self.recorder(there).payloads, [b"slow", b"fast"])

    def test_early_frame_is_delivered_after_the_report(self) -> None:
        """What is sent at once is delivered once the other end has been reported, never before."""
        one, other = self.crust(), self.crust()
        self.network.hold((one, other))
        self.dial(one, other)
        self.network.run_until(lambda: self.network.waiting((one, other)))
        self.network.release((one, other), 1)  # TLS begins
        self.network.run_until(lambda: one.links)
        one.links[0].send(KIND, b"early")
        self.network.settle(1)
        self.assertEqual([event[0] for event in self.recorders[other].events], ["external"])
        self.network.release((one, other))
        self.network.settle(0)
        self.assertEqual(
            [event[0] for event in self.recorders[other].events], ["external", "accept", "message"]
        )

    def test_frame_that_is_too_large_or_of_no_kind_is_refused(self) -> None:
        """A frame that is too large, or of no kind, is the caller's mistake; the largest goes through."""
        self.patch(sending, "MAX_FRAME_BYTES", 32 * 1024)
        here, there = self.pair()
        self.assertRaises(ValueError, here.send, KIND, bytes(32 * 1024 + 1))
        self.assertRaises(ValueError, here.send, 256, b"")
        self.assertRaises(ValueError, here.send, -1, b"")
        here.send(0, bytes(32 * 1024))
        self.network.settle(1)
        self.assertEqual(self.recorder(there).of("message"), [(0, bytes(32 * 1024))])

    def test_heartbeats_and_goodbyes_are_not_reported(self) -> None:
        """Heartbeats and Goodbyes are crust's own and not reported."""
        here, there = self.pair()
        here.send(FrameKind.HEARTBEAT, b"")
        here.send(FrameKind.GOODBYE, b"")
        self.network.settle(1)
        self.assertEqual(self.recorder(there).of("message"), [])

    def test_frame_above_the_peers_limit_closes_the_link(self) -> None:
        """A frame above the receiver's own limit closes the link."""
        self.patch(link, "MAX_FRAME_BYTES", 32 * 1024)
        one, other = self.crust(), self.crust()
        self.dial(one, other)
        self.network.run_until(lambda: one.links)
        one.links[0].send(KIND, bytes(32 * 1024 + 1))
        self.network.settle(1)
        self.assertEqual(self.recorders[other].of("message"), [])
        self.assertEqual(self.recorders[other].losses, [(CloseReason.PROTOCOL_ERROR, False)])
        self.assertEqual(self.recorders[one].losses, [(CloseReason.PROTOCOL_ERROR, True)])

    def test_unverified_link_takes_small_frames_only(self) -> None:
        """Until verified, frames have control size and max_unverified bounds their sum."""
        for sizes, delivered in (([4096 - HEADER_BYTES] * 5, 5), ([4097], 0)):
            one, other = self.crust(), self.crust()
            self.recorders[other].verify = False
            self.dial(one, other)
            self.network.run_until(lambda one=one: one.links)
            for size in sizes:
                one.links[0].send(KIND, bytes(size))
            self.network.settle(1)
            self.assertEqual(len(self.recorders[other].payloads), delivered)
            self.assertEqual(self.recorders[other].losses, [(CloseReason.PROTOCOL_ERROR, False)])

    def test_unverified_link_is_closed_after_hello_timeout(self) -> None:
        """A link that is not verified is closed hello_timeout after the connection; verified lifts it."""
        for verified, losses in ((False, [(CloseReason.HELLO_TIMEOUT, False)]), (True, [])):
            one, other = self.crust(), self.crust()
            self.recorders[other].verify = False
            self.dial(one, other)
            start = self.clock.seconds()
            self.network.run_until(lambda other=other: other.links)
            if verified:
                other.links[0].verified()
                other.links[0].verified()
            self.network.settle(11)
            self.assertEqual(self.recorders[other].losses, losses)
            if losses:
                self.assertEqual(self.recorders[one].losses, [(CloseReason.HELLO_TIMEOUT, True)])
                self.assertApproximates(self.recorders[one].times[-1], start + 10.02, 0.001)


class BackPressureTests(MemoryTestCase):
    """The send queue, which fills while a test holds the link."""

    def test_full_queue_pauses_producers_until_it_is_short(self) -> None:
        """Above queue_pause producers are paused, from queue_resume on they and the waiting callers go on."""
        here, there = self.pair()
        producer, late, removed = RecordingProducer(), RecordingProducer(), RecordingProducer()
        here.add_producer(producer)
        here.add_producer(removed)
        here.remove_producer(removed)
        here.remove_producer(removed)
        self.assertRaises(ValueError, here.add_producer, producer)
        self.assertIsNone(self.successResultOf(here.when_writable()))
        self.network.hold(here)
        while here.writable:
            here.send(KIND, FRAME)
        self.assertTrue(1024**2 <= here.queued < 1024**2 + len(FRAME) + HEADER_BYTES)
        here.add_producer(late)
        waiting, cancelled = here.when_writable(), here.when_writable()
        cancelled.addErrback(lambda failure: None)
        cancelled.cancel()
        self.network.settle(0)
        for _ in range(20):
            if here.writable:
                break
            self.assertEqual((producer.told, late.told), (["pause"], ["pause"]))
            self.assertNoResult(waiting)
            self.at_once(lambda: self.network.release(here, 1))
        self.assertTrue(here.writable)
        self.successResultOf(waiting)
        self.assertEqual((producer.told, late.told, removed.told), (["pause", "resume"],) * 2 + ([],))
        self.network.release(here)
        self.network.settle(100)
        self.assertEqual(len(self.recorder(there).payloads), 18)
        self.assertTrue(self.crust_of(here).links)

    def test_feeder_is_asked_while_little_is_on_its_way(self) -> None:
        """Who feeds a link is asked for more as long as little is on its way, and never once it is closed."""
        here, there = self.pair()
        left = [FRAME] * 10

        def feed(room: int) -> None:
            if left:
                here.send(KIND, left.pop())

        here.set_feeder(feed)
        self.assertEqual(len(left), 10)
        here.feed_soon()
        self.network.settle(0)
        self.assertEqual(len(left), 7)
        self.network.settle(1)
        self.assertEqual(len(self.recorder(there).payloads), 10)
        left.append(FRAME)
        here.close(CloseReason.STOPPING)
        here.feed_soon()
        self.network.settle(1)
        self.assertEqual(len(left), 1)

    def test_lost_link_stops_producers_and_fails_waiters(self) -> None:
        """When the link is lost, who waits fails and producers are stopped; afterwards, at once."""
        here, _ = self.pair()
        producer, late = RecordingProducer(), RecordingProducer()
        here.add_producer(producer)
        self.network.hold(here)
        while here.writable:
            here.send(KIND, FRAME)
        waiting = here.when_writable()
        here.abort(CloseReason.NOT_WANTED)
        self.network.settle(0)
        self.assertEqual(self.failureResultOf(waiting, LinkClosed).value.reason, CloseReason.NOT_WANTED)
        self.failureResultOf(here.when_writable(), LinkClosed)
        here.add_producer(late)
        self.assertEqual((producer.told, late.told), (["pause", "stop"], ["stop"]))

    def test_link_with_a_full_queue_is_cut(self) -> None:
        """A link whose queue reaches queue_most is cut."""
        self.patch(sending, "MAX_QUEUE_BYTES", 1024**2)
        self.patch(sendqueue, "MAX_QUEUE_BYTES", 1024**2)
        self.patch(sendqueue, "QUEUE_PAUSE_BYTES", 1024**2)
        here, there = self.pair()
        self.network.hold(here)
        for _ in range(20):
            here.send(KIND, FRAME)
        self.network.settle(0)
        self.assertEqual(self.recorder(here).losses, [(CloseReason.SEND_QUEUE_FULL, False)])
        self.network.release(here)
        self.network.settle(1)
        self.assertEqual(self.recorder(there).losses, [(CloseReason.CONNECTION_LOST, False)])
        self.assertEqual(self.recorder(there).payloads, [])

    def test_link_with_a_stalled_queue_is_cut(self) -> None:
        """A full queue that does not move for stall_timeout costs the link; each delivery is a move."""
        here, _ = self.pair()
        self.network.hold(here)
        while here.writable:
            here.send(KIND, FRAME)
        self.network.settle(29)
        self.at_once(lambda: self.network.release(here, 2))
        self.network.settle(29)
        self.assertEqual(self.recorder(here).losses, [])
        self.network.settle(3)
        self.assertEqual(self.recorder(here).losses, [(CloseReason.STALLED, False)])


class EndTests(MemoryTestCase):
    """lost_connection comes once at each end, later than the call that causes it."""

    def test_close_sends_the_queue_and_then_the_reason(self) -> None:
        """What is queued goes out, then the reason; the closing end gets no frame any more."""
        here, there = self.pair()
        here.send(KIND, b"last words")
        there.send(KIND, b"too late")
        here.close(CloseReason.SUPERSEDED, "for our log")
        here.close(CloseReason.NOT_WANTED)
        here.send(KIND, b"nobody hears this")
        self.network.settle(100)
        self.assertEqual(self.recorder(there).payloads, [b"last words"])
        self.assertEqual(self.recorder(here).payloads, [])
        self.assertEqual(self.recorder(here).losses, [(CloseReason.SUPERSEDED, False)])
        self.assertEqual(self.recorder(there).losses, [(CloseReason.SUPERSEDED, True)])
        self.assertEqual((self.network.links, self.left()), ([], []))

    def test_ends_that_close_at_once_keep_their_reasons(self) -> None:
        """When both ends close at once, each keeps its own reason."""
        here, there = self.pair()
        here.close(CloseReason.SUPERSEDED)
        there.close(CloseReason.NOT_WANTED)
        self.network.settle(100)
        self.assertEqual(self.recorder(here).losses, [(CloseReason.SUPERSEDED, False)])
        self.assertEqual(self.recorder(there).losses, [(CloseReason.NOT_WANTED, False)])
        self.assertEqual(self.network.links, [])

    def test_close_that_does_not_get_through_ends_in_a_cut(self) -> None:
        """A link whose Goodbye does not get through is cut after close_timeout."""
        here, there = self.pair()
        self.network.hold(here)
        here.close(CloseReason.SUPERSEDED)
        self.network.settle(4.9)
        self.assertEqual(self.recorder(here).losses, [])
        self.network.settle(0.2)
        self.assertEqual(self.recorder(here).losses, [(CloseReason.SUPERSEDED, False)])
        self.network.release(here)
        self.network.settle(1)
        self.assertEqual(self.recorder(there).losses, [(CloseReason.CONNECTION_LOST, False)])

    def test_abort_loses_the_queue(self) -> None:
        """The aborting end has its reason, the other hears CONNECTION_LOST; what is queued is lost."""
        here, there = self.pair()
        here.send(KIND, b"lost")
        here.abort(CloseReason.NOT_WANTED)
        here.abort(CloseReason.STALE)
        here.close(CloseReason.STALE)
        self.assertEqual(here.queued, 0)
        self.network.settle(100)
        self.assertEqual(self.recorder(here).losses, [(CloseReason.NOT_WANTED, False)])
        self.assertEqual(self.recorder(there).losses, [(CloseReason.CONNECTION_LOST, False)])
        self.assertEqual(self.recorder(there).payloads, [])
        here.abort(CloseReason.STALE)
        self.assertEqual((self.network.links, self.left()), ([], []))

    def test_ends_that_abort_at_once_keep_their_reasons(self) -> None:
        """When both ends end it at once, in whatever way, each keeps its own reason."""
        for ways in (("abort", "abort"), ("close", "abort")):
            ends = self.pair()
            for end, way in zip(ends, ways, strict=True):
                getattr(end, way)(CloseReason.STALE)
            self.network.settle(100)
            for end in ends:
                self.assertEqual(self.recorder(end).losses, [(CloseReason.STALE, False)])
        self.assertEqual((self.network.links, self.left()), ([], []))

    def test_abort_ends_a_close_with_its_reason(self) -> None:
        """An abort ends a close that takes long, with the reason that was given first."""
        here, _ = self.pair()
        self.network.hold(here)
        here.close(CloseReason.SUPERSEDED)
        here.abort(CloseReason.STALE)
        self.network.settle(0)
        self.assertEqual(self.recorder(here).losses, [(CloseReason.SUPERSEDED, False)])

    def test_calls_within_a_report_lead_to_events_after_it(self) -> None:
        """Whatever is called while an event is reported leads to no event before that one is done."""
        here, there = self.pair()
        self.recorder(there).react = lambda event: there.abort(CloseReason.STALE)
        self.recorder(here).react = lambda event: here.close(CloseReason.STALE)
        here.send(KIND, b"go away")
        self.network.settle(100)
        self.assertEqual(self.recorder(there).losses, [(CloseReason.STALE, False)])
        self.assertEqual(self.recorder(here).losses, [(CloseReason.CONNECTION_LOST, False)])

    def test_link_closed_when_reported_is_lost_at_both_ends(self) -> None:
        """A link closed as soon as it is reported is reported as lost at both ends, after it was made."""
        one, other = self.crust(), self.crust()
        self.recorders[one].react = lambda event: event[0] == "connect" and event[1].close(CloseReason.STALE)
        dialled = self.dial(one, other)
        self.network.settle(1)
        self.successResultOf(dialled)
        self.assertEqual([event[0] for event in self.recorders[one].events], ["external", "connect", "lost"])
        self.assertEqual([event[0] for event in self.recorders[other].events], ["external", "accept", "lost"])
        self.assertEqual(self.recorders[other].losses, [(CloseReason.STALE, True)])
