"""What a linked peer may not do."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from routing_crust.errors import (
    ServiceStopped,
)
from routing_crust.routing.events import Message
from routing_crust.routing.messaging import (
    forwarder,
    inbox,
)
from routing_crust.wire.codec import encode
from routing_crust.wire.end_to_end import AckPart, AckStatus, Flavour, MessagePart

from .messaging_net import acks, message_parts
from .pair import Pair


class HostilePeerTests(Pair):
    """What a linked peer may not do."""

    def closed(self, kind: int, payload: Any) -> None:
        self.arrive(kind, payload)
        self.assertEqual(len(self.two.problems), 1)
        self.assertFalse(self.link.open)
        self.assertEqual(self.two.got, [])

    def test_garbage_closes_the_link(self) -> None:
        random = Random(4)
        for kind in (6, 7, 8):
            for size in (0, 1, 30, 200, 3000):
                with self.subTest(kind=kind, size=size):
                    self.start()
                    self.closed(kind, random.randbytes(size))

    def test_nested_arrays_close_the_link(self) -> None:
        self.closed(6, b"\x91" * 60_000)

    def test_group_message_without_a_group_closes_the_link(self) -> None:
        self.closed(7, MessagePart(1, 0, 1, Flavour.GROUP, b"", b"x"))

    def test_group_in_another_message_closes_the_link(self) -> None:
        self.closed(7, MessagePart(1, 0, 1, Flavour.SEND, b"x" * 32, b"x"))

    def test_part_beyond_the_number_of_parts_closes_the_link(self) -> None:
        self.closed(7, MessagePart(1, 2, 2, Flavour.SEND, b"", b"x"))

    def test_message_larger_than_we_allow_is_not_delivered(self) -> None:
        self.start(max_message=1000)
        self.arrive(7, MessagePart(1, 0, 1, Flavour.SEND, b"", b"x" * 1001))
        self.assertEqual(self.two.got, [])
        self.assertEqual(self.link.other.sent, [])

    def test_acknowledgement_of_no_message_is_ignored(self) -> None:
        self.arrive(8, AckPart(77, 0, 1, AckStatus.DELIVERED, b""))
        self.assertEqual(self.two.problems, [])

    def odd_ack(self, sent: Deferred[Any], **fields: Any) -> None:
        """The first node gets an acknowledgement that is not what the message allows."""
        self.net.fate = lambda link, kind, payload: []
        part = message_parts(self.link)[-1]
        odd = {"id": part.id, "part": 0, "parts": 1, "status": AckStatus.DELIVERED, "body": b""} | fields
        self.arrive(8, AckPart(**odd), self.link)
        self.assertEqual(len(self.one.problems), 1)
        self.assertFalse(self.link.open)
        self.assertNoResult(sent)
        sent.addErrback(lambda failure: failure.trap(ServiceStopped))

    def test_acknowledgement_that_does_not_fit_closes_the_link(self) -> None:
        for flavour, fields in (
            ("send", {"status": AckStatus.ANSWERED}),
            ("send", {"status": AckStatus.REFUSED}),
            ("send", {"body": b"x"}),
            ("send", {"parts": 2}),
            ("send", {"part": 1}),
            ("request", {"status": AckStatus.DELIVERED}),
            ("request", {"status": AckStatus.REFUSED, "body": b"x"}),
            ("request", {"status": AckStatus.ANSWERED, "part": 2, "parts": 2}),
        ):
            with self.subTest(flavour=flavour, fields=fields):
                self.start()
                self.odd_ack(getattr(self.one.messenger, flavour)(self.two.name, b"x"), **fields)

    def test_acknowledgement_by_another_peer_is_ignored(self) -> None:
        third = self.net.node("10")
        other = self.net.link(self.one, third)
        sent = self.one.messenger.send(self.two.name, b"x")
        part = message_parts(self.link)[0]
        other.arrived(8, encode(AckPart(part.id, 0, 1, AckStatus.DELIVERED, b"")))
        self.assertNoResult(sent)
        self.assertEqual(self.one.problems, [])
        self.net.run()
        self.successResultOf(sent)

    def test_same_id_from_two_peers_is_two_messages(self) -> None:
        third = self.net.node("10")
        other = self.net.link(self.two, third)
        part = MessagePart(5, 0, 1, Flavour.SEND, b"", b"x")
        self.arrive(7, part)
        self.arrive(7, part, other)
        self.arrive(7, part, other)
        self.assertEqual([message.source for message in self.two.got], [self.one.name, third.name])

    def test_replay_is_dropped_when_the_memory_of_ids_is_full(self) -> None:
        for module in (forwarder, inbox):
            self.patch(module, "MAX_REMEMBERED_IDS", 100)
        self.start()
        for number in range(150):
            self.arrive(7, MessagePart(number, 0, 1, Flavour.SEND, b"", b"x"))
        self.arrive(7, MessagePart(149, 0, 1, Flavour.SEND, b"", b"x"))
        self.assertEqual(len(self.two.got), 150)

    def test_replayed_request_runs_once(self) -> None:
        calls: list[Message] = []
        self.two.messenger.set_request_handler(lambda message: calls.append(message) or b"yes")
        part = MessagePart(5, 0, 1, Flavour.REQUEST, b"", b"x")
        for _ in range(3):
            self.arrive(7, part)
        self.assertEqual(len(calls), 1)
        self.assertEqual([ack.body for ack in acks(self.link.other)], [b"yes"] * 3)
