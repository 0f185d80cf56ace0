"""Forged and malformed envelopes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from msgspec import Raw
from msgspec.structs import replace
from twisted.logger import Logger, LogPublisher, formatEvent

from routing_crust.endpoints import Endpoint
from routing_crust.errors import WireError
from routing_crust.quietlog import QuietLog
from routing_crust.routing.messaging import forwarder, inbox
from routing_crust.wire.codec import encode
from routing_crust.wire.end_to_end import (
    AckPart,
    AckStatus,
    Flavour,
    MessagePart,
    SealedPacket,
    SessionFlight,
)
from routing_crust.wire.messages import Envelope, EnvelopeKind, Undeliverable

from .messaging_net import envelopes, identity
from .routed import PART, Routed


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

    def test_forgeries_by_one_link_do_not_hide_those_by_another(self) -> None:
        lines: list[str] = []
        log = Logger(observer=LogPublisher(lambda event: lines.append(formatEvent(event))))
        self.four.dispatch._quiet = QuietLog(log, lambda: 1.0)
        forged = replace(self.sealed(self.two, self.four.name, PART), source=self.one.identity.name.raw)
        for host in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.1"):
            link: Any = SimpleNamespace(
                peer=self.three.name, connection=SimpleNamespace(peer=Endpoint(host, 5483))
            )
            self.four.dispatch.received(forged, self.one.name, link)
        self.assertEqual(len(lines), 2)
        self.assertIn("its signature does not hold", lines[1])

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
