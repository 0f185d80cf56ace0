"""
Requests: what a requester hears of a refusal, how long it waits, and what a group answers.
"""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Message, Name, Request
from routing_crust.endpoints import Endpoint
from routing_crust.errors import (
    PeerUnreachable,
    RefusalReason,
    RequestRefused,
    RequestTimedOut,
    ServiceStopped,
)
from routing_crust.limits import MAX_EXTENDED_WAIT_SECONDS
from routing_crust.routing.messaging import acknowledger, request_handling
from routing_crust.testing import SimulatedNetwork
from routing_crust.wire.codec import encode
from routing_crust.wire.end_to_end import AckPart, AckStatus, MessagePart, Refusal, Working
from routing_crust.wire.framing import FrameKind

from .messaging_net import FakeNode, acks, at_once, called, message_parts
from .pair import Pair


class Requests(Pair):
    """The first node asks the second, which handles as the test says."""

    def start(self, **settings: object) -> None:
        super().start(**settings)
        self.handled: list[Request] = []

    def handle(self, outcome: Any) -> None:
        """Answer with this, or with what it returns when it is called."""

        def handler(request: Request) -> Any:
            self.handled.append(request)
            return outcome(request) if callable(outcome) else outcome

        self.two.messenger.set_request_handler(handler)

    def ask(self, timeout: float | None = None) -> Deferred[bytes]:
        sent = self.one.messenger.request(self.two.name, b"?", timeout)
        self.net.run()
        return sent


class RefusalTests(Requests):
    def refusal(self, sent: Deferred[bytes]) -> tuple[RefusalReason, str]:
        error = self.failureResultOf(sent, RequestRefused).value
        assert isinstance(error, RequestRefused)
        self.assertIn(error.detail or error.reason.text, str(error))
        self.assertIn(called(self.two.name), str(error))
        return error.reason, error.detail

    def test_a_node_without_a_handler_says_so(self) -> None:
        self.assertEqual(self.refusal(self.ask()), (RefusalReason.NO_HANDLER, ""))

    def test_a_handler_refuses_with_a_reason_of_its_own(self) -> None:
        def refuse(request: Request) -> bytes:
            raise RequestRefused("we have bread only")

        self.handle(refuse)
        self.assertEqual(self.refusal(self.ask()), (RefusalReason.BY_HANDLER, "we have bread only"))

    def test_an_error_of_a_handler_is_told_without_its_text(self) -> None:
        def fail(request: Request) -> bytes:
            raise ZeroDivisionError("the secret")

        self.handle(fail)
        self.assertEqual(self.refusal(self.ask()), (RefusalReason.HANDLER_FAILED, ""))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_refusal_by_a_third_node_is_the_handlers_own(self) -> None:
        def pass_on(request: Request) -> bytes:
            raise RequestRefused("", RefusalReason.NO_HANDLER)

        self.handle(pass_on)
        self.assertEqual(self.refusal(self.ask()), (RefusalReason.BY_HANDLER, ""))

    def test_what_is_no_answer_is_told(self) -> None:
        for wrong in ("text", None, bytes(2 * 1024 * 1024)):
            self.handle(wrong)
            self.assertEqual(self.refusal(self.ask()), (RefusalReason.BAD_ANSWER, ""))
        self.flushLoggedErrors()

    def test_a_forgotten_answer_is_told(self) -> None:
        for module in (acknowledger, request_handling):
            self.patch(module, "MAX_ANSWER_BYTES", 64 * 1024)
        self.start()
        self.handle(b"x" * 40_000)
        self.lose(8, 2)
        first = self.ask()
        self.net.run(1)
        self.ask()
        self.net.run(21)
        self.assertEqual(self.refusal(first), (RefusalReason.FORGOTTEN, ""))

    def test_a_refusal_comes_in_the_words_of_the_handler_cut_to_the_limit(self) -> None:
        def refuse(request: Request) -> bytes:
            raise RequestRefused("\u00e9\ud800\n" + "x" * 1000)

        self.handle(refuse)
        reason, detail = self.refusal(self.ask())
        self.assertEqual((reason, len(detail)), (RefusalReason.BY_HANDLER, 200))
        # what could not be shown in a terminal, or not be encoded, is not passed on
        self.assertTrue(detail.startswith("\u00e9??x"))

    def test_a_reason_of_a_later_version_is_unknown(self) -> None:
        self.net.fate = lambda link, kind, payload: []
        sent = self.ask()
        id = message_parts(self.link)[-1].id
        self.link.arrived(8, encode(AckPart(id, 0, 1, AckStatus.REFUSED, encode(Refusal(999)))))
        self.assertEqual(self.refusal(sent), (RefusalReason.UNKNOWN, ""))

    def test_a_body_that_is_no_refusal_closes_the_link(self) -> None:
        for status, body in (
            (AckStatus.REFUSED, b""),
            (AckStatus.REFUSED, b"x"),
            (AckStatus.WORKING, b""),
            (AckStatus.WORKING, encode(Working(-1.0))),
        ):
            self.start()
            self.net.fate = lambda link, kind, payload: []
            sent = self.ask()
            id = message_parts(self.link)[-1].id
            self.link.arrived(8, encode(AckPart(id, 0, 1, status, body)))
            self.assertEqual(len(self.one.problems), 1)
            self.assertNoResult(sent)
            sent.addErrback(lambda failure: failure.trap(ServiceStopped))

    def test_every_reason_has_words(self) -> None:
        self.assertEqual(len({each.text for each in RefusalReason}), len(RefusalReason))


