"""Relaying in fair shares."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import KIB, Settings
from routing_crust.names import Name
from routing_crust.routing.messaging import fair_relay
from routing_crust.routing.messaging.fair_relay import BURST_SECONDS, ITEM_OVERHEAD_BYTES, FairRelay
from routing_crust.timing.shares import Account

RATE = 1024 * KIB
SIZE = 16 * KIB

EGRESS, OTHER = Name(bytes(32)), Name(bytes([1]) * 32)


def who(text: str) -> Account:
    """A link of this name, in a prefix of its own."""
    return text, str(Name(text.encode().ljust(32)))


class FairRelayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sent: list[tuple[str, int]] = []
        self.full: set[Name] = set()
        self.make()

    def has_room(self, egress: Name) -> bool:
        return egress not in self.full

    def make(self, **changes: int) -> None:
        limits = {"relay_rate": RATE, **changes}
        self.relay: FairRelay[tuple[str, int]] = FairRelay(
            self.clock, Settings(**limits), lambda egress, item: self.sent.append(item), self.has_room
        )

    def drain(self) -> None:
        """Let so much through that the next has to wait."""
        number = 0
        while self.relay.held == 0:
            self.relay.relay(who("drain"), EGRESS, SIZE, ("drain", number))
            number += 1
        self.clock.advance(0.05)
        self.sent.clear()

    def bytes_of(self, peer: str) -> int:
        return sum(size for who, size in self.sent if who == peer)

    def test_items_within_the_rate_go_at_once(self) -> None:
        """What the rate allows goes through in the same moment, and there is no delayed call."""
        for number in range(4):
            self.assertTrue(self.relay.relay(who("a"), EGRESS, SIZE, ("a", number)))
        self.assertEqual(self.sent, [("a", number) for number in range(4)])
        self.assertEqual((len(self.relay), self.relay.held, self.clock.getDelayedCalls()), (0, 0, []))

    def test_rate_is_kept_in_the_long_run(self) -> None:
        """In the long run no more goes through than the rate, and no less if there is enough."""
        for number in range(300):
            self.relay.relay(who("a"), EGRESS, SIZE, ("a", number))
        for _ in range(200):
            self.clock.advance(0.01)
            for _ in range(2):
                self.relay.relay(who("a"), EGRESS, SIZE, ("a", 0))
        passed = len(self.sent) * SIZE
        self.assertLessEqual(passed, RATE * (2 + BURST_SECONDS) + 2 * SIZE)
        self.assertGreaterEqual(passed, RATE * 2 - SIZE)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_items_of_one_peer_keep_their_order(self) -> None:
        for number in range(100):
            self.relay.relay(who("a"), EGRESS, SIZE, ("a", number))
        self.assertLess(len(self.sent), 100)
        self.clock.pump([0.1] * 30)
        self.assertEqual(self.sent, [("a", number) for number in range(100)])
        self.assertEqual((len(self.relay), self.relay.held, self.clock.getDelayedCalls()), (0, 0, []))

    def test_flooding_peers_share_alike_by_bytes(self) -> None:
        """Peers that flood share alike, by bytes; one that asks for little gets it without much delay."""
        self.drain()
        waited = []
        for step in range(200):
            for _ in range(4):
                self.relay.relay(who("large"), EGRESS, 4 * SIZE, ("large", 4 * SIZE))
            for _ in range(16):
                self.relay.relay(who("small"), EGRESS, KIB, ("small", KIB))
            if step % 20 == 0:
                self.relay.relay(who("rare"), EGRESS, KIB, ("rare", step))
            self.clock.advance(0.01)
            waited.append([who for who, _ in self.sent].count("rare"))
        large, small = self.bytes_of("large"), self.bytes_of("small")
        self.assertGreater(large, RATE // 2)
        self.assertLess(abs(large - small), 0.2 * large)
        self.assertEqual(waited[-1], 10)
        self.assertTrue(all(waited[step + 19] == step // 20 + 1 for step in range(0, 200, 20)))

    def test_one_delayed_call_serves_all_peers(self) -> None:
        self.drain()
        for number in range(50):
            self.relay.relay(who(f"peer {number}"), EGRESS, 4 * SIZE, ("", number))
        self.assertGreater(len(self.relay), 10)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_longest_queue_loses_its_latest_items(self) -> None:
        """When too much waits, the longest queue loses its latest; the others lose nothing."""
        self.patch(fair_relay, "MAX_WAITING_BYTES", 64 * KIB)
        self.make()
        self.drain()
        while self.relay.held == 0:
            self.relay.relay(who("hog"), EGRESS, SIZE, ("hog", 0))
        self.relay.relay(who("hog"), EGRESS, SIZE, ("hog", 1))
        self.relay.relay(who("hog"), EGRESS, SIZE, ("hog", 2))
        before = self.relay.dropped
        self.assertTrue(self.relay.relay(who("modest"), EGRESS, SIZE, ("modest", 0)))
        self.assertEqual(self.relay.dropped, before + 1)
        self.assertFalse(self.relay.relay(who("hog"), EGRESS, SIZE, ("hog", 3)))
        self.assertEqual(self.relay.dropped, before + 2)
        self.assertLessEqual(self.relay.held, 64 * KIB)
        self.clock.pump([0.1] * 10)
        self.assertIn(("modest", 0), self.sent)
        self.assertIn(("hog", 1), self.sent)
        self.assertNotIn(("hog", 2), self.sent)
        self.assertNotIn(("hog", 3), self.sent)

    def test_tiny_items_count_for_more_than_their_bytes(self) -> None:
        """Waiting costs something even where there are no bytes, so that they are not without number."""
        self.patch(fair_relay, "MAX_WAITING_BYTES", 64 * KIB)
        self.make()
        self.drain()
        while self.relay.held == 0:
            self.relay.relay(who("a"), EGRESS, SIZE, ("a", 0))
        for number in range(1000):
            self.relay.relay(who("b"), EGRESS, 0, ("b", number))
        self.assertLessEqual(len(self.relay), 64 * KIB // ITEM_OVERHEAD_BYTES)

    def test_item_larger_than_the_memory_is_dropped(self) -> None:
        """What is larger than all that may wait is dropped, and nothing is left of it."""
        self.patch(fair_relay, "MAX_WAITING_BYTES", 64 * KIB)
        self.make()
        while self.relay._bucket.tokens > 0:
            self.relay.relay(who("a"), EGRESS, SIZE, ("a", 0))
        self.assertFalse(self.relay.relay(who("b"), EGRESS, 65 * KIB, ("b", 0)))
        self.assertEqual((len(self.relay), self.relay.held, self.clock.getDelayedCalls()), (0, 0, []))

    def test_full_link_keeps_nothing_waiting_that_goes_elsewhere(self) -> None:
        self.full.add(EGRESS)
        for number in range(20):
            self.relay.relay(who("hog"), EGRESS, SIZE, ("hog", number))
        self.clock.advance(0.1)
        self.assertEqual(self.sent, [])
        self.relay.relay(who("hog"), OTHER, SIZE, ("hog", 99))
        self.relay.relay(who("modest"), OTHER, SIZE, ("modest", 0))
        self.assertEqual(self.sent, [("hog", 99), ("modest", 0)])
        self.full.clear()
        self.clock.pump([0.1] * 10)
        self.assertEqual(self.sent[2:], [("hog", number) for number in range(20)])
        self.assertEqual((self.relay.held, self.clock.getDelayedCalls()), (0, []))

    def test_slow_link_is_shared_alike_by_those_who_send_over_it(self) -> None:
        """One sends far more to a slow peer than its link takes; another gets its share of it at once."""
        room = 2

        def has_room(egress: Name) -> bool:
            return room > 0

        def transmit(egress: Name, item: str) -> None:
            nonlocal room
            room -= 1
            sent.append(item)

        sent: list[str] = []
        relay: FairRelay[str] = FairRelay(self.clock, Settings(relay_rate=100 * RATE), transmit, has_room)
        for _ in range(200):
            relay.relay(who("hog"), EGRESS, SIZE, "hog")
        for _ in range(8):
            relay.relay(who("modest"), EGRESS, SIZE, "modest")
        for _ in range(12):
            room = 2
            self.clock.advance(0.05)
        self.assertEqual(sent.count("modest"), 8)
        self.assertEqual(sent.count("hog"), 2 + 24 - 8)
        relay.stop()

    def test_link_that_sends_to_many_peers_gets_no_larger_share(self) -> None:
        self.drain()
        many = [Name(bytes([number]) * 32) for number in range(10, 18)]
        for _ in range(100):
            for egress in many:
                self.relay.relay(who("many"), egress, 4 * KIB, ("many", 4 * KIB))
            for _ in range(4):
                self.relay.relay(who("one"), OTHER, 8 * KIB, ("one", 8 * KIB))
            self.clock.advance(0.01)
        self.assertLess(abs(self.bytes_of("many") - self.bytes_of("one")), 0.2 * self.bytes_of("one"))

    def test_link_with_most_waiting_loses_though_its_queues_are_short(self) -> None:
        self.patch(fair_relay, "MAX_WAITING_BYTES", 256 * KIB)
        self.make()
        self.full.update(Name(bytes([number]) * 32) for number in range(10, 40))
        self.full.add(EGRESS)
        for number in range(4):
            self.assertTrue(self.relay.relay(who("honest"), EGRESS, SIZE, ("honest", number)))
        for egress in self.full - {EGRESS}:
            self.relay.relay(who("hog"), egress, SIZE, ("hog", 0))
        self.assertGreater(self.relay.dropped, 15)
        self.assertLessEqual(self.relay.held, 256 * KIB)
        self.full.clear()
        self.clock.pump([0.1] * 20)
        self.assertEqual(self.bytes_of("honest"), sum(range(4)))
        self.assertEqual([each for each, _ in self.sent].count("honest"), 4)

    def test_drop_is_logged_with_both_ends_once_a_second(self) -> None:
        logged: list[dict[str, object]] = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        self.patch(fair_relay, "MAX_WAITING_BYTES", 64 * KIB)
        self.make()
        self.full.add(EGRESS)
        for number in range(30):
            self.relay.relay(who("hog"), EGRESS, SIZE, ("hog", number))
        drops = [each for each in logged if "dropped" in each]
        self.assertEqual([(each["peer"], each["egress"]) for each in drops], [(who("hog")[-1], EGRESS)])

    def test_stop_drops_what_waits(self) -> None:
        self.drain()
        for number in range(100):
            self.relay.relay(who("a"), EGRESS, SIZE, ("a", number))
        self.sent.clear()
        self.relay.stop()
        self.relay.stop()
        self.assertFalse(self.relay.relay(who("a"), EGRESS, 1, ("a", 1)))
        self.assertEqual((len(self.relay), self.relay.held, self.clock.getDelayedCalls()), (0, 0, []))
        self.clock.advance(10)
        self.assertEqual(self.sent, [])

    def test_relay_may_be_stopped_while_it_transmits(self) -> None:
        sent: list[int] = []

        def transmit(egress: Name, item: int) -> None:
            sent.append(item)
            if item == 20:
                relay.stop()

        relay: FairRelay[int] = FairRelay(self.clock, Settings(relay_rate=RATE), transmit, self.has_room)
        for number in range(40):
            relay.relay(who("a"), EGRESS, SIZE, number)
        self.clock.pump([0.1] * 10)
        self.assertEqual(sent, list(range(21)))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_items_behind_one_that_raises_go_out(self) -> None:
        """It is a mistake, but what waits behind it goes out."""
        sent: list[int] = []

        def transmit(egress: Name, item: int) -> None:
            sent.append(item)
            if item == 30:
                raise ZeroDivisionError

        relay: FairRelay[int] = FairRelay(self.clock, Settings(relay_rate=RATE), transmit, self.has_room)
        for number in range(40):
            relay.relay(who("a"), EGRESS, SIZE, number)
        with self.assertRaises(ZeroDivisionError):
            self.clock.pump([0.1] * 10)
        self.clock.pump([0.1] * 10)
        self.assertEqual(sent, list(range(40)))

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from("abcd"), st.integers(0, 64 * KIB), st.sampled_from([0, 0, 0, 0.01, 0.5])
            ),
            max_size=80,
        )
    )
    def test_each_item_goes_out_once_or_is_dropped(self, steps: list[tuple[str, int, float]]) -> None:
        """Each item goes out once or is dropped, each peer's in order; in the end nothing is left."""
        clock = Clock()
        sent: list[tuple[str, int]] = []
        self.patch(fair_relay, "MAX_WAITING_BYTES", 256 * KIB)
        relay: FairRelay[tuple[str, int]] = FairRelay(
            clock, Settings(relay_rate=100 * KIB), lambda egress, item: sent.append(item), lambda egress: True
        )
        for number, (peer, size, pause) in enumerate(steps):
            relay.relay(who(peer), EGRESS, size, (peer, number))
            self.assertLessEqual(relay.held, 256 * KIB)
            calls = len(clock.getDelayedCalls())
            self.assertIn(calls, (1,) if len(relay) else (0, 1))
            clock.advance(pause)
        clock.pump([0.1] * 60)
        self.assertEqual((len(relay), relay.held, clock.getDelayedCalls()), (0, 0, []))
        self.assertEqual(len(sent) + relay.dropped, len(steps))
        for peer in "abcd":
            numbers = [number for who, number in sent if who == peer]
            self.assertEqual(numbers, sorted(set(numbers)))
