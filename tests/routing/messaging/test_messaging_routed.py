"""
Messages between nodes without a link: envelopes, relays, proxies, other routes, and who may not do what.
"""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec import Raw
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import NotConnected, PeerUnreachable, RequestRefused, ServiceStopped, WireError
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.events import Message
from routing_crust.routing.messaging import forwarder, inbox, messenger
from routing_crust.routing.messaging.envelopes import Sealer
from routing_crust.wire.codec import encode
from routing_crust.wire.end_to_end import (
    AckPart,
    AckStatus,
    Flavour,
    MessagePart,
    SealedPacket,
    SessionFlight,
)
from routing_crust.wire.messages import ClientRecord, Envelope, EnvelopeKind, LinkUse, Signed, Undeliverable

from .messaging_net import FakeLink, FakeNet, FakeNode, envelopes, identity, message_parts


class Routed(SynchronousTestCase):
    """Four nodes in a line."""

    def setUp(self) -> None:
        self.start()

    def start(self, **settings: object) -> None:
        self.net = FakeNet(**settings)
        self.one, self.two, self.three, self.four = self.net.line()
        self.addCleanup(self.at_end, self.net)

    def at_end(self, net: FakeNet) -> None:
        net.stop()
        self.assertEqual(net.timers, [])
        for node in net.nodes:
            self.assertEqual(node.messenger.outstanding, 0)
            self.assertEqual(node.messenger.relaying_bytes, 0)

    def between(self, one: FakeNode, other: FakeNode) -> FakeLink:
        return one.links[other.name]

    def lose_between(self, one: FakeNode, other: FakeNode) -> None:
        """From now on what the first sends to the other is lost, in silence."""
        before = self.net.fate

        def fate(link: FakeLink, kind: int, payload: bytes) -> list[float]:
            lost = link.node is one and link.peer == other.name
            return [] if lost else before(link, kind, payload)

        self.net.fate = fate

    def sealed(
        self,
        by: FakeNode | Identity,
        to: Name,
        part: object,
        kind: EnvelopeKind = EnvelopeKind.CONNECT_GO,
        **other: Any,
    ) -> Envelope:
        """An envelope that some node has signed."""
        who = by.identity if isinstance(by, FakeNode) else by
        sealer = Sealer(who, other.pop("network", "default"), 20, Random(5))
        return sealer.seal(other.pop("id", 1 << 16), kind, to, encode(part), **other)

    def join(self, one: FakeNode, other: FakeNode) -> None:
        """Have a session between two nodes, as if they had exchanged messages before."""
        sent = one.messenger.send(other.name, b"joined")
        self.net.run()
        self.successResultOf(sent)
        other.got.clear()
        for node in self.net.nodes:
            for link in node.links.values():
                link.sent.clear()

    def arrive(self, link: FakeLink, envelope: Envelope) -> None:
        """An envelope arrives at the far end of a link."""
        link.send(6, encode(envelope))
        self.net.run()


PART = MessagePart(7, 0, 1, Flavour.SEND, b"", b"x")