class TimeoutTests(Requests):
    def test_a_request_ends_with_its_timeout(self) -> None:
        self.handle(Deferred())
        sent = self.ask(5.0)
        self.net.run(4.9)
        self.assertNoResult(sent)
        self.net.run(0.1)
        error = self.failureResultOf(sent, RequestTimedOut).value
        self.assertIsInstance(error, TimeoutError)
        self.assertIn("has not answered within 5 s, after 1 attempts", str(error))
        self.assertEqual(self.one.messenger.outstanding, 0)

    def test_an_answer_in_time_leaves_no_timer(self) -> None:
        self.handle(b"yes")
        self.assertEqual(self.successResultOf(self.ask(5.0)), b"yes")
        self.net.run(30)
        self.assertEqual(self.net.timers, [])

    def test_a_long_timeout_does_not_keep_a_silent_peer_waited_for(self) -> None:
        self.net.fate = lambda link, kind, payload: []
        sent = self.ask(10_000.0)
        self.net.run(161)
        self.failureResultOf(sent, PeerUnreachable)

    def test_a_cancelled_request_leaves_no_timer(self) -> None:
        self.handle(Deferred())
        sent = self.ask(5.0)
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        self.net.run(200)  # by then its handler has been cancelled, too
        self.assertEqual(self.net.timers, [])


class ExtendTests(Requests):
    def test_a_handler_that_says_so_is_waited_for(self) -> None:
        later: Deferred[bytes] = Deferred()

        def slow(request: Request) -> Deferred[bytes]:
            request.extend(1000)
            return later

        self.handle(slow)
        sent = self.ask()
        self.net.run(999)
        self.assertNoResult(sent)
        self.assertEqual(len(message_parts(self.link)), 1, "it was sent again")
        later.callback(b"at last")
        self.net.run()
        self.assertEqual(self.successResultOf(sent), b"at last")

    def test_a_handler_may_ask_again_and_again(self) -> None:
        later: Deferred[bytes] = Deferred()
        self.handle(later)
        sent = self.ask()
        for _ in range(10):
            self.handled[0].extend(100)
            self.net.run(90)
            self.assertNoResult(sent)
        later.callback(b"at last")
        self.net.run()
        self.assertEqual(self.successResultOf(sent), b"at last")
        self.assertEqual(len(self.handled), 1)

    def test_the_requester_gives_up_when_the_time_is_over(self) -> None:
        self.handle(Deferred())
        sent = self.ask()
        self.handled[0].extend(100)
        self.net.run(99)
        self.assertNoResult(sent)
        self.net.run(181)
        self.failureResultOf(sent, PeerUnreachable)

    def test_a_lost_word_is_said_again_when_the_request_is_repeated(self) -> None:
        self.handle(Deferred())
        self.lose(8)
        sent = self.ask()
        self.handled[0].extend(1000)
        self.net.run(21)
        said = acks(self.link.other)
        self.assertEqual([each.status for each in said], [AckStatus.WORKING] * len(said))
        self.net.run(900)
        self.assertNoResult(sent)
        sent.cancel()
        self.failureResultOf(sent, CancelledError)

    def test_nobody_is_waited_for_without_an_end(self) -> None:
        self.handle(Deferred())
        sent = self.ask()
        for _ in range(100):
            if not sent.called:
                self.handled[0].extend(1e9)
            self.net.run(60)
        self.failureResultOf(sent, PeerUnreachable)
        self.assertLess(self.net.clock.seconds(), 1000 + MAX_EXTENDED_WAIT_SECONDS + 100 * 60)

    def test_the_timeout_of_the_requester_holds_all_the_same(self) -> None:
        self.handle(Deferred())
        sent = self.ask(30.0)
        self.handled[0].extend(1000)
        self.net.run(30)
        error = self.failureResultOf(sent, RequestTimedOut).value
        self.assertIn("within 30 s, and works on it", str(error))

    def test_an_answered_request_is_not_extended(self) -> None:
        self.handle(b"yes")
        self.successResultOf(self.ask())
        before = len(acks(self.link.other))
        self.handled[0].extend(10)
        self.assertEqual(len(acks(self.link.other)), before)

    def test_a_time_that_is_none_is_refused(self) -> None:
        self.handle(Deferred())
        sent = self.ask()
        for wrong in (0, -1, nan):
            self.assertRaises(ValueError, self.handled[0].extend, wrong)
        sent.cancel()
        self.failureResultOf(sent, CancelledError)

    def test_a_request_of_a_test_can_be_extended_without_effect(self) -> None:
        Request(self.one.name, b"x").extend(10)
        self.assertIsInstance(Request(self.one.name, b"x"), Message)

    def test_a_message_is_not_extended(self) -> None:
        self.net.fate = lambda link, kind, payload: []
        sent = self.one.messenger.send(self.two.name, b"x")
        part: MessagePart = message_parts(self.link)[-1]
        self.link.arrived(8, encode(AckPart(part.id, 0, 1, AckStatus.WORKING, encode(Working(9.0)))))
        self.assertEqual(len(self.one.problems), 1)
        sent.addErrback(lambda failure: failure.trap(ServiceStopped))


