"""Messages of clients and of nodes that are joining, and what an attached peer may say."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from routing_crust.errors import NotConnected, PeerUnreachable
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.events import Message
from routing_crust.wire.messages import ClientRecord, EnvelopeKind, LinkUse, Signed

from .messaging_net import FakeNode, envelopes, message_parts
from .routed import PART, Routed


class ProxyTests(Routed):
    """Clients, and nodes that are joining."""

    def setUp(self) -> None:
        super().setUp()
        self.client = self.net.node("1100")
        self.attachment = self.net.attach(self.client, self.one)

    def record(self, *nodes: FakeNode, proxy: FakeNode | None = None) -> None:
        """Publish the client's proxy to these nodes."""
        now = self.net.clock.seconds()
        for node in nodes:
            record = ClientRecord((proxy or self.one).name.raw, now, now + 100)
            self.assertTrue(node.clients.publish(self.client.name, record))

    def test_client_sends_through_its_proxy(self) -> None:
        sent = self.client.messenger.send(self.four.name, b"x")
        self.net.run()
        self.successResultOf(sent)
        self.assertEqual(self.four.got, [Message(self.client.name, b"x")])
        self.assertEqual(envelopes(self.attachment)[0].source_proxy, self.one.name.raw)

    def test_client_and_its_proxy_exchange_messages(self) -> None:
        sent = self.client.messenger.send(self.one.name, b"x")
        back = self.one.messenger.send(self.client.name, b"y")
        self.net.run()
        self.successResultOf(sent)
        self.successResultOf(back)
        self.assertEqual(len(message_parts(self.attachment)), 1)

    def test_client_answers_a_request(self) -> None:
        self.record(self.four)
        self.join(self.two, self.client)
        self.client.messenger.set_request_handler(lambda message: b"yes")
        sent = self.two.messenger.request(self.client.name, b"x")
        self.net.run()
        self.assertEqual(self.successResultOf(sent), b"yes")
        # once on the way to the node nearest to the client, and once on the way to its proxy
        self.assertEqual(len(envelopes(self.between(self.two, self.three))), 1)
        self.assertEqual(len(envelopes(self.between(self.three, self.two))), 1)

    def test_sender_that_has_the_record_goes_to_the_proxy(self) -> None:
        self.record(self.three)
        sent = self.three.messenger.send(self.client.name, b"x")
        self.net.run()
        self.successResultOf(sent)
        self.assertEqual(self.between(self.three, self.four).sent, [])

    def test_clients_of_two_proxies_reach_each_other(self) -> None:
        other = self.net.node("1101")
        self.net.attach(other, self.three)
        self.record(self.four)
        sent = other.messenger.send(self.client.name, b"x")
        self.net.run()
        self.successResultOf(sent)
        self.assertEqual(self.client.got, [Message(other.name, b"x")])

    def test_clients_of_one_proxy_reach_each_other(self) -> None:
        other = self.net.node("1101")
        self.net.attach(other, self.one)
        sent = other.messenger.send(self.client.name, b"x")
        self.net.run()
        self.successResultOf(sent)

    def test_message_to_a_client_that_is_gone_fails(self) -> None:
        self.record(self.four)
        self.attachment.cut()
        sent = self.three.messenger.send(self.client.name, b"x")
        self.net.run(90.1)
        self.failureResultOf(sent, PeerUnreachable)

    def test_record_may_name_the_node_that_has_it(self) -> None:
        self.record(self.four, proxy=self.four)
        sent = self.four.messenger.send(self.client.name, b"x")
        self.net.run(90.1)
        self.failureResultOf(sent, PeerUnreachable)

    def test_send_of_a_client_without_a_proxy_fails_at_once(self) -> None:
        self.attachment.cut()
        self.failureResultOf(self.client.messenger.send(self.four.name, b"x"), NotConnected)

    def test_message_goes_by_a_new_proxy(self) -> None:
        sent: Deferred[None] = self.client.messenger.send(self.four.name, b"x")
        self.attachment.cut()
        self.net.run(1)
        self.net.attach(self.client, self.three)
        self.net.run()
        self.successResultOf(sent)

    def test_proxy_may_be_known_only_after_its_link(self) -> None:
        sent: Deferred[None] = self.client.messenger.send(self.four.name, b"x")
        self.attachment.cut()
        self.client.proxy = None
        self.net.run(1)
        self.net.link(self.client, self.three, LinkUse.ATTACHED)
        self.client.proxy = self.three.name
        self.net.run()
        self.successResultOf(sent)


