"""Links in memory and on a fake clock: how they come up, their frames, and whom they tell of it."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IHandshakeListener
from zope.interface.verify import verifyObject

from routing_crust.crust.interfaces import ILink
from routing_crust.crust.link.certificates import PeerRefused
from routing_crust.crust.link.link import Link
from routing_crust.errors import CloseReason, LinkClosed, WireError
from routing_crust.wire.framing import frame_header

from .link_case import HEARTBEAT, PEER, LinkCase, Transport, frame, goodbye


class ComingUpTests(LinkCase):
    """Until the peer is verified."""

    def test_link_is_reported_when_the_handshake_is_done(self) -> None:
        link = self.up()
        self.assertEqual(self.owner.events, [("up", link)])
        self.assertEqual((link.peer, link.binding), (PEER.name, b"b" * 32))
        self.assertEqual(str(link.connection), "tcp 10.0.0.1:12345 - 192.168.1.1:54321")
        self.assertTrue(self.transport.no_delay)
        self.assertTrue(link.writable)
        verifyObject(ILink, link)
        verifyObject(IHandshakeListener, link)

    def test_peer_that_does_not_pass_the_second_look_is_cut_off(self) -> None:
        """A peer that does not pass the second look is cut off; the owner hears it afterwards."""
        self.transport.refusal = PeerRefused("somebody else", CloseReason.SELF)
        self.up()
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.owner.events, [])
        reason = self.lose(ConnectionAborted())
        self.assertEqual((reason.reason, reason.detail), (CloseReason.SELF, "somebody else"))
        self.assertEqual(self.owner.of("refused"), [(reason,)])

    def test_link_closed_before_it_is_up_sends_no_goodbye(self) -> None:
        """A handshake that is completed afterwards changes nothing."""
        self.connect().close(CloseReason.STOPPING, "enough")
        self.assertTrue(self.transport.aborted)
        self.link.handshakeCompleted()
        self.assertEqual(self.lose(ConnectionAborted()).reason, CloseReason.STOPPING)
        self.assertEqual(self.owner.of("up"), [])

    def test_link_without_tls_is_cut_after_hello_timeout(self) -> None:
        self.connect()
        self.clock.advance(9.9)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(0.1)
        self.assertTrue(self.transport.aborted)
        self.assertIs(self.lose(ConnectionAborted()).reason, CloseReason.HELLO_TIMEOUT)

    def test_link_without_hello_is_closed_after_hello_timeout(self) -> None:
        """It counts from the TCP connection, and the peer is told."""
        self.connect()
        self.clock.advance(6)
        self.link.handshakeCompleted()
        self.clock.advance(4)
        self.assertEqual(self.settle(), goodbye(CloseReason.HELLO_TIMEOUT))
        self.assertIs(self.lose().reason, CloseReason.HELLO_TIMEOUT)

    def test_verified_link_has_no_hello_timeout(self) -> None:
        """Once verified there is no such limit. A second time changes nothing."""
        link = self.verified()
        link.verified()
        self.clock.advance(10)
        link.dataReceived(HEARTBEAT)
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_max_unverified_holds_for_all_frames_together(self) -> None:
        """C{MAX_UNVERIFIED_BYTES} holds for all frames together, and C{verified} ends it."""
        link = self.up()
        for _ in range(4):
            link.dataReceived(frame(200, bytes(1020)))
        self.assertEqual(len(self.owner.of("frame")), 4)
        link.dataReceived(b"\1")
        self.assertIn(goodbye(CloseReason.PROTOCOL_ERROR), self.transport.value())
        reason = self.lose()
        self.assertEqual(
            (reason.reason, reason.detail),
            (CloseReason.PROTOCOL_ERROR, "more than 4096 bytes before a verified Hello"),
        )

    def test_larger_frames_are_allowed_once_verified(self) -> None:
        """Before: C{MAX_CONTROL_BYTES} for each frame. After, even in the same chunk: C{MAX_FRAME_BYTES}."""
        link = self.up()
        self.owner.handlers["frame"] = lambda link, kind, payload: link.verified()
        large = frame(200, bytes(60_000))
        link.dataReceived(frame(2, bytes(1024)) + large)
        self.assertEqual([len(payload) for _, _, payload in self.owner.of("frame")], [1024, 60_000])

    def test_frame_above_max_control_closes_an_unverified_link(self) -> None:
        link = self.up()
        link.dataReceived(frame_header(2, 1025))
        reason = self.lose()
        self.assertIs(reason.reason, CloseReason.PROTOCOL_ERROR)
        self.assertIn("over the limit of 1024", reason.detail)

    def test_verified_on_a_closed_link_starts_no_timer(self) -> None:
        link = self.up()
        link.abort(CloseReason.STOPPING)
        link.verified()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_connection_to_itself_is_cut(self) -> None:
        self.transport = Transport(self.transport.getPeer(), self.transport.getPeer())
        self.connect()
        self.assertTrue(self.transport.aborted)
        self.assertIs(self.lose(ConnectionAborted()).reason, CloseReason.SELF)


class FrameTests(LinkCase):
    """Frames in and out."""

    def test_heartbeats_are_not_reported(self) -> None:
        """Heartbeats are not reported; everything else is, of every kind."""
        link = self.verified()
        data = HEARTBEAT + frame(2, b"a") + frame(5 + 1) + HEARTBEAT + frame(0, b"b") + frame(255, b"c")
        for at in range(0, len(data), 3):
            link.dataReceived(data[at : at + 3])
        self.assertEqual(
            self.owner.of("frame"), [(link, 2, b"a"), (link, 6, b""), (link, 0, b"b"), (link, 255, b"c")]
        )

    def test_frames_of_one_turn_go_out_in_one_write(self) -> None:
        link = self.verified()
        link.send(200, b"one")
        link.send(201, b"two")
        self.assertEqual(link.queued, 14)
        self.assertEqual(self.transport.value(), b"")
        self.assertEqual(self.settle(), frame(200, b"one") + frame(201, b"two"))
        self.assertEqual(link.queued, 0)

    def test_answers_go_out_at_once(self) -> None:
        """What a handler sends goes out at the end of the chunk, also what was waiting before."""
        link = self.verified()
        self.owner.handlers["frame"] = lambda link, kind, payload: link.send(kind, payload)
        link.send(9, b"")
        link.dataReceived(frame(200, b"one") + frame(201, b"two"))
        self.assertEqual(self.transport.taken(), frame(9) + frame(200, b"one") + frame(201, b"two"))
        link.send(10, b"")
        self.assertEqual(self.settle(), frame(10))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_frame_that_cannot_be_sent_raises_value_error(self) -> None:
        """A frame that is too large, or of no possible kind, is the caller's mistake."""
        link = self.verified()
        self.assertIn("65536 is the most", str(self.assertRaises(ValueError, link.send, 6, bytes(65537))))
        self.assertRaises(ValueError, link.send, 256, b"")
        self.assertRaises(ValueError, link.send, -1, b"")
        self.assertEqual(link.queued, 0)

    def test_handler_that_does_not_understand_the_peer_names_the_reason(self) -> None:
        """A handler that does not understand the peer names the reason; nothing is logged."""
        link = self.verified()

        def handler(link: Link, kind: int, payload: bytes) -> None:
            raise WireError("not for us", CloseReason.WRONG_NETWORK)

        self.owner.handlers["frame"] = handler
        link.dataReceived(frame(200) + frame(201))
        self.assertEqual(self.transport.taken(), goodbye(CloseReason.WRONG_NETWORK))
        self.assertEqual(len(self.owner.of("frame")), 1)
        reason = self.lose()
        self.assertEqual((reason.reason, reason.detail), (CloseReason.WRONG_NETWORK, "not for us"))

    def test_mistake_in_a_handler_is_logged(self) -> None:
        """A mistake in a handler is logged, once, and closes the link."""
        link = self.verified()

        def handler(link: Link, kind: int, payload: bytes) -> None:
            raise ZeroDivisionError

        self.owner.handlers["frame"] = handler
        link.dataReceived(frame(200) + frame(201))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.transport.taken(), goodbye(CloseReason.PROTOCOL_ERROR))
        self.assertIs(self.lose().reason, CloseReason.PROTOCOL_ERROR)

    def test_at_queue_most_the_link_is_cut(self) -> None:
        """At C{MAX_QUEUE_BYTES} the link is cut, and the owner hears it later, not from within C{send}."""
        link = self.verified()
        self.transport.producer.pauseProducing()
        while not self.transport.aborted:
            link.send(200, bytes(65536))
        self.assertEqual(len(self.owner.events), 1)
        self.assertEqual(link.queued, 0)
        reason = self.lose(ConnectionAborted())
        self.assertEqual(
            (reason.reason, reason.detail), (CloseReason.SEND_QUEUE_FULL, "4194304 bytes wait to be sent")
        )

    def test_waiters_and_producers_follow_the_queue(self) -> None:
        link = self.verified()
        calls: list[str] = []

        class Producer:
            def __getattr__(self, name: str) -> Any:
                return lambda: calls.append(name)

        producer, forgotten = Producer(), Producer()
        link.add_producer(producer)  # type: ignore[arg-type]
        link.add_producer(forgotten)  # type: ignore[arg-type]
        link.remove_producer(forgotten)  # type: ignore[arg-type]
        for _ in range(17):
            link.send(200, bytes(65536))
        self.assertFalse(link.writable)
        waiting = link.when_writable()
        self.assertNoResult(waiting)
        self.settle()
        self.assertTrue(link.writable)
        self.assertIsNone(self.successResultOf(waiting))
        self.assertIsNone(self.successResultOf(link.when_writable()))
        self.assertEqual(calls, ["pauseProducing", "resumeProducing"])
        self.lose()
        self.assertEqual(calls, ["pauseProducing", "resumeProducing", "stopProducing"])
        link.add_producer(producer)  # type: ignore[arg-type]
        self.assertEqual(calls[3:], ["stopProducing"])
        self.failureResultOf(link.when_writable(), LinkClosed)
