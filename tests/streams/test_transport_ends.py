"""How the transport of a stream ends, one way and both ways."""

from __future__ import annotations

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from routing_crust.config import KIB, MIB
from routing_crust.streams.errors import StreamLinkLost, StreamReset
from routing_crust.streams.frames import StreamReason

from .protocols import HalfCloseable, Noting
from .transport_case import Producer, TransportCase


class EndTests(TransportCase):
    def test_lose_connection_waits_for_the_data(self) -> None:
        """After everything has gone out; never from within the call; both hear that it was clean."""
        self.transport.write(bytes(MIB))
        self.transport.loseConnection()
        self.transport.loseConnection()
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.mine.calls, ["made"])
        self.over()
        self.assertEqual(len(self.theirs.received), MIB)
        for each in (self.mine, self.theirs):
            self.assertEqual(each.calls, ["made", "lost"])
            self.assertIsInstance(each.reason, ConnectionDone)
        self.assertEqual(self.gone, [self.mine, self.theirs])
        self.transport.write(b"too late")
        self.transport.loseConnection()
        self.transport.abortConnection()
        self.over()

    def test_nothing_is_read_after(self) -> None:
        """What comes after L{loseConnection}, or waited then, is dropped; the peer is not held up by it."""
        self.transport.pauseProducing()
        self.other.write(bytes(100 * KIB))
        self.settle()
        self.other.registerProducer(Producer(self.other, 1000), True)
        self.transport.registerProducer(Producer(self.transport, 0), True)
        self.transport.loseConnection()
        self.other.producer.resumeProducing()
        self.settle()
        self.assertEqual(self.mine.received, b"")
        self.assertEqual(self.mine.calls, ["made"])  # there is still a producer
        self.assertIsNone(self.other.producer)
        self.transport.unregisterProducer()
        self.over()
        self.assertEqual(self.mine.calls, ["made", "lost"])

    def test_stop_producing_closes_the_stream(self) -> None:
        """The consumer has read enough."""
        self.transport.stopProducing()
        self.over()
        self.assertIsInstance(self.mine.reason, ConnectionDone)

    def test_abort_ends_at_once_in_a_later_turn(self) -> None:
        """At once, but not from within the call."""
        self.transport.write(bytes(MIB))
        self.transport.abortConnection()
        self.transport.abortConnection()
        self.assertEqual(self.mine.calls, ["made"])
        self.over()
        self.assertEqual(self.theirs.received, b"")
        self.assertIsInstance(self.mine.reason, ConnectionAborted)
        reason = self.theirs.reason
        assert isinstance(reason, StreamReset)
        self.assertIsInstance(reason, ConnectionLost)
        self.assertEqual(
            (reason.reason, str(reason)), (StreamReason.ABORTED, "the stream was aborted: by the peer")
        )
        self.assertEqual((self.mine.calls, self.theirs.calls), (["made", "lost"], ["made", "lost"]))

    def test_peer_reads_all_before_it_hears_that_the_stream_was_cut_off(self) -> None:
        self.transport.write(bytes(MIB))
        self.transport.abort_because(Failure(ConnectionLost()))
        self.transport.abort_because(Failure(ConnectionLost()))
        self.assertEqual(self.mine.calls, ["made"])
        self.over()
        self.assertIsInstance(self.mine.reason, ConnectionAborted)
        self.assertEqual(len(self.theirs.received), MIB)
        self.assertEqual(str(self.theirs.reason), "the stream was aborted: by the peer")
        self.assertEqual((self.mine.calls, self.theirs.calls), (["made", "lost"], ["made", "lost"]))

    def test_peer_that_is_paused_reads_all_before_it_hears_that_the_stream_was_cut_off(self) -> None:
        """And why, if the stream is cut off since another has been."""
        self.other.pauseProducing()
        self.transport.write(b"an answer")
        self.transport.abort_because(Failure(StreamReset(StreamReason.FAILED, "so")))
        self.settle()
        self.assertEqual(self.theirs.calls, ["made"])
        self.other.resumeProducing()
        self.over()
        self.assertEqual(self.theirs.received, b"an answer")
        reason = self.theirs.reason
        assert isinstance(reason, StreamReset)
        self.assertEqual((reason.reason, reason.detail), (StreamReason.FAILED, "by the peer: so"))

    def test_abort_cuts_a_slow_close_short(self) -> None:
        """A close that does not come to an end can be cut short."""
        self.other.pauseProducing()
        self.transport.write(bytes(MIB))
        self.transport.loseConnection()
        self.settle()
        self.assertEqual(self.mine.calls, ["made"])
        self.transport.abortConnection()
        self.over()
        self.assertIsInstance(self.mine.reason, ConnectionAborted)

    def test_lost_link_is_the_reason_of_the_loss(self) -> None:
        self.transport.pauseProducing()
        self.other.write(b"unread")
        self.settle()
        self.pair.one.mux.end(ValueError("cut"))
        reason = self.mine.reason
        self.assertIsInstance(reason, StreamLinkLost)
        self.assertIsInstance(reason, ConnectionLost)
        self.assertEqual(str(reason), "the link to the peer is gone: cut")
        self.transport.resumeProducing()
        self.pair.clock.advance(0)
        self.assertEqual((self.mine.received, self.mine.calls), (b"", ["made", "lost"]))

    def test_peer_closes_before_all_is_sent(self) -> None:
        """What we wrote and could not send is lost: that is no clean end."""
        self.other.pauseProducing()
        self.transport.write(bytes(MIB))
        self.settle()
        self.other.loseConnection()
        self.over()
        reason = self.mine.reason
        assert isinstance(reason, StreamReset)
        self.assertIn("bytes were not sent", str(reason))
        self.assertIsInstance(self.theirs.reason, ConnectionDone)

    def test_peer_closes_while_we_do(self) -> None:
        """With a producer that has not come to its end, whose bytes nobody wants."""
        producer = Producer(self.transport, 1000)
        self.transport.registerProducer(producer, True)
        self.transport.loseConnection()
        self.other.loseConnection()
        self.over()
        self.assertEqual((self.mine.calls, producer.calls), (["made", "lost"], ["stop"]))

    def test_all_is_read_before_the_end(self) -> None:
        """The end comes after the data, even if it was paused meanwhile; what is written then is lost."""
        self.transport.pauseProducing()
        self.other.write(b"last words")
        self.other.loseConnection()
        self.settle()
        self.assertEqual((self.mine.received, self.mine.calls), (b"", ["made"]))
        self.transport.write(b"nobody listens")
        self.transport.resumeProducing()
        self.assertEqual(self.mine.received, b"")
        self.over()
        self.assertEqual((self.mine.received, self.mine.calls), (b"last words", ["made", "lost"]))
        assert isinstance(self.mine.reason, StreamReset)
        self.assertIn("14 bytes were not sent", str(self.mine.reason))


