"""
Messages between linked nodes, to ourselves and to groups, and what the messenger promises in general.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import (
    LimitReached,
    NotConnected,
    PeerUnreachable,
    RequestRefused,
    ServiceStopped,
)
from routing_crust.quietlog import TRACEBACKS_AT_ONCE
from routing_crust.routing.events import Message, Request
from routing_crust.routing.messaging import (
    acknowledger,
    forwarder,
    fragmentation,
    inbox,
    request_handling,
)
from routing_crust.routing.messaging.outgoing import retries
from routing_crust.wire.codec import encode
from routing_crust.wire.end_to_end import AckPart, AckStatus, Flavour, MessagePart

from .messaging_net import FakeLink, FakeNet, FakeNode, acks, at_once, message_parts, peer_of


class Pair(SynchronousTestCase):
    """Two linked nodes."""

    def setUp(self) -> None:
        self.start()

    def start(self, **settings: object) -> None:
        self.net = FakeNet(**settings)
        self.one, self.two = self.net.node("00"), self.net.node("11")
        self.link = self.net.link(self.one, self.two)
        self.addCleanup(self.at_end, self.net)

    def at_end(self, net: FakeNet) -> None:
        net.stop()
        self.assertEqual(net.timers, [])
        for node in net.nodes:
            self.assertEqual(node.messenger.outstanding, 0)
            self.assertEqual(node.messenger.requests_running, 0)
            self.assertEqual(len(node.messenger._queues), 0)
            self.assertEqual(node.messenger.relaying_bytes, 0)

    def lose(self, kind: int, count: int = 1) -> None:
        """Lose the next frames of a kind."""
        left = [count]

        def fate(link: FakeLink, frame_kind: int, payload: bytes) -> list[float]:
            if frame_kind == kind and left[0]:
                left[0] -= 1
                return []
            return [0.0]

        self.net.fate = fate

    def arrive(self, kind: int, payload: Any, at: FakeLink | None = None) -> None:
        """Have a frame arrive at the second node, encoded if it is not bytes."""
        end = at or self.link.other
        end.arrived(kind, payload if isinstance(payload, bytes) else encode(payload))
        self.net.run()


class SendTests(Pair):
    """Over a direct link."""

    def test_message_is_delivered_and_acknowledged(self) -> None:
        sent = self.one.messenger.send(self.two.name, b"hello")
        self.assertNoResult(sent)
        self.net.run()
        self.assertIsNone(self.successResultOf(sent))
        self.assertEqual(self.two.got, [Message(self.one.name, b"hello", None)])
        self.assertEqual([part.body for part in message_parts(self.link)], [b"hello"])
        self.assertEqual([ack.status for ack in acks(self.link.other)], [AckStatus.DELIVERED])
        self.assertEqual(self.one.messenger.outstanding, 0)

    def test_empty_message_is_delivered(self) -> None:
        sent = self.one.messenger.send(self.two.name, b"")
        self.net.run()
        self.successResultOf(sent)
        self.assertEqual(self.two.bodies, [b""])

    def test_many_messages_keep_their_order(self) -> None:
        bodies = [b"%d" % number for number in range(100)]
        sent = [self.one.messenger.send(self.two.name, body) for body in bodies]
        self.net.run()
        for each in sent:
            self.successResultOf(each)
        self.assertEqual(self.two.bodies, bodies)

    def test_large_message_is_sent_in_parts(self) -> None:
        body = Random(1).randbytes(300_000)
        sent = self.one.messenger.send(self.two.name, body)
        self.net.run()
        self.successResultOf(sent)
        self.assertEqual(self.two.bodies, [body])
        self.assertEqual(len(message_parts(self.link)), 15)
        self.assertEqual(len(acks(self.link.other)), 1)

    def test_body_that_is_not_bytes_is_refused(self) -> None:
        for body in ("text", bytearray(b"x"), None):
            with self.assertRaises(TypeError):
                self.one.messenger.send(self.two.name, body)  # type: ignore[arg-type]
            with self.assertRaises(TypeError):
                self.one.messenger.request(self.two.name, body)  # type: ignore[arg-type]
            with self.assertRaises(TypeError):
                self.one.messenger.send_to_group(self.two.name, [], body)  # type: ignore[arg-type]
        self.assertEqual(self.link.sent, [])

    def test_message_over_max_message_is_refused(self) -> None:
        self.start(max_message=1000)
        error = self.failureResultOf(self.one.messenger.send(self.two.name, b"x" * 1001), LimitReached).value
        self.assertEqual(error.setting, "max_message")
        self.assertEqual(self.link.sent, [])
        sent = self.one.messenger.send(self.two.name, b"x" * 1000)
        self.net.run()
        self.successResultOf(sent)

    def test_message_over_outbox_memory_is_refused(self) -> None:
        self.start(max_message=8 * 1024, outbox_memory=16 * 1024)
        sent = [self.one.messenger.send(self.two.name, b"x") for _ in range(3)]
        refused = self.one.messenger.send(self.two.name, b"y")
        self.assertEqual(self.failureResultOf(refused, LimitReached).value.setting, "outbox_memory")
        self.net.run()
        for each in sent:
            self.successResultOf(each)
        again = self.one.messenger.send(self.two.name, b"z")
        self.net.run()
        self.successResultOf(again)
        self.assertEqual(self.two.bodies, [b"x", b"x", b"x", b"z"])

    def test_bodies_count_for_outbox_memory(self) -> None:
        """Some 405 MiB could wait when only the number of messages was bounded."""
        self.start(max_message=1024 * 1024, outbox_memory=3 * 1024 * 1024)
        self.net.fate = lambda link, kind, payload: []
        sent = [self.one.messenger.send(self.two.name, bytes(1024 * 1024)) for _ in range(2)]
        refused = self.one.messenger.send(self.two.name, bytes(1024 * 1024))
        error = self.failureResultOf(refused, LimitReached).value
        self.assertRegex(str(error), r"2 messages of \d+ bytes .*limit is 3145728; the setting outbox_memory")
        sent[0].cancel()
        self.failureResultOf(sent[0], CancelledError)
        sent.append(self.one.messenger.send(self.two.name, bytes(1024 * 1024)))
        self.net.run(200)
        for each in sent[1:]:
            self.failureResultOf(each, PeerUnreachable)
        self.assertEqual(self.one.messenger._outbox._held, 0)

    def test_send_without_any_link_fails_at_once(self) -> None:
        lonely = self.net.node("01")
        self.failureResultOf(lonely.messenger.send(self.two.name, b"x"), NotConnected)
        self.assertEqual(lonely.messenger.outstanding, 0)

    def test_message_without_a_handler_is_acknowledged(self) -> None:
        self.two.messenger.set_message_handler(None)
        sent = self.one.messenger.send(self.two.name, b"x")
        self.net.run()
        self.successResultOf(sent)
        self.assertEqual(self.two.got, [])

    def test_handler_that_raises_is_logged(self) -> None:
        def handler(message: Message) -> None:
            raise ZeroDivisionError("on purpose")

        self.two.messenger.set_message_handler(handler)
        sent = self.one.messenger.send(self.two.name, b"x")
        self.net.run()
        self.successResultOf(sent)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.link.open)

    def test_handler_that_always_raises_does_not_fill_the_log(self) -> None:
        """A peer may send as often as it likes; the first tracebacks are enough."""

        def handler(message: Message) -> None:
            raise ZeroDivisionError("on purpose")

        self.two.messenger.set_message_handler(handler)
        for _ in range(100):
            self.one.messenger.send(self.two.name, b"x")
        self.net.run()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), TRACEBACKS_AT_ONCE)

    def test_handler_may_be_a_coroutine(self) -> None:
        gate: Deferred[None] = Deferred()
        done: list[bytes] = []

        async def handler(message: Message) -> None:
            await gate
            done.append(message.body)
            raise ZeroDivisionError("on purpose")

        self.two.messenger.set_message_handler(handler)
        sent = self.one.messenger.send(self.two.name, b"x")
        self.net.run()
        self.successResultOf(sent)
        gate.callback(None)
        self.assertEqual(done, [b"x"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_result_of_a_handler_is_ignored_and_its_failure_logged(self) -> None:
        later: Deferred[None] = Deferred()
        results = iter([3, later])
        self.two.messenger.set_message_handler(lambda message: next(results))
        sent = [self.one.messenger.send(self.two.name, b"x") for _ in range(2)]
        self.net.run()
        for each in sent:
            self.successResultOf(each)
        later.errback(ZeroDivisionError("on purpose"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_cancelled_message_is_not_sent_again(self) -> None:
        sent = self.one.messenger.send(self.two.name, b"x")
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        self.assertEqual(self.one.messenger.outstanding, 0)
        self.net.run(100)
        self.assertEqual(len(message_parts(self.link)), 1)

    def test_cancelled_message_that_waits_for_its_link_is_not_sent(self) -> None:
        self.link.stall()
        sent = [self.one.messenger.send(self.two.name, body) for body in (b"x", b"y")]
        sent[0].cancel()
        self.failureResultOf(sent[0], CancelledError)
        self.link.drain()
        self.net.run()
        self.successResultOf(sent[1])
        self.assertEqual(self.two.bodies, [b"y"])


class LossTests(Pair):
    """Frames and links that are lost."""

    def test_lost_message_is_sent_again(self) -> None:
        self.lose(7)
        sent = self.one.messenger.send(self.two.name, b"x")
        self.net.run(19.9)
        self.assertNoResult(sent)
        self.net.run(0.2)
        self.successResultOf(sent)
        self.assertEqual(self.two.bodies, [b"x"])

    def test_lost_acknowledgement_is_sent_again(self) -> None:
        self.lose(8)
        sent = self.one.messenger.send(self.two.name, b"x")
        self.net.run(21)
        self.successResultOf(sent)
        self.assertEqual(self.two.bodies, [b"x"])
        self.assertEqual(len(acks(self.link.other)), 2)

    def test_lost_part_is_sent_again(self) -> None:
        self.lose(7)
        body = b"abcd" * 10_000
        sent = self.one.messenger.send(self.two.name, body)
        self.net.run(21)
        self.successResultOf(sent)
        self.assertEqual(self.two.bodies, [body])

    def test_parts_may_come_out_of_order(self) -> None:
        random = Random(3)
        self.net.fate = lambda link, kind, payload: [random.random()]
        body = random.randbytes(200_000)
        sent = self.one.messenger.send(self.two.name, body)
        self.net.run(3)
        self.successResultOf(sent)
        self.assertEqual(self.two.bodies, [body])

    def test_message_is_given_up_after_its_attempts(self) -> None:
        self.lose(7, 100)
        sent = self.one.messenger.send(self.two.name, b"x")
        self.net.run(20 + 7 * 10 - 0.1)
        self.assertNoResult(sent)
        self.net.run(0.2)
        error = self.failureResultOf(sent, PeerUnreachable).value
        self.assertIn("attempts: 8, routes tried: 1", str(error))
        self.assertEqual(len(message_parts(self.link)), 8)

    def test_message_moves_to_the_link_that_replaces_its_own(self) -> None:
        self.lose(7)
        sent = self.one.messenger.send(self.two.name, b"x")
        old = self.link
        new = self.net.link(self.one, self.two)
        old.cut()
        self.net.run()
        self.successResultOf(sent)
        self.assertEqual(len(message_parts(new)), 1)

    def test_message_goes_over_a_new_link_after_a_loss(self) -> None:
        sent = self.one.messenger.send(self.two.name, b"x")
        self.link.cut()
        self.net.run(5)
        self.assertNoResult(sent)
        self.net.link(self.one, self.two)
        self.net.run()
        self.successResultOf(sent)
        self.assertEqual(self.two.bodies, [b"x"])

    def test_message_is_given_up_if_no_link_comes_after_a_loss(self) -> None:
        sent = self.one.messenger.send(self.two.name, b"x")
        self.link.cut()
        self.net.run(160)
        self.failureResultOf(sent, PeerUnreachable)

    def test_giving_up_one_message_may_cancel_another(self) -> None:
        for module in (forwarder, retries, fragmentation):
            self.patch(module, "MAX_ATTEMPTS", 1)
        self.start()
        second: Deferred[None] = Deferred()
        first = self.one.messenger.send(self.two.name, b"x").addErrback(lambda _: second.cancel())
        second = self.one.messenger.send(self.two.name, b"y")
        self.link.cut()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)

    def test_late_acknowledgement_is_ignored(self) -> None:
        sent = self.one.messenger.send(self.two.name, b"x")
        self.net.run()
        self.successResultOf(sent)
        self.arrive(8, encode(acks(self.link.other)[0]), self.link)
        self.assertEqual(self.one.problems, [])


class BackPressureTests(Pair):
    """Links that are full."""

    def test_parts_wait_for_the_link(self) -> None:
        self.link.stall(3)
        body = b"abcde" * 40_000
        sent = self.one.messenger.send(self.two.name, body)
        self.net.run()
        self.assertEqual(len(message_parts(self.link)), 3)
        self.link.drain(4)
        self.net.run()
        self.assertEqual(len(message_parts(self.link)), 7)
        self.link.drain()
        self.net.run()
        self.successResultOf(sent)
        self.assertEqual(self.two.bodies, [body])

    def test_messages_wait_in_order(self) -> None:
        self.link.stall()
        sent = [self.one.messenger.send(self.two.name, b"%d" % number) for number in range(5)]
        self.net.run()
        self.assertEqual(self.link.sent, [])
        self.link.drain(2)
        sent.append(self.one.messenger.send(self.two.name, b"5"))
        self.link.drain()
        self.net.run()
        for each in sent:
            self.successResultOf(each)
        self.assertEqual(self.two.bodies, [b"0", b"1", b"2", b"3", b"4", b"5"])

    def test_what_still_waits_is_not_sent_twice(self) -> None:
        self.link.stall(1)
        sent = self.one.messenger.send(self.two.name, b"x" * 50_000)
        self.net.run(50)
        self.link.drain()
        self.net.run()
        self.successResultOf(sent)
        self.assertEqual(len(message_parts(self.link)), 3)

    def test_message_that_waits_for_its_link_is_given_up_in_time(self) -> None:
        self.link.stall()
        sent = self.one.messenger.send(self.two.name, b"x")
        self.net.run(161)
        self.failureResultOf(sent, PeerUnreachable)
        self.link.drain()
        self.net.run()
        self.assertEqual(self.link.sent, [])

    def test_message_that_waited_for_a_lost_link_goes_over_the_next(self) -> None:
        self.link.stall()
        sent = self.one.messenger.send(self.two.name, b"x")
        self.link.cut()
        self.net.link(self.one, self.two)
        self.net.run()
        self.successResultOf(sent)

    def test_link_may_close_before_its_loss_is_reported(self) -> None:
        self.link.stall()
        self.one.messenger.send(self.two.name, b"x").addErrback(lambda _: None)
        waiting, self.link._waiting = self.link._waiting, []
        self.link.open = False
        waiting[0].errback(self.failureResultOf(self.link.when_writable()))
        self.link.open = True
        self.link.drain()
        self.net.run()
        self.assertEqual(self.link.sent, [])

    def test_acknowledgements_for_a_peer_that_does_not_read_are_bounded(self) -> None:
        for module in (acknowledger, request_handling):
            self.patch(module, "MAX_ANSWER_BYTES", 64 * 1024)
        self.start()
        self.link.other.stall()
        for _ in range(1000):
            self.one.messenger.send(self.two.name, b"x").addErrback(lambda _: None)
        self.net.run()
        self.assertEqual(len(self.two.got), 1000)
        self.link.other.drain()
        self.net.run()
        self.assertLess(len(acks(self.link.other)), 150)
        self.net.run(21)
        self.assertEqual(self.one.messenger.outstanding, 0)
        self.assertEqual(len(self.two.got), 1000)


class RequestTests(Pair):
    """Requests and their answers."""

    def setUp(self) -> None:
        super().setUp()
        self.calls: list[Message] = []

    def answer(self, result: Any) -> None:
        """Have the second node answer with this."""

        def handler(message: Message) -> Any:
            self.calls.append(message)
            return result

        self.two.messenger.set_request_handler(handler)

    def refused(self) -> None:
        """The next request is refused."""
        sent = self.one.messenger.request(self.two.name, b"?")
        self.net.run()
        self.failureResultOf(sent, RequestRefused)
        self.assertTrue(self.link.open)

    def test_handler_may_answer_with_bytes(self) -> None:
        self.answer(b"yes")
        sent = self.one.messenger.request(self.two.name, b"?")
        self.net.run()
        self.assertEqual(self.successResultOf(sent), b"yes")
        self.assertEqual(self.calls, [Request(self.one.name, b"?")])
        self.assertEqual(self.two.got, [])

    def test_handler_may_answer_with_a_deferred(self) -> None:
        later: Deferred[bytes] = Deferred()
        self.answer(later)
        sent = self.one.messenger.request(self.two.name, b"?")
        self.net.run()
        self.assertNoResult(sent)
        self.assertEqual(self.two.messenger.requests_running, 1)
        later.callback(b"yes")
        self.net.run()
        self.assertEqual(self.successResultOf(sent), b"yes")

    def test_handler_may_answer_with_a_coroutine(self) -> None:
        async def handler(message: Message) -> bytes:
            return message.body[::-1]

        self.two.messenger.set_request_handler(handler)
        sent = self.one.messenger.request(self.two.name, b"abc")
        self.net.run()
        self.assertEqual(self.successResultOf(sent), b"cba")

    def test_empty_answer_is_delivered(self) -> None:
        self.answer(b"")
        sent = self.one.messenger.request(self.two.name, b"")
        self.net.run()
        self.assertEqual(self.successResultOf(sent), b"")

    def test_large_answer_is_sent_in_parts(self) -> None:
        answer = Random(2).randbytes(500_000)
        self.answer(answer)
        sent = self.one.messenger.request(self.two.name, b"?")
        self.net.run()
        self.assertEqual(self.successResultOf(sent), answer)
        self.assertEqual(len(acks(self.link.other)), 25)

    def test_request_without_a_handler_is_refused(self) -> None:
        self.refused()

    def test_request_is_refused_if_its_handler_raises(self) -> None:
        def handler(message: Message) -> bytes:
            raise ZeroDivisionError("on purpose")

        self.two.messenger.set_request_handler(handler)
        self.refused()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_request_is_refused_if_its_handler_fails_later(self) -> None:
        later: Deferred[bytes] = Deferred()
        later.errback(ZeroDivisionError("on purpose"))
        self.answer(later)
        self.refused()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_request_is_refused_if_its_answer_is_no_valid_body(self) -> None:
        self.start(max_message=1000)
        for result in ("text", None, b"x" * 1001, 3):
            self.answer(result)
            self.refused()

    def test_request_runs_once(self) -> None:
        self.lose(8, 3)
        self.answer(b"yes")
        sent = self.one.messenger.request(self.two.name, b"?")
        self.net.run(61)
        self.assertEqual(self.successResultOf(sent), b"yes")
        self.assertEqual(len(self.calls), 1)

    def test_refusal_is_remembered_too(self) -> None:
        self.lose(8)
        sent = self.one.messenger.request(self.two.name, b"?")
        self.net.run(1)
        self.answer(b"yes")
        self.net.run(20)
        self.failureResultOf(sent, RequestRefused)
        self.assertEqual(self.calls, [])

    def test_request_is_sent_again_while_it_runs(self) -> None:
        later: Deferred[bytes] = Deferred()
        self.answer(later)
        sent = self.one.messenger.request(self.two.name, b"?")
        self.net.run(50)
        self.assertEqual(len(message_parts(self.link)), 5)
        self.assertEqual(acks(self.link.other), [])
        later.callback(b"yes")
        self.net.run()
        self.assertEqual(self.successResultOf(sent), b"yes")
        self.assertEqual(len(self.calls), 1)

    def test_repetition_is_refused_after_its_answer_was_forgotten(self) -> None:
        for module in (acknowledger, request_handling):
            self.patch(module, "MAX_ANSWER_BYTES", 64 * 1024)
        self.start()
        self.answer(b"x" * 40_000)
        self.lose(8, 2)
        first = self.one.messenger.request(self.two.name, b"1")
        self.net.run(1)
        second = self.one.messenger.request(self.two.name, b"2")
        self.net.run(1)
        self.assertEqual(len(self.successResultOf(second)), 40_000)
        self.net.run(20)
        self.failureResultOf(first, RequestRefused)
        self.assertEqual(len(self.calls), 2)

    def test_answer_larger_than_the_memory_is_still_sent(self) -> None:
        for module in (acknowledger, request_handling):
            self.patch(module, "MAX_ANSWER_BYTES", 64 * 1024)
        self.start()
        self.answer(b"x" * 100_000)
        sent = self.one.messenger.request(self.two.name, b"1")
        self.net.run(1)
        self.assertEqual(len(self.successResultOf(sent)), 100_000)
        self.assertEqual(self.two.messenger._inbox.answering.held, 0)

    def test_answer_that_waits_for_its_link_is_not_sent_twice(self) -> None:
        self.answer(b"x" * 100_000)
        self.link.other.stall(1)
        sent = self.one.messenger.request(self.two.name, b"1")
        self.net.run(41)
        self.link.other.drain()
        self.net.run()
        self.assertEqual(len(self.successResultOf(sent)), 100_000)
        self.assertEqual(len(acks(self.link.other)), 5)

    def test_answer_that_comes_slowly_is_waited_for(self) -> None:
        self.answer(b"x" * 100_000)
        self.link.other.stall(1)
        sent = self.one.messenger.request(self.two.name, b"1")
        for _ in range(4):
            self.net.run(15)
            self.link.other.drain(1)
        self.net.run(1)
        self.assertEqual(len(self.successResultOf(sent)), 100_000)
        self.assertLess(len(message_parts(self.link)), 3)

    def test_requests_over_the_limit_are_sent_again(self) -> None:
        self.start(max_requests=3, max_requests_per_peer=2)
        waiting: list[Deferred[bytes]] = []

        def handler(message: Message) -> Deferred[bytes]:
            waiting.append(Deferred())
            return waiting[-1]

        self.two.messenger.set_request_handler(handler)
        third = self.net.node("10")
        self.net.link(third, self.two)
        sent = [self.one.messenger.request(self.two.name, b"?") for _ in range(3)]
        sent += [third.messenger.request(self.two.name, b"?") for _ in range(2)]
        self.net.run()
        self.assertEqual(len(waiting), 3)
        for _ in range(2):
            for each in waiting:
                if not each.called:
                    each.callback(b"yes")
            self.net.run(21)
        self.assertEqual([self.successResultOf(each) for each in sent], [b"yes"] * 5)
        self.assertEqual(len(waiting), 5)

    def test_answer_goes_over_the_next_link_if_the_sender_was_lost(self) -> None:
        later: Deferred[bytes] = Deferred()
        self.answer(later)
        sent = self.one.messenger.request(self.two.name, b"?")
        self.net.run()
        self.link.cut()
        later.callback(b"yes")
        self.net.run(1)
        self.assertNoResult(sent)
        self.net.link(self.one, self.two)
        self.net.run()
        self.assertEqual(self.successResultOf(sent), b"yes")
        self.assertEqual(len(self.calls), 1)


class SelfTests(Pair):
    """Messages to ourselves."""

    def test_message_to_ourselves_comes_on_a_later_turn(self) -> None:
        sent = self.one.messenger.send(self.one.name, b"x")
        self.assertEqual(self.one.got, [])
        self.net.run()
        self.successResultOf(sent)
        self.assertEqual(self.one.got, [Message(self.one.name, b"x")])
        self.assertEqual(self.link.sent, [])

    def test_large_request_to_ourselves_is_answered(self) -> None:
        self.one.messenger.set_request_handler(lambda message: message.body * 2)
        sent = self.one.messenger.request(self.one.name, b"x" * 100_000)
        self.net.run()
        self.assertEqual(self.successResultOf(sent), b"x" * 200_000)

    def test_request_to_ourselves_may_be_refused(self) -> None:
        sent = self.one.messenger.request(self.one.name, b"x")
        self.net.run()
        self.failureResultOf(sent, RequestRefused)

    def test_request_to_ourselves_is_given_up_without_an_answer(self) -> None:
        self.one.messenger.set_request_handler(lambda message: Deferred())
        sent = self.one.messenger.request(self.one.name, b"x")
        self.net.run(161)
        self.failureResultOf(sent, PeerUnreachable)

    def test_cancelled_message_to_ourselves_is_not_delivered(self) -> None:
        sent = self.one.messenger.send(self.one.name, b"x")
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        self.net.run()
        self.assertEqual(self.one.got, [])

    def test_message_to_ourselves_needs_no_link(self) -> None:
        lonely = self.net.node("01")
        sent = lonely.messenger.send(lonely.name, b"x")
        self.net.run()
        self.successResultOf(sent)


class GroupTests(Pair):
    """Messages to every member of a group."""

    def test_group_message_names_all_that_acknowledged(self) -> None:
        members = [self.two.name, self.one.name]
        group = self.net.node("01").name
        sent = self.one.messenger.send_to_group(group, members, b"x")
        self.net.run()
        self.assertEqual(self.successResultOf(sent), tuple(members))
        for node in (self.one, self.two):
            self.assertEqual(node.got, [Message(self.one.name, b"x", group)])

    def test_group_message_omits_a_member_that_did_not_acknowledge(self) -> None:
        gone = self.net.node("01").name
        sent = self.one.messenger.send_to_group(gone, [gone, self.two.name], b"x")
        self.net.run()
        self.assertNoResult(sent)
        self.net.run(160)
        self.assertEqual(self.successResultOf(sent), (self.two.name,))

    def test_group_message_fails_if_no_member_acknowledges(self) -> None:
        gone = self.net.node("01").name
        sent = self.one.messenger.send_to_group(gone, [gone], b"x")
        self.net.run(160)
        self.failureResultOf(sent, PeerUnreachable)

    def test_group_message_to_no_members_fires_at_once(self) -> None:
        self.assertEqual(self.successResultOf(self.one.messenger.send_to_group(self.two.name, [], b"")), ())

    def test_group_message_to_too_many_members_is_refused(self) -> None:
        self.start(max_message=8 * 1024, outbox_memory=16 * 1024)
        members = [self.two.name, self.one.name]
        sent = self.one.messenger.send_to_group(self.two.name, members, bytes(5000))
        self.assertEqual(self.failureResultOf(sent, LimitReached).value.setting, "outbox_memory")
        self.assertEqual(self.link.sent, [])

    def test_stop_fails_a_group_message_under_way(self) -> None:
        sent = self.one.messenger.send_to_group(self.two.name, [self.two.name, self.one.name], b"x")
        self.one.messenger.stop()
        self.failureResultOf(sent, ServiceStopped)

    def test_cancelled_group_message_ends_all_its_attempts(self) -> None:
        sent = self.one.messenger.send_to_group(self.two.name, [self.two.name, self.one.name], b"x")
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        self.assertEqual(self.one.messenger.outstanding, 0)


class StopTests(Pair):
    """Stopping the messenger."""

    def test_stop_fails_all_that_is_pending(self) -> None:
        self.link.stall()
        gone = self.net.node("01").name
        sent: list[Deferred[Any]] = [
            self.one.messenger.send(self.two.name, b"x"),
            self.one.messenger.request(self.two.name, b"x" * 100_000),
            self.one.messenger.send(self.one.name, b"x"),
            self.one.messenger.send(gone, b"x"),
        ]
        self.one.messenger.stop()
        for each in sent:
            self.failureResultOf(each, ServiceStopped)
        self.link.drain()
        self.net.run()
        self.assertEqual([kind for kind, _ in self.link.sent], [6])  # which asks for a session
        self.assertEqual(self.one.got, [])
        self.one.messenger.stop()

    def test_stopped_messenger_neither_sends_nor_delivers(self) -> None:
        messenger = self.one.messenger
        messenger.stop()
        self.failureResultOf(messenger.send(self.two.name, b"x"), ServiceStopped)
        self.failureResultOf(messenger.request(self.one.name, b"x"), ServiceStopped)
        self.failureResultOf(messenger.send_to_group(self.one.name, [], b"x"), ServiceStopped)
        self.arrive(7, MessagePart(1, 0, 1, Flavour.SEND, b"", b"x"), self.link)
        messenger.peer_established(peer_of(self.link), None)
        self.assertEqual(self.one.got, [])
        self.assertEqual(self.link.sent, [])

    def test_handler_may_finish_after_the_stop(self) -> None:
        results: list[Deferred[bytes]] = [Deferred(), Deferred()]
        handed = iter(results)
        self.two.messenger.set_request_handler(lambda message: next(handed))
        sent = [self.one.messenger.request(self.two.name, b"?") for _ in results]
        self.net.run()
        self.two.messenger.stop()
        results[0].callback(b"late")
        results[1].errback(Failure(ZeroDivisionError("on purpose")))
        self.net.run()
        self.assertEqual(self.link.other.sent, [])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        for each in sent:
            self.assertNoResult(each)
            each.addErrback(lambda failure: failure.trap(ServiceStopped))

    def test_message_handler_may_stop_the_messenger(self) -> None:
        self.two.messenger.set_message_handler(lambda message: self.two.messenger.stop())
        sent = self.one.messenger.send(self.two.name, b"x")
        self.net.run()
        self.assertEqual(self.link.other.sent, [])
        sent.addErrback(lambda failure: failure.trap(ServiceStopped))

    def test_request_handler_may_stop_the_messenger(self) -> None:
        def handler(message: Message) -> bytes:
            self.two.messenger.stop()
            return b"late"

        self.two.messenger.set_request_handler(handler)
        sent = self.one.messenger.request(self.two.name, b"x")
        self.net.run()
        self.assertEqual(self.link.other.sent, [])
        sent.addErrback(lambda failure: failure.trap(ServiceStopped))

    def test_handler_of_a_message_to_ourselves_may_stop_the_messenger(self) -> None:
        self.one.messenger.set_message_handler(lambda message: self.one.messenger.stop())
        sent = [self.one.messenger.send(self.one.name, b"x") for _ in range(2)]
        self.net.run()
        for each in sent:
            self.failureResultOf(each, ServiceStopped)

    def test_errback_may_cancel_another_message_during_the_stop(self) -> None:
        second: Deferred[None] = Deferred()
        first = self.one.messenger.send(self.two.name, b"x").addErrback(lambda _: second.cancel())
        second = self.one.messenger.send(self.two.name, b"y")
        self.one.messenger.stop()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)

    def test_errback_may_send_and_stop_during_the_stop(self) -> None:
        again: list[Deferred[None]] = []

        def errback(failure: Failure) -> None:
            again.append(self.one.messenger.send(self.two.name, b"y"))
            self.one.messenger.stop()

        sent = [self.one.messenger.send(self.two.name, b"x").addErrback(errback) for _ in range(2)]
        self.one.messenger.stop()
        for each in sent:
            self.successResultOf(each)
        for each in again:
            self.failureResultOf(each, ServiceStopped)


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


class FakeNetTests(SynchronousTestCase):
    """The fake is what it says."""

    def test_frames_between_closed_ends_are_lost(self) -> None:
        net = FakeNet()
        one, two = net.node("0"), net.node("1")
        link = net.link(one, two)
        one.messenger.send(two.name, b"x").addErrback(lambda failure: failure.trap(ServiceStopped))
        link.cut()
        net.run()
        self.assertEqual(two.got, [])
        net.stop()
        self.assertIs(net.fate, at_once)

    def test_fake_node_is_made_by_its_network(self) -> None:
        self.assertIsInstance(FakeNet().node("0"), FakeNode)
