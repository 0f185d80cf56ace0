"""Which nodes may be in the middle of a tunnel."""

from __future__ import annotations

from dataclasses import replace

from routing_crust import Role
from routing_crust.endpoints import PathKind
from routing_crust.errors import CloseReason
from routing_crust.names import Name
from routing_crust.routing.links.peer import Peer
from routing_crust.wire.messages import LinkUse, NatKind

from .tunnel_case import TunnelCase


class RelayChoiceTests(TunnelCase):
    def test_nodes_that_the_peer_has_named_are_tried_in_its_order(self) -> None:
        """They need have no link with us."""
        self.make(2)
        self.until(PathKind.TUNNEL, 120)
        assert self.a._core is not None
        relay_choice = self.a._core.relays
        relays = [each.node_name for each in self.net.nodes[:2]]
        self.assertEqual(set(relay_choice.to_try(self.b.node_name, relays)), set(relays))
        self.assertEqual(relay_choice.to_try(self.b.node_name, relays[::-1])[0], relays[1])

    def test_named_nodes_can_be_dialled_and_are_near_the_other_end(self) -> None:
        """Those that the other end has named come first."""
        self.net.grow(6)
        node, *others = self.net.nodes
        assert node._core is not None
        relay_choice = node._core.relays
        for each in others:
            self.net.crust(each).nat = NatKind.OPEN
        other, last = (
            others[0].node_name,
            max(others[1:], key=lambda each: others[0].node_name.distance(each.node_name)),
        )
        named = [each.name for each in relay_choice.to_name(other)]
        self.assertLessEqual(len(named), 4)
        self.assertNotIn(other.raw, named)
        distances = [other.distance(Name(each)) for each in named]
        self.assertEqual(distances, sorted(distances))
        dialable = [
            each.name for each in node._core.links.peers if node._core.contacts.dialable_at(each) is not None
        ]
        if last.node_name in dialable:
            self.assertEqual(relay_choice.to_name(other, (last.node_name,))[0].name, last.node_name.raw)

    def test_faulty_node_comes_last_for_a_minute(self) -> None:
        """Three tunnels that ended are too much, or one that broke; without another node it is tried."""
        self.make(1)
        self.until(PathKind.TUNNEL)
        assert self.a._core is not None
        relay_choice = self.a._core.relays
        peer, relay, other = self.b.node_name, self.net.nodes[0].node_name, Name(b"\1" * 32)
        for weight, times in ((1, 3), (3, 1)):
            for _ in range(times):
                self.assertFalse(relay_choice.is_distrusted(peer, relay))
                relay_choice.note_fault(peer, relay, weight)
            self.assertEqual(relay_choice.to_try(peer, [relay, other]), [other, relay])
            self.assertEqual(relay_choice.to_try(peer, [relay]), [relay])
            self.net.settle(61)
        self.assertEqual(relay_choice.to_try(peer, [relay, other]), [relay, other])

    def test_node_whose_tunnels_go_on_breaking_is_not_tried_for_a_minute(self) -> None:
        """Else two ends with no other would make tunnels through it without end."""
        self.make(1)
        self.until(PathKind.TUNNEL)
        assert self.a._core is not None
        relay_choice = self.a._core.relays
        peer, relay = self.b.node_name, self.net.nodes[0].node_name
        for _ in range(4):
            self.assertEqual(relay_choice.to_try(peer, [relay]), [relay])
            relay_choice.note_fault(peer, relay, 3)
        self.assertEqual(relay_choice.to_try(peer, [relay]), [])
        self.net.settle(61)
        self.assertEqual(relay_choice.to_try(peer, [relay]), [relay])

    def test_node_that_a_tunnel_goes_through_is_usable_though_its_table_has_no_room(self) -> None:
        """Its link is for nothing else, but it stays; two such nodes would find no relay between them."""
        self.make(1)
        self.until(PathKind.TUNNEL)
        core = self.a._core
        assert core is not None
        relay = core.links.peer(self.net.nodes[0].node_name)
        assert relay is not None
        attached, other = replace(relay, use=LinkUse.ATTACHED), self.net.identity().name
        self.assertNotEqual(core.neighbourhood.proxy, relay.name)
        self.assertTrue(core.relays._is_usable(attached, other, core.relays._kept()))
        core.links.drop(self.b.node_name, CloseReason.NO_LONGER_NEEDED)
        self.assertFalse(core.relays._is_usable(attached, other, core.relays._kept()))

    def test_many_links_are_looked_through_a_few_times_for_a_request(self) -> None:
        """Not once for each of them: any stranger can have a node name relays."""
        self.make(1)
        self.until(PathKind.TUNNEL)
        core = self.a._core
        assert core is not None
        relay = core.links.peer(self.net.nodes[0].node_name)
        assert relay is not None
        looks: list[None] = []
        many = tuple(replace(relay, name=self.net.identity().name, use=LinkUse.ATTACHED) for _ in range(50))

        class Links:
            @property
            def peers(self) -> tuple[Peer, ...]:
                looks.append(None)
                return many

            def peer(self, name: Name) -> Peer | None:
                return None

        self.patch(core.relays, "_links", Links())
        core.relays.to_name(self.net.identity().name, [])
        self.assertLess(len(looks), 10)

    def test_client_carries_no_tunnels(self) -> None:
        self.net.grow(2)
        client = self.net.node(Role.CLIENT, listen=())
        self.net.run(lambda: client.bootstrapped)
        self.assertIsNone(self.net.crust(client).tunnel_way)
