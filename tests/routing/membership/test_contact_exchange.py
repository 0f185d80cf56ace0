"""Which contacts are saved, and what they have proven."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import RoutingService
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.names import Name
from routing_crust.wire.codec import encode, to_wire
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import Contacts, WireContact

from ..net import Net


class ProvenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.net.stop)

    def proven(self, node: RoutingService) -> set[Name | None]:
        return {each.name for each in self.net.crust(node)._bootstrapper.contacts.proven}

    def saved(self, node: RoutingService) -> set[Name | None]:
        return {each.name for each in self.net.crust(node).saved_contacts()}

    def test_members_of_the_table_are_proven_contacts(self) -> None:
        nodes = self.net.grow(3)
        for node in nodes:
            others = {each.node_name for each in nodes if each is not node}
            self.assertEqual(self.proven(node), others)

    def test_link_alone_proves_no_contact(self) -> None:
        """A proxy that lets a client in is saved, but proven only when it leads to others."""
        nodes = self.net.grow(3)
        assert nodes[0]._core is not None
        handlers = nodes[0]._core.messenger.frame_handlers
        nodes[0]._core.links.handle_frames((FrameKind.ENVELOPE,), lambda *_: None)
        client = self.net.make_client()
        self.net.run(lambda: client.bootstrapped)
        self.net.settle(1)
        self.assertEqual(self.proven(client), set())
        self.assertIn(nodes[0].node_name, self.saved(client))
        nodes[0]._core.links.handle_frames(handlers, handlers[FrameKind.ENVELOPE])
        self.net.run(lambda: nodes[0].node_name in self.proven(client), 60)
        self.assertIn(nodes[0].node_name, self.saved(client))
        self.net.result(client.stopService())

    def test_saved_contact_that_cannot_be_reached_any_more_is_demoted(self) -> None:
        """Saved contacts are checked while the node runs, one at a time."""
        nodes = self.net.grow(3)
        gone = self.net.identity().name
        crust = self.net.crust(nodes[0])
        crust.remember(Contact(Endpoint("198.51.100.7", 5483), gone))
        self.assertIn(gone, self.proven(nodes[0]))
        self.net.run(lambda: gone not in self.proven(nodes[0]), 200)
        self.assertEqual(crust.saved_contacts()[-1].name, gone)

    def test_proxy_names_contacts_once(self) -> None:
        """It could go on for ever, and fill the saved contacts."""
        nodes = self.net.grow(3)
        client = self.net.make_client()
        self.net.run(lambda: client.bootstrapped)
        self.net.settle(1)
        before = self.saved(client)
        (link,) = [each for each in self.net.crust(nodes[0]).links if each.peer == client.node_name]
        for number in range(1, 200):
            told = WireContact(number.to_bytes(32, "big"), to_wire(Endpoint("93.184.216.34", 1024 + number)))
            link.send(FrameKind.CONTACTS, encode(Contacts((told,))))
        self.net.settle(1)
        self.assertEqual(self.saved(client), before)
        self.net.result(client.stopService())
