"""The ends of tunnels on a fake clock: their transport, and what the relay may do to them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.link.preface import Preface
from routing_crust.crust.link.tls import LinkTls
from routing_crust.crust.tunnel.dispatch import TunnelDispatch
from routing_crust.crust.tunnel.ends import MAX_UNFINISHED_TUNNELS, MIN_RENEWAL_SECONDS, RENEWAL_SHARE
from routing_crust.crust.tunnel.transport import (
    CHUNK_BYTES,
    PRODUCER_PAUSE_BYTES,
    TunnelTransport,
    data_frame,
)
from routing_crust.crust.tunnel.windows import TUNNEL_WINDOW_BYTES, ReceiveWindow, WindowMemory
from routing_crust.endpoints import Connection, Endpoint
from routing_crust.endpoints import Protocol as TransportProtocol
from routing_crust.errors import CloseReason, ConnectFailed, LinkClosed, WireError
from routing_crust.quietlog import QuietLog
from routing_crust.timing.shares import OURSELVES
from routing_crust.wire.codec import encode
from routing_crust.wire.framing import MAX_FRAME_BYTES, FrameKind
from routing_crust.wire.tunnels import TunnelClosed, TunnelCredit, TunnelOpen, TunnelOpened, TunnelReason
from tests.producers import RecordingProducer

from ..addresses import identity, name
from ..support import Owner
from .relay_case import FakeLink

WINDOW = 64 * 1024
TOKEN = b"sixteen bytes ok"
CONNECTION = Connection(TransportProtocol.TCP, Endpoint("192.0.2.1", 5483), Endpoint("2001:db8::1", 5483))


class Link(FakeLink):
    """To the relay; its queue may be full."""

    connection = CONNECTION

    def __init__(self) -> None:
        super().__init__(3, initiator=True)
        self.waiting: Deferred[None] = Deferred()

    def when_writable(self) -> Deferred[None]:
        return self.waiting


class Above(Protocol):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.got = b""
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class TransportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.link = Link()
        self.ends: list[str] = []
        self.above = Above()
        self.memory = WindowMemory(1 << 20)
        self.transport = TunnelTransport(
            self.clock,
            self.link,  # type: ignore[arg-type]
            5,
            ReceiveWindow(self.memory, OURSELVES, self.clock.seconds),
            lambda: self.ends.append("ended"),
            lambda: self.ends.append("finished"),
        )
        self.transport.start(self.above, WINDOW)

    def test_addresses_are_those_of_the_link_below(self) -> None:
        peer, host = self.transport.getPeer(), self.transport.getHost()
        self.assertEqual((type(peer).__name__, peer.host, peer.port), ("IPv4Address", "192.0.2.1", 5483))
        self.assertEqual((type(host).__name__, host.host), ("IPv6Address", "2001:db8::1"))
        self.transport.setTcpNoDelay(True)

    def test_data_is_cut_into_chunks_within_credit(self) -> None:
        self.transport.writeSequence([bytes(WINDOW), bytes(3)])
        sizes = [len(each) for each in self.link.take(FrameKind.TUNNEL_DATA)]
        self.assertEqual(sizes, [WINDOW // 4 + 4] * 4)
        self.transport.add_credit(2)
        self.assertEqual(self.link.received(), 2)
        self.transport.add_credit(2)
        self.assertEqual(self.link.received(), 1)

    def test_much_credit_is_used_in_whole_frames(self) -> None:
        self.transport.add_credit(3 * WINDOW + 16)
        self.transport.write(bytes(CHUNK_BYTES + 1))
        sizes = [len(each) for each in self.link.take(FrameKind.TUNNEL_DATA)]
        self.assertEqual(sizes, [MAX_FRAME_BYTES, 1 + 4])

    def test_nothing_is_sent_while_the_link_below_is_full(self) -> None:
        """While the link to the relay is full nothing is sent on it."""
        self.link.writable = False
        self.transport.write(b"12")
        self.transport.write(b"34")
        self.assertEqual(self.link.frames, [])
        self.link.writable = True
        self.link.waiting.callback(None)
        self.assertEqual(self.link.received(), 4)

    def test_loss_of_a_full_link_below_ends_the_wait(self) -> None:
        self.link.writable = False
        self.transport.write(b"12")
        self.link.waiting.errback(RuntimeError())
        self.assertEqual(self.link.frames, [])

    def test_producer_is_paused_while_much_waits(self) -> None:
        """It is resumed when nothing waits any more."""
        producer = RecordingProducer()
        self.transport.registerProducer(producer, True)
        self.transport.write(bytes(WINDOW + PRODUCER_PAUSE_BYTES))
        self.transport.write(b"1")
        self.assertEqual(producer.told, ["pause"])
        self.transport.add_credit(PRODUCER_PAUSE_BYTES)
        self.assertEqual(producer.told, ["pause"])
        self.transport.add_credit(1)
        self.assertEqual(producer.told, ["pause", "resume"])
        self.transport.unregisterProducer()
        self.transport.write(b"1")
        self.transport.abortConnection()
        self.transport.registerProducer(producer, True)
        self.assertEqual(producer.told[2:], ["stop"])

    def test_credit_is_given_for_what_was_read(self) -> None:
        """Credit is given for what was taken, and none while nothing is."""
        self.transport.pauseProducing()
        self.assertTrue(self.transport.received(bytes(TUNNEL_WINDOW_BYTES - 1)))
        self.assertTrue(self.transport.received(b"1"))
        self.assertEqual((self.above.got, self.link.frames), (b"", []))
        self.assertFalse(self.transport.received(b"1"))
        self.transport.resumeProducing()
        self.assertEqual(len(self.above.got), TUNNEL_WINDOW_BYTES)
        given = sum(each.amount for each in self.link.take(FrameKind.TUNNEL_CREDIT, TunnelCredit))
        self.assertEqual(given, TUNNEL_WINDOW_BYTES - 1)

    def test_closing_tunnel_sends_what_waits_first(self) -> None:
        self.transport.write(bytes(WINDOW + 1))
        self.transport.stopProducing()
        self.transport.loseConnection()
        self.transport.write(b"too late")
        self.assertEqual(self.link.take(FrameKind.TUNNEL_CLOSED), [])
        self.transport.add_credit(9)
        self.assertEqual(self.link.received(), WINDOW + 1)
        self.assertEqual(self.ends, ["ended"])
        self.assertEqual(len(self.link.take(FrameKind.TUNNEL_CLOSED)), 1)
        self.clock.advance(0)
        assert self.above.lost is not None
        self.assertIsNotNone(self.above.lost.check(ConnectionDone))
        self.assertEqual(self.ends, ["ended", "finished"])
        self.assertFalse(self.transport.connected)

    def test_aborted_tunnel_tells_its_protocol_in_a_later_turn(self) -> None:
        """It ends at once, but the protocol hears of it in a later turn; all else does nothing then."""
        self.transport.write(bytes(2 * WINDOW))
        self.transport.abortConnection()
        self.transport.abortConnection()
        self.transport.loseConnection()
        self.transport.lost()
        self.assertIsNone(self.above.lost)
        self.clock.advance(0)
        assert self.above.lost is not None
        self.assertIsNotNone(self.above.lost.check(ConnectionAborted))
        self.assertEqual(len(self.link.take(FrameKind.TUNNEL_CLOSED)), 1)
        self.assertEqual(self.ends, ["ended", "finished"])


class EndTests(SynchronousTestCase):
    """What the relay may do; the TLS in it is with nobody."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.settings = Settings(hello_timeout=60)
        self.gone = 0
        owner = Owner(self.clock, self.settings)
        meeting = SimpleNamespace(peer=name(2), token=TOKEN, requester=True)
        proof = Preface.of(TOKEN, False, False).proof
        self.expected: dict[bytes, Any] = {proof: meeting}
        self.proof = proof
        self.tunnels = TunnelDispatch(
            owner,
            LinkTls(identity(1)),
            QuietLog(Logger(), self.clock.seconds),
            self.expected.get,
            lambda link: None,
            self.leave,
        )
        self.link: Any = Link()

    def leave(self) -> None:
        self.gone += 1

    def tearDown(self) -> None:
        self.tunnels.stop()
        self.clock.advance(0)
        self.assertTrue(self.tunnels.idle)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def frame(self, kind: FrameKind, message: Any) -> None:
        self.tunnels.frame_received(self.link, kind, encode(message))

    def opening(self) -> Deferred[Any]:
        opening: Deferred[Any] = self.tunnels.open(self.link, name(2), TOKEN, True, False)
        (self.asked,) = self.link.take(FrameKind.TUNNEL_OPEN, TunnelOpen)
        return opening

    def opened(self, credit: int = WINDOW, lifetime: float = 3600) -> None:
        self.frame(FrameKind.TUNNEL_OPENED, TunnelOpened(self.asked.number, credit, lifetime))

    def offer(self, number: int = 2, proof: bytes | None = None) -> None:
        self.frame(
            FrameKind.TUNNEL_OPEN, TunnelOpen(number, True, name(2).raw, proof or self.proof, WINDOW, False)
        )

    def test_relay_tells_either_end_where_it_sees_the_other(self) -> None:
        """What is no address is none."""
        for seen, address in (
            (b"\x08" * 4, "8.8.8.8"),
            (b"\x20\x01" * 8, "2001:" * 7 + "2001"),
            (b"123", ""),
        ):
            opening = self.opening()
            self.frame(FrameKind.TUNNEL_OPENED, TunnelOpened(self.asked.number, WINDOW, 3600, seen))
            (end,) = self.tunnels._ends._ends
            self.assertEqual(end.plan.seen_at, address)
            self.failureResultOf(self.close(opening), ConnectFailed)
            self.clock.advance(0)
            message = TunnelOpen(2, True, name(2).raw, self.proof, WINDOW, False, seen)
            self.frame(FrameKind.TUNNEL_OPEN, message)
            (end,) = self.tunnels._ends._ends
            self.assertEqual(end.plan.seen_at, address)
            end.abort()
            self.clock.advance(0)

    def test_tunnel_is_requested_from_the_node_in_the_middle(self) -> None:
        opening = self.opening()
        mine = Preface.of(TOKEN, True, False).proof
        self.assertEqual(self.asked, TunnelOpen(1, False, name(2).raw, mine, TUNNEL_WINDOW_BYTES, False))
        self.opened()
        self.assertGreater(self.link.received(), 100)  # a TLS handshake
        self.failureResultOf(self.close(opening), ConnectFailed)

    def close(self, opening: Deferred[Any]) -> Deferred[Any]:
        self.frame(FrameKind.TUNNEL_CLOSED, TunnelClosed(self.asked.number, TunnelReason.CLOSED))
        self.clock.advance(0)
        return opening

    def test_unanswered_request_fails_after_hello_timeout(self) -> None:
        opening = self.opening()
        self.clock.advance(self.settings.hello_timeout)
        problem = self.failureResultOf(opening, ConnectFailed)
        self.assertIn("did not answer", problem.getErrorMessage())
        self.assertEqual(len(self.link.take(FrameKind.TUNNEL_CLOSED)), 1)
        self.assertEqual(self.gone, 1)

    def test_tunnel_without_tls_is_given_up(self) -> None:
        opening = self.opening()
        self.opened()
        self.clock.advance(self.settings.hello_timeout)
        self.clock.advance(0)
        self.failureResultOf(opening, ConnectFailed)

    def test_loss_of_the_link_below_fails_the_tunnel(self) -> None:
        opening = self.opening()
        self.tunnels.link_lost(self.link)
        self.failureResultOf(opening, ConnectFailed)

    def test_tunnel_is_renewed_before_its_end(self) -> None:
        """The renewal is the same message, and is not sent too often."""
        opening = self.opening()
        self.opened(lifetime=20)
        self.clock.advance(20 * RENEWAL_SHARE)
        self.assertEqual(self.link.take(FrameKind.TUNNEL_OPEN, TunnelOpen), [self.asked])
        self.opened(lifetime=0)
        self.clock.advance(MIN_RENEWAL_SECONDS - 0.1)
        self.assertEqual(self.link.take(FrameKind.TUNNEL_OPEN), [])
        self.clock.advance(0.1)
        self.assertEqual(len(self.link.take(FrameKind.TUNNEL_OPEN)), 1)
        self.failureResultOf(self.close(opening), ConnectFailed)

    def test_unanswered_renewal_leaves_the_tunnel(self) -> None:
        """The relay decides how long an open tunnel lasts."""
        opening = self.opening()
        self.clock.advance(55)
        self.opened(lifetime=1)
        self.clock.advance(MIN_RENEWAL_SECONDS)
        (end,) = self.tunnels._ends._ends
        end._stop_waiting()
        end._no_answer()
        self.assertFalse(self.tunnels.idle)
        self.failureResultOf(self.close(opening), ConnectFailed)

    def test_data_before_opening_ends_the_tunnel(self) -> None:
        """So does data without credit."""
        opening = self.opening()
        self.tunnels.frame_received(self.link, FrameKind.TUNNEL_DATA, data_frame(1, b"1"))
        self.failureResultOf(opening, ConnectFailed)
        opening = self.opening()
        self.frame(FrameKind.TUNNEL_CREDIT, TunnelCredit(3, 9, False))
        self.opened()
        for _ in range(5):
            self.tunnels.frame_received(self.link, FrameKind.TUNNEL_DATA, data_frame(3, bytes(CHUNK_BYTES)))
        self.clock.advance(0)
        self.failureResultOf(opening, ConnectFailed)

    def test_expected_offers_are_accepted_within_bounds(self) -> None:
        """Offers that are not expected are refused."""
        for number in range(2, 2 * MAX_UNFINISHED_TUNNELS + 2, 2):
            self.offer(number)
        self.assertEqual(len(self.link.take(FrameKind.TUNNEL_OPENED)), MAX_UNFINISHED_TUNNELS)
        self.offer(100)
        self.offer(102, bytes(32))
        closed = self.link.take(FrameKind.TUNNEL_CLOSED, TunnelClosed)
        self.assertEqual([each.reason for each in closed], [TunnelReason.TOO_MANY, TunnelReason.NOT_EXPECTED])

    def test_message_out_of_place_is_a_protocol_error(self) -> None:
        self.offer()
        with self.assertRaises(WireError):
            self.offer()
        with self.assertRaises(WireError):
            self.frame(FrameKind.TUNNEL_OPENED, TunnelOpened(2, 1, 0))
        with self.assertRaises(WireError):
            self.offer(3)

    def test_link_that_the_owner_refuses_fails_the_tunnel(self) -> None:
        opening = self.opening()
        (end,) = self.tunnels._ends._ends
        self.tunnels._ends.owner.link_up = lambda link: None  # type: ignore[method-assign]
        self.tunnels._ends.refusal_of = lambda link: LinkClosed(CloseReason.TOO_MANY_LINKS)
        self.opened()
        end._link_up(None)  # type: ignore[arg-type]
        self.failureResultOf(opening, ConnectFailed)
        self.frame(FrameKind.TUNNEL_CLOSED, TunnelClosed(1, TunnelReason.CLOSED))
        self.clock.advance(0)
