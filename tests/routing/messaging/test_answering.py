"""Requests over a direct link, and their answers."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from routing_crust.errors import (
    RequestRefused,
)
from routing_crust.routing.events import Message, Request
from routing_crust.routing.messaging import (
    acknowledger,
    request_handling,
)

from .messaging_net import acks, message_parts
from .pair import Pair


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
