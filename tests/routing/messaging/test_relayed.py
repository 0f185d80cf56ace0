"""Messages over other nodes, and by other routes."""

from __future__ import annotations

from random import Random

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from routing_crust.errors import PeerUnreachable, RequestRefused, ServiceStopped
from routing_crust.routing.events import Message
from routing_crust.routing.messaging import forwarder, messenger
from routing_crust.routing.messaging.outgoing.retries import SHORT_WAITS_SECONDS
from routing_crust.wire.codec import encode
from routing_crust.wire.messages import EnvelopeKind, LinkUse

from .messaging_net import envelopes, identity, message_parts
from .routed import PART, Routed


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

    def test_new_link_brings_no_new_hints(self) -> None:
        self.patch(forwarder, "CONTROL_MESSAGES_PER_SECOND", 1)
        self.patch(forwarder, "MAX_CONTROL_BURST", 2)
        self.start()
        nobody = identity("110").name
        hints = 0
        for number in range(4):
            sealed = self.sealed(self.one, nobody, PART, EnvelopeKind.SEALED, id=number << 16, signed=False)
            self.arrive(self.between(self.three, self.four), sealed)
            hints += len(envelopes(self.between(self.four, self.three)))
            self.between(self.three, self.four).cut()
            self.net.link(self.three, self.four)
        self.assertEqual(hints, 2)

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

    def test_message_is_soon_repeated_where_other_links_have_died_with_its_own(self) -> None:
        self.join(self.one, self.four)
        self.lose_between(self.other, self.four)
        direct = self.net.link(self.one, self.four)
        sent = self.one.messenger.send(self.four.name, b"x")
        direct.cut()
        self.net.run(SHORT_WAITS_SECONDS[0] - 0.1)
        self.assertNoResult(sent)
        self.net.run(0.2)
        self.successResultOf(sent)

    def test_repetitions_end_and_are_no_attempts(self) -> None:
        self.join(self.one, self.four)
        self.lose_between(self.other, self.four)
        self.lose_between(self.three, self.four)
        direct = self.net.link(self.one, self.four)
        sent = self.one.messenger.send(self.four.name, b"x")
        direct.cut()
        ways = [self.between(self.one, each) for each in (self.two, self.other)]
        self.net.run(16.9)
        self.assertEqual(sum(len(link.sent) for link in ways), 4)
        self.net.run(73.2)
        self.failureResultOf(sent, PeerUnreachable)

    def test_message_leaves_a_direct_link_that_does_not_answer(self) -> None:
        direct = self.net.link(self.one, self.four)
        self.lose_between(self.one, self.four)
        sent = self.one.messenger.send(self.four.name, b"x")
        self.net.run(21)
        self.successResultOf(sent)
        self.assertEqual(len(message_parts(direct)), 1)

    def test_acknowledgement_comes_back_though_only_one_end_has_lost_the_link(self) -> None:
        direct = self.net.link(self.one, self.four)
        direct.open = False
        direct.node.lost(direct)
        for ask in (self.one.messenger.send, self.one.messenger.request):
            asked = ask(self.four.name, b"x")
            self.net.run()
            self.assertTrue(asked.called)
            asked.addErrback(lambda failure: failure.trap(RequestRefused))

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