class RelayTests(Routed):
    """Over other nodes."""

    def test_message_travels_over_three_hops(self) -> None:
        self.join(self.one, self.four)
        sent = self.one.messenger.send(self.four.name, b"x")
        self.net.run()
        self.successResultOf(sent)
        self.assertEqual(self.four.got, [Message(self.one.name, b"x")])
        hops = [
            self.between(*ends)
            for ends in ((self.one, self.two), (self.two, self.three), (self.three, self.four))
        ]
        self.assertEqual([envelopes(link)[0].hops_left for link in hops], [19, 18, 17])
        self.assertEqual([len(link.sent) for link in hops], [1, 1, 1])
        self.assertEqual(self.two.got + self.three.got, [])

    def test_request_is_answered_through_one_relay(self) -> None:
        sent = self.one.messenger.request(self.three.name, b"x")
        self.three.messenger.set_request_handler(lambda message: b"yes")
        self.net.run()
        self.assertEqual(self.successResultOf(sent), b"yes")

    def test_large_request_and_answer_pass_through_relays(self) -> None:
        question, answer = Random(1).randbytes(200_000), Random(2).randbytes(300_000)
        asked: list[bytes] = []
        self.four.messenger.set_request_handler(lambda message: asked.append(message.body) or answer)
        sent = self.one.messenger.request(self.four.name, question)
        self.net.run(1)
        self.assertEqual(self.successResultOf(sent), answer)
        self.assertEqual(asked, [question])

    def test_refusal_comes_back_through_relays(self) -> None:
        sent = self.one.messenger.request(self.four.name, b"x")
        self.net.run()
        self.failureResultOf(sent, RequestRefused)

    def test_message_to_an_unknown_name_is_given_up_in_time(self) -> None:
        """Hints are not proven: they bring other attempts, rarer ones after eight, and no early end."""
        sent = self.one.messenger.send(identity("110").name, b"x")
        self.net.run(8 * 0.5 + 0.1)
        self.assertEqual(len(envelopes(self.between(self.one, self.two))), 8)
        self.net.run(85.8)
        self.assertNoResult(sent)
        self.net.run(0.2)
        error = self.failureResultOf(sent, PeerUnreachable).value
        self.assertRegex(str(error), "attempts: 13, routes tried: 1")

    def test_next_attempt_waits_after_a_hint(self) -> None:
        sent = self.one.messenger.send(identity("110").name, b"x")
        self.net.run(0.09)
        self.assertEqual(len(envelopes(self.between(self.one, self.two))), 1)
        self.net.run(0.42)
        self.assertGreaterEqual(len(envelopes(self.between(self.one, self.two))), 2)
        self.assertNoResult(sent)
        sent.addErrback(lambda failure: failure.trap(ServiceStopped))

    def test_hints_are_limited_in_rate(self) -> None:
        self.patch(forwarder, "CONTROL_MESSAGES_PER_SECOND", 1)
        self.patch(forwarder, "MAX_CONTROL_BURST", 1)
        self.start()
        nobody = identity("110").name
        sent = [self.one.messenger.send(nobody, b"x") for _ in range(2)]
        self.net.run(0.05)
        self.assertEqual(len(envelopes(self.between(self.three, self.two))), 1)
        for each in sent:
            each.addErrback(lambda failure: failure.trap(ServiceStopped))

    def test_envelope_is_dropped_when_its_hops_are_used_up(self) -> None:
        self.patch(messenger, "MAX_HOPS", 2)
        self.patch(forwarder, "MAX_HOPS", 2)
        self.start()
        sent = self.one.messenger.send(self.four.name, b"x")
        self.net.run()
        self.assertNoResult(sent)
        self.assertEqual(self.between(self.three, self.four).sent, [])
        sent.addErrback(lambda failure: failure.trap(ServiceStopped))
        near = self.one.messenger.send(self.three.name, b"x")
        self.net.run()
        self.successResultOf(near)

    def test_hops_of_an_envelope_are_clamped(self) -> None:
        self.arrive(
            self.between(self.one, self.two),
            replace(self.sealed(self.one, self.four.name, PART), hops_left=255),
        )
        self.assertEqual(envelopes(self.between(self.two, self.three))[0].hops_left, 19)

    def test_envelope_that_comes_round_again_is_dropped(self) -> None:
        envelope = self.sealed(self.one, self.four.name, PART)
        for _ in range(3):
            self.arrive(self.between(self.one, self.two), envelope)
        self.assertEqual(len(envelopes(self.between(self.two, self.three))), 1)

    def test_our_own_envelope_is_not_passed_on_again(self) -> None:
        envelope = self.sealed(self.two, self.four.name, PART)
        self.arrive(self.between(self.one, self.two), envelope)
        self.assertEqual(self.between(self.two, self.three).sent, [])

    def test_envelope_is_never_sent_back(self) -> None:
        envelope = self.sealed(self.four, self.one.name, PART, EnvelopeKind.SESSION_FLIGHT)
        self.arrive(self.between(self.one, self.two), envelope)
        self.assertEqual(envelopes(self.between(self.two, self.one))[0].kind, EnvelopeKind.UNDELIVERABLE)

    def test_full_link_takes_nothing_for_others(self) -> None:
        self.between(self.two, self.three).stall()
        sent = self.one.messenger.send(self.four.name, b"x")
        self.net.run()
        self.assertEqual(self.between(self.two, self.three).sent, [])
        self.between(self.two, self.three).drain()
        self.net.run(21)
        self.successResultOf(sent)

    def test_relays_verify_nothing(self) -> None:
        envelope = replace(self.sealed(self.one, self.four.name, PART), signature=b"x" * 64)
        self.arrive(self.between(self.one, self.two), envelope)
        self.assertEqual(len(envelopes(self.between(self.three, self.four))), 1)
        self.assertEqual(self.four.controls, [])
        self.assertTrue(self.between(self.three, self.four).open)

    def test_direct_link_is_preferred_to_relays(self) -> None:
        self.net.link(self.one, self.four)
        sent = self.one.messenger.send(self.four.name, b"x")
        self.net.run()
        self.successResultOf(sent)
        self.assertEqual(self.between(self.one, self.two).sent, [])

    def test_traffic_for_others_is_limited(self) -> None:
        self.start(relay_rate=1024)
        sent = [self.one.messenger.send(self.four.name, b"x" * 10_000) for _ in range(3)]
        self.net.run(1)
        self.assertLess(len(self.four.got), 3)
        self.net.run(200)
        for each in sent:
            self.successResultOf(each)
        self.assertEqual(len(self.four.got), 3)

    def test_stopped_relay_drops_what_it_holds(self) -> None:
        self.start(relay_rate=1024)
        sent = [self.one.messenger.send(self.four.name, b"x" * 10_000) for _ in range(3)]
        self.net.run(1)
        self.two.messenger.stop()
        self.assertEqual(self.two.messenger.relaying_bytes, 0)
        for each in sent:
            each.addErrback(lambda failure: failure.trap(ServiceStopped))


