"""How links in memory and on a fake clock end, and the reasons that they give."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost

from routing_crust.crust.link.certificates import PeerRefused
from routing_crust.crust.link.link import Link
from routing_crust.crust.link.losses import describe
from routing_crust.crust.link.sendqueue import MAX_QUEUE_BYTES
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.wire.framing import FrameDecoder

from .link_case import HEARTBEAT, LinkCase, frame, goodbye


class ClosingTests(LinkCase):
    """How links end."""

    def test_close_sends_what_was_queued_first(self) -> None:
        """What was sent goes out, then the Goodbye, then the transport is closed; once."""
        link = self.verified()
        link.send(200, b"last")
        link.close(CloseReason.NOT_WANTED, "too fast")
        link.close(CloseReason.STOPPING)
        link.send(200, b"too late")
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual(self.settle(), frame(200, b"last") + goodbye(CloseReason.NOT_WANTED))
        self.assertTrue(self.transport.disconnecting)
        self.assertIsNone(self.transport.producer)
        self.assertEqual(self.owner.of("lost"), [])
        self.assertEqual((self.lose().reason, self.link.queued), (CloseReason.NOT_WANTED, 0))

    def test_close_waits_for_the_queue(self) -> None:
        link = self.verified()
        self.transport.producer.pauseProducing()
        link.send(200, b"last")
        link.close(CloseReason.STOPPING)
        self.clock.advance(4)
        self.assertFalse(self.transport.disconnecting)
        self.transport.producer.resumeProducing()
        self.assertEqual(self.transport.taken(), frame(200, b"last") + goodbye(CloseReason.STOPPING))
        self.assertTrue(self.transport.disconnecting)

    def test_closing_link_is_cut_after_close_timeout(self) -> None:
        """A peer that does not read, or does not answer, is cut off after C{CLOSE_TIMEOUT_SECONDS}."""
        for paused in (True, False):
            self.setUp()
            link = self.verified()
            if paused:
                self.transport.producer.pauseProducing()
            link.close(CloseReason.STOPPING)
            self.clock.advance(4.9)
            self.assertEqual((self.transport.aborted, self.transport.disconnecting), (False, not paused))
            self.clock.advance(0.1)
            self.assertTrue(self.transport.aborted)
            self.assertIs(self.lose(ConnectionAborted()).reason, CloseReason.STOPPING)

    def test_close_cuts_the_link_if_the_goodbye_fills_the_queue(self) -> None:
        link = self.verified()
        self.transport.producer.pauseProducing()
        for _ in range(63):
            link.send(200, bytes(65536))
        link.send(200, bytes(MAX_QUEUE_BYTES - link.queued - 5))
        link.close(CloseReason.STOPPING)
        self.assertTrue(self.transport.aborted)
        self.assertIs(self.lose(ConnectionAborted()).reason, CloseReason.SEND_QUEUE_FULL)

    def test_nothing_is_delivered_after_close_or_abort(self) -> None:
        """Not even the rest of the chunk at hand."""
        for end in (Link.close, Link.abort):
            self.setUp()
            link = self.verified()
            self.owner.handlers["frame"] = lambda link, *_, end=end: end(link, CloseReason.NOT_WANTED)
            link.dataReceived(frame(200) + frame(201) + frame(202))
            link.dataReceived(frame(203))
            self.assertEqual(self.owner.of("frame"), [(link, 200, b"")])
            self.assertIs(self.lose().reason, CloseReason.NOT_WANTED)

    def test_abort_cuts_at_once_and_keeps_the_first_reason(self) -> None:
        """Cut at once; after a close it keeps the first reason. The owner hears it afterwards."""
        link = self.verified()
        link.send(200, b"lost")
        link.close(CloseReason.STOPPING)
        link.abort(CloseReason.UNKNOWN)
        link.abort(CloseReason.UNKNOWN)
        self.assertEqual((self.transport.aborted, self.settle(), link.queued), (True, b"", 0))
        self.assertEqual(self.owner.of("lost"), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIs(self.lose(ConnectionAborted()).reason, CloseReason.STOPPING)
        link.abort(CloseReason.UNKNOWN)
        link.close(CloseReason.UNKNOWN)
        self.assertEqual(len(self.owner.of("lost")), 1)

    def test_goodbye_of_the_peer_gives_the_reason(self) -> None:
        """The peer closes: its reason is the reason, what we had to say is dropped."""
        link = self.verified()
        link.send(200, b"nobody reads this")
        link.dataReceived(frame(201) + goodbye(CloseReason.RESTARTED) + frame(202))
        self.assertEqual(self.owner.of("frame"), [(link, 201, b"")])
        self.assertEqual((self.settle(), self.transport.disconnecting), (b"", True))
        link.close(CloseReason.STOPPING)
        reason = self.lose()
        self.assertEqual((reason.reason, reason.by_peer), (CloseReason.RESTARTED, True))

    def test_goodbye_with_an_unknown_reason_ends_the_link(self) -> None:
        link = self.verified()
        link.dataReceived(goodbye(4711))
        reason = self.lose()
        self.assertEqual(
            (reason.reason, reason.detail, reason.by_peer), (CloseReason.UNKNOWN, "reason 4711", True)
        )

    def test_peer_that_stays_after_its_goodbye_is_cut(self) -> None:
        """A peer that says Goodbye and stays is cut off."""
        self.verified().dataReceived(goodbye(1))
        self.clock.advance(5)
        self.assertTrue(self.transport.aborted)

    def test_malformed_goodbye_closes_the_link(self) -> None:
        self.verified().dataReceived(frame(5, b"\xff"))
        self.assertEqual(self.transport.taken(), goodbye(CloseReason.PROTOCOL_ERROR))
        reason = self.lose()
        self.assertEqual((reason.reason, reason.by_peer), (CloseReason.PROTOCOL_ERROR, False))

    def test_lost_connection_is_put_into_words(self) -> None:
        """The reason of a link that was lost without a Goodbye."""
        tls = SSL.Error([("SSL routines", "", "tlsv1 alert unknown ca")])
        for error, reason, detail, by_peer in (
            (ConnectionDone(), CloseReason.CONNECTION_LOST, "the peer closed without a Goodbye", True),
            (ConnectionLost("cable"), CloseReason.CONNECTION_LOST, "cable", False),
            (tls, CloseReason.TLS_REFUSED, "tlsv1 alert unknown ca", True),
            (PeerRefused("who?"), CloseReason.TLS_REFUSED, "who?", False),
        ):
            self.setUp()
            self.up()
            lost = self.lose(error)
            self.assertEqual((lost.reason, lost.by_peer), (reason, by_peer))
            self.assertEqual(detail, lost.detail)

    def test_tls_error_after_the_first_bytes_is_no_refusal(self) -> None:
        self.up().dataReceived(HEARTBEAT)
        lost = self.lose(SSL.Error([("SSL routines", "", "bad record type")]))
        self.assertEqual(
            (lost.reason, lost.detail, lost.by_peer), (CloseReason.CONNECTION_LOST, "bad record type", False)
        )

    def test_openssl_error_without_text_has_a_name(self) -> None:
        self.assertEqual(describe(SSL.Error()), "Error")
        self.assertEqual(describe(SSL.Error([])), "Error")
        self.assertEqual(describe(SSL.SysCallError(-1, "Unexpected EOF")), "SysCallError")

    def test_loss_of_the_link_fails_its_waiters(self) -> None:
        """They fail in C{connectionLost}, not before."""
        link = self.verified()
        self.transport.producer.pauseProducing()
        while link.writable:
            link.send(200, bytes(60_000))
        waiting: Deferred[None] = link.when_writable()
        link.abort(CloseReason.STOPPING)
        self.assertNoResult(waiting)
        reason = self.lose(ConnectionAborted())
        self.assertIs(self.failureResultOf(waiting, LinkClosed).value, reason)

    def test_everything_written_is_frames(self) -> None:
        link = self.verified()
        got: list[tuple[int, bytes]] = []
        decoder = FrameDecoder(
            1 << 24, lambda _, kind, payload: got.append((kind, payload)), None, lambda *_: self.fail()
        )
        sent = [(kind, bytes([kind]) * (kind * 251)) for kind in range(200, 256)]
        for kind, payload in sent:
            link.send(kind, payload)
        decoder.feed(self.settle())
        self.assertEqual(got, sent)
