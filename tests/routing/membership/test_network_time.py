"""The network's time, and nodes whose clocks are wrong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role
from routing_crust.names import NAME_BYTES, Name
from routing_crust.routing.membership.network_time import MAX_VOTING_PEERS, NetworkTime
from routing_crust.testing.simulation import SimulatedNetwork


def name(number: int) -> Name:
    return Name(number.to_bytes(NAME_BYTES, "big"))


class NetworkTimeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(10_000)
        self.time = NetworkTime(self.clock)

    def test_without_peers_our_clock_counts(self) -> None:
        self.assertEqual(self.time.now(), 10_000)
        self.time.heard(name(1), 0.0)
        self.assertEqual(self.time.offset, 0.0)

    def test_small_offsets_are_ignored(self) -> None:
        """Who is off by little is right, or all would follow each other and lag behind."""
        for number in range(5):
            self.time.heard(name(number), 9_998.0)
        self.assertEqual((self.time.now(), self.time.offset), (10_000, 0.0))
        for number in range(5):
            self.time.heard(name(number), 9_990.0)
        self.assertEqual((self.time.now(), self.time.offset), (9_990, -10.0))

    def test_network_time_goes_on_with_our_clock(self) -> None:
        self.time.heard(name(1), 13_600.0)
        self.clock.advance(5)
        self.assertEqual(self.time.now(), 13_605)

    def test_latest_time_of_each_peer_counts_once(self) -> None:
        """However often one peer tells its time, it has one voice, and its last word counts."""
        for _ in range(9):
            self.time.heard(name(1), 99_999.0)
        self.time.heard(name(2), 11_000.0)
        self.time.heard(name(3), 11_001.0)
        self.assertEqual(self.time.now(), 11_001)
        self.time.heard(name(1), 10_002.0)
        self.assertEqual(self.time.now(), 11_000)

    def test_only_the_peers_heard_last_count(self) -> None:
        for number in range(MAX_VOTING_PEERS):
            self.time.heard(name(number), 10_000.0)
        self.clock.advance(3600)  # it was set forward, in no time
        for number in range(100, 100 + MAX_VOTING_PEERS // 2 + 1):
            self.time.heard(name(number), 10_000.0)
        self.assertEqual(self.time.now(), 10_000)

    def test_forget_returns_to_our_clock(self) -> None:
        self.time.heard(name(1), 5.0)
        self.time.forget()
        self.assertEqual(self.time.now(), 10_000)

    @given(st.lists(st.floats(0.5, 1e10), max_size=MAX_VOTING_PEERS // 2))
    def test_fewer_than_half_the_peers_cannot_shift_the_time(self, lies: list[float]) -> None:
        time = NetworkTime(self.clock)
        for number in range(4):
            time.heard(name(number), 10_000.0 + number)
        for number, lie in enumerate(lies):
            time.heard(name(10 + number), lie)
        self.assertEqual(time.now(), 10_000)


class WrongClockTests(SynchronousTestCase):
    """Real nodes; the clocks are further off than C{clock_skew} allows."""

    def test_newcomer_with_a_wrong_clock_joins(self) -> None:
        """A node whose clock is a day behind joins, and can be linked with."""
        net = SimulatedNetwork(1)
        net.nodes(4)
        net.run_until(net.joined)
        late = net.node(start=False)
        late.jump_clock(-86_400.0)
        late.start()
        net.run_until(lambda: len(late.crust.links) == 4 and late.joined, 60)
        net.stop()

    def test_client_with_a_wrong_clock_is_reached(self) -> None:
        net = SimulatedNetwork(2)
        nodes = net.nodes(5)
        net.run_until(net.joined)
        client = net.node(role=Role.CLIENT, start=False)
        heard: list[bytes] = []
        client.service.set_message_handler(lambda message: heard.append(message.body))
        client.jump_clock(7200.0)
        client.start()
        net.run_until(lambda: client.connected)
        net.run_for(5)
        for node in nodes:
            net.result_of(node.service.send(client.name, b"hello"))
        self.assertEqual(heard, [b"hello"] * 5)
        net.stop()

    def test_clock_that_is_set_forward_does_not_prevent_new_links(self) -> None:
        net = SimulatedNetwork(3)
        nodes = net.nodes(5)
        net.run_until(net.joined)
        net.run_for(5)
        nodes[4].jump_clock(3600.0)
        for link in nodes[4].crust.links:
            net.network.cut(link)
        net.run_until(lambda: len(nodes[4].crust.links) == 4 and net.joined(), 120)
        net.stop()
