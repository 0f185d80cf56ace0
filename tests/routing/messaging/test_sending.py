"""Messages over a direct link, to ourselves, and to all of a group."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import CancelledError, Deferred

from routing_crust.errors import (
    LimitReached,
    NotConnected,
    PeerUnreachable,
    RequestRefused,
    ServiceStopped,
)
from routing_crust.quietlog import TRACEBACKS_AT_ONCE
from routing_crust.routing.events import Message
from routing_crust.wire.end_to_end import AckStatus

from .messaging_net import acks, message_parts
from .pair import Pair


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
