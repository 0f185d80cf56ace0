"""Messages whose frames or links are lost."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import CancelledError, Deferred

from routing_crust.errors import (
    PeerUnreachable,
)
from routing_crust.limits import MAX_ATTEMPTS
from routing_crust.routing.messaging import (
    forwarder,
    fragmentation,
)
from routing_crust.routing.messaging.outgoing import retries
from routing_crust.wire.codec import encode

from .messaging_net import acks, at_once, message_parts
from .pair import Pair


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

    def test_lost_links_use_up_no_attempts(self) -> None:
        """Or a first hop that comes and goes would have a message given up before its time."""
        self.lose(7, 100)
        sent = self.one.messenger.send(self.two.name, b"x")
        for _ in range(2 * MAX_ATTEMPTS):
            self.one.links[self.two.name].cut()
            self.net.run(1)
            self.net.link(self.one, self.two)
            self.net.run(1)
        self.net.fate = at_once
        self.net.run(20)
        self.successResultOf(sent)

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
        self.net.run(30)
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)

    def test_late_acknowledgement_is_ignored(self) -> None:
        sent = self.one.messenger.send(self.two.name, b"x")
        self.net.run()
        self.successResultOf(sent)
        self.arrive(8, encode(acks(self.link.other)[0]), self.link)
        self.assertEqual(self.one.problems, [])
