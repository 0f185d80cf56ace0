"""What becomes of messages when the messenger stops."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from routing_crust.errors import (
    ServiceStopped,
)
from routing_crust.routing.events import Message
from routing_crust.wire.end_to_end import Flavour, MessagePart

from .messaging_net import peer_of
from .pair import Pair


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
