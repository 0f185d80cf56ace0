"""
Who gets the messages that come.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.control.inbox import DaemonInbox
from routing_crust.errors import RequestRefused
from routing_crust.routing.events import Message

from ..fakes import message


class Ear:
    """A listener that writes down what it hears."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.answer = answer
        self.heard: list[tuple[Message, bool]] = []

    def deliver(self, message: Message, is_request: bool) -> None:
        self.heard.append((message, is_request))


class InboxTests(SynchronousTestCase):
    """Messages go to all, requests to one."""

    def setUp(self) -> None:
        self.inbox = DaemonInbox()

    def ear(self, answer: bytes | None = None) -> Ear:
        ear = Ear(answer)
        self.inbox.add(ear)
        return ear

    def test_everyone_hears_a_message(self) -> None:
        ears = [self.ear(), self.ear(b"yes")]
        self.inbox.message_received(message(b"hello"))
        for ear in ears:
            self.assertEqual(ear.heard, [(message(b"hello"), False)])

    def test_who_has_left_hears_nothing(self) -> None:
        ear = self.ear()
        self.inbox.remove(ear)
        self.inbox.remove(ear)
        self.inbox.message_received(message(b"hello"))
        self.assertEqual((ear.heard, len(self.inbox)), ([], 0))

    def test_a_message_that_nobody_hears_is_no_error(self) -> None:
        self.inbox.message_received(message(b"hello"))
        self.assertEqual(len(self.inbox), 0)

    def test_ping_is_always_answered(self) -> None:
        self.assertEqual(self.inbox.request_received(message(b"ping")), b"pong")
        ear = self.ear(b"yes")
        self.assertEqual(self.inbox.request_received(message(b"ping")), b"pong")
        self.assertEqual(ear.heard, [])

    def test_other_requests_are_refused(self) -> None:
        ear = self.ear()
        self.assertRaises(RequestRefused, self.inbox.request_received, message(b"who?"))
        self.assertEqual(ear.heard, [])

    def test_the_first_who_answers_does(self) -> None:
        ears = [self.ear(), self.ear(b"one"), self.ear(b"two")]
        self.assertEqual(self.inbox.request_received(message(b"who?")), b"one")
        self.assertEqual([ear.heard for ear in ears], [[], [(message(b"who?"), True)], []])

    def test_an_answer_may_be_empty(self) -> None:
        self.ear(b"")
        self.assertEqual(self.inbox.request_received(message(b"who?")), b"")
