"""How links in memory and on a fake clock find out that the other end is there, slow, or gone."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.python.failure import Failure

from routing_crust.crust.link import link as link_module
from routing_crust.crust.link.link import Link
from routing_crust.crust.link.liveness import (
    ASKED_DOUBT_AFTER_SECONDS,
    ASKED_ROUND_TRIPS,
    DOUBT_AFTER_ROUND_TRIPS,
    DOUBT_AFTER_SECONDS,
    MEASURE_SECONDS,
    PROBE_AFTER_SECONDS,
    SUSPECTED_DOUBT_AFTER_SECONDS,
    TUNNEL_DOUBT_AFTER_SECONDS,
    TUNNEL_PROBE_AFTER_SECONDS,
)
from routing_crust.crust.link.plan import LinkPlan
from routing_crust.crust.link.probes import NONCE_BYTES, nonce_of
from routing_crust.endpoints import Direction, PathKind
from routing_crust.errors import CloseReason
from routing_crust.transports import Unacknowledged

from .link_case import ANSWER, NONCE, PLAN, PROBE, LinkCase, Transport, frame


class TimerTests(LinkCase):
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
            link.dataReceived(ANSWER)
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
            link.dataReceived(ANSWER)
            self.clock.advance(10)
            self.transport.producer.resumeProducing()
        self.assertFalse(self.transport.aborted)


class IdleTests(LinkCase):
    """How often a process wakes up for links that nobody uses."""

    def test_ticks_of_idle_links_come_together(self) -> None:
        links = []
        for wait in (0.6, 0.1, 0.2):
            self.clock.advance(wait)
            self.transport = Transport()
            links.append(self.verified())
        due = {round(each.getTime(), 3) for each in self.clock.getDelayedCalls()}
        self.assertEqual(due, {11.0})
        for self.link in links:
            self.owner.events.clear()
            self.lose()

    def test_link_is_cut_no_later_for_that(self) -> None:
        self.clock.advance(0.55)
        self.verified()
        while not self.transport.aborted:
            (tick,) = self.clock.getDelayedCalls()
            self.clock.advance(tick.getTime() - self.clock.seconds())
            self.settle()
        self.assertAlmostEqual(self.clock.seconds(), 60.55)


class RoundTripTests(LinkCase):
    """How long a round trip takes: the answers of probes say it, and before them the set-up."""

    def assert_round_trip(self, smoothed: float, *variation: float | None) -> None:
        found = self.link.round_trip
        self.assertEqual((found.smoothed, *[found.variation] * len(variation)), (smoothed, *variation))

    def answered_after(self, link: Link, seconds: float) -> None:
        link.probe()
        self.clock.advance(seconds)
        link.dataReceived(ANSWER)

    def test_handshake_gives_a_first_guess(self) -> None:
        """At both ends of a dial, and at both of a punched link, whose ends have both connected."""
        for direction, initiator in (
            (Direction.ACCEPTED, False),
            (Direction.CONNECTED, True),
            (Direction.CONNECTED, False),
        ):
            self.plan, self.transport = LinkPlan(direction, initiator=initiator), Transport()
            link = self.connect()
            self.assertIsNone(link.round_trip.smoothed)
            self.clock.advance(0.25)
            link.handshakeCompleted()
            self.clock.advance(1)
            link.verified()
            self.assert_round_trip(0.25, None)
            link.connectionLost(Failure(ConnectionDone()))

    def test_peer_that_sends_its_hello_early_looks_no_nearer(self) -> None:
        """The end that accepts can send it together with its flight of the handshake."""
        self.plan = LinkPlan(Direction.CONNECTED, initiator=True)
        link = self.connect()
        self.clock.advance(0.5)
        link.handshakeCompleted()
        link.verified()
        self.assert_round_trip(0.5, None)

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

    def test_heartbeat_that_repeats_no_nonce_is_no_answer(self) -> None:
        """Nor is one that repeats it once more, or repeats more than it."""
        link = self.verified()
        self.answered_after(link, 0.5)
        self.clock.advance(PROBE_AFTER_SECONDS)
        link.probe()
        self.clock.advance(0.001)
        for payload in (b"", b"\x02", b"\x02" + NONCE[1:], b"\x02" + NONCE + b".", b"\x03" + NONCE):
            link.dataReceived(frame(1, payload))
        self.assert_round_trip(0.5, 0.25)
        self.clock.advance(0.499)
        link.dataReceived(ANSWER)
        link.dataReceived(ANSWER)
        self.assert_round_trip(0.5, 0.1875)
        self.assertFalse(self.transport.aborted)

    def test_answer_cannot_be_sent_before_its_probe(self) -> None:
        """A peer that knows all earlier probes cannot look nearer than it is."""
        self.patch(link_module, "nonce_of", nonce_of)
        link = self.verified()
        payloads = []
        for _ in range(3):
            link.probe()
            probe = self.settle()
            payloads.append(probe[-NONCE_BYTES:])
            link.dataReceived(frame(1, b"\x02" + payloads[0]))
            self.clock.advance(PROBE_AFTER_SECONDS)
        self.assertEqual(len(set(payloads)), 3)
        self.assertEqual(link.round_trip.latest, 0.0)  # of the first one alone
        self.assert_round_trip(0.0, 0.0)
        link.dataReceived(frame(1, b"\x02" + payloads[-1]))
        self.assertEqual(link.round_trip.latest, PROBE_AFTER_SECONDS)

    def test_answer_to_an_earlier_probe_is_timed_from_that(self) -> None:
        """Where a round trip takes longer than the silence after which a probe is sent."""
        self.patch(link_module, "nonce_of", nonce_of)
        link = self.verified()
        nonces = []
        for _ in range(2):
            link.probe()
            nonces.append(self.settle()[-NONCE_BYTES:])
            self.clock.advance(PROBE_AFTER_SECONDS)
            link.dataReceived(frame(200))
        for nonce in nonces:
            link.dataReceived(frame(1, b"\x02" + nonce))
            self.assertEqual(link.round_trip.latest, 2 * PROBE_AFTER_SECONDS)
            self.clock.advance(PROBE_AFTER_SECONDS)

    def test_nonces_differ_between_links_and_nodes(self) -> None:
        found = {nonce_of(key, binding, 0) for key in (b"one", b"two") for binding in (b"1", b"2")}
        self.assertEqual(len(found), 4)

    def test_peer_that_has_much_to_send_answers_a_probe_behind_it(self) -> None:
        """Once, however many probes come while the answer waits."""
        link = self.verified()
        self.transport.producer.pauseProducing()
        link.send(200, b"much")
        for _ in range(5):
            link.dataReceived(PROBE * 2)
        self.transport.producer.resumeProducing()
        self.assertEqual(self.settle(), frame(200, b"much") + ANSWER)

    def test_busy_link_is_probed_for_its_round_trip_alone(self) -> None:
        link = self.verified()
        probes = []
        for second in range(1, 100):
            self.clock.advance(1)
            link.send(200, b"")
            if PROBE in self.settle():
                probes.append(second)
                link.dataReceived(ANSWER)
            link.dataReceived(frame(200))
        self.assertEqual(len(probes), 3)
        self.assertTrue(all(after - before >= MEASURE_SECONDS for before, after in pairwise(probes)), probes)


class DoubtTests(LinkCase):
    """A peer that owes an answer: its link is probed and doubted, and cut only much later."""

    def doubts(self) -> int:
        return len(self.owner.of("doubted"))

    def test_answered_probe_leaves_the_link(self) -> None:
        link = self.verified()
        link.probe()
        self.assertEqual(self.settle(), PROBE)
        link.dataReceived(ANSWER)
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

    def test_link_that_owes_an_answer_is_looked_at_in_time(self) -> None:
        """Not when others are looked at, too: streams wait for the link that replaces it."""
        self.clock.advance(0.03)
        link = self.verified()
        link.send(200, b"a question")
        self.settle()
        for seconds in (PROBE_AFTER_SECONDS, DOUBT_AFTER_SECONDS, 2 * DOUBT_AFTER_SECONDS):
            (tick,) = self.clock.getDelayedCalls()
            self.assertAlmostEqual(tick.getTime(), 0.03 + seconds)
            self.clock.advance(tick.getTime() - self.clock.seconds())
            self.settle()
        self.assertEqual(self.doubts(), 2)

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

    def test_link_that_its_peer_seems_to_have_lost_is_doubted_sooner(self) -> None:
        """The time counts from the probe, also from one that is on its way already."""
        link = self.verified()
        link.probe()
        self.settle()
        for _ in range(2):
            self.assertFalse(link.is_doubted)
            self.clock.advance(SUSPECTED_DOUBT_AFTER_SECONDS / 2)
            link.suspect()
        self.clock.advance(0.01)
        self.assertEqual((link.is_doubted, self.doubts(), self.transport.aborted), (True, 1, False))

    def test_frames_that_need_no_answer_bring_no_doubt_upon_suspicion(self) -> None:
        """They may have been on their way for longer than an answer takes."""
        link = self.verified()
        link.send(200, b"no question")
        self.settle()
        self.clock.advance(PROBE_AFTER_SECONDS - 0.1)
        link.suspect()
        self.clock.advance(SUSPECTED_DOUBT_AFTER_SECONDS - 0.1)
        self.assertFalse(link.is_doubted)
        self.clock.advance(0.1)
        self.assertTrue(link.is_doubted)

    def test_link_of_a_broken_path_is_doubted_before_it_is_cut(self) -> None:
        link = self.verified()
        link.must_answer(1.0)
        self.clock.advance(SUSPECTED_DOUBT_AFTER_SECONDS)
        self.assertEqual((link.is_doubted, self.transport.aborted), (True, False))

    def test_set_up_that_took_long_keeps_a_suspected_link_from_doubt(self) -> None:
        """Until a probe has shown how long a round trip takes."""
        link = self.verified()
        link.round_trip.smoothed = 0.3
        link.suspect()
        self.clock.advance(SUSPECTED_DOUBT_AFTER_SECONDS)
        self.assertFalse(link.is_doubted)
        self.clock.advance(0.3 * ASKED_ROUND_TRIPS - SUSPECTED_DOUBT_AFTER_SECONDS + 0.01)
        self.assertTrue(link.is_doubted)

    def test_slow_peer_is_doubted_and_keeps_its_link(self) -> None:
        """A stall of the peer, or of its line, for as long as C{inactivity_timeout} allows."""
        link = self.verified()
        link.probe()
        for _ in range(59):
            self.clock.advance(1)
        self.assertTrue(link.is_doubted)
        link.dataReceived(ANSWER)
        self.assertFalse(link.is_doubted)
        doubts = self.doubts()
        self.clock.pump([1] * 6)
        self.assertEqual((self.transport.aborted, self.doubts()), (False, doubts))

    def slow(self, round_trip: float) -> Link:
        """A link whose last probe was answered after this time."""
        link = self.verified()
        link.probe()
        self.settle()
        self.clock.advance(round_trip)
        link.dataReceived(ANSWER)
        self.clock.advance(2)
        return link

    def test_path_with_a_long_round_trip_is_not_doubted_early(self) -> None:
        """Each answer shows how long the next may take: much may be in the buffers on the way."""
        link = self.slow(1)
        link.send(200, b"a question")
        self.settle()
        self.clock.pump([1] * (DOUBT_AFTER_ROUND_TRIPS - 1))
        self.assertFalse(link.is_doubted)
        self.clock.advance(1)
        self.assertTrue(link.is_doubted)

    def test_link_that_others_have_reason_to_probe_is_doubted_after_few_round_trips(self) -> None:
        link = self.slow(0.5)
        link.probe()
        self.settle()
        self.clock.advance(0.5 * ASKED_ROUND_TRIPS - 0.1)
        self.assertFalse(link.is_doubted)
        self.clock.advance(0.2)
        self.assertTrue(link.is_doubted)

    def test_link_of_a_broken_path_is_cut_after_few_round_trips(self) -> None:
        link = self.slow(0.5)
        link.must_answer(1.0)
        self.settle()
        self.clock.advance(0.5 * ASKED_ROUND_TRIPS - 0.1)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(0.2)
        self.assertTrue(self.transport.aborted)

    def test_silent_link_is_told_of_before_it_is_doubted(self) -> None:
        """When its probe goes out; not where an idle link has its heartbeat."""
        link = self.verified()
        link.send(200, b"a question")
        self.settle()
        self.clock.advance(PROBE_AFTER_SECONDS)
        self.assertEqual([what for what, *_ in self.owner.events], ["up", "silent"])
        link.dataReceived(ANSWER)
        self.settle()
        self.clock.pump([1] * 20)
        self.assertEqual(self.settle(), PROBE)
        self.assertEqual([what for what, *_ in self.owner.events], ["up", "silent"])

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

    def test_peer_that_took_what_waited_and_is_silent_then_is_doubted(self) -> None:
        """The kernel may have taken it for a path that has broken, and the writer have no more credit."""
        link = self.verified()
        link.send(200, bytes(1000))
        self.transport.producer.pauseProducing()
        link.send(200, bytes(1000))
        self.clock.advance(0.5)
        self.transport.producer.resumeProducing()
        self.assertEqual(self.doubts(), 0)
        self.clock.pump([0.25] * 14)
        self.assertEqual((self.doubts(), self.transport.aborted), (1, False))

    def kernel(self, acknowledged: int, silent_seconds: float | None) -> None:
        """What the kernel says of the link from now on."""
        self.transport.kernel = Unacknowledged(acknowledged, silent_seconds)

    def test_peer_is_doubted_whose_kernel_acknowledges_nothing(self) -> None:
        """Ours goes on taking what a stream sends, until its buffer is full."""
        link = self.verified()
        self.kernel(0, 0.0)
        for _ in range(4):
            self.transport.producer.pauseProducing()
            link.send(200, bytes(1000))
            self.clock.advance(DOUBT_AFTER_SECONDS / 4)
            self.transport.producer.resumeProducing()
        self.clock.advance(DOUBT_AFTER_SECONDS / 4)
        self.assertEqual((self.doubts(), self.transport.aborted), (1, False))

    def test_peer_is_not_doubted_whose_kernel_acknowledges_what_is_sent(self) -> None:
        link = self.verified()
        for acknowledged in range(40):
            self.transport.producer.pauseProducing()
            link.send(200, bytes(1000))
            self.kernel(acknowledged, 0.1)
            self.clock.advance(0.5)
            self.transport.producer.resumeProducing()
        self.assertEqual(self.doubts(), 0)

    def test_silence_counts_from_what_came_last(self) -> None:
        """Also where that was early in a tick, and we have written all the time."""
        link = self.verified()
        link.send(200, b"a question")
        self.settle()
        link.dataReceived(frame(200))
        self.kernel(1, 0.75)
        for _ in range(4):
            link.send(200, b"more")
            self.clock.advance(PROBE_AFTER_SECONDS / 4)
        link.send(200, b"more")
        self.settle()
        self.clock.advance(0.25)
        self.assertEqual(self.settle(), PROBE)
        self.clock.advance(1)
        self.assertEqual((self.doubts(), link.owed_for), (1, DOUBT_AFTER_SECONDS))

    def test_what_came_before_our_last_frame_answers_nothing(self) -> None:
        link = self.verified()
        link.send(200, b"a question")
        self.settle()
        link.dataReceived(frame(200))
        link.send(200, b"another")
        self.settle()
        self.clock.pump([PROBE_AFTER_SECONDS] * 2)
        self.assertEqual(self.settle(), PROBE)

    def test_answers_to_probes_keep_no_idle_link_busy(self) -> None:
        """Else the two ends would probe each other for ever, over a path with a long round trip."""
        link = self.verified()
        self.kernel(1, 0.2)
        link.dataReceived(PROBE)
        self.settle()
        self.clock.pump([1] * 19)
        self.assertEqual(self.settle(), b"")

    def test_answer_has_nobody_probed(self) -> None:
        """It counts as a heartbeat, since it follows a sign of life."""
        link = self.verified()
        link.send(200, b"a question")
        self.settle()
        self.clock.advance(0.5)
        link.dataReceived(frame(200))
        self.clock.advance(0.5)
        self.clock.advance(15)
        link.dataReceived(frame(200))
        link.tell(200, b"an answer")
        self.settle()
        self.clock.pump([1] * 19)
        self.assertEqual(self.settle(), b"")
        self.clock.pump([1] * 2)
        self.assertEqual(self.settle(), PROBE)

    def test_answer_behind_a_question_leaves_the_peer_a_reaction_to_owe(self) -> None:
        link = self.verified()
        link.send(200, b"a question")
        link.tell(200, b"an answer")
        self.settle()
        self.clock.advance(PROBE_AFTER_SECONDS)
        self.assertEqual(self.settle(), PROBE)

    def test_link_is_cut_where_the_owner_knows_that_the_path_has_broken(self) -> None:
        """After the seconds that the owner says, although bytes came just before."""
        link = self.verified()
        link.dataReceived(ANSWER)
        link.must_answer(5)
        self.clock.pump([0.25] * 16)
        self.assertFalse(self.transport.aborted)
        self.clock.pump([0.25] * 4)
        self.assertTrue(self.transport.aborted)
        reason = self.lose(ConnectionAborted())
        self.assertEqual(
            (reason.reason, reason.detail), (CloseReason.INACTIVE, "the peer did not answer a probe")
        )

    def test_question_of_the_owner_does_not_put_off_doubt(self) -> None:
        """The time counts that has passed since the probe that nothing came after."""
        link = self.verified()
        link.send(200, b"frame")
        self.settle()
        self.clock.pump([PROBE_AFTER_SECONDS, 0.25])
        link.must_answer(5)
        self.clock.advance(SUSPECTED_DOUBT_AFTER_SECONDS - 0.3)
        self.assertFalse(link.is_doubted)
        self.clock.advance(0.06)
        self.assertTrue(link.is_doubted)
        self.clock.pump([0.5] * 9)
        self.assertFalse(self.transport.aborted)
        self.clock.pump([0.5] * 3)
        self.assertTrue(self.transport.aborted)

    def test_answer_in_time_keeps_a_link_that_must_answer(self) -> None:
        link = self.verified()
        for _ in range(3):
            link.must_answer(5)
            self.clock.pump([1] * 4)
            link.dataReceived(ANSWER)
            self.clock.pump([1] * 4)
        self.assertFalse(self.transport.aborted)

    def test_repeated_questions_do_not_put_off_the_cut(self) -> None:
        link = self.verified()
        passed = 0.0
        while not self.transport.aborted:
            link.must_answer(8)
            link.probe()
            self.clock.advance(0.25)
            passed += 0.25
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
        self.clock.pump([0.25] * 20)
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
        self.assertEqual(self.settle(), ANSWER)
        self.clock.pump([1] * 10)
        self.assertEqual(self.settle(), b"")
        link.dataReceived(ANSWER)
        self.assertEqual(self.settle(), b"")
        self.assertEqual(self.owner.of("frame"), [])
