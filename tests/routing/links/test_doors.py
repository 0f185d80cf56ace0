"""Doors that are shut: before the Hello, while bootstrapping, after the stop, to decisions long over."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role, Settings, TwoWay
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.errors import CloseReason
from routing_crust.routing.events import Message
from routing_crust.routing.links.consolidation import (
    CandidateLink,
    Close,
    Consolidation,
    Established,
    SendConfirmation,
)
from routing_crust.routing.state import State
from routing_crust.wire.codec import encode
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import Confirmation, Flavour, LinkUse, MessagePart

from ..net import Net
from ..test_intruder import Intruder, IntruderCase


class BeforeTests(IntruderCase):
    """A message that would be delivered, were it not too early."""

    def setUp(self) -> None:
        super().setUp()
        self.heard: list[Message] = []
        self.node.set_message_handler(self.heard.append)
        self.message = encode(MessagePart(1, 0, 1, Flavour.SEND, b"", b"let me in"))

    def tearDown(self) -> None:
        self.assertEqual([each.body for each in self.heard if each.body != b"still there?"], [])
        super().tearDown()

    def test_message_before_the_hello(self) -> None:
        self.intruder.dial(self.node).send(FrameKind.MESSAGE, self.message)
        self.assert_closed(CloseReason.PROTOCOL_ERROR)

    def test_message_before_the_confirmation(self) -> None:
        link = self.intruder.dial(self.node)
        link.send(FrameKind.HELLO, self.intruder.hello(link))
        link.send(FrameKind.MESSAGE, self.message)
        self.assert_closed(CloseReason.PROTOCOL_ERROR)

    def test_frame_of_the_application_before_the_hello(self) -> None:
        frames: list[tuple[object, int, bytes]] = []
        self.node.set_frame_handler(lambda *each: frames.append(each))
        self.intruder.dial(self.node).send(200, b"let me in")
        self.assert_closed(CloseReason.PROTOCOL_ERROR)
        self.assertEqual(frames, [])


class OutOfTheNetworkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()
        self.intruder = Intruder(self.net)

    def tearDown(self) -> None:
        self.net.stop()
        self.net.result(self.intruder.crust.stop())

    def test_strangers_while_bootstrapping(self) -> None:
        """A node that looks for its network lets nobody in but those whom it is looking for."""
        nowhere = Contact(Endpoint("198.19.255.255", 5483), self.net.identity().name)
        node = self.net.node(Role.NODE, contacts=(nowhere,))
        self.net.run(lambda: node.state is State.BOOTSTRAPPING)
        link = self.intruder.dial(node)
        link.send(FrameKind.HELLO, self.intruder.hello(link))
        self.net.settle(1)
        self.assertEqual([each.reason for each in self.intruder.lost], [CloseReason.BOOTSTRAPPING])
        self.assertEqual(self.intruder.frames, [])
        self.assertFalse(node.bootstrapped)

    def test_after_the_stop(self) -> None:
        """A link whose news comes after the stop is closed, and not one frame goes out on it."""
        node = self.net.node()
        core = node._core
        assert core is not None
        there = self.intruder.crust
        link = self.net.result(
            self.net.crust(node).connect(there.endpoints, there.identity.name, bytes(16), False)
        )
        self.net.settle(0.1)
        self.assertEqual(self.intruder.kinds(), [FrameKind.HELLO])
        core.lifecycle.machine.stop()
        core.on_connect(link)
        self.net.settle(0.1)
        self.assertEqual(self.intruder.kinds(), [FrameKind.HELLO])
        self.assertEqual([each.reason for each in self.intruder.lost], [CloseReason.STOPPING])


class DecisionTests(SynchronousTestCase):
    def consolidation(self, arbiter: bool) -> Consolidation:
        epochs = iter(range(1, 9))
        return Consolidation(
            Settings(two_way=TwoWay.OFF), arbiter=arbiter, incarnation=1, next_epoch=lambda: next(epochs)
        )

    def test_a_spare_link_waits_for_the_acknowledgement(self) -> None:
        """
        The end that does not decide has a better link; the other has none but the old one until it hears so.
        """
        here = self.consolidation(arbiter=False)
        here.link_up(CandidateLink("old", False, LinkUse.ATTACHED, False, 0.0), 1, 0.0)
        here.confirmation("old", Confirmation(1, LinkUse.ATTACHED, False), 0.0)
        here.link_up(CandidateLink("new", False, LinkUse.MEMBER, False, 100.0), 1, 100.0)
        here.confirmation("new", Confirmation(2, LinkUse.MEMBER, False), 100.0)
        self.assertEqual(here.current, "new")
        self.assertEqual(here.tick(130.0), [])
        self.assertEqual(here.tick(200.0), [Close("old", CloseReason.SUPERSEDED)])

    def test_what_was_decided_on_is_not_given_up(self) -> None:
        """The acknowledgement is late: for the other end the new link may be the only one by now."""
        here = self.consolidation(arbiter=True)
        here.link_up(CandidateLink("old", False, LinkUse.ATTACHED, False, 0.0), 1, 0.0)
        here.ack("old", 1, 0.0)
        here.link_up(CandidateLink("new", False, LinkUse.MEMBER, False, 100.0), 1, 100.0)
        self.assertEqual((here.current, here.wake_at), ("old", None))
        self.assertEqual(here.tick(150.0), [])
        self.assertEqual(
            here.ack("new", 2, 151.0),
            [Established("new", LinkUse.MEMBER, False), Close("old", CloseReason.SUPERSEDED)],
        )

    def test_acknowledgement_of_an_older_decision(self) -> None:
        """What the other end has acknowledged is what counts: not what has been decided since."""
        epochs = iter(range(1, 9))
        here = Consolidation(Settings(), arbiter=True, incarnation=1, next_epoch=lambda: next(epochs))
        one = CandidateLink("one", False, LinkUse.ATTACHED, False, 0.0)
        (first,) = here.link_up(one, 1, 0.0)
        assert isinstance(first, SendConfirmation)
        self.assertEqual(here.ack("one", first.confirmation.epoch + 1, 0.0), [])
        self.assertIsNone(here.current)
        self.assertEqual(
            here.ack("one", first.confirmation.epoch, 0.0), [Established("one", LinkUse.ATTACHED, False)]
        )
