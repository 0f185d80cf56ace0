"""Links in memory and on a fake clock: limits, timers, closing, and whom they tell of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ILink
from routing_crust.crust.link import link as link_module
from routing_crust.crust.link.certificates import PeerRefused
from routing_crust.crust.link.factories import link_of
from routing_crust.crust.link.link import Link
from routing_crust.crust.link.liveness import (
    ASKED_DOUBT_AFTER_SECONDS,
    DOUBT_AFTER_ROUND_TRIPS,
    DOUBT_AFTER_SECONDS,
    MEASURE_SECONDS,
    PROBE_AFTER_SECONDS,
    TUNNEL_DOUBT_AFTER_SECONDS,
    TUNNEL_PROBE_AFTER_SECONDS,
)
from routing_crust.crust.link.losses import describe
from routing_crust.crust.link.plan import LinkPlan
from routing_crust.crust.link.sendqueue import MAX_QUEUE_BYTES
from routing_crust.crust.link.tls import VerifiedPeer
from routing_crust.endpoints import Direction, PathKind
from routing_crust.errors import CloseReason, LinkClosed, WireError
from routing_crust.names import Name
from routing_crust.wire.codec import encode
from routing_crust.wire.framing import FrameDecoder, frame_header
from routing_crust.wire.messages import Goodbye

from ..support import Owner

PEER = VerifiedPeer(Name(b"k" * 32), b"b" * 32)
PLAN = LinkPlan(Direction.ACCEPTED, initiator=False)
HEARTBEAT = frame_header(1, 0)
PROBE = frame_header(1, 1) + b"\x01"


def frame(kind: int, payload: bytes = b"") -> bytes:
    return frame_header(kind, len(payload)) + payload


def goodbye(reason: int) -> bytes:
    return frame(5, encode(Goodbye(reason)))


class Transport(StringTransport):
    """A transport under TLS whose handshake is always fine."""

    aborted = False
    no_delay = False

    refusal: PeerRefused | None = None

    def peer_verified(self) -> None:
        pass

    def verified_peer(self) -> VerifiedPeer:
        if self.refusal is not None:
            raise self.refusal
        return PEER

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def abortConnection(self) -> None:
        self.aborted = True

    def taken(self) -> bytes:
        """What was written since the last time."""
        data = self.value()
        self.clear()
        return data


class LinkTests(SynchronousTestCase):
    """What the tests here share."""

    settings = Settings()
    plan = PLAN

    def setUp(self) -> None:
        self.patch(link_module, "MAX_CONTROL_BYTES", 1024)
        self.patch(link_module, "MAX_UNVERIFIED_BYTES", 4096)
        self.clock = Clock()
        self.owner = Owner(self.clock, self.settings)
        self.transport = Transport()
        self.addCleanup(lambda: self.assertEqual(self.flushLoggedErrors(), []))
        self.addCleanup(self.finish)

    def connect(self) -> Link:
        """A link whose TCP connection is made."""
        made = link_of(self.owner)
        made.addErrback(lambda failure: self.owner._heard("refused", failure.value))
        self.link = Link(self.owner, self.plan, made)
        self.link.makeConnection(self.transport)
        return self.link

    def up(self) -> Link:
        """A link whose handshake is done."""
        self.connect().handshakeCompleted()
        return self.link

    def verified(self) -> Link:
        """A link that is in use."""
        self.up().verified()
        return self.link

    def lose(self, error: Exception | None = None) -> LinkClosed:
        """Take the connection away. Returns the reason that the owner hears, once."""
        self.link.connectionLost(Failure(error or ConnectionDone()))
        ((*_, reason),) = self.owner.of("lost") or self.owner.of("refused")
        assert isinstance(reason, LinkClosed)
        return reason

    def finish(self) -> None:
        if hasattr(self, "link") and not (self.owner.of("lost") or self.owner.of("refused")):
            self.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def settle(self) -> bytes:
        """Let the turn of the reactor end. Returns what was written."""
        self.clock.advance(0)
        return self.transport.taken()


class ComingUpTests(LinkTests):
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


class FrameTests(LinkTests):
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


class TimerTests(LinkTests):
    """Heartbeats, silence, and peers that read nothing. The defaults: 20 s, 60 s and 30 s."""

    def test_idle_link_sends_heartbeats(self) -> None:
        """An idle link sends one every 20 s; one with traffic sends none."""
        link = self.verified()
        beats = []
        for second in range(1, 101):
            self.clock.advance(1)
            if second % 7 == 0 and second < 60:
                link.send(200, b"")
            if PROBE in self.settle():
                beats.append(second)
            link.dataReceived(frame(200))
        # the last frame went out at second 56
        self.assertEqual(beats, [76, 96])

    def test_pace_of_heartbeats_follows_the_network(self) -> None:
        """Also that of links that are there already, from their next heartbeat on."""
        link = self.verified()
        beats = []
        for second in range(1, 51):
            self.clock.advance(1)
            if PROBE in self.settle():
                beats.append(second)
            link.dataReceived(frame(200))
            if second == 5:
                self.owner.heartbeat = 8.0
        self.assertEqual(beats[1:], [each + 8 for each in beats[:-1]])
        self.assertLessEqual(beats[0], 20)

    def test_link_that_dies_after_an_idle_time_says_so(self) -> None:
        """A NAT may have forgotten it; one that was in use, or whose peer had answered, died otherwise."""
        for idle, answered in ((20, False), (12, False), (3, False), (20, True)):
            self.transport = Transport()
            self.owner.events.clear()
            link = self.verified()
            link.dataReceived(frame(200))
            self.clock.pump([1] * idle)
            link.send(200, b"")
            self.settle()
            if answered:
                link.dataReceived(frame(200))
                self.clock.pump([1] * 3)
            self.lose()
            self.assertEqual(link.died_idle, idle > 10 and not answered, (idle, answered))

    def test_silent_link_is_cut_after_inactivity_timeout(self) -> None:
        """Any byte counts as a sign of life."""
        link = self.verified()
        self.clock.pump([1] * 50)
        link.dataReceived(b"\0")
        self.clock.pump([1] * 59)
        self.assertFalse(self.transport.aborted)
        # a tick may have been under way when the byte came
        self.clock.pump([1] * 11)
        self.assertTrue(self.transport.aborted)
        reason = self.lose(ConnectionAborted())
        self.assertEqual((reason.reason, reason.detail), (CloseReason.INACTIVE, "nothing came for 60 s"))

    def test_clock_that_leaps_forward_cuts_no_link(self) -> None:
        self.verified()
        self.clock.advance(365 * 86400)
        self.clock.advance(10)
        self.assertFalse(self.transport.aborted)

    def test_peer_that_reads_nothing_is_cut_after_stall_timeout(self) -> None:
        """A peer that reads nothing is cut off after C{STALL_TIMEOUT_SECONDS}, though it may send."""
        link = self.verified()
        self.transport.producer.pauseProducing()
        link.send(200, b"never")
        for _ in range(29):
            self.clock.advance(1)
            link.dataReceived(HEARTBEAT)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(1)
        self.assertTrue(self.transport.aborted)
        reason = self.lose(ConnectionAborted())
        self.assertEqual((reason.reason, reason.detail), (CloseReason.STALLED, "nothing was read for 30 s"))

    def test_peer_that_reads_slowly_is_not_cut(self) -> None:
        link = self.verified()
        for _ in range(20):
            self.transport.producer.pauseProducing()
            self.clock.advance(10)
            link.dataReceived(HEARTBEAT)
            self.clock.advance(10)
            self.transport.producer.resumeProducing()
        self.assertFalse(self.transport.aborted)


class RoundTripTests(LinkTests):
    """How long a round trip takes: the answers of probes say it, and before them the set-up."""

    def assert_round_trip(self, smoothed: float, *variation: float | None) -> None:
        found = self.link.round_trip
        self.assertEqual((found.smoothed, *[found.variation] * len(variation)), (smoothed, *variation))

    def answered_after(self, link: Link, seconds: float) -> None:
        link.probe()
        self.clock.advance(seconds)
        link.dataReceived(HEARTBEAT)

    def test_set_up_of_an_accepted_link_gives_a_first_guess(self) -> None:
        link = self.connect()
        self.assertIsNone(link.round_trip.smoothed)
        self.clock.advance(0.25)
        link.handshakeCompleted()
        self.clock.advance(1)
        link.verified()
        self.assert_round_trip(0.25, None)

    def test_end_that_connects_waits_for_the_answer_to_its_hello(self) -> None:
        self.plan = LinkPlan(Direction.CONNECTED, initiator=True)
        link = self.connect()
        self.clock.advance(0.5)
        link.handshakeCompleted()
        self.clock.advance(0.125)
        link.verified()
        self.assert_round_trip(0.125)

    def test_first_answer_replaces_the_guess(self) -> None:
        """RFC 6298, 2.2."""
        link = self.verified()
        self.answered_after(link, 0.5)
        self.assert_round_trip(0.5, 0.25)

    def test_further_answers_are_smoothed(self) -> None:
        """RFC 6298, 2.3: an eighth of the new one, and a quarter of how far it was off."""
        link = self.verified()
        self.answered_after(link, 0.5)
        self.clock.advance(PROBE_AFTER_SECONDS)
        self.answered_after(link, 1.0)
        self.assert_round_trip(0.5625, 0.3125)

    def test_heartbeat_that_nobody_asked_for_is_no_answer(self) -> None:
        link = self.verified()
        self.answered_after(link, 0.5)
        self.clock.advance(0.001)
        link.dataReceived(HEARTBEAT)
        self.assert_round_trip(0.5)

    def test_answer_that_may_be_one_to_an_earlier_probe_does_not_count(self) -> None:
        """As in Karn's algorithm: the peer may have answered the first with other frames, or be late."""
        link = self.verified()
        self.answered_after(link, 0.5)
        self.clock.advance(PROBE_AFTER_SECONDS)
        link.probe()
        link.dataReceived(frame(200))
        self.clock.pump([1] * 3)
        self.answered_after(link, 0.001)
        self.assert_round_trip(0.5)
        self.clock.advance(PROBE_AFTER_SECONDS)
        self.answered_after(link, 0.5)
        self.assert_round_trip(0.5, 0.1875)

    def test_busy_link_is_probed_for_its_round_trip_alone(self) -> None:
        link = self.verified()
        probes = []
        for second in range(1, 100):
            self.clock.advance(1)
            link.send(200, b"")
            if PROBE in self.settle():
                probes.append(second)
                link.dataReceived(HEARTBEAT)
            link.dataReceived(frame(200))
        self.assertEqual(len(probes), 3)
        self.assertTrue(all(after - before >= MEASURE_SECONDS for before, after in pairwise(probes)), probes)


