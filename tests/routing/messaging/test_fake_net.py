"""The fake network of these tests is what it says."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import (
    ServiceStopped,
)

from .messaging_net import FakeNet, FakeNode, at_once


class FakeNetTests(SynchronousTestCase):
    """The fake is what it says."""

    def test_frames_between_closed_ends_are_lost(self) -> None:
        net = FakeNet()
        one, two = net.node("0"), net.node("1")
        link = net.link(one, two)
        one.messenger.send(two.name, b"x").addErrback(lambda failure: failure.trap(ServiceStopped))
        link.cut()
        net.run()
        self.assertEqual(two.got, [])
        net.stop()
        self.assertIs(net.fate, at_once)

    def test_fake_node_is_made_by_its_network(self) -> None:
        self.assertIsInstance(FakeNet().node("0"), FakeNode)
