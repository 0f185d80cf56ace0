"""Control messages over other nodes."""

from __future__ import annotations

from routing_crust.names import Name
from routing_crust.wire.codec import encode
from routing_crust.wire.messages import EnvelopeKind, Signed

from .messaging_net import FakeNode, identity
from .routed import Routed


class ControlTests(Routed):
    """Control messages."""

    def control(self, node: FakeNode) -> list[tuple[EnvelopeKind, Name, bytes]]:
        return [control[:3] for control in node.controls]

    def test_control_message_reaches_a_node(self) -> None:
        self.assertTrue(self.one.messenger.send_control(EnvelopeKind.GROUP_ANSWER, self.four.name, b"x"))
        self.net.run()
        self.assertEqual(self.control(self.four), [(EnvelopeKind.GROUP_ANSWER, self.one.name, b"x")])
        self.assertNotEqual(self.four.controls[0][3].signature, b"")

    def test_control_message_to_a_linked_node_goes_over_its_link(self) -> None:
        self.one.messenger.send_control(EnvelopeKind.GROUP_ANSWER, self.two.name, b"x")
        self.net.run()
        self.assertEqual(len(self.two.controls), 1)

    def test_envelope_needs_no_signature_over_the_link_of_its_sender(self) -> None:
        """TLS has proven who sends it; where others may pass it on, it is signed."""
        self.one.messenger.send_control(EnvelopeKind.GROUP_ANSWER, self.two.name, b"x")
        self.one.messenger.send_control(
            EnvelopeKind.GROUP_QUERY, self.two.name, b"x", via=self.one.link_to(self.two.name), nearest=True
        )
        self.net.run()
        self.assertEqual([len(control[3].signature) for control in self.two.controls], [0, 64])

    def test_envelope_whose_body_proves_itself_is_not_signed(self) -> None:
        kinds = (EnvelopeKind.CONNECT_REQUEST, EnvelopeKind.CONNECT_RESPONSE, EnvelopeKind.CLIENT_RECORD)
        body = encode(Signed(self.one.identity.name.raw, b"x", bytes(64)))
        for kind in kinds:
            self.one.messenger.send_control(kind, self.four.name, body)
        self.net.run()
        self.assertEqual([control[0] for control in self.four.controls], list(kinds))
        self.assertEqual({control[3].signature for control in self.four.controls}, {b""})

    def test_hint_about_a_request_for_a_connection_or_its_response_is_reported(self) -> None:
        """Its sender hears that the envelope found no way on; hints about other kinds are not sent."""
        nobody = identity("110").name
        exchange = (EnvelopeKind.CONNECT_REQUEST, EnvelopeKind.CONNECT_RESPONSE)
        sent = [self.one.messenger.send_control(kind, nobody, b"x") for kind in exchange]
        for kind in (EnvelopeKind.CONNECT_GO, EnvelopeKind.GROUP_ANSWER):
            self.assertIsNotNone(self.one.messenger.send_control(kind, nobody, b"x"))
        self.net.run()
        self.assertEqual(sorted(self.one.hints), sorted(sent))

    def test_control_message_reaches_the_nearest_node(self) -> None:
        target = identity("1101").name
        self.one.messenger.send_control(EnvelopeKind.GROUP_QUERY, target, b"x", nearest=True)
        self.net.run()
        self.assertEqual(self.control(self.four), [(EnvelopeKind.GROUP_QUERY, self.one.name, b"x")])

    def test_control_message_to_our_own_name_reaches_the_nearest_other(self) -> None:
        self.three.messenger.send_control(EnvelopeKind.GROUP_QUERY, self.three.name, b"x", nearest=True)
        self.net.run()
        self.assertEqual(len(self.two.controls), 1)
        self.assertEqual(self.three.controls, [])

    def test_control_message_to_the_nearest_comes_back_without_others(self) -> None:
        lonely = self.net.node("1000")
        self.assertTrue(
            lonely.messenger.send_control(EnvelopeKind.GROUP_QUERY, self.one.name, b"x", nearest=True)
        )
        self.assertEqual(lonely.controls, [])
        self.net.run()
        self.assertEqual(self.control(lonely), [(EnvelopeKind.GROUP_QUERY, lonely.name, b"x")])

    def test_control_message_to_ourselves_comes_back(self) -> None:
        for _ in range(2):
            self.assertTrue(self.one.messenger.send_control(EnvelopeKind.GROUP_ANSWER, self.one.name, b"x"))
        self.net.run()
        self.assertEqual(len(self.one.controls), 2)
        self.assertEqual(self.between(self.one, self.two).sent, [])

    def test_control_message_without_a_first_hop_is_not_sent(self) -> None:
        lonely = self.net.node("1000")
        self.assertFalse(lonely.messenger.send_control(EnvelopeKind.GROUP_ANSWER, self.one.name, b"x"))

    def test_each_attempt_takes_another_first_hop(self) -> None:
        other = self.net.node("1000")
        self.net.link(self.two, other)
        target = identity("1101").name
        for attempt in range(4):
            self.two.messenger.send_control(
                EnvelopeKind.GROUP_QUERY, target, b"x", nearest=True, attempt=attempt
            )
        used = [len(self.between(self.two, each).sent) for each in (other, self.three, self.one)]
        self.assertEqual(used, [2, 1, 1])
        self.two.messenger.send_control(
            EnvelopeKind.GROUP_QUERY, target, b"x", nearest=True, via=self.two.link_to(self.one.name)
        )
        self.assertEqual(len(self.between(self.two, self.one).sent), 2)

    def test_answer_reaches_a_joining_node(self) -> None:
        joining = self.net.node("1110")
        self.net.attach(joining, self.one)
        joining.messenger.send_control(EnvelopeKind.GROUP_QUERY, joining.name, b"x", nearest=True)
        self.net.run()
        query = self.four.controls[0][3]
        self.assertEqual(query.source_proxy, self.one.name.raw)
        self.four.messenger.send_control(
            EnvelopeKind.GROUP_ANSWER, joining.name, b"y", proxy=Name(query.source_proxy)
        )
        self.net.run()
        self.assertEqual(self.control(joining), [(EnvelopeKind.GROUP_ANSWER, self.four.name, b"y")])

    def test_no_control_message_is_sent_after_the_stop(self) -> None:
        self.one.messenger.send_control(EnvelopeKind.GROUP_ANSWER, self.one.name, b"x")
        self.one.messenger.stop()
        self.assertFalse(self.one.messenger.send_control(EnvelopeKind.GROUP_ANSWER, self.two.name, b"x"))
        self.net.run()
        self.assertEqual(self.one.controls, [])
        self.assertEqual(self.between(self.one, self.two).sent, [])

    def test_control_message_to_ourselves_may_stop_the_messenger(self) -> None:
        calls: list[object] = []

        def handle_control(*arguments: object) -> None:
            calls.append(arguments)
            self.one.messenger.stop()

        self.one.handle_control = handle_control  # type: ignore[method-assign]
        for _ in range(2):
            self.one.messenger.send_control(EnvelopeKind.GROUP_ANSWER, self.one.name, b"x")
        self.net.run()
        self.assertEqual(len(calls), 1)
