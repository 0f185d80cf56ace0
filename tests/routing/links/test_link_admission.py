"""Links and frames that come too early or too late are refused."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.errors import CloseReason
from routing_crust.routing.events import Message
from routing_crust.routing.state import State
from routing_crust.timing.shares import OURSELVES
from routing_crust.wire.codec import encode
from routing_crust.wire.end_to_end import Flavour, MessagePart
from routing_crust.wire.framing import FrameKind

from ..intruder import Intruder, IntruderCase
from ..net import Net


class EarlyFrameTests(IntruderCase):
    """A message is sent that would be delivered later."""

    def setUp(self) -> None:
        super().setUp()
        self.heard: list[Message] = []
        self.node.set_message_handler(self.heard.append)
        self.message = encode(MessagePart(1, 0, 1, Flavour.SEND, b"", b"let me in"))

    def tearDown(self) -> None:
        self.assertEqual([each.body for each in self.heard if each.body != b"still there?"], [])
        super().tearDown()

    def test_message_before_the_hello_closes_the_link(self) -> None:
        self.intruder.dial(self.node).send(FrameKind.MESSAGE, self.message)
        self.assert_closed(CloseReason.PROTOCOL_ERROR)

    def test_message_before_the_confirmation_closes_the_link(self) -> None:
        link = self.intruder.dial(self.node)
        link.send(FrameKind.HELLO, self.intruder.hello(link))
        link.send(FrameKind.MESSAGE, self.message)
        self.assert_closed(CloseReason.PROTOCOL_ERROR)

    def test_application_frame_before_the_hello_closes_the_link(self) -> None:
        frames: list[tuple[object, int, bytes]] = []
        self.node.set_frame_handler(lambda *each: frames.append(each))
        self.intruder.dial(self.node).send(200, b"let me in")
        self.assert_closed(CloseReason.PROTOCOL_ERROR)
        self.assertEqual(frames, [])


class StateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()
        self.intruder = Intruder(self.net)

    def tearDown(self) -> None:
        self.net.stop()
        self.net.result(self.intruder.crust.stop())

    def test_stranger_is_refused_while_bootstrapping(self) -> None:
        """A node that looks for its network accepts only the nodes that it is looking for."""
        nowhere = Contact(Endpoint("198.19.255.255", 5483), self.net.identity().name)
        node = self.net.node(Role.NODE, contacts=(nowhere,))
        self.net.run(lambda: node.state is State.BOOTSTRAPPING)
        link = self.intruder.dial(node)
        link.send(FrameKind.HELLO, self.intruder.hello(link))
        self.net.settle(1)
        self.assertEqual([each.reason for each in self.intruder.lost], [CloseReason.BOOTSTRAPPING])
        self.assertEqual(self.intruder.frames, [])
        self.assertFalse(node.bootstrapped)

    def test_link_that_comes_after_the_stop_is_closed_without_a_frame(self) -> None:
        """The link is up in crust, and routing hears of it only after the stop."""
        node = self.net.node()
        core = node._core
        assert core is not None
        there = self.intruder.crust
        link = self.net.result(
            self.net.crust(node).connect(there.endpoints, there.identity.name, bytes(16), OURSELVES)
        )
        self.net.settle(0.1)
        self.assertEqual(self.intruder.kinds(), [FrameKind.HELLO])
        core.lifecycle.machine.stop()
        core.on_connect(link)
        self.net.settle(0.1)
        self.assertEqual(self.intruder.kinds(), [FrameKind.HELLO])
        self.assertEqual([each.reason for each in self.intruder.lost], [CloseReason.STOPPING])