class RouteTests(Routed):
    """Other routes."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.net.node("010")
        self.net.link(self.one, self.other)
        self.net.link(self.other, self.four)

    def test_timeout_leads_to_another_route(self) -> None:
        self.lose_between(self.other, self.four)
        sent = self.one.messenger.send(self.four.name, b"x")
        self.net.run(19)
        self.assertEqual(self.four.got, [])
        self.net.run(2)
        self.successResultOf(sent)
        self.assertEqual(self.four.bodies, [b"x"])
        first, second = (envelopes(self.between(self.one, each))[0] for each in (self.other, self.two))
        self.assertNotEqual(first.id, second.id)
        self.assertEqual(first.body, second.body)

    def test_hint_leads_to_another_route(self) -> None:
        self.between(self.other, self.four).cut()
        sent = self.one.messenger.send(self.four.name, b"x")
        self.net.run(0.6)
        self.successResultOf(sent)
        self.assertEqual(self.four.bodies, [b"x"])

    def test_loss_of_the_first_hop_leads_to_another_route(self) -> None:
        sent = self.one.messenger.send(self.four.name, b"x")
        self.between(self.one, self.other).cut()
        self.net.run()
        self.successResultOf(sent)

    def test_loss_of_a_direct_link_leads_to_another_route(self) -> None:
        direct = self.net.link(self.one, self.four)
        sent = self.one.messenger.send(self.four.name, b"x")
        direct.cut()
        self.net.run()
        self.successResultOf(sent)

    def test_message_leaves_a_direct_link_that_does_not_answer(self) -> None:
        direct = self.net.link(self.one, self.four)
        self.lose_between(self.one, self.four)
        sent = self.one.messenger.send(self.four.name, b"x")
        self.net.run(21)
        self.successResultOf(sent)
        self.assertEqual(len(message_parts(direct)), 1)

    def test_direct_link_that_comes_later_is_used(self) -> None:
        self.lose_between(self.other, self.four)
        self.lose_between(self.three, self.four)
        sent = self.one.messenger.send(self.four.name, b"x")
        self.net.run(1)
        direct = self.net.link(self.one, self.four)
        self.net.run(20)
        self.successResultOf(sent)
        self.assertEqual(len(message_parts(direct)), 1)

    def test_all_routes_are_tried_before_one_is_tried_again(self) -> None:
        self.join(self.one, self.four)
        self.lose_between(self.other, self.four)
        self.lose_between(self.three, self.four)
        direct = self.net.link(self.one, self.four)
        self.lose_between(self.one, self.four)
        sent = self.one.messenger.send(self.four.name, b"x")
        self.net.run(39)
        used = (direct, self.between(self.one, self.two), self.between(self.one, self.other))
        self.assertEqual([len(link.sent) for link in used], [1, 1, 1])
        self.net.run(51.1)
        error = self.failureResultOf(sent, PeerUnreachable).value
        self.assertIn("attempts: 8, routes tried: 3", str(error))
        self.assertEqual(sum(len(link.sent) for link in used), 8)

    def test_lost_acknowledgement_takes_another_way_again(self) -> None:
        self.lose_between(self.other, self.one)
        sent = [self.one.messenger.send(self.four.name, b"%d" % number) for number in range(10)]
        self.net.run(89)
        for each in sent:
            self.successResultOf(each)
        self.assertEqual(self.four.bodies, [b"%d" % number for number in range(10)])

    def test_a_request_whose_way_back_is_gone(self) -> None:
        later: Deferred[bytes] = Deferred()
        self.four.messenger.set_request_handler(lambda message: later)
        sent = self.one.messenger.request(self.four.name, b"x")
        self.net.run()
        self.between(self.other, self.four).cut()
        later.callback(b"yes")
        self.net.run()
        self.assertEqual(self.successResultOf(sent), b"yes")

    def test_answer_without_a_way_back_is_not_delivered(self) -> None:
        later: Deferred[bytes] = Deferred()
        self.four.messenger.set_request_handler(lambda message: later)
        sent = self.one.messenger.request(self.four.name, b"x")
        self.net.run()
        for link in list(self.four.links.values()):
            link.cut()
        later.callback(b"yes")
        self.net.run()
        self.assertNoResult(sent)
        self.net.link(self.three, self.four)
        self.net.run(21)
        self.assertEqual(self.successResultOf(sent), b"yes")

    def test_all_links_are_lost_and_one_comes_back(self) -> None:
        sent = self.one.messenger.send(self.four.name, b"x")
        for link in list(self.one.links.values()):
            link.cut()
        self.net.run(3)
        self.net.link(self.one, self.net.node("0000"), LinkUse.DIRECT)  # of no use
        self.net.run(3)
        self.net.link(self.one, self.two)
        self.net.run()
        self.successResultOf(sent)
        self.assertEqual(self.four.bodies, [b"x"])


class SecurityTests(Routed):
    """Forged and malformed envelopes."""

    def setUp(self) -> None:
        super().setUp()
        self.last = self.between(self.three, self.four)

    def dropped(self, envelope: Envelope) -> None:
        """The envelope has no effect, and the link is not to blame."""
        self.arrive(self.last, envelope)
        self.assertEqual(self.four.got, [])
        self.assertEqual(self.four.controls, [])
        self.assertEqual(self.between(self.four, self.three).sent, [])
        self.assertTrue(self.last.open)

    def test_well_formed_envelope_is_delivered(self) -> None:
        self.arrive(self.last, self.sealed(self.one, self.four.name, PART))
        self.assertEqual([each[1] for each in self.four.controls], [self.one.name])

    def test_envelope_signed_by_another_is_dropped(self) -> None:
        envelope = self.sealed(self.two, self.four.name, PART)
        self.dropped(replace(envelope, source=self.one.identity.name.raw))

    def test_envelope_with_another_body_is_dropped(self) -> None:
        other = encode(replace(PART, body=b"y"))
        self.dropped(replace(self.sealed(self.one, self.four.name, PART), body=other))

    def test_envelope_with_another_kind_is_dropped(self) -> None:
        self.dropped(replace(self.sealed(self.one, self.four.name, PART), kind=EnvelopeKind.GROUP_QUERY))

    def test_envelope_with_another_destination_is_dropped(self) -> None:
        self.dropped(replace(self.sealed(self.one, self.three.name, PART), destination=self.four.name.raw))

    def test_envelope_with_another_id_is_dropped(self) -> None:
        self.dropped(replace(self.sealed(self.one, self.four.name, PART), id=77))

    def test_envelope_with_another_proxy_of_its_sender_is_dropped(self) -> None:
        self.dropped(replace(self.sealed(self.one, self.four.name, PART), source_proxy=self.two.name.raw))

    def test_flood_of_own_ids_does_not_have_a_captured_message_delivered_again(self) -> None:
        self.patch(inbox, "MAX_REMEMBERED_IDS", 64)
        self.patch(forwarder, "MAX_REMEMBERED_IDS", 64)
        self.start()
        last = self.between(self.three, self.four)
        self.join(self.one, self.four)
        sent = self.one.messenger.send(self.four.name, b"x")
        self.net.run()
        self.successResultOf(sent)
        (captured,) = envelopes(last)
        for _ in range(200):
            sent = self.two.messenger.send(self.four.name, b"junk")
            self.net.run()
            self.successResultOf(sent)
        self.arrive(last, captured)
        self.assertEqual([each.source for each in self.four.got].count(self.one.name), 1)

    def test_envelope_of_another_network_is_dropped(self) -> None:
        self.dropped(self.sealed(self.one, self.four.name, PART, network="other"))

    def test_unsigned_envelope_is_dropped(self) -> None:
        self.dropped(self.sealed(self.one, self.four.name, PART, signed=False))
        self.dropped(self.sealed(self.one, self.four.name, PART, EnvelopeKind.GROUP_ANSWER, signed=False))

    def test_envelope_with_half_a_signature_is_dropped(self) -> None:
        self.dropped(replace(self.sealed(self.one, self.four.name, PART), signature=b"x" * 32))

    def test_envelope_with_an_invalid_key_is_dropped(self) -> None:
        self.dropped(replace(self.sealed(self.one, self.four.name, PART), source=b"\xff" * 32))

    def test_what_is_for_a_session_is_not_for_the_nearest_node(self) -> None:
        for number, body in enumerate((SealedPacket(1, 0, 0, bytes(16)), SessionFlight(2, 0, bytes(32)))):
            kind = EnvelopeKind.SESSION_FLIGHT if number else EnvelopeKind.SEALED
            self.dropped(self.sealed(self.one, self.four.name, body, kind, id=number, nearest=True))

    def test_envelope_with_an_invalid_body_is_dropped(self) -> None:
        kinds = (
            EnvelopeKind.SEALED,
            EnvelopeKind.SESSION_FLIGHT,
            EnvelopeKind.SESSION_UNKNOWN,
            EnvelopeKind.UNDELIVERABLE,
        )
        for number, kind in enumerate(kinds):
            self.dropped(self.sealed(self.one, self.four.name, {"a": 1}, kind, id=number))

    def test_what_is_sealed_and_no_part_of_a_message_is_dropped(self) -> None:
        self.join(self.one, self.four)
        odd = encode(MessagePart(7, 3, 2, Flavour.SEND, b"", b"x"))
        for number, plaintext in enumerate((b"\x07" + odd, b"\x07?", b"\x08?", b"\x09", b"\xff" + odd)):
            body = self.one.messenger.sessions.seal(self.four.name, number, b"", plaintext)
            self.dropped(self.sealed(self.one, self.four.name, Raw(body), EnvelopeKind.SEALED, id=number))

    def test_invalid_control_message_does_not_close_the_link(self) -> None:
        def handle_control(*arguments: object) -> None:
            raise WireError("no")

        self.four.handle_control = handle_control  # type: ignore[method-assign]
        self.arrive(self.last, self.sealed(self.one, self.four.name, 0, EnvelopeKind.GROUP_QUERY))
        self.assertTrue(self.last.open)

    def test_proxy_that_is_no_name_closes_the_link(self) -> None:
        for field in ("source_proxy", "destination_proxy"):
            self.start()
            link = self.between(self.three, self.four)
            self.arrive(link, replace(self.sealed(self.one, self.four.name, PART), **{field: b"x" * 31}))
            self.assertEqual(len(self.four.problems), 1)
            self.assertFalse(link.open)

    def test_replayed_message_is_delivered_once(self) -> None:
        self.join(self.one, self.four)
        sent = self.one.messenger.send(self.four.name, b"x")
        self.net.run()
        self.successResultOf(sent)
        (envelope,) = envelopes(self.last)
        for number in range(5):
            self.arrive(self.last, replace(envelope, hops_left=number))
        self.assertEqual(self.four.bodies, [b"x"])
        self.assertEqual(len(envelopes(self.between(self.four, self.three))), 1)

    def test_message_that_is_sealed_again_is_delivered_once(self) -> None:
        """As one is whose acknowledgement was lost."""
        self.join(self.one, self.four)
        for number in range(5):
            body = self.one.messenger.sessions.seal(self.four.name, number, b"", b"\x07" + encode(PART))
            packet = self.sealed(self.one, self.four.name, Raw(body), EnvelopeKind.SEALED, id=number)
            self.arrive(self.last, packet)
        self.assertEqual(self.four.bodies, [b"x"])
        self.assertEqual(len(envelopes(self.between(self.four, self.three))), 5)

    def test_acknowledgement_by_another_node_is_ignored(self) -> None:
        for node in (self.three, self.four):
            self.join(node, self.one)
        sent = self.one.messenger.send(self.four.name, b"x")
        (number,) = self.one.messenger._outbox._waiting
        ack = b"\x08" + encode(AckPart(number, 0, 1, AckStatus.DELIVERED, b""))
        self.net.fate = lambda link, kind, payload: [0.0] if link.node is self.two else []
        for node in (self.three, self.four):
            self.assertNoResult(sent)
            body = node.messenger.sessions.seal(self.one.name, 1 << 16, b"", ack)
            packet = self.sealed(node, self.one.name, Raw(body), EnvelopeKind.SEALED)
            self.arrive(self.between(self.two, self.one), packet)
        self.successResultOf(sent)

    def test_hint_about_another_envelope_is_ignored(self) -> None:
        self.join(self.one, self.four)
        sent = self.one.messenger.send(self.four.name, b"x")
        for number in (0, 1, 5 << 16, (1 << 63) - 1):
            hint = self.sealed(
                self.two,
                self.one.name,
                Undeliverable(number),
                EnvelopeKind.UNDELIVERABLE,
                id=number,
                signed=False,
            )
            self.between(self.two, self.one).send(6, encode(hint))
        self.net.run(1)
        self.successResultOf(sent)
        self.assertEqual(len(envelopes(self.between(self.one, self.two))), 1)

    def test_hint_is_not_answered_by_a_hint(self) -> None:
        nobody = identity("1110").name
        hint = self.sealed(self.one, nobody, Undeliverable(1), EnvelopeKind.UNDELIVERABLE, signed=False)
        self.arrive(self.last, hint)
        self.assertEqual(self.between(self.four, self.three).sent, [])

    def test_acknowledgement_after_a_hint_counts(self) -> None:
        """The hint was false, or about a copy that went astray."""
        self.join(self.one, self.four)
        sent = self.one.messenger.send(self.four.name, b"x")
        trace = envelopes(self.between(self.one, self.two))[0].id
        for number in (1, 2):
            hint = self.sealed(
                self.two,
                self.one.name,
                Undeliverable(trace),
                EnvelopeKind.UNDELIVERABLE,
                id=number,
                signed=False,
            )
            self.between(self.two, self.one).send(6, encode(hint))
        self.net.run(0.05)
        self.successResultOf(sent)
        self.net.run(1)
        self.assertEqual(len(envelopes(self.between(self.one, self.two))), 1)


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
        """It has members of its own already, and one of them sends to the proxy by way of it."""
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


class CrowdedLinkTests(Routed):
    """Junk through a relay, for a peer whose link takes it slowly."""

    def test_honest_message_passes_junk_that_waits_for_the_same_peer(self) -> None:
        self.join(self.one, self.three)
        hostile = self.net.node("1100")
        attachment = self.net.attach(hostile, self.two)
        way = self.between(self.two, self.three)
        way.queued = 1 << 20
        junk = MessagePart(7, 0, 2, Flavour.SEND, b"", bytes(16_000))
        for number in range(200):
            self.arrive(attachment, self.sealed(hostile, self.three.name, junk, id=number << 20))
        sent = self.one.messenger.send(self.three.name, b"x")
        self.net.run(1)
        self.assertEqual(envelopes(way), [])
        self.assertEqual(self.two.messenger.relay_status["waiting"], 201)
        way.queued = 0
        self.net.run(0.2)
        self.successResultOf(sent)
        self.assertIn(self.one.name.raw, [each.source for each in envelopes(way)[:10]])

    def test_envelope_that_waited_goes_over_the_link_that_has_replaced_its_own(self) -> None:
        self.between(self.two, self.three).queued = 1 << 20
        sent = self.one.messenger.send(self.three.name, b"x")
        self.net.run(0.1)
        self.net.link(self.two, self.three)
        self.net.run(0.1)
        self.successResultOf(sent)


class NobodyTests(Routed):
    """Envelopes to names that nobody has."""

    def test_flood_to_nobody_keeps_no_hint_from_other_senders(self) -> None:
        hostile = self.net.node("1100")
        attachment = self.net.attach(hostile, self.four)
        nobody = identity("1101").name
        for number in range(300):
            flight = self.sealed(hostile, nobody, PART, EnvelopeKind.SESSION_FLIGHT, id=number << 16)
            attachment.send(6, encode(flight))
        self.net.run()
        hints = [each for each in envelopes(attachment.other) if each.kind is EnvelopeKind.UNDELIVERABLE]
        self.assertEqual(len(hints), 200)
        request = self.one.messenger.send_control(EnvelopeKind.CONNECT_REQUEST, nobody, b"x")
        self.net.run()
        self.assertEqual(self.one.hints, [request])


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
