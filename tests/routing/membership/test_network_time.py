"""The network's time, and nodes whose clocks are wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role
from routing_crust.endpoints import Direction, Endpoint, PathKind
from routing_crust.errors import CloseReason
from routing_crust.names import NAME_BYTES, Name
from routing_crust.routing.membership.network_time import MAX_VOICES, NetworkTime
from routing_crust.routing.membership.partition_probe import HURRIED_PROBE_SECONDS
from routing_crust.testing.simulation import SimulatedNetwork
from routing_crust.timing.steadyclock import time_left
from routing_crust.wire.messages import LinkUse


def name(number: int) -> Name:
    return Name(number.to_bytes(NAME_BYTES, "big"))


def peer(
    number: int,
    host: str = "",
    use: LinkUse = LinkUse.MEMBER,
    direction: Direction = Direction.ACCEPTED,
) -> Any:
    """As much of a peer as the time looks at, in a /24 of its own unless a host is given."""
    at = Endpoint.of(host or f"93.184.{number}.1", 5483)
    link = SimpleNamespace(
        connection=SimpleNamespace(peer=at), path_kind=PathKind.DIRECT, direction=direction
    )
    return SimpleNamespace(name=name(number), link=link, use=use)


class NetworkTimeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(10_000)
        self.time = NetworkTime(self.clock)

    def member(self, number: int, time: float, host: str = "") -> None:
        """A member of the table has just said Hello with that time."""
        self.time.greeted(name(number), time)
        self.time.peer_established(peer(number, host), None)

    def test_without_members_our_clock_counts(self) -> None:
        self.assertEqual(self.time.now(), 10_000)
        self.time.heard(name(1), 0.0)
        self.time.greeted(name(1), 0.0)
        self.time.peer_established(peer(1), None)
        self.assertEqual(self.time.offset, 0.0)

    def test_strangers_have_no_voice(self) -> None:
        """Neither by their Hellos nor by their answers, however many they are."""
        for number in range(1, 20):
            self.time.greeted(name(number), 96_400.0)
            self.time.peer_established(peer(number, use=LinkUse.ATTACHED), None)
            self.time.heard(name(number), 96_400.0)
        self.assertEqual(self.time.now(), 10_000)

    def test_small_offsets_are_ignored(self) -> None:
        """Who is off by little is right, or all would follow each other and lag behind."""
        for number in range(5):
            self.member(number, 9_998.0)
        self.assertEqual((self.time.now(), self.time.offset), (10_000, 0.0))
        for number in range(5):
            self.time.heard(name(number), 9_990.0)
        self.assertEqual((self.time.now(), self.time.offset), (9_990, -10.0))

    def test_network_time_goes_on_with_our_clock(self) -> None:
        self.member(1, 13_600.0)
        self.member(2, 13_600.0)
        self.clock.advance(5)
        self.assertEqual(self.time.now(), 13_605)

    def test_one_member_does_not_outvote_our_own_clock(self) -> None:
        """However often it tells its time."""
        for _ in range(9):
            self.member(1, 99_999.0)
            self.time.heard(name(1), 99_999.0)
        self.assertEqual(self.time.now(), 10_000)

    def test_last_report_of_each_member_counts(self) -> None:
        self.member(1, 99_999.0)
        self.member(2, 11_000.0)
        self.assertEqual(self.time.now(), 11_000)
        self.time.heard(name(1), 10_002.0)
        self.time.heard(name(2), 10_001.0)
        self.assertEqual(self.time.now(), 10_000)

    def test_members_of_one_prefix_have_one_voice(self) -> None:
        self.member(1, 10_000.0)
        self.member(2, 10_000.0)
        for number in range(10, 20):
            self.member(number, 96_400.0, f"203.0.114.{number}")
        self.assertEqual(self.time.now(), 10_000)
        for number in range(20, 24):
            self.member(number, 96_400.0)
        self.assertEqual(self.time.now(), 96_400)

    def test_members_of_a_local_network_have_a_voice_each(self) -> None:
        """There, addresses tell nothing apart."""
        for number in range(3):
            self.member(number, 13_600.0, "192.168.1.9")
        self.assertEqual(self.time.now(), 13_600)

    def test_member_that_leaves_has_no_voice(self) -> None:
        for number in range(3):
            self.member(number, 13_600.0)
        for number in range(2):
            self.time.peer_lost(peer(number), CloseReason.CONNECTION_LOST, "")
        self.time.peer_established(peer(2, use=LinkUse.DIRECT), None)
        for number in range(10, 13):
            self.member(number, 10_000.0)
        self.assertEqual(self.time.now(), 10_000)

    def test_only_the_prefixes_heard_last_count(self) -> None:
        for number in range(20):
            self.member(number, 10_000.0)
        self.clock.advance(3600)  # it was set forward, in no time
        for number in range(MAX_VOICES // 2 + 1):
            self.time.heard(name(number), 10_000.0)
        self.assertEqual(self.time.now(), 10_000)

    def test_newcomer_believes_its_proxy(self) -> None:
        """It depends on the proxy in any case; as soon as there are members, they decide."""
        self.time.greeted(name(1), 96_400.0)
        self.time.proxy_changed(name(1))
        self.assertEqual(self.time.now(), 96_400)
        self.time.heard(name(2), 5.0)
        self.time.heard(name(1), 96_500.0)
        self.assertEqual(self.time.now(), 96_500)
        self.member(3, 96_600.0)
        self.assertEqual(self.time.now(), 96_600)
        self.member(4, 10_000.0)
        self.time.heard(name(1), 96_500.0)
        self.assertEqual(self.time.now(), 10_000)

    def test_wrong_proxy_is_put_right_by_our_clock_and_the_first_member(self) -> None:
        """Else a node with a wrong time would get no second member, since its requests are refused."""
        self.time.greeted(name(1), 13_600.0)
        self.time.proxy_changed(name(1))
        self.member(3, 10_001.0)
        self.time.proxy_changed(None)
        self.time.heard(name(3), 10_001.0)
        self.assertEqual(self.time.now(), 10_000)

    def test_pair_that_is_alone_with_a_wrong_time_learns_it_from_the_contacts_that_it_dials(self) -> None:
        """Each is the other's only member, and no other node would accept their requests."""
        self.time.greeted(name(1), 13_600.0)
        self.time.proxy_changed(name(1))
        self.member(1, 13_600.0)
        self.time.proxy_changed(None)
        self.assertEqual(self.time.now(), 13_600)
        self.time.greeted(name(2), 10_000.0)
        self.time.peer_established(peer(2, use=LinkUse.ATTACHED), None)
        self.assertEqual(self.time.now(), 13_600)
        self.time.peer_established(peer(2, use=LinkUse.ATTACHED, direction=Direction.CONNECTED), None)
        self.assertEqual(self.time.now(), 10_000)

    def test_reports_that_move_the_time_are_passed_on(self) -> None:
        moves: list[float] = []
        self.time.when_moved(lambda: moves.append(self.time.now()))
        self.time.greeted(name(1), 13_600.0)
        self.time.proxy_changed(name(1))
        self.time.heard(name(1), 13_602.0)
        self.assertEqual(moves, [13_600])
        self.time.heard(name(1), 20_000.0)
        self.member(3, 10_000.0)
        self.member(4, 10_001.0)
        self.assertEqual(moves, [13_600, 20_000, 10_000])

    def test_caller_that_we_have_chosen_has_a_voice_until_the_next_is_chosen(self) -> None:
        """A pair whose contacts probe it again and again dials none of them itself."""
        self.member(1, 13_600.0)
        callers = [peer(number, use=LinkUse.ATTACHED) for number in (2, 3)]
        for each in callers:
            self.time.peer_established(each, None)
        self.time.chosen(callers[0])
        self.time.heard(name(3), 13_600.0)
        self.assertEqual(self.time.now(), 10_000)
        self.time.heard(name(2), 13_600.0)
        self.assertEqual(self.time.now(), 13_600)
        self.time.chosen(callers[1])
        self.time.heard(name(3), 10_000.0)
        self.time.heard(name(2), 13_600.0)
        self.assertEqual(self.time.now(), 10_000)

    def test_chosen_caller_that_becomes_a_member_keeps_its_voice(self) -> None:
        caller = peer(2, use=LinkUse.ATTACHED)
        self.time.peer_established(caller, None)
        self.time.chosen(caller)
        self.member(2, 13_600.0)
        self.time.chosen(peer(3, use=LinkUse.ATTACHED))
        self.member(4, 13_600.0)
        self.assertEqual(self.time.now(), 13_600)

    def test_voices_are_divided_while_no_time_has_more_than_half(self) -> None:
        divided: list[float] = []
        self.time.when_divided(lambda: divided.append(self.time.now()))
        self.member(1, 10_004.0)
        self.assertEqual(divided, [])
        self.time.heard(name(1), 13_600.0)
        self.assertEqual(divided, [10_000])
        self.member(2, 13_601.0)
        self.assertEqual(divided, [10_000])
        self.member(3, 10_001.0)
        self.assertEqual(divided, [10_000, 13_600])

    def test_forget_returns_to_our_clock(self) -> None:
        self.member(1, 5.0)
        self.member(2, 5.0)
        self.time.forget()
        self.assertEqual(self.time.now(), 10_000)

    def test_clock_that_is_set_back_keeps_the_networks_time(self) -> None:
        self.member(1, 13_600.0)
        self.member(2, 13_600.0)
        clock = Clock()
        self.time._clock = clock
        clock.advance(9_000)
        self.assertEqual(self.time.now(), 13_600)
        self.time.heard(name(1), 13_600.0)
        self.assertEqual(self.time.now(), 13_600)

    @given(st.lists(st.floats(0.5, 1e10), max_size=2))
    def test_fewer_than_half_the_prefixes_cannot_shift_the_time(self, lies: list[float]) -> None:
        self.setUp()
        for number in range(2):
            self.member(number, 10_000.0 + number)
        for number, lie in enumerate(lies):
            self.member(10 + number, lie)
        self.assertEqual(self.time.now(), 10_000)


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

    def test_strangers_with_wrong_clocks_do_not_keep_a_newcomer_out(self) -> None:
        """Clients that are a day ahead attach themselves to a node, which takes requests as before."""
        net = SimulatedNetwork(4)
        nodes = net.nodes(4)
        net.run_until(net.joined)
        for _ in range(8):
            client = net.node(role=Role.CLIENT, start=False, contacts=(nodes[0].contact,))
            client.jump_clock(86_400.0)
            client.start()
            net.run_until(lambda client=client: client.connected)
        late = net.node(contacts=(nodes[0].contact,))
        net.run_until(lambda: late.joined and len(late.crust.links) == 4, 8)
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

    def test_divided_voices_hurry_the_next_probe(self) -> None:
        """Each of a pair that is cut off says another time; a third node is asked as soon as it is there."""
        net = SimulatedNetwork(5)
        nodes = net.nodes(3)
        net.run_until(net.joined)
        net.partition(nodes[:2], nodes[2:])
        net.run_until(lambda: not any(len(node.core.links.peers) > 1 for node in nodes), 120)
        nodes[0].jump_clock(3600.0)
        core, waits = nodes[0].core, []
        core.time.when_divided(lambda: waits.append(time_left(core.prober._timer, core.clock)))
        net.run_until(lambda: waits, 120)
        self.assertLessEqual(max(waits), 1.5 * HURRIED_PROBE_SECONDS)
        net.heal()
        net.run_until(lambda: all(len(node.core.table) == 2 for node in nodes))
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
