"""The responder's answers: what a request gets that is repeated since its answer was lost."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.names import Name
from routing_crust.routing.connecting.connect_request_validator import IncomingRequest
from routing_crust.routing.connecting.outgoing_request import OutgoingRequest
from routing_crust.routing.connecting.responder import MAX_REPEATED_ANSWERS, MIN_REPEAT_SECONDS
from routing_crust.wire.messages import Envelope, EnvelopeKind, LinkUse
from tests.routing.net import Net


class RepeatedRequestTests(SynchronousTestCase):
    """A client that cannot be dialled asks a node, whose answers vanish on their way."""

    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.net.stop)
        nodes = self.net.grow(3)
        client = self.net.make_client()
        self.addCleanup(client.stopService)
        self.net.settle(1)
        assert client._core is not None
        self.client, self.connector = client, client._core.connector
        far = next(each for each in nodes if client._core.links.link_to(each.node_name) is None)
        assert far._core is not None
        self.far, self.responder, self.attempts = far.node_name, far._core.responder, far._core.attempts
        self.validator, self.crust = far._core.validator, self.net.crust(far)
        self.deliver = self.responder._send
        self.answers: list[bytes] = []
        self.copies: list[Envelope] = []
        self.lost = True
        self.responder._send = self.send
        judged = self.responder.accept

        def accept(asked: IncomingRequest) -> None:
            self.copies.append(asked.envelope)
            judged(asked)

        self.patch(self.responder, "accept", accept)
        # the repetitions are those of the test
        self.patch(OutgoingRequest, "repeat", lambda *_: None)

    def send(
        self,
        kind: EnvelopeKind,
        name: Name,
        body: bytes,
        proxy: Name | None,
        via: Any,
        attempt: int = 0,
    ) -> int | None:
        self.answers.append(body)
        return 7 if self.lost else self.deliver(kind, name, body, proxy, via, attempt)

    def ask(self) -> Deferred[Any]:
        """Have the client ask; its request has been answered once, and the answer has vanished."""
        asked = self.connector.request_link(self.far, LinkUse.DIRECT)
        self.net.run(lambda: self.answers)
        self.net.settle(MIN_REPEAT_SECONDS)
        return asked

    def copy(self, **changes: Any) -> None:
        """Have the request arrive once more."""
        self.validator.request_received(replace(self.copies[0], **changes), self.client.node_name, None)

    def test_lost_answer_is_sent_again_when_the_request_is_repeated(self) -> None:
        """The link is there at once, and not when the request has been given up 20 s later."""
        asked = self.ask()
        self.lost = False
        self.connector.ask_again(self.far)
        self.assertEqual(self.net.result(asked, timeout=2).peer, self.far)
        self.assertEqual(len(self.answers), 2)
        self.assertEqual(len(set(self.answers)), 1)

    def test_repetitions_set_nothing_new_to_work(self) -> None:
        """They may be a stranger's: one answer in a while, a few in all, and nothing more is dialled."""
        asked = self.ask()
        dialled: list[object] = []
        self.patch(self.crust, "connect", lambda *arguments: dialled.append(arguments) or Deferred())
        expected = len(self.attempts.expected)
        for number in range(3):
            self.copy()
            self.copy()
            self.assertEqual(len(self.answers), number + 2)
            self.net.settle(MIN_REPEAT_SECONDS)
        for _ in range(2 * MAX_REPEATED_ANSWERS):
            self.net.settle(MIN_REPEAT_SECONDS)
            self.copy()
        self.assertEqual(len(self.answers), 1 + MAX_REPEATED_ANSWERS)
        self.assertEqual((dialled, len(self.attempts.expected)), ([], expected))
        asked.addErrback(lambda _: None)
        self.connector.stop()

    def test_request_beyond_the_limits_leaves_nothing_of_its_relays(self) -> None:
        """Names are free, and what is remembered of relays is bounded."""
        told: list[object] = []
        self.patch(self.responder._relays, "told", lambda *arguments: told.append(arguments))
        self.patch(self.attempts, "expect", lambda entry: False)
        asked = self.connector.request_link(self.far, LinkUse.DIRECT)
        asked.addErrback(lambda _: None)
        self.net.run(lambda: self.copies)
        self.assertEqual((told, self.answers), ([], []))
        self.connector.stop()

    def test_forged_repetition_is_not_answered(self) -> None:
        """It has the nonce of the request, and another signature."""
        asked = self.ask()
        body = self.copies[0].body
        self.copy(body=body[:-1] + bytes([body[-1] ^ 1]))
        self.assertEqual(len(self.answers), 1)
        self.copy()
        self.assertEqual(len(self.answers), 2)
        asked.addErrback(lambda _: None)
        self.connector.stop()

    def test_repetition_is_not_answered_once_the_link_is_no_longer_expected(self) -> None:
        asked = self.ask()
        asked.addErrback(lambda _: None)
        self.connector.stop()
        self.attempts.withdraw_all(self.client.node_name)
        self.copy()
        self.assertEqual(len(self.answers), 1)
