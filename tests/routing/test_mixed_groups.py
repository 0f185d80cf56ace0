"""Close groups of which no network has more than a quarter: the rule, who is believed, and that all agree."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role, Settings
from routing_crust.crust.interfaces import ILink
from routing_crust.endpoints import Endpoint
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.membership.routing_table import PeerEntry, RoutingTable
from routing_crust.routing.mixed_groups import (
    UNCOUNTED,
    UNPLACED,
    Networks,
    Whereabouts,
    is_counted,
    mixed,
    network_of,
)
from routing_crust.testing.host import SimulatedNode
from routing_crust.testing.simulation import SimulatedNetwork
from routing_crust.wire.codec import decode, encode
from routing_crust.wire.messages import Envelope, EnvelopeKind, GroupAnswer, GroupQuery

A, B, C, D, E = (Identity.from_seed(bytes([each]) * 32).name for each in range(1, 6))
HERE, THERE, YONDER, ELSEWHERE = (bytes([each] * 3) for each in (8, 9, 7, 6))
PRIVATE = b"\x0a\x00\x00"


class MixedTests(SynchronousTestCase):
    def group(self, nodes: str, size: int = 8) -> str:
        """The group of nodes that are each written as their network; a dot is not counted."""
        places = list(enumerate(nodes))
        chosen = mixed(places, lambda each: () if each[1] == "." else (each[1].encode(),), size)
        self.assertEqual(chosen, sorted(chosen))
        return "".join(network for _, network in chosen)

    def test_network_has_a_quarter_where_others_fill_the_group(self) -> None:
        self.assertEqual(self.group("aaaaaaaabcdefgh"), "aabcdefg")
        self.assertEqual(self.group("abaababcacbdeefg"), "ababccde")

    def test_network_that_is_all_there_is_fills_the_group(self) -> None:
        self.assertEqual(self.group("a" * 12), "a" * 8)

    def test_what_others_cannot_fill_is_shared_evenly(self) -> None:
        """Nobody gets a third place while there is a second one for another network."""
        self.assertEqual(self.group("aaaaaaaaaaaabbbb"), "aaaabbbb")
        self.assertEqual(self.group("aaaaaaaabc"), "aaaaaabc")

    def test_nodes_that_are_not_counted_are_taken_as_they_come(self) -> None:
        self.assertEqual(self.group("....aaaa....bb"), "....aa..")

    def test_small_group_has_one_of_each_network(self) -> None:
        self.assertEqual(self.group("aab", 2), "ab")

    def test_all_who_are_there_are_fewer_than_a_group(self) -> None:
        self.assertEqual(self.group("aaab"), "aaab")


class WhereaboutsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.links: dict[Name, Networks] = {}
        self.where = Whereabouts(self.links.get)

    def test_own_link_goes_before_what_others_say(self) -> None:
        self.links.update({A: (HERE,), B: (YONDER,), C: (ELSEWHERE,)})
        for each in (B, C):
            self.where.heard(each, {A: THERE})
        self.assertEqual(self.where.networks_of(A), (HERE,))

    def test_one_network_alone_speaks_for_itself(self) -> None:
        """A crowd that nobody else knows counts as what it is, whatever it says."""
        self.links.update({A: (HERE,), B: (THERE,)})
        self.where.heard(A, {C: ELSEWHERE})
        self.where.heard(B, {})
        self.where.heard(C, {D: YONDER})
        self.assertEqual(self.where.networks_of(C), (HERE, ELSEWHERE))
        self.assertEqual(self.where.networks_of(D), (HERE, ELSEWHERE, YONDER))

    def test_word_of_the_only_link_is_believed(self) -> None:
        """As that of a client's proxy, with which nothing can be compared."""
        self.links[A] = (HERE,)
        self.where.heard(A, {B: THERE, C: YONDER})
        self.where.heard(B, {D: ELSEWHERE})
        places = [self.where.networks_of(each) for each in (B, C, D)]
        self.assertEqual(places, [(THERE,), (YONDER,), (THERE, ELSEWHERE)])

    def test_what_two_networks_say_is_believed(self) -> None:
        self.links.update({A: (HERE,), B: (THERE,)})
        for each in (A, B):
            self.where.heard(each, {C: ELSEWHERE})
        self.assertEqual(self.where.networks_of(C), (ELSEWHERE,))

    def test_node_that_is_placed_speaks_of_others(self) -> None:
        self.links.update({A: (HERE,), B: (THERE,)})
        for each in (A, B):
            self.where.heard(each, {C: ELSEWHERE, E: HERE})
        self.where.heard(C, {D: YONDER})
        self.where.heard(E, {D: YONDER})
        self.assertEqual(self.where.networks_of(D), (YONDER,))

    def test_each_network_has_one_voice(self) -> None:
        """So a crowd in one network cannot move a node to another."""
        honest = Name(bytes(32))
        self.links.update(dict.fromkeys((A, B, C), (HERE,)) | {D: (THERE,), honest: (YONDER,)})
        for liar in (A, B, C):
            self.where.heard(liar, {E: ELSEWHERE})
        for each in (D, honest):
            self.where.heard(each, {E: THERE})
        self.assertEqual(self.where.networks_of(E), (THERE,))

    def test_node_says_nothing_of_itself(self) -> None:
        self.links.update({A: (HERE,)})
        self.where.heard(A, {B: HERE})
        self.where.heard(B, {B: THERE})
        self.assertEqual(self.where.networks_of(B), (HERE,))
        self.assertEqual(self.where.networks_of(C), UNPLACED)

    def test_private_address_is_in_the_network_of_the_node_that_has_the_link(self) -> None:
        """Otherwise a node could say that all of its friends are not to be counted."""
        for network in ((HERE,), UNCOUNTED):
            self.links[A] = network
            self.where.heard(A, {B: PRIVATE})
            self.assertEqual(self.where.networks_of(B), network)

    def test_networks_are_the_first_bytes_of_global_addresses(self) -> None:
        self.assertEqual(network_of(Endpoint("8.8.8.77", 1)), HERE)
        self.assertEqual(network_of(Endpoint("2600:1:2:3::4", 1)), bytes.fromhex("260000010002"))
        self.assertTrue(is_counted(HERE))
        self.assertTrue(is_counted(bytes.fromhex("260000010002")))
        for other in (b"", b"\x08", PRIVATE, b"\x7f\x00\x00", bytes(6)):
            self.assertFalse(is_counted(other))


