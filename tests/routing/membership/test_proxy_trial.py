"""Proxies that let others in and lead nowhere."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Contact, Role, RoutingService, Settings, State
from routing_crust.crust.interfaces import ILink
from routing_crust.errors import CloseReason
from routing_crust.names import Name
from routing_crust.routing.events import LinkGained
from routing_crust.wire.codec import decode
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import Envelope, EnvelopeKind

from ..net import Net


class ProxyTrialTests(SynchronousTestCase):
    """A network of four, and a node outside it that lets everybody in and forwards nothing."""

    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.net.stop)
        self.honest = self.net.grow(4)
        self.dead_end = self.net.node(Role.FIRST)
        assert self.dead_end._core is not None
        self.dead_end._core.links.handle_frames((FrameKind.ENVELOPE,), lambda *_: None)
        self.contacts = (self.net.contact(self.dead_end), self.net.contact(self.honest[0]))

    def client(self, contacts: tuple[Contact, ...]) -> RoutingService:
        settings = Settings(lan_discovery=False, role=Role.CLIENT, listen=(), contacts=contacts)
        client = self.net.make(self.net.identity(), settings)
        client.startService()
        return client

    def saved(self, node: RoutingService) -> list[Name | None]:
        return [each.name for each in self.net.crust(node).saved_contacts()]

    def proxy(self, node: RoutingService) -> Name | None:
        return None if node._core is None else node._core.proxy

    def test_node_joins_through_another_contact_within_5_seconds(self) -> None:
        """The proxy that led nowhere is saved behind all others, and its link is closed."""
        late = self.net.node(contacts=self.contacts)
        self.net.run(lambda: self.proxy(late) == self.dead_end.node_name, 1)
        self.net.run(lambda: late.group_connected, 5)
        self.assertIs(late.state, State.CONNECTED)
        self.net.settle(1)
        self.assertEqual(self.saved(late)[-1], self.dead_end.node_name)
        self.assertEqual(len(self.net.crust(late)._bootstrapper.contacts.proven), 4)
        self.assertNotIn(self.dead_end.node_name, [each.peer for each in self.net.crust(late).links])

    def test_each_dead_end_costs_a_few_seconds(self) -> None:
        contacts = [self.contacts[0]]
        for _ in range(2):
            node = self.net.node(Role.FIRST)
            assert node._core is not None
            node._core.links.handle_frames((FrameKind.ENVELOPE,), lambda *_: None)
            contacts.append(self.net.contact(node))
        late = self.net.node(contacts=(*contacts, self.contacts[1]))
        self.net.run(lambda: late.group_connected, 10)
        self.net.settle(1)
        self.assertEqual(len(self.net.crust(late).links), 4)

    def test_dead_end_is_tried_last_from_then_on(self) -> None:
        late = self.net.node(contacts=self.contacts)
        self.net.run(lambda: late.group_connected, 5)
        for link in self.net.crust(late).links:
            self.net.network.cut(link)
        self.net.run(lambda: late.state is not State.CONNECTED, 5)
        self.net.run(lambda: late.state is State.CONNECTED, 5)
        self.assertNotIn(self.dead_end.node_name, [each.peer for each in self.net.crust(late).links])

    def leaves(self, stay: float) -> None:
        """Have the dead end let everybody go after C{stay} seconds."""
        links = self.dead_end._core.links  # type: ignore[union-attr]
        reason = CloseReason.NO_LONGER_NEEDED

        def gained(event: LinkGained) -> None:
            self.net.clock.callLater(stay, links.drop, event.link.name, reason)

        self.dead_end.observe(LinkGained, gained)

    def test_contact_that_lets_in_and_leaves_keeps_nobody_out(self) -> None:
        self.leaves(0.0)
        late = self.net.node(contacts=self.contacts)
        self.net.run(lambda: late.group_connected, 5)
        self.net.settle(1)
        self.assertEqual(self.saved(late)[-1], self.dead_end.node_name)

    def test_contact_that_takes_for_a_member_and_leaves_keeps_nobody_out(self) -> None:
        """It has led somewhere each time, and is saved as proven."""
        self.dead_end._core.links.handle_frames(  # type: ignore[union-attr]
            (FrameKind.ENVELOPE,),
            self.dead_end._core.messenger.frame_handlers[FrameKind.ENVELOPE],  # type: ignore[union-attr]
        )
        self.leaves(2.0)
        late = self.net.node(contacts=self.contacts)
        self.net.run(lambda: late.state is State.CONNECTED, 2)
        self.assertEqual(self.saved(late), [self.dead_end.node_name])
        self.net.run(lambda: len(self.net.crust(late).links) == 4, 4)

    def test_client_is_kept_out_by_no_contact_that_lets_in_and_leaves(self) -> None:
        self.leaves(0.0)
        client = self.client(self.contacts)
        self.net.run(lambda: self.proxy(client) == self.honest[0].node_name, 5)
        self.net.result(client.stopService())

    def test_contact_that_leaves_again_and_again_is_dialled_less_and_less_often(self) -> None:
        self.leaves(0.0)
        lonely = self.net.node(contacts=self.contacts[:1])
        self.net.settle(60)
        self.assertLess(self.net.network.dials, 40)
        self.net.result(lonely.stopService())

    def test_contact_of_which_we_were_part_for_a_minute_is_tried_first_again(self) -> None:
        late = self.net.node(contacts=(self.contacts[1], self.contacts[0]))
        self.net.run(lambda: late.group_connected, 5)
        demoted: list[Contact] = []
        self.patch(self.net.crust(late), "demote", demoted.append)
        self.net.settle(70)
        for link in self.net.crust(late).links:
            self.net.network.cut(link)
        self.net.run(lambda: late.state is not State.CONNECTED, 5)
        self.assertEqual(demoted, [])

    def test_client_leaves_a_dead_end(self) -> None:
        client = self.client(self.contacts)
        self.net.run(lambda: self.proxy(client) == self.dead_end.node_name, 1)
        self.net.run(lambda: self.proxy(client) == self.honest[0].node_name, 5)
        self.assertIs(client.state, State.CONNECTED)
        self.net.settle(1)
        self.assertEqual([each.peer for each in self.net.crust(client).links], [self.honest[0].node_name])
        self.net.result(client.send(self.honest[2].node_name, b"hello"))
        self.net.result(client.stopService())

    def test_client_leaves_a_proxy_that_answers_all_by_itself(self) -> None:
        """It knows another name, and what the proxy says for that cannot be signed by it."""
        core = self.dead_end._core
        assert core is not None
        handle = core.messenger.frame_handlers[FrameKind.ENVELOPE]

        def answer_alone(link: ILink, kind: int, payload: bytes) -> None:
            if decode(Envelope, payload).nearest:
                handle(link, kind, payload)

        core.links.handle_frames((FrameKind.ENVELOPE,), answer_alone)
        client = self.client(self.contacts)
        self.net.run(lambda: self.proxy(client) == self.dead_end.node_name, 1)
        self.net.run(lambda: self.proxy(client) == self.honest[0].node_name, 5)
        self.net.result(client.stopService())

    def test_client_leaves_a_proxy_that_stops_forwarding(self) -> None:
        proxy = self.honest[1]
        client = self.client((self.net.contact(proxy), self.net.contact(self.honest[0])))
        self.net.run(lambda: self.proxy(client) == proxy.node_name, 1)
        self.net.settle(5)
        self.assertEqual(self.proxy(client), proxy.node_name)
        assert proxy._core is not None
        proxy._core.links.handle_frames((FrameKind.ENVELOPE,), lambda *_: None)
        self.net.run(lambda: self.proxy(client) not in (None, proxy.node_name), 60)
        self.net.result(client.stopService())

    def heard(self, node: RoutingService, kind: EnvelopeKind) -> list[float]:
        """When envelopes of this kind are handled there, from now on."""
        assert node._core is not None
        times: list[float] = []
        handle = node._core.dispatch._handlers[kind]

        def note(envelope: Envelope, source: Name, link: ILink | None) -> None:
            times.append(self.net.clock.seconds())
            handle(envelope, source, link)

        node._core.dispatch.handle(kind, note)
        return times

    def test_client_wakes_its_proxy_once_a_round_to_publish_and_to_try_it(self) -> None:
        lonely = self.net.node(Role.FIRST)
        queries, records = (
            self.heard(lonely, kind) for kind in (EnvelopeKind.GROUP_QUERY, EnvelopeKind.CLIENT_RECORD)
        )
        client = self.client((self.net.contact(lonely),))
        self.net.run(lambda: self.saved(client) == [lonely.node_name], 5)
        self.net.settle(200)
        self.assertGreaterEqual(len(queries), 200 / 37.5)
        self.assertLessEqual(len(queries), 200 / 22.5 + 1)
        self.assertEqual(records[1:], queries[1:])
        self.net.result(client.stopService())

    def test_only_contact_is_kept_for_a_minute(self) -> None:
        """Whatever it leads to: there is no other."""
        lonely = self.net.node(contacts=self.contacts[:1])
        self.net.run(lambda: self.proxy(lonely) == self.dead_end.node_name, 1)
        self.net.settle(50)
        self.assertEqual(self.proxy(lonely), self.dead_end.node_name)
        self.net.run(lambda: self.proxy(lonely) is None, 20)
        self.net.result(lonely.stopService())