class DoubtTests(LinkTests):
    """A peer that owes an answer: its link is probed and doubted, and cut only much later."""

    def doubts(self) -> int:
        return len(self.owner.of("doubted"))

    def test_answered_probe_leaves_the_link(self) -> None:
        link = self.verified()
        link.probe()
        self.assertEqual(self.settle(), PROBE)
        link.dataReceived(HEARTBEAT)
        self.clock.pump([1] * 19)
        self.assertEqual((self.transport.aborted, self.doubts(), link.is_doubted), (False, 0, False))
        self.assertEqual(self.settle(), b"")
        self.clock.advance(1)
        self.assertEqual(self.settle(), PROBE)

    def test_silence_after_a_frame_has_the_peer_probed_and_then_the_link_doubted(self) -> None:
        """Once, not each second; and again after twice as long each time."""
        link = self.verified()
        link.send(200, b"a question")
        self.settle()
        self.clock.advance(PROBE_AFTER_SECONDS)
        self.assertEqual((self.settle(), link.is_doubted), (PROBE, False))
        self.clock.advance(DOUBT_AFTER_SECONDS - PROBE_AFTER_SECONDS)
        self.assertEqual((self.doubts(), link.is_doubted, link.owed_for), (1, True, 2))
        for _ in range(29):
            self.clock.advance(1)
        self.assertEqual((self.doubts(), self.settle()), (8, b""))  # at 2, 4, 8, 12 s and so on

    def test_tunnel_is_probed_and_doubted_sooner(self) -> None:
        """Its relay may have died, and there are others."""
        self.plan = replace(PLAN, path_kind=PathKind.TUNNEL)
        link = self.verified()
        link.send(200, b"a question")
        self.settle()
        self.clock.advance(TUNNEL_PROBE_AFTER_SECONDS)
        self.assertEqual((self.settle(), link.is_doubted), (PROBE, False))
        self.clock.advance(TUNNEL_DOUBT_AFTER_SECONDS - TUNNEL_PROBE_AFTER_SECONDS)
        self.assertEqual((self.doubts(), link.is_doubted), (1, True))

    def test_link_that_others_have_reason_to_probe_is_doubted_sooner(self) -> None:
        """Whatever had been sent before."""
        link = self.verified()
        link.send(200, b"a question")
        self.settle()
        link.probe()
        self.clock.advance(ASKED_DOUBT_AFTER_SECONDS)
        self.assertTrue(link.is_doubted)

    def test_slow_peer_is_doubted_and_keeps_its_link(self) -> None:
        """A stall of the peer, or of its line, for as long as C{inactivity_timeout} allows."""
        link = self.verified()
        link.probe()
        for _ in range(59):
            self.clock.advance(1)
        self.assertTrue(link.is_doubted)
        link.dataReceived(HEARTBEAT)
        self.assertFalse(link.is_doubted)
        doubts = self.doubts()
        self.clock.pump([1] * 6)
        self.assertEqual((self.transport.aborted, self.doubts()), (False, doubts))

    def test_path_with_a_long_round_trip_is_not_doubted_early(self) -> None:
        """Each answer shows how long the next may take: much may be in the buffers on the way."""
        link = self.verified()
        link.probe()
        self.settle()
        self.clock.advance(1)
        link.dataReceived(HEARTBEAT)
        self.clock.advance(2)
        link.probe()
        self.settle()
        self.clock.pump([1] * (DOUBT_AFTER_ROUND_TRIPS - 1))
        self.assertFalse(link.is_doubted)
        self.clock.advance(1)
        self.assertTrue(link.is_doubted)

    def test_peer_that_takes_what_waits_is_not_doubted(self) -> None:
        """A line that is full of our own data answers late."""
        link = self.verified()
        link.send(200, bytes(1000))
        for _ in range(20):
            self.transport.producer.pauseProducing()
            link.send(200, bytes(1000))
            self.clock.advance(1)
            self.transport.producer.resumeProducing()
        self.assertEqual((self.doubts(), self.transport.aborted), (0, False))

    def test_link_is_cut_where_the_owner_knows_that_the_path_has_broken(self) -> None:
        """After the seconds that the owner says, although bytes came just before."""
        link = self.verified()
        link.dataReceived(HEARTBEAT)
        link.must_answer(5)
        self.clock.pump([1] * 4)
        self.assertFalse(self.transport.aborted)
        self.clock.pump([0.5] * 2)
        self.assertTrue(self.transport.aborted)
        reason = self.lose(ConnectionAborted())
        self.assertEqual(
            (reason.reason, reason.detail), (CloseReason.INACTIVE, "the peer did not answer a probe")
        )

    def test_answer_in_time_keeps_a_link_that_must_answer(self) -> None:
        link = self.verified()
        for _ in range(3):
            link.must_answer(5)
            self.clock.pump([1] * 4)
            link.dataReceived(HEARTBEAT)
            self.clock.pump([1] * 4)
        self.assertFalse(self.transport.aborted)

    def test_repeated_questions_do_not_put_off_the_cut(self) -> None:
        link = self.verified()
        passed = 0
        while not self.transport.aborted:
            link.must_answer(8)
            link.probe()
            self.clock.advance(1)
            passed += 1
        self.assertEqual(passed, 8)
        self.assertEqual(self.settle(), PROBE)

    def test_probe_cuts_no_link_that_does_not_read(self) -> None:
        """While the link does not read, for lack of room, it cannot see an answer."""
        link = self.verified()
        link.pause_reading()
        link.must_answer(5)
        self.clock.pump([1] * 120)
        self.assertEqual((self.transport.aborted, link.is_doubted), (False, False))
        link.resume_reading()
        link.must_answer(5)
        self.clock.pump([1] * 5)
        self.assertTrue(self.transport.aborted)

    def test_unverified_or_closed_link_sends_no_probe(self) -> None:
        """A probe does not prolong C{hello_timeout}, and a closed link sends nothing."""
        link = self.up()
        self.settle()
        link.probe()
        self.assertEqual(self.settle(), b"")
        self.clock.advance(self.settings.hello_timeout)
        self.settle()
        link.probe()
        self.assertEqual(self.settle(), b"")

    def test_probe_is_answered_with_one_heartbeat(self) -> None:
        """Many probes in one chunk get one answer, the answer itself gets none, and asks for none."""
        link = self.verified()
        link.dataReceived(PROBE * 1000)
        self.assertEqual(self.settle(), HEARTBEAT)
        self.clock.pump([1] * 10)
        self.assertEqual(self.settle(), b"")
        link.dataReceived(HEARTBEAT)
        self.assertEqual(self.settle(), b"")
        self.assertEqual(self.owner.of("frame"), [])


class ClosingTests(LinkTests):
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
