"""Links that another takes the place of, and links that are not read for a while."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from routing_crust.config import Settings
from routing_crust.crust.link import sendqueue
from routing_crust.crust.link.liveness import HEARTBEATS_PER_TIMEOUT
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.wire.framing import FrameKind
from tests.producers import RecordingProducer

from ..services import KIND, ServiceTests, turn
from .link_case import PROBE, LinkCase, Transport, frame, goodbye

FULL = bytes(3000)
DONE = Failure(ConnectionDone())


HEARTBEAT_SECONDS = Settings().inactivity_timeout / HEARTBEATS_PER_TIMEOUT


class HandOverTests(LinkCase):
    def setUp(self) -> None:
        self.patch(sendqueue, "QUEUE_PAUSE_BYTES", 2048)
        self.patch(sendqueue, "QUEUE_RESUME_BYTES", 1024)
        super().setUp()
        self.old, self.there = self.verified(), self.transport
        self.transport = Transport()
        self.new, self.here = self.verified(), self.transport
        self.clock.advance(0)
        self.there.clear()
        self.here.clear()

    def finish(self) -> None:
        for link in (self.old, self.new):
            if link not in [lost for lost, _ in self.owner.of("lost")]:
                link.connectionLost(DONE)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def written(self) -> tuple[bytes, bytes]:
        """What has gone out over the old link, and over the new one."""
        self.clock.advance(0)
        return self.there.taken(), self.here.taken()

    def test_queued_frames_stay_and_later_ones_go_over_the_heir(self) -> None:
        """What is queued goes out where it was queued; the rest goes over the other, small or large."""
        self.old.send(KIND, b"before")
        self.old.hand_over(self.new)
        self.old.send(KIND, b"after")
        self.old.send(KIND, FULL)
        self.assertRaises(ValueError, self.old.send, 256, b"")
        self.old.send(FrameKind.SWITCHED, b"")
        old, new = (
            frame(KIND, b"before") + frame(FrameKind.SWITCHED),
            frame(KIND, b"after") + frame(KIND, FULL),
        )
        self.assertEqual(self.written(), (old, new))

    def test_heartbeats_and_goodbyes_stay_on_their_link(self) -> None:
        self.old.hand_over(self.new)
        self.clock.pump([HEARTBEAT_SECONDS / 2] * 2)
        self.assertEqual(self.written(), (PROBE, PROBE))
        self.old.close(CloseReason.SUPERSEDED)
        self.assertEqual(self.written(), (goodbye(8), b""))

    def test_frames_for_a_lost_link_go_over_its_heir(self) -> None:
        """If the heir has an heir of its own, they go over that."""
        self.old.hand_over(self.new)
        self.old.connectionLost(DONE)
        self.old.send(KIND, b"after")
        self.assertEqual(self.written(), (b"", frame(KIND, b"after")))
        self.transport = Transport()
        newest = self.verified()
        self.new.hand_over(newest)
        self.old.send(KIND, b"later")
        self.clock.advance(0)
        self.assertEqual(self.transport.taken(), frame(KIND, b"later"))
        newest.connectionLost(DONE)

    def test_handing_over_to_itself_undoes_a_handover(self) -> None:
        """A link that is closed stays closed."""
        self.old.hand_over(self.new)
        self.old.hand_over(self.old)
        self.old.send(KIND, b"here")
        self.assertEqual(self.written(), (frame(KIND, b"here"), b""))
        self.old.close(CloseReason.SUPERSEDED)
        self.old.hand_over(self.old)
        self.old.send(KIND, b"nowhere")
        self.assertEqual(self.written(), (goodbye(8), b""))

    def test_waiters_and_producers_move_to_the_heir(self) -> None:
        self.there.producer.pauseProducing()
        producer = RecordingProducer()
        self.old.add_producer(producer)
        self.old.send(KIND, FULL)
        self.assertEqual((self.old.writable, producer.told), (False, ["pause"]))
        waiting = self.old.when_writable()
        cancelled = self.old.when_writable()
        self.old.hand_over(self.new)
        self.assertTrue(self.old.writable)
        self.assertIsNone(self.successResultOf(waiting))
        self.assertIsNone(self.successResultOf(cancelled))
        self.assertEqual(producer.told, ["pause", "resume"])
        self.here.producer.pauseProducing()
        self.new.send(KIND, FULL)
        self.assertEqual((self.old.writable, producer.told[2:]), (False, ["pause"]))
        self.assertNoResult(self.old.when_writable().addErrback(lambda failure: failure.trap(LinkClosed)))
        self.old.remove_producer(producer)
        another = RecordingProducer()
        self.old.add_producer(another)
        self.assertEqual(another.told, ["pause"])
        self.here.producer.resumeProducing()
        self.assertEqual((producer.told[3:], another.told), ([], ["pause", "resume"]))

    def test_waiters_go_on_waiting_for_a_full_heir(self) -> None:
        """They can still be cancelled."""
        for transport, link in ((self.there, self.old), (self.here, self.new)):
            transport.producer.pauseProducing()
            link.send(KIND, FULL)
        producer = RecordingProducer()
        self.old.add_producer(producer)
        waiting: list[Deferred[None]] = [self.old.when_writable(), self.old.when_writable()]
        self.old.hand_over(self.new)
        self.assertEqual(producer.told, ["pause", "pause"])
        self.assertNoResult(waiting[0])
        waiting[1].cancel()
        self.failureResultOf(waiting[1], CancelledError)
        self.here.producer.resumeProducing()
        self.assertIsNone(self.successResultOf(waiting[0]))
        self.assertEqual(producer.told, ["pause", "pause", "resume"])


class ReadingTests(LinkCase):
    def test_silence_is_not_timed_while_we_do_not_read(self) -> None:
        link = self.verified()
        link.pause_reading()
        link.pause_reading()
        self.assertEqual(self.transport.producerState, "paused")
        seconds = int(4 * HEARTBEATS_PER_TIMEOUT * HEARTBEAT_SECONDS)
        self.clock.pump([1] * seconds)
        self.assertEqual(self.owner.of("lost"), [])
        link.resume_reading()
        link.resume_reading()
        self.assertEqual(self.transport.producerState, "producing")
        self.clock.pump([1] * seconds)
        self.assertTrue(self.transport.aborted)

    def test_link_that_is_being_closed_reads_on(self) -> None:
        """A link that is being closed reads on, to see that the peer closes too."""
        link = self.verified()
        link.pause_reading()
        link.close(CloseReason.STOPPING)
        self.assertEqual(self.transport.producerState, "producing")
        link.pause_reading()
        self.assertEqual(self.transport.producerState, "producing")


class RealTests(ServiceTests):
    """Over TCP and TLS."""

    async def test_paused_reading_makes_the_peer_wait_and_loses_nothing(self) -> None:
        link, accepted = await self.pair()
        link.verified()
        accepted.verified()
        accepted.pause_reading()
        count = 0
        while link.writable:
            link.send(KIND, bytes(60_000))
            count += 1
            if count % 10 == 0:
                await turn()
        self.assertLess(len(self.others.of("message")), count)
        accepted.resume_reading()
        link.send(KIND, b"last")
        done: Deferred[None] = Deferred()
        self.others.handlers["message"] = lambda _, kind, payload: payload == b"last" and done.callback(None)
        await done
        self.assertEqual(len(self.others.of("message")), count + 1)
