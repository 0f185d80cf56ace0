"""Messages over links that are full."""

from __future__ import annotations

from routing_crust.errors import (
    PeerUnreachable,
)
from routing_crust.routing.messaging import (
    acknowledger,
    request_handling,
)

from .messaging_net import acks, message_parts
from .pair import Pair


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