class CrowdTests(SynchronousTestCase):
    """Honest nodes in networks of their own, and a crowd in one /24 whose names are near a target."""

    def setUp(self) -> None:
        self.network = SimulatedNetwork(6, internet=True)
        self.addCleanup(self.network.stop)
        self.honest = self.network.nodes(14)
        self.network.run_until(self.network.joined)
        self.target = Name(Random(3).randbytes(32))

    def crowd(self, count: int, lies: bool) -> list[SimulatedNode]:
        keys = sorted(
            (self.network.new_identity() for _ in range(30 * count)),
            key=lambda key: self.target.distance(key.name),
        )
        crowd: list[SimulatedNode] = []
        for key in keys[:count]:
            crowd.append(self.network.node(identity=key, beside=crowd[0] if crowd else None))
            if lies:
                self.make_liar(crowd)
        # until all have told of those who came last
        self.network.run_for(60)
        return crowd

    def make_liar(self, crowd: list[SimulatedNode]) -> None:
        """It names its friends as if each had a network of its own, and says that all others share one."""
        core: Any = crowd[-1].core

        def lie(envelope: Envelope, source: Name, link: ILink | None) -> None:
            query = decode(GroupQuery, envelope.body)
            friends = {each.name.raw: bytes((9, 9, number)) for number, each in enumerate(crowd)}
            others = {each.name.raw: ELSEWHERE for each in self.honest}
            told = {**friends, **others}
            body = encode(GroupAnswer(query.nonce, query.target, tuple(told), tuple(told.values()), 0.0))
            core.messenger.send_control(EnvelopeKind.GROUP_ANSWER, source, body, None, link)

        core.dispatch.handle(EnvelopeKind.GROUP_QUERY, lie)

    def groups(self) -> list[tuple[Name, ...]]:
        return [self.network.result_of(node.service.close_group(self.target)) for node in self.honest]

    def expected(self, crowd: list[SimulatedNode]) -> tuple[Name, ...]:
        """What somebody who knows everything says."""
        networks = {node.name: network_of(node.endpoint) for node in self.network}
        names = sorted(networks, key=self.target.distance)
        group = tuple(mixed(names, lambda name: (networks[name],), 8))
        self.assertEqual(len({each.name for each in crowd} & set(group)), 2)
        return group

    def test_crowd_of_one_network_has_a_quarter_of_every_group(self) -> None:
        crowd = self.crowd(8, lies=False)
        expected = self.expected(crowd)
        # all agree about those who are not of the crowd, whose members few know
        for group in self.groups():
            self.assertEqual(self.without(crowd, group), self.without(crowd, expected))
            self.assertEqual(len(group), len(expected))
        for node in self.honest:
            assert node.core is not None
            own = node.core.neighbourhood.close_group(node.name)
            self.assertLessEqual(len({each.name for each in crowd} & set(own)), 2)

    def without(self, crowd: list[SimulatedNode], group: tuple[Name, ...]) -> list[Name]:
        return [name for name in group if name not in {each.name for each in crowd}]

    def test_table_lets_no_third_node_of_a_network_into_the_close_group(self) -> None:
        """A full bucket makes room for those of the group alone."""
        table = RoutingTable(self.target, Settings(bucket_size=1, group_size=4, max_same_prefix_in_bucket=9))
        near = sorted((Name(Random(each).randbytes(32)) for each in range(40)), key=self.target.distance)
        bucket = [name for name in near if self.target.common_prefix(name) == 0]
        for third, name in enumerate(bucket[4:9]):
            table.add(PeerEntry(name, Endpoint(f"9.9.{third}.1", 1)))
        self.assertIsNone(table.refusal(bucket[0], Endpoint("8.8.8.1", 1)))
        table.add(PeerEntry(bucket[0], Endpoint("8.8.8.1", 1)))
        self.assertIn("bucket_size", table.refusal(bucket[1], Endpoint("8.8.8.2", 1)) or "")
        self.assertIsNone(table.refusal(bucket[1], Endpoint("7.7.7.7", 1)))
        self.assertEqual(table.close_group()[0], bucket[0])

    def test_message_to_a_group_reaches_all_of_it(self) -> None:
        crowd = self.crowd(8, lies=False)
        reached = self.network.result_of(self.honest[0].service.send_to_group(self.target, b"hello"))
        self.assertEqual(self.without(crowd, reached), self.without(crowd, self.expected(crowd)))
        self.assertEqual(len(reached), 8)

    def test_crowd_that_lies_about_networks_has_no_more(self) -> None:
        crowd = self.crowd(8, lies=True)
        for group in self.groups():
            self.assertEqual(self.without(crowd, group), self.without(crowd, self.expected(crowd)))

    def test_client_is_not_told_of_the_crowd_alone(self) -> None:
        crowd = self.crowd(8, lies=False)
        client = self.network.node(role=Role.CLIENT)
        self.network.result_of(client.service.when_connected())
        group = self.network.result_of(client.service.close_group(self.target))
        self.assertEqual(self.without(crowd, group), self.without(crowd, self.expected(crowd)))


class OneNetworkTests(SynchronousTestCase):
    def test_nodes_that_all_share_one_network_have_whole_groups(self) -> None:
        """As on one machine, or in one office: the nearest are the group, as if there were no rule."""
        network = SimulatedNetwork(
            4, internet=True, max_same_prefix_in_bucket=20, max_same_prefix_in_table=20
        )
        self.addCleanup(network.stop)
        first = network.node()
        nodes = [first, *(network.node(beside=first) for _ in range(11))]
        network.run_until(network.joined)
        target = Name(Random(5).randbytes(32))
        nearest = tuple(sorted((node.name for node in nodes), key=target.distance)[:8])
        for node in nodes:
            self.assertEqual(network.result_of(node.service.close_group(target)), nearest)

    def test_private_network_has_no_such_rule(self) -> None:
        network = SimulatedNetwork(4)
        self.addCleanup(network.stop)
        nodes = network.nodes(12)
        network.run_until(network.joined)
        target = Name(Random(5).randbytes(32))
        nearest = tuple(sorted((node.name for node in nodes), key=target.distance)[:8])
        for node in nodes:
            self.assertEqual(network.result_of(node.service.close_group(target)), nearest)
