"""The simulated network, as users see it."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Message, Role, RoutingService, State
from routing_crust.errors import PeerUnreachable
from routing_crust.names import Name
from routing_crust.testing.identity import KeyRing, SimulatedIdentity
from routing_crust.testing.latency import LONGEST_SECONDS, LongTailed, Uniform
from routing_crust.testing.simulation import SHOWN, SimulatedNetwork, SimulationStuck


class NetworkTests(SynchronousTestCase):
    def test_eight_nodes_join_talk_and_stop(self) -> None:
        """They join, talk, and stop; nothing is left."""
        net = SimulatedNetwork(7)
        nodes = net.nodes(8)
        self.assertEqual((len(net), list(net)), (8, nodes))
        self.assertEqual([node.service.state for node in nodes[1:]], [State.BOOTSTRAPPING] * 7)
        net.run_until(net.joined)
        heard: list[Message] = []
        nodes[5].service.set_message_handler(heard.append)
        self.assertIsNone(net.result_of(nodes[1].service.send(nodes[5].name, b"hello")))
        self.assertEqual([(each.source, each.body) for each in heard], [(nodes[1].name, b"hello")])
        net.stop()
        self.assertEqual(net.alive, [])
        self.assertIsNone(net.clock.next_time())

    def test_application_is_set_up_at_each_start(self) -> None:
        """An application is set up again when its process is."""
        services: list[RoutingService] = []
        net = SimulatedNetwork(1)
        net.node()
        node = net.node(setup=services.append)
        net.run_until(net.joined)
        node.crash()
        self.assertFalse(node.connected)
        node.restart()
        node.restart()
        net.run_until(net.joined)
        self.assertEqual(len(services), 2)
        self.assertIs(node.service, services[1])
        net.stop()

    def test_settings_hold_for_all_nodes_or_for_one(self) -> None:
        """Settings are for all nodes, or for one; clients listen nowhere."""
        net = SimulatedNetwork(1, group_size=4)
        first, other = net.node(), net.node(group_size=5, start=False)
        client = net.node(role=Role.CLIENT)
        self.assertEqual([first.settings.group_size, other.settings.group_size], [4, 5])
        self.assertFalse(other.running)
        self.assertIsNone(client.contact)
        net.run_until(lambda: client.connected and client.joined)
        self.assertEqual(net.result_of(other.stop()), None)
        net.stop()

    def test_wait_that_fails_names_the_nodes_and_the_seed(self) -> None:
        """What does not come about says how everybody is, and which seed it was."""
        net = SimulatedNetwork(5)
        net.nodes(SHOWN + 3)
        with self.assertRaisesRegex(
            SimulationStuck, r"(?s)3 s are over.* of the seed 5.*bootstrapping.*3 more"
        ):
            net.run_until(lambda: False, 3)
        net.run_until(net.joined)
        net.stop()
        with self.assertRaisesRegex(SimulationStuck, r"(?s)nothing more will happen.*: down"):
            net.run_until(lambda: False, 3)

    def test_failure_of_a_deferred_is_raised(self) -> None:
        """What a Deferred fails with is raised."""
        net = SimulatedNetwork(2, ack_timeout=1)
        one, other = net.nodes(2)
        net.run_until(net.joined)
        other.crash()
        with self.assertRaises(PeerUnreachable):
            net.result_of(one.service.send(other.name, b"are you there?"))
        net.stop()

    def test_partition_separates_groups_until_healed(self) -> None:
        net = SimulatedNetwork(3)
        nodes = net.nodes(6)
        net.run_until(net.joined)
        net.partition(nodes[:3], nodes[3:])
        net.run_for(80)
        self.assertEqual({len(node.crust.links) for node in nodes}, {2})
        net.heal()
        net.run_until(lambda: {len(node.crust.links) for node in nodes} == {5}, 120)
        net.stop()

    def test_checks_run_after_each_event(self) -> None:
        """What is in C{after_each} is called after each event."""
        net = SimulatedNetwork(3)
        count: list[float] = []
        net.after_each.append(lambda: count.append(net.clock.now))
        net.nodes(2)
        net.run_for(5)
        self.assertEqual(len(count), net.clock.calls)
        self.assertGreater(len(count), 10)
        self.assertTrue(net.step())
        net.stop()


class SameTests(SynchronousTestCase):
    """The same seed gives the same run."""

    def trace(self, seed: int, **options: bool) -> list[str]:
        net = SimulatedNetwork(seed, keep_trace=True, latency=LongTailed(0.03), **options)
        net.nodes(6)
        net.run_until(net.joined)
        net.stop()
        return net.trace.lines

    def test_same_seed_gives_the_same_trace(self) -> None:
        self.assertEqual(self.trace(1), self.trace(1))
        self.assertNotEqual(self.trace(1), self.trace(2))

    def test_same_seed_gives_the_same_trace_with_real_keys(self) -> None:
        """With real keys too; the names are others then."""
        lines = self.trace(1, real_keys=True)
        self.assertEqual(lines, self.trace(1, real_keys=True))
        self.assertTrue(any(" frame " in line for line in lines))


class IdentityTests(SynchronousTestCase):
    def test_what_a_key_has_not_signed_does_not_hold(self) -> None:
        """What a key has not signed does not hold, nor what it has signed for something else."""
        ring = KeyRing()
        one, other = SimulatedIdentity(ring, b"1" * 32), SimulatedIdentity(ring, b"2" * 32)
        signature = one.sign("hello", "net", b"a", b"bc")
        self.assertTrue(other.holds(one.name, signature, "hello", "net", b"a", b"bc"))
        for signer, label, network, fields in (
            (other.name, "hello", "net", (b"a", b"bc")),
            (one.name, "goodbye", "net", (b"a", b"bc")),
            (one.name, "hello", "other", (b"a", b"bc")),
            (one.name, "hello", "net", (b"ab", b"c")),
            (Name(b"nobody's" * 4), "hello", "net", (b"a", b"bc")),
        ):
            self.assertFalse(other.holds(signer, signature, label, network, *fields))
        self.assertFalse(SimulatedIdentity(KeyRing(), b"3" * 32).holds(one.name, signature, "hello", "net"))

    def test_identity_follows_from_its_seed(self) -> None:
        one, other = SimulatedIdentity(KeyRing(), b"1" * 32), SimulatedIdentity(KeyRing(), b"1" * 32)
        self.assertEqual(one.name, other.name)
        self.assertEqual(one.sign("a", "b"), other.sign("a", "b"))


class LatencyTests(SynchronousTestCase):
    def test_drawn_latencies_keep_their_bounds(self) -> None:
        """Nothing is drawn that is negative or too long."""
        random = Random(1)
        for latency in (Uniform(0.1, 0.2), LongTailed(0.05), LongTailed(1.9, 3.0)):
            drawn = [latency.draw(random) for _ in range(500)]
            self.assertTrue(0 <= min(drawn) <= max(drawn) <= LONGEST_SECONDS)
            self.assertGreater(len(set(drawn)), 10)
        half = sorted(LongTailed(0.05).draw(random) for _ in range(1001))[500]
        self.assertTrue(0.04 < half < 0.06)

    def test_what_is_no_latency_is_refused(self) -> None:
        for low, high in ((-1, 1), (1, 0.5), (0, 3)):
            self.assertRaises(ValueError, Uniform, low, high)
        for median, spread in ((0, 1), (3, 1), (1, -1)):
            self.assertRaises(ValueError, LongTailed, median, spread)
