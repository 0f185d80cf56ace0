"""Links that cause much work take turns, by the prefixes of their peers, and hold up no other link."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.link.factories import link_of
from routing_crust.crust.link.link import Link
from routing_crust.crust.link.reading import TURN_CHARGE
from routing_crust.errors import CloseReason
from routing_crust.wire.codec import encode
from routing_crust.wire.framing import FRAME_CHARGES, FrameKind, frame_header
from routing_crust.wire.messages import Goodbye

from ..support import Owner
from .link_case import PLAN, Transport, frame

OPEN = 32
CHEAP = 200
FLOOD = frame(OPEN, b"1234") * 3000
SLACK = max(FRAME_CHARGES)
"""The last frame of a turn may exceed it."""


class ReadingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.owner = Owner(self.clock)

    def link(self, host: str = "203.0.113.5") -> Link:
        """A link in use, whose peer has this address."""
        link = Link(self.owner, PLAN, link_of(self.owner))
        link.makeConnection(Transport(peerAddress=IPv4Address("TCP", host, 4000)))
        link.handshakeCompleted()
        link.verified()
        return link

    def turn(self) -> None:
        """One turn of the reactor: what is due now, and not what that makes due."""
        for call in self.clock.getDelayedCalls():
            if call.getTime() <= self.clock.seconds():
                function = call.func
                call.cancel()
                function()

    def of(self, link: Link) -> list[tuple[int, bytes]]:
        """The frames of this link that were delivered."""
        return [(kind, payload) for each, kind, payload in self.owner.of("frame") if each is link]

    def charge(self) -> int:
        """The charge of all frames that were delivered since the last time."""
        charge = sum(FRAME_CHARGES[kind] for _, kind, _ in self.owner.of("frame"))
        self.owner.events.clear()
        return charge

    def test_one_read_causes_no_more_than_a_turns_work(self) -> None:
        link = self.link()
        link.dataReceived(FLOOD)
        self.assertLess(self.charge(), TURN_CHARGE + SLACK)
        self.assertEqual(link.transport.producerState, "paused")
        self.turn()
        self.assertLess(0, (charge := self.charge()))
        self.assertLess(charge, TURN_CHARGE + SLACK)

    def test_every_frame_is_delivered_once_and_in_order(self) -> None:
        link = self.link()
        sent = [(OPEN, number.to_bytes(4, "big")) for number in range(5000)]
        data = b"".join(frame(*each) for each in sent)
        for at in range(0, len(data), 1009):  # the transport may go on to deliver what it had
            link.dataReceived(data[at : at + 1009])
        self.assertLess(len(self.of(link)), 1000)
        self.clock.advance(0)
        self.assertEqual(self.of(link), sent)
        self.assertEqual(link.transport.producerState, "producing")

    def test_link_of_another_prefix_does_not_wait(self) -> None:
        flooding, honest = self.link(), self.link("198.51.100.7")
        for _ in range(50):
            flooding.dataReceived(FLOOD)
        honest.dataReceived(frame(FrameKind.MESSAGE, b"hello"))
        self.assertEqual(self.of(honest), [(FrameKind.MESSAGE, b"hello")])
        self.assertEqual(honest.transport.producerState, "producing")

    def test_link_of_the_same_prefix_waits_for_a_turn_and_not_for_the_whole_flood(self) -> None:
        flooding, honest = self.link("203.0.113.5"), self.link("203.0.113.6")
        flooding.dataReceived(FLOOD)
        honest.dataReceived(frame(FrameKind.MESSAGE, b"hello"))
        self.turn()
        self.assertEqual(self.of(honest), [(FrameKind.MESSAGE, b"hello")])
        self.assertLess(len(self.of(flooding)), 1000)

    def test_many_links_of_one_prefix_have_one_share(self) -> None:
        links = [self.link(f"203.0.113.{number}") for number in range(100)]
        for link in links:
            link.dataReceived(FLOOD)
        self.assertLess(self.charge(), TURN_CHARGE + SLACK)
        for _ in range(20):
            self.turn()
            self.assertLess(self.charge(), TURN_CHARGE + 8 * SLACK)

    def test_many_prefixes_share_a_turn(self) -> None:
        links = [self.link(f"203.0.{number}.1") for number in range(100)]
        for link in links:
            link.dataReceived(FLOOD)
        self.charge()  # each prefix had its share at first
        for _ in range(40):
            self.turn()
            self.assertLess(self.charge(), TURN_CHARGE + 8 * SLACK)
        self.clock.advance(0)
        self.assertEqual({link.transport.producerState for link in links}, {"producing"})

    def test_reads_that_complete_no_frame_have_a_charge(self) -> None:
        link = self.link()
        link.dataReceived(frame_header(35, 60_000))
        for _ in range(TURN_CHARGE):
            link.dataReceived(b"x")
        self.assertEqual(link.transport.producerState, "paused")

    def test_large_frames_and_few_frames_never_wait(self) -> None:
        link = self.link()
        for _ in range(20):
            link.dataReceived(frame(35, bytes(60_000)))
            link.dataReceived(frame(FrameKind.MESSAGE, b"hello") * 10)
            self.turn()
            self.assertEqual(link.transport.producerState, "producing")
        self.assertEqual(len(self.of(link)), 20 * 11)

    def test_frames_before_the_end_of_the_connection_are_delivered(self) -> None:
        link = self.link()
        link.dataReceived(FLOOD + frame(CHEAP, b"last") + frame(5, encode(Goodbye(CloseReason.STOPPING))))
        link.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.of(link)[-1], (CHEAP, b"last"))
        ((_, reason),) = self.owner.of("lost")
        self.assertEqual((reason.reason, reason.by_peer), (CloseReason.STOPPING, True))

    def test_closed_link_delivers_nothing_that_waits_and_reads_on(self) -> None:
        link = self.link()
        link.dataReceived(FLOOD)
        delivered = len(self.of(link))
        link.close(CloseReason.STOPPING)
        self.assertEqual(link.transport.producerState, "producing")
        self.clock.advance(0)
        self.assertEqual(len(self.of(link)), delivered)

    def test_breach_among_the_frames_that_wait_closes_the_link(self) -> None:
        link = self.link()
        link.dataReceived(FLOOD + b"\xff" * 100)
        self.clock.advance(0)
        link.connectionLost(Failure(ConnectionDone()))
        ((_, reason),) = self.owner.of("lost")
        self.assertIs(reason.reason, CloseReason.PROTOCOL_ERROR)

    def test_pause_of_the_layer_above_lasts_when_the_turns_are_over(self) -> None:
        link = self.link()
        link.dataReceived(FLOOD)
        link.pause_reading()
        self.clock.advance(0)
        self.assertEqual(link.transport.producerState, "paused")
        link.resume_reading()
        self.assertEqual(link.transport.producerState, "producing")
        link.pause_reading()
        link.dataReceived(FLOOD)
        link.resume_reading()
        self.assertEqual(link.transport.producerState, "paused")
        self.clock.advance(0)
        self.assertEqual(link.transport.producerState, "producing")

    def test_no_timer_is_left(self) -> None:
        link = self.link()
        link.dataReceived(FLOOD)
        link.abort(CloseReason.STOPPING)
        self.owner.reading.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        other = self.link()
        other.dataReceived(FLOOD)
        self.clock.advance(0)
        self.assertEqual(len(self.of(other)), 3000)
