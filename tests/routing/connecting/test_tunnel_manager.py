"""Tunnels as they are made, kept and replaced, in the network in memory."""

from __future__ import annotations

from typing import Any

from routing_crust.endpoints import PathKind
from routing_crust.errors import CloseReason
from routing_crust.routing.events import Message
from routing_crust.wire.messages import LinkUse, NatKind

from .tunnel_case import TunnelCase


class MakingTests(TunnelCase):
    def test_nodes_behind_symmetric_nats_are_linked_by_a_tunnel(self) -> None:
        """The node that both can dial is in its middle."""
        self.make()
        self.net.until_joined()
        self.until(PathKind.TUNNEL)
        relay = self.net.nodes[0]
        self.assertEqual(self.path_kind(self.a, relay), PathKind.DIRECT)
        link = self.link(self.a, self.b)
        assert link is not None
        self.assertEqual(link.via, relay.node_name)

    def test_message_goes_through_a_tunnel(self) -> None:
        self.make()
        got: list[Message] = []
        self.b.set_message_handler(got.append)
        self.until(PathKind.TUNNEL)
        self.net.result(self.a.send(self.b.node_name, b"through"))
        self.assertEqual([each.body for each in got], [b"through"])

    def test_application_that_asks_for_a_link_gets_a_tunnel(self) -> None:
        """A link of any kind will do."""
        self.make()
        self.net.run(lambda: self.a.bootstrapped and self.b.bootstrapped)
        link = self.net.result(self.a.connect(self.b.node_name))
        self.assertIs(link.path_kind, PathKind.TUNNEL)

    def test_borrowed_tunnel_does_not_keep_the_peer_out_of_the_table(self) -> None:
        """The two become neighbours over a tunnel as well."""
        self.make()
        self.until(PathKind.TUNNEL)
        core = self.a._core
        assert core is not None
        core.links.drop(self.b.node_name, CloseReason.NO_LONGER_NEEDED, "")
        self.until(None)
        self.net.result(core.direct_links.borrow(self.b.node_name))
        peer = core.links.peer(self.b.node_name)
        assert peer is not None
        self.assertEqual((peer.use, peer.link.path_kind), (LinkUse.DIRECT, PathKind.TUNNEL))
        self.net.run(lambda: self.a.group_connected and self.b.group_connected)
        self.net.run(lambda: self.b.node_name in core.table, timeout=120)
        self.assertTrue(self.both(PathKind.TUNNEL))

    def test_tunnel_is_made_at_once_if_punching_cannot_succeed(self) -> None:
        self.make()
        self.net.run(lambda: self.a.group_connected)
        asked = self.net.clock.seconds()
        self.until(PathKind.TUNNEL)
        self.assertLess(self.net.clock.seconds() - asked, 1)

    def test_status_names_the_node_in_the_middle(self) -> None:
        self.make()
        self.until(PathKind.TUNNEL)
        links: Any = self.a.status()["links"]
        (tunnel,) = [each for each in links if each["rung"] == "tunnel"]
        self.assertEqual(tunnel["via"], str(self.net.nodes[0].node_name))
        self.assertEqual([each["via"] for each in links if each is not tunnel], [None])

    def test_address_of_the_node_in_the_middle_is_not_taken_for_the_peers(self) -> None:
        """It is neither saved nor passed on as a contact."""
        self.make()
        self.until(PathKind.TUNNEL)
        self.net.settle(5)
        for node, other in ((self.a, self.b), (self.b, self.a)):
            assert node._core is not None
            names = [each.name for each in self.net.crust(node).saved_contacts()]
            self.assertNotIn(other.node_name, names)
            peer = node._core.links.peer(other.node_name)
            assert peer is not None
            self.assertIsNone(peer.endpoint)
            self.assertIsNone(peer.facts.observed)
            self.assertIsNone(node._core.contacts.dialable_at(peer))


class ReplacingTests(TunnelCase):
    def test_tunnel_is_replaced_once_the_peer_can_be_dialled(self) -> None:
        """The next attempt finds out."""
        self.make()
        self.until(PathKind.TUNNEL)
        self.let_together(self.a, self.b)
        self.assertLess(self.until(PathKind.DIRECT), 20)
        assert self.a._core is not None
        self.assertEqual(len(self.a._core.tunnels), 0)

    def test_attempts_to_replace_a_tunnel_become_rare(self) -> None:
        self.make()
        self.until(PathKind.TUNNEL)
        self.net.settle(700)
        self.assertTrue(self.both(PathKind.TUNNEL))
        before = self.net.network.dials
        self.net.settle(600)
        tried = self.net.network.dials - before
        self.assertLess(tried, 80)
        self.assertTrue(self.both(PathKind.TUNNEL))

    def test_change_of_the_nat_has_the_tunnel_replaced_at_once(self) -> None:
        self.make()
        self.until(PathKind.TUNNEL)
        self.net.settle(900)
        self.let_together(self.a, self.b)
        self.net.crust(self.a).nat = NatKind.CONE
        assert self.a._core is not None
        self.a._core.external_endpoints(self.net.crust(self.a).endpoints)
        self.assertLess(self.until(PathKind.DIRECT), 3)

    def test_replacing_a_tunnel_loses_no_frame(self) -> None:
        """Frames that are under way meanwhile arrive, in order."""
        self.make()
        self.until(PathKind.TUNNEL)
        got: list[int] = []
        self.b.set_frame_handler(lambda link, kind, payload: got.append(int(payload)))
        link = self.link(self.a, self.b)
        assert link is not None
        self.let_together(self.a, self.b)
        sent = 0
        while not self.both(PathKind.DIRECT):
            link.send(200, str(sent).encode())  # the same old link all the time
            sent += 1
            self.net.settle(0.003)
        for _ in range(20):
            link.send(200, str(sent).encode())
            sent += 1
        self.net.settle(1)
        self.assertGreater(sent, 100)
        self.assertEqual(got, list(range(sent)))


class LosingTests(TunnelCase):
    def test_tunnel_is_made_through_another_node_when_its_middle_dies(self) -> None:
        """Both ends hear of it at once."""
        self.make(3)
        self.until(PathKind.TUNNEL, 120)
        link = self.link(self.a, self.b)
        assert link is not None
        via = link.via
        (relay,) = [each for each in self.net.nodes if each.node_name == via]
        self.net.settle(1)
        self.net.crash(relay)
        self.net.run(lambda: self.link(self.a, self.b) is not link, 1)
        self.assertLess(self.until(PathKind.TUNNEL), 5)
        again = self.link(self.a, self.b)
        assert again is not None
        self.assertNotEqual(again.via, via)

    def test_nothing_is_tried_for_ever_without_another_node(self) -> None:
        self.make(1)
        self.until(PathKind.TUNNEL)
        self.net.crash(self.net.nodes[0])
        self.until(None)
        self.net.settle(300)
        self.assertTrue(self.both(None))

    def test_tunnel_that_an_end_has_closed_is_not_made_again(self) -> None:
        self.make(1)
        self.until(PathKind.TUNNEL)
        assert self.a._core is not None
        core = self.a._core
        core.links.drop(self.b.node_name, CloseReason.NO_LONGER_NEEDED)
        self.assertEqual(core.tunnels._again, {})
        self.assertEqual(len(core.tunnels), 0)

    def test_stop_leaves_nothing_to_try(self) -> None:
        self.make(1)
        self.until(PathKind.TUNNEL)
        self.net.result(self.a.stopService())
        self.net.result(self.b.stopService())
