"""The send queue: what goes out when, and who waits."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from routing_crust.crust.link import sendqueue
from routing_crust.crust.link.sendqueue import PIECE_BYTES, SendQueue
from routing_crust.errors import CloseReason, LinkClosed
from tests.producers import RecordingProducer


class Transport(StringTransport):
    """Pauses its producer when it holds more than 64 KiB, as TCP does, until L{drain}."""

    held = 0

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[int] = []

    def write(self, data: bytes) -> None:
        super().write(data)
        self.writes.append(len(data))
        self.held += len(data)
        if self.held > 65536 and self.producer is not None:
            self.producer.pauseProducing()

    def drain(self) -> None:
        self.held = 0
        self.producer.resumeProducing()


class Mistaken(RecordingProducer):
    """Raises whatever it is told."""

    def pauseProducing(self) -> None:
        raise ZeroDivisionError

    resumeProducing = stopProducing = pauseProducing


class QueueCase(SynchronousTestCase):
    """The queue with a transport that has a limit."""

    def setUp(self) -> None:
        self.transport = Transport()
        self.clock = Clock()
        self.patch(sendqueue, "QUEUE_PAUSE_BYTES", 300_000)
        self.patch(sendqueue, "QUEUE_RESUME_BYTES", 100_000)
        self.patch(sendqueue, "MAX_QUEUE_BYTES", 900_000)
        self.queue = SendQueue(self.transport, self.clock)
        self.transport.registerProducer(self.queue, True)
        verifyObject(IPushProducer, self.queue)

    def put(self, header: bytes, payload: bytes) -> None:
        """What a link does to send a frame."""
        self.queue.parts += (header, payload)
        self.queue.size += len(header) + len(payload)
        if self.queue.size >= self.queue.alarm:
            self.queue.attend()

    def fill(self, size: int) -> None:
        self.put(b"head", bytes(size - 4))


class SendQueueTests(QueueCase):
    """What waits, and who waits for it."""

    def test_small_frames_are_joined_into_one_write(self) -> None:
        for each in (b"one", b"", b"two"):
            self.put(b"-", each)
        self.assertEqual((self.queue.size, self.queue.wrote), (9, False))
        self.queue.flush()
        self.assertEqual((self.transport.value(), self.transport.writes), (b"-one--two", [9]))
        self.assertEqual((self.queue.size, self.queue.wrote), (0, True))
        self.queue.flush()
        self.assertEqual(self.transport.writes, [9])

    def test_what_a_flush_has_written_goes_to_the_socket_at_once(self) -> None:
        calls: list[int] = []
        self.queue._write_now = lambda: calls.append(len(self.transport.value()))
        self.put(b"one", b"two")
        self.queue.flush()
        self.queue.flush()
        self.assertEqual(calls, [6])

    def test_kernel_that_takes_all_leaves_others_their_turn(self) -> None:
        """With two pieces a turn is over; the rest, and what the feeder has, goes out in the next ones."""
        self.queue._write_now = lambda: None
        self.transport.unregisterProducer()  # nobody is paused
        fed = [bytes([number]) * PIECE_BYTES for number in range(5)]
        whole = b"".join(b"head" + each for each in fed)
        self.queue.feeder = lambda room: self.put(b"head", fed.pop(0)) if fed else None
        self.queue.hungry = True
        self.queue.flush()
        self.assertEqual(len(self.transport.writes), 2)
        # the clock makes calls of later turns as well
        self.clock.advance(0)
        self.assertEqual(self.transport.value(), whole)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_transport_that_is_paused_is_left_to_the_reactor(self) -> None:
        """It would ask for more from within the call."""
        calls: list[int] = []
        self.queue._write_now = lambda: calls.append(len(self.transport.value()))
        for _ in range(5):
            self.put(b"head", bytes(50_000))
        self.queue.flush()
        self.assertTrue(self.queue.paused)
        self.assertEqual(calls, [])

    def test_large_queue_is_written_piece_by_piece(self) -> None:
        """More than a piece is written piece by piece, as the transport takes them; nothing is mixed up."""
        frames = [bytes([number]) * 50_000 for number in range(5)]
        for frame in frames:
            self.put(b"head", frame)
        self.queue.flush()
        self.put(b"late", b"comer")
        self.assertEqual((self.transport.writes, self.queue.size), ([150_016], 100_004 + 9))
        while self.queue.size:
            self.transport.drain()
        self.assertEqual(self.transport.value(), b"".join(b"head" + each for each in frames) + b"latecomer")
        self.assertEqual(len(self.transport.writes), 2)

    def test_small_frames_are_joined_to_pieces_too(self) -> None:
        """Small frames are joined to pieces too."""
        for _ in range(5_000):
            self.put(b"head", bytes(64))
        while self.queue.size:
            self.queue.flush()
            self.transport.drain()
        self.assertEqual(sum(self.transport.writes), 5_000 * 68)
        self.assertEqual(len(self.transport.writes), 3)

    def test_frame_of_more_than_two_pieces_is_cut(self) -> None:
        """One frame that is more than two pieces is cut."""
        payload = bytes(range(256)) * 2_000
        self.put(b"head", payload)
        self.put(b"head", b"next")
        while self.queue.size:
            self.queue.flush()
            self.transport.drain()
        self.assertEqual(self.transport.value(), b"head" + payload + b"headnext")
        self.assertTrue(all(each <= PIECE_BYTES for each in self.transport.writes))

    def test_whole_number_of_pieces_leaves_no_rest(self) -> None:
        """A queue that is a whole number of pieces leaves no empty rest."""
        self.fill(2 * PIECE_BYTES)
        self.queue.flush()
        self.transport.drain()
        self.assertEqual((self.transport.writes, self.queue.size), ([PIECE_BYTES, PIECE_BYTES], 0))

    def test_transport_that_has_enough_gets_no_more(self) -> None:
        """A transport that has enough gets no more."""
        self.queue.pauseProducing()
        self.fill(10)
        self.queue.flush()
        self.assertEqual((self.transport.writes, self.queue.look()), ([], (False, None)))
        self.queue.resumeProducing()
        self.assertEqual((self.transport.writes, self.queue.look()), ([10], (True, None)))

    def test_drained_is_called_when_a_flush_leaves_nothing(self) -> None:
        calls: list[int] = []
        self.fill(2 * PIECE_BYTES)
        self.queue.drained = lambda: calls.append(self.queue.size)
        self.queue.flush()
        self.assertEqual(calls, [])
        self.transport.drain()
        self.assertEqual(calls, [0])

    def test_producers_are_paused_once_when_the_queue_is_full(self) -> None:
        """Paused once when the queue is full, resumed once when it has fallen far enough."""
        first, late, gone = RecordingProducer(), RecordingProducer(), RecordingProducer()
        self.queue.add_producer(first)
        self.queue.add_producer(gone)
        self.assertRaises(ValueError, self.queue.add_producer, first)
        self.queue.remove_producer(gone)
        self.queue.remove_producer(gone)
        self.fill(299_999)
        self.assertEqual((first.told, self.queue.full), ([], False))
        self.put(b"x", b"")
        self.put(b"x", b"")
        self.queue.add_producer(late)
        self.assertEqual((first.told, late.told, self.queue.full), (["pause"], ["pause"], True))
        self.queue.flush()  # leaves 168,929
        self.assertEqual(first.told, ["pause"])
        self.transport.drain()  # leaves 37,857
        self.transport.drain()
        self.assertEqual((first.told, late.told), (["pause", "resume"],) * 2)
        self.assertEqual((gone.told, self.queue.full), ([], False))

    def test_waiters_fire_when_the_queue_has_room(self) -> None:
        """A cancelled waiter is forgotten."""
        self.successResultOf(self.queue.when_writable())
        self.fill(300_000)
        one, two, three = (self.queue.when_writable() for _ in range(3))
        two.cancel()
        self.failureResultOf(two, CancelledError)
        self.queue.flush()
        self.assertNoResult(one)
        self.transport.drain()
        self.assertEqual((self.successResultOf(one), self.successResultOf(three)), (None, None))

    def test_producers_stay_paused_if_one_fills_the_queue_again(self) -> None:
        greedy: Deferred[None]
        producer = RecordingProducer()
        self.queue.add_producer(producer)
        self.fill(300_000)
        greedy = self.queue.when_writable()
        greedy.addCallback(lambda _: self.fill(400_000))
        self.queue.flush()
        self.transport.drain()
        self.assertEqual((producer.told, self.queue.full), (["pause", "pause"], True))
        while self.queue.size:
            self.transport.drain()
        self.assertEqual(producer.told, ["pause", "pause", "resume"])

    def test_stop_empties_the_queue_and_ends_waiters_and_producers(self) -> None:
        producer = RecordingProducer()
        reason = LinkClosed(CloseReason.STALLED)
        self.queue.add_producer(producer)
        self.fill(PIECE_BYTES + 300_000)
        waiting = self.queue.when_writable()
        self.queue.flush()
        self.queue.stopProducing()
        self.assertTrue(self.queue.paused)
        self.queue.stop(reason)
        self.assertIs(self.failureResultOf(waiting, LinkClosed).value, reason)
        self.assertEqual((producer.told, self.queue.size), (["pause", "stop"], 0))
        self.queue.stop(reason)
        self.assertEqual(producer.told, ["pause", "stop"])

    def test_producer_that_raises_is_logged(self) -> None:
        """The other producers are called all the same."""
        producer = RecordingProducer()
        self.queue.add_producer(Mistaken())
        self.queue.add_producer(producer)
        self.fill(300_000)
        self.queue.flush()
        while self.queue.size:
            self.transport.drain()
        self.queue.stop(LinkClosed(CloseReason.STALLED))
        self.assertEqual(producer.told, ["pause", "resume", "stop"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)


class FeederTests(QueueCase):
    """A producer that is asked for more when the transport takes more."""

    def feed(self, room: int) -> None:
        self.asked.append(room)
        if self.left:
            self.left -= 1
            self.fill(16_384)

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[int] = []
        self.left = 0
        self.queue.feeder = self.feed

    def test_feeder_without_data_is_called_once(self) -> None:
        """It is called in the next turn, and again only after C{feed_soon}."""
        self.queue.feed_soon()
        self.queue.feed_soon()
        self.assertEqual(self.asked, [])
        self.clock.advance(0)
        self.assertEqual(self.asked, [PIECE_BYTES])
        self.assertEqual((self.transport.writes, self.clock.getDelayedCalls()), ([], []))

    def test_feeder_is_called_until_the_transport_has_enough(self) -> None:
        self.left = 100
        self.queue.feed_soon()
        self.clock.advance(0)
        self.assertEqual((self.queue.size, self.left), (0, 95))
        self.queue.feed_soon()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.transport.drain()
        self.assertEqual((self.queue.size, self.left), (0, 90))
        self.assertEqual(self.transport.writes, [16_384] * 10)

    def test_queued_frames_go_out_before_those_of_the_feeder(self) -> None:
        self.queue.pauseProducing()
        self.put(b"urg", b"ent")
        self.left = 1
        self.clock.advance(0)
        self.queue.feed_soon()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.queue.resumeProducing()
        self.assertEqual(self.transport.value()[:10], b"urgenthead")
        self.assertEqual(self.asked, [PIECE_BYTES - 6, PIECE_BYTES])

    def test_feeder_is_not_called_while_the_queue_is_full(self) -> None:
        self.queue.pauseProducing()
        for _ in range(10):
            self.fill(50_000)
        self.queue.resumeProducing()
        self.assertEqual(self.asked, [])

    def test_stop_fails_waiters_and_stops_producers(self) -> None:
        self.queue.stop(LinkClosed(CloseReason.STALLED))
        self.queue.flush()
        self.assertEqual(self.asked, [])
