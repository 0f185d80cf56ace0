"""The stream of a transfer, on a connection of the control socket."""

from __future__ import annotations

from threading import Thread

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.control.chunks import ChunkKind, chunk_head
from routing_crust.daemon.control.resets import reset_payload
from routing_crust.daemon.transfer import channel
from routing_crust.daemon.transfer.channel import ChannelLost
from routing_crust.daemon.transfer.messages import Accept, Data, Done, FrameReader
from routing_crust.streams import StreamReason, StreamReset

from .ends import PATIENCE_SECONDS, channels


class ChannelTests(SynchronousTestCase):
    def test_messages_and_bytes_arrive_in_their_order(self) -> None:
        here, there = channels(self)
        content = bytes(range(256)) * 300

        def send() -> None:
            here.tell(Accept())
            here.tell_data(5, content)
            here.tell(Done())
            here.close()

        # more than a socket may hold
        thread = Thread(target=send, daemon=True)
        thread.start()
        reader = FrameReader()
        frames = [frame for piece in there.pieces() for frame in reader.take(piece)]
        self.assertEqual((frames[0], frames[-1]), (Accept(), Done()))
        there.close()
        thread.join(PATIENCE_SECONDS)
        datas = [each for each in frames if isinstance(each, Data)]
        self.assertEqual(b"".join(each.content for each in datas), content)
        self.assertEqual(datas[0].offset, 5)
        self.assertEqual(datas[-1].offset + len(datas[-1].content), 5 + len(content))

    def test_end_without_close_is_a_loss(self) -> None:
        here, there = channels(self)
        here._wire.close()
        here._incoming.close()
        self.assertIn("has stopped", str(self.assertRaises(ChannelLost, list, there.pieces())))
        self.assertRaises(ChannelLost, there.tell_data, 0, bytes(1000000))

    def test_limit_holds_for_silence_and_for_what_comes_too_late(self) -> None:
        here, there = channels(self)
        here.tell(Accept())
        here.flush()
        there.limit(0)
        self.assertIn("in time", str(self.assertRaises(ChannelLost, next, there.pieces())))
        there.limit(None)
        pieces = there.pieces()
        self.assertEqual(list(FrameReader().take(next(pieces))), [Accept()])
        self.assertEqual(there._wire.gettimeout(), PATIENCE_SECONDS)
        there.limit(0.01)
        self.assertIn("in time", str(self.assertRaises(ChannelLost, next, pieces)))

    def test_waits_add_up_however_little_comes_in_between(self) -> None:
        here, there = channels(self)
        now = [0.0]
        self.patch(channel, "monotonic", lambda: now[0])
        calls: list[float] = []
        there.when_kept_waiting(10.0, lambda: calls.append(now[0]))
        pieces, arrive = there.pieces(), there._read_once

        def after_a_while() -> bytes:
            now[0] += 4.0
            return arrive()

        self.patch(there, "_read_once", after_a_while)
        for _ in range(5):
            here.tell(Accept())
            here.flush()
            next(pieces)
            now[0] += 60.0  # what is done in between is no wait
        self.assertEqual(calls, [132.0])

    def test_silence_is_a_wait(self) -> None:
        _, there = channels(self)
        there.when_kept_waiting(0.001, self.fail)
        self.assertRaises(self.failureException, next, there.pieces())

    def test_end_waits_no_longer_for_a_daemon_that_goes_on(self) -> None:
        _, there = channels(self)
        now = [0.0]
        self.patch(channel, "monotonic", lambda: now[0])

        def after_a_while() -> bytes:
            now[0] += 1.0
            self.assertLess(now[0], 20)
            return b"more"

        self.patch(there, "_read_once", after_a_while)
        there.close()
        self.assertGreater(now[0], 1)

    def test_reset_is_a_loss_with_its_reason(self) -> None:
        here, there = channels(self)
        payload = reset_payload(StreamReset(StreamReason.EXPIRED, ""))
        here._wire.sendall(chunk_head(ChunkKind.RESET, payload) + payload)
        self.assertIn("the stream has ended", str(self.assertRaises(ChannelLost, list, there.pieces())))

    def test_what_is_no_chunk_is_a_loss(self) -> None:
        here, there = channels(self)
        here._wire.sendall(bytes([9]) * 10)
        self.assertIn("another version", str(self.assertRaises(ChannelLost, list, there.pieces())))