class HalfCloseTests(TransportCase):
    def setUp(self) -> None:
        self.set_up(HalfCloseable(), HalfCloseable())

    def test_one_direction_ends_by_itself(self) -> None:
        """One way ends; the other goes on until it ends as well, and then everything does."""
        self.transport.write(b"question")
        self.transport.loseWriteConnection()
        self.settle()
        self.assertEqual(
            (self.mine.calls, self.theirs.calls), (["made", "write lost"], ["made", "read lost"])
        )
        self.transport.write(b"no more")
        self.other.write(bytes(MIB))
        self.other.loseWriteConnection()
        self.over()
        self.assertEqual((self.theirs.received, len(self.mine.received)), (b"question", MIB))
        self.assertEqual(self.mine.calls, ["made", "write lost", "read lost", "lost"])
        self.assertEqual(self.theirs.calls, ["made", "read lost", "write lost", "lost"])
        self.assertIsInstance(self.mine.reason, ConnectionDone)

    def test_write_side_closes_after_the_producer(self) -> None:
        producer = Producer(self.transport, 100)
        self.transport.registerProducer(producer, True)
        self.transport.loseWriteConnection()
        producer.resumeProducing()
        self.settle()
        self.assertEqual((len(self.theirs.received), self.theirs.calls), (1_000_000, ["made", "read lost"]))

    def test_peer_that_reads_no_more_ends_both_ways(self) -> None:
        """A peer that reads no more: both ways are over."""
        self.other.loseConnection()
        self.over()
        self.assertEqual(self.mine.calls, ["made", "read lost", "lost"])
        self.assertIsInstance(self.mine.reason, ConnectionDone)

    def test_stream_that_was_cut_off_has_no_clean_end(self) -> None:
        """A half-close would tell the peer that it has everything."""
        self.other.write(b"a part")
        self.other.abort_because(Failure(ConnectionLost()))
        self.over()
        self.assertEqual((self.mine.received, self.mine.calls), (b"a part", ["made", "lost"]))
        self.assertIsInstance(self.mine.reason, StreamReset)

    def test_half_and_full_close(self) -> None:
        self.other.loseWriteConnection()
        self.settle()
        self.other.loseConnection()
        self.over()
        self.assertEqual(self.mine.calls, ["made", "read lost", "lost"])
        self.assertEqual(self.theirs.calls, ["made", "write lost", "lost"])

    def test_protocol_may_close_from_within_the_call(self) -> None:
        self.mine.readConnectionLost = self.transport.loseConnection  # type: ignore[attr-defined]
        self.transport.write(b"last words")
        self.other.loseWriteConnection()
        self.over()
        self.assertEqual(self.theirs.received, b"last words")
        self.assertEqual(self.mine.calls, ["made", "lost"])


class NotHalfCloseableTests(TransportCase):
    """A protocol that knows nothing of half-closed connections, as most."""

    def setUp(self) -> None:
        self.set_up(Noting(), HalfCloseable())

    def test_end_of_the_peer_ends_the_connection(self) -> None:
        """It loses its connection at once, and what it has written goes out all the same."""
        self.other.pauseProducing()
        self.transport.write(bytes(300 * KIB))
        self.settle()
        self.other.loseWriteConnection()
        self.settle()
        self.assertEqual(self.mine.calls, ["made", "lost"])
        self.other.resumeProducing()
        self.over()
        self.assertEqual((len(self.theirs.received), self.theirs.calls[-1]), (300 * KIB, "lost"))
        self.assertIsInstance(self.theirs.reason, ConnectionDone)

    def test_too_much_to_linger(self) -> None:
        """More than a system would keep is given up, visibly."""
        self.other.pauseProducing()
        self.transport.write(bytes(2 * MIB))
        self.settle()
        self.other.loseWriteConnection()
        self.over()
        self.assertIsInstance(self.mine.reason, ConnectionDone)
        self.assertIsInstance(self.theirs.reason, StreamReset)

    def test_lingering_data_may_be_in_vain(self) -> None:
        self.other.pauseProducing()
        self.transport.write(bytes(300 * KIB))
        self.settle()
        self.other.loseWriteConnection()
        self.settle()
        self.other.loseConnection()
        self.over()
        self.assertEqual(self.mine.calls, ["made", "lost"])