class GroupRequestTests(Requests):
    def request_group(self, members: list[Name], timeout: float | None = None) -> Deferred[dict[Name, bytes]]:
        sent = self.one.messenger.request_group(self.gone, members, b"?", timeout)
        self.net.run()
        return sent

    def setUp(self) -> None:
        super().setUp()
        self.gone = self.net.node("01").name
        # what is for the member that is gone is lost, and no node says so
        self.net.fate = lambda link, kind, payload: (
            [] if kind == FrameKind.ENVELOPE else at_once(link, kind, payload)
        )
        self.one.messenger.set_request_handler(lambda request: b"one")

    def test_answers_are_collected_in_the_order_of_the_group(self) -> None:
        self.handle(b"two")
        sent = self.request_group([self.two.name, self.one.name])
        answers = self.successResultOf(sent)
        self.assertEqual(list(answers.items()), [(self.two.name, b"two"), (self.one.name, b"one")])
        self.assertEqual([each.group for each in self.handled], [self.gone])

    def test_members_without_an_answer_are_left_out(self) -> None:
        sent = self.request_group([self.two.name, self.gone, self.one.name])
        self.net.run(161)
        self.assertEqual(self.successResultOf(sent), {self.one.name: b"one"})

    def test_answers_that_came_in_time_count(self) -> None:
        sent = self.request_group([self.gone, self.one.name], 5.0)
        self.net.run(4.9)
        self.assertNoResult(sent)
        self.net.run(0.1)
        self.assertEqual(self.successResultOf(sent), {self.one.name: b"one"})

    def test_without_an_answer_the_likeliest_reason_is_told(self) -> None:
        sent = self.request_group([self.gone, self.two.name], 5.0)
        self.net.run(5.0)
        self.failureResultOf(sent, RequestRefused)
        sent = self.request_group([self.gone], 5.0)
        self.net.run(5.0)
        self.failureResultOf(sent, RequestTimedOut)
        sent = self.request_group([self.gone])
        self.net.run(161)
        self.failureResultOf(sent, PeerUnreachable)

    def test_no_members_give_no_answers(self) -> None:
        self.assertEqual(self.successResultOf(self.request_group([])), {})