class StandingTests(Routed):
    """Who is merely attached speaks for itself alone, and nobody honest is cut off by that."""

    def setUp(self) -> None:
        super().setUp()
        self.newcomer = self.net.node("1100")
        self.attachment = self.net.attach(self.newcomer, self.one)

    def test_envelopes_of_made_up_keys_over_an_attached_link_are_dropped(self) -> None:
        for number in range(40):
            stranger = Identity.from_seed(bytes([number]) * 32)
            for target in (self.one, self.four):
                self.arrive(self.attachment, self.sealed(stranger, target.name, PART, id=number << 20))
        self.assertEqual(self.one.controls + self.four.controls, [])
        self.assertEqual(envelopes(self.between(self.one, self.two)), [])

    def test_direct_link_gives_no_standing(self) -> None:
        link = self.net.link(self.newcomer, self.one, LinkUse.DIRECT)
        self.arrive(link, self.sealed(self.four, self.one.name, PART))
        self.assertEqual(self.one.controls, [])
        self.arrive(link, self.sealed(self.newcomer, self.one.name, PART))
        self.assertEqual([each[1] for each in self.one.controls], [self.newcomer.name])

    def test_body_of_another_signer_is_not_handled(self) -> None:
        foreign = Signed(self.four.identity.name.raw, b"x", bytes(64))
        for kind in (EnvelopeKind.CONNECT_REQUEST, EnvelopeKind.CLIENT_RECORD):
            for number, signed in enumerate((True, False)):
                sealed = self.sealed(
                    self.newcomer, self.one.name, foreign, kind, signed=signed, id=kind * 8 + number << 16
                )
                self.arrive(self.attachment, sealed)
        self.assertEqual(self.one.controls, [])

    def test_member_passes_on_what_others_send(self) -> None:
        self.arrive(self.between(self.two, self.one), self.sealed(self.four, self.one.name, PART))
        self.assertEqual([each[1] for each in self.one.controls], [self.four.name])

    def test_joining_node_does_not_burden_its_proxy_with_envelopes_of_others(self) -> None:
        """It has members of its own already, and one of them sends to the proxy through it."""
        self.net.link(self.newcomer, self.three)
        self.net.link(self.newcomer, self.four)
        through = self.sealed(self.four, self.one.name, PART)
        self.arrive(self.between(self.four, self.newcomer), through)
        self.assertEqual(envelopes(self.attachment), [])
        self.assertEqual(len(envelopes(self.between(self.newcomer, self.three))), 1)
        self.assertEqual([each[1] for each in self.one.controls], [self.four.name])

    def test_answers_come_by_a_proxy_that_is_only_probed(self) -> None:
        """A node with a proxy dials another contact without becoming its client, and asks through it."""
        probe = self.net.link(self.newcomer, self.four, LinkUse.ATTACHED)
        self.newcomer.messenger.send_control(
            EnvelopeKind.GROUP_QUERY, self.three.name, b"x", via=self.newcomer.link_to(self.four.name)
        )
        self.net.run()
        self.assertEqual(len(envelopes(probe)), 1)
        query = self.three.controls[0][3]
        self.three.messenger.send_control(
            EnvelopeKind.GROUP_ANSWER, self.newcomer.name, b"y", proxy=Name(query.source_proxy)
        )
        self.net.run()
        self.assertEqual([control[1] for control in self.newcomer.controls], [self.three.name])

    def test_client_is_reached_by_its_proxy_though_an_application_uses_their_link_too(self) -> None:
        self.net.link(self.newcomer, self.one, LinkUse.DIRECT)
        now = self.net.clock.seconds()
        for node in (self.one, self.four):
            node.clients.publish(self.newcomer.name, ClientRecord(self.one.name.raw, now, now + 100))
        sent = self.two.messenger.send(self.newcomer.name, b"x")
        self.net.run()
        self.successResultOf(sent)
        self.assertEqual(self.newcomer.bodies, [b"x"])