class PublicTests(SynchronousTestCase):
    """The same of the service, in a network."""

    def setUp(self) -> None:
        self.network = SimulatedNetwork(seed=11)
        self.nodes = self.network.nodes(5, setup=self.answer)
        self.network.run_until(self.network.joined, 60.0)
        self.service = self.nodes[1].service
        self.addCleanup(self.network.stop)

    def answer(self, service: Any) -> None:
        service.set_request_handler(lambda request: request.body.upper() + service.node_name.raw)

    def test_a_group_answers(self) -> None:
        name = self.nodes[3].name
        answers = self.network.result_of(self.service.request_group(name, b"x"))
        group = self.network.result_of(self.service.close_group(name))
        self.assertEqual(tuple(answers), group)
        self.assertEqual(answers, {each: b"X" + each.raw for each in group})

    def test_the_timeout_of_a_group_includes_its_lookup(self) -> None:
        core = self.nodes[1].core
        assert core is not None
        self.patch(core.search, "close_group", lambda name: Deferred())
        asked = self.service.request_group(self.nodes[3].name, b"x", timeout=2.0)
        before = self.network.clock.seconds()
        self.assertRaises(RequestTimedOut, self.network.result_of, asked)
        self.assertAlmostEqual(self.network.clock.seconds() - before, 2.0, delta=0.2)

    def test_members_that_are_gone_take_no_longer_than_the_timeout(self) -> None:
        for node in self.nodes:
            if node is not self.nodes[1]:
                node.crash(silently=True)
        asked = self.service.request_group(self.nodes[3].name, b"x", timeout=2.0)
        before = self.network.clock.seconds()
        answers = self.network.result_of(asked)
        self.assertEqual(set(answers), {self.nodes[1].name})
        self.assertAlmostEqual(self.network.clock.seconds() - before, 2.0, delta=0.2)

    def test_a_time_that_is_none_is_refused_at_once(self) -> None:
        for wrong in (0, -1.0, nan):
            self.assertRaises(ValueError, self.service.request, self.nodes[2].name, b"x", timeout=wrong)
            self.assertRaises(ValueError, self.service.request_group, self.nodes[2].name, b"x", timeout=wrong)

    def test_a_body_of_a_group_is_bytes(self) -> None:
        wrong: Any = "text"
        self.assertRaises(TypeError, self.service.request_group, self.nodes[2].name, wrong)


class RoomTests(Requests):
    """Handlers that never answer take no places for ever, and none from requests of other links."""

    def start(self, **settings: object) -> None:
        super().start(max_requests=6, max_requests_per_peer=6, **settings)
        self.results: list[Deferred[bytes]] = []

    def never(self, request: Request) -> Deferred[bytes]:
        self.results.append(Deferred())
        return self.results[-1]

    def from_prefix(self, number: int, address: str) -> FakeNode:
        """A node whose link comes from this address."""
        node = self.net.node(f"10{number:b}")
        link = self.net.link(node, self.two)
        link.other.connection = replace(link.other.connection, peer=Endpoint(address, 1))
        return node

    def test_a_handler_that_takes_too_long_is_cancelled_and_its_request_refused(self) -> None:
        self.handle(self.never)
        sent = self.ask(10_000.0)
        self.handled[0].extend(50)
        self.net.run(229)
        self.assertEqual(self.two.messenger.requests_running, 1)
        self.net.run(200)
        self.assertEqual(self.two.messenger.requests_running, 0)
        self.assertTrue(self.results[0].called)
        self.failureResultOf(sent)

    def test_a_result_that_comes_after_the_time_changes_nothing(self) -> None:
        later: Deferred[bytes] = Deferred(lambda deferred: None)
        self.handle(later)
        self.ask(10_000.0).addErrback(lambda failure: None)
        self.net.run(400)
        self.assertTrue(later.called)
        self.assertEqual(self.two.messenger.requests_running, 0)

    def test_links_of_one_prefix_make_room_for_another(self) -> None:
        self.handle(self.never)
        flood = [self.from_prefix(number, f"192.0.2.{number}") for number in range(1, 5)]
        for each in flood:
            for _ in range(3):
                each.messenger.request(self.two.name, b"!").addErrback(lambda failure: None)
        self.net.run()
        self.assertEqual(self.two.messenger.requests_running, 6)
        handled = len(self.handled)
        honest = self.ask()
        self.assertEqual(len(self.handled), handled + 1)
        self.assertEqual(self.two.messenger.requests_running, 6)
        self.results[-1].callback(b"yes")
        self.net.run()
        self.assertEqual(self.successResultOf(honest), b"yes")

    def test_requests_that_are_handled_are_bounded_by_their_bytes(self) -> None:
        self.patch(request_handling, "MAX_REQUEST_BYTES", 64 * 1024)
        self.handle(self.never)
        for _ in range(5):
            self.one.messenger.request(self.two.name, bytes(19_000)).addErrback(lambda failure: None)
        self.net.run()
        self.assertEqual(self.two.messenger.requests_running, 2)
