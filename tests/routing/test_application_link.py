"""
The link that applications are given: what it says, what may be sent on it, and when two are equal.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import ApplicationLink, LinkLost, RoutingService
from routing_crust.crust.interfaces import ILink
from routing_crust.endpoints import PathKind
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.wire.framing import MAX_FRAME_BYTES, FrameKind

from .net import Net


class ApplicationLinkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()
        self.one, self.other = self.net.grow(2)
        self.heard: list[tuple[ApplicationLink, int, bytes]] = []
        self.other.set_frame_handler(lambda *frame: self.heard.append(frame))
        self.link: ApplicationLink = self.net.result(self.one.connect(self.other.node_name))

    def tearDown(self) -> None:
        self.net.stop()

    def inner(self, service: RoutingService, peer: RoutingService) -> ILink:
        core = service._core
        assert core is not None
        link = core.links.link_to(peer.node_name)
        assert link is not None
        return link

    def test_says_who_is_at_the_other_end_and_how_it_is_reached(self) -> None:
        inner = self.inner(self.one, self.other)
        self.assertEqual(self.link.name, self.other.node_name)
        self.assertEqual(self.link.connection, inner.connection)
        self.assertIs(self.link.path_kind, PathKind.DIRECT)
        self.assertIn(f"to {self.other.node_name}, direct, ", repr(self.link))

    def test_offers_six_members_and_none_of_those_that_routing_needs(self) -> None:
        members = {each for each in dir(self.link) if not each.startswith("_")}
        self.assertEqual(members, {"name", "connection", "path_kind", "send", "when_writable", "close"})

    def test_frame_handler_is_called_with_a_link_to_the_sender(self) -> None:
        """It can be answered over."""
        answers: list[bytes] = []
        self.one.set_frame_handler(lambda link, kind, payload: answers.append(payload))
        self.link.send(128, b"one")
        self.link.send(255, b"two")
        self.net.settle(1)
        self.assertEqual([each[1:] for each in self.heard], [(128, b"one"), (255, b"two")])
        (back, again) = (each[0] for each in self.heard)
        self.assertEqual(back.name, self.one.node_name)
        self.assertEqual(back, again)
        back.send(128, b"back")
        self.net.settle(1)
        self.assertEqual(answers, [b"back"])

    def test_two_of_one_link_are_equal_and_those_of_two_links_are_not(self) -> None:
        again = self.net.result(self.one.connect(self.other.node_name))
        self.assertEqual({again, self.link}, {self.link})
        theirs = ApplicationLink(self.inner(self.other, self.one))
        self.assertNotEqual(theirs, self.link)
        self.assertNotEqual(self.link, self.inner(self.one, self.other))

    def test_frames_of_other_kinds_are_refused(self) -> None:
        """With them an application could speak for its node's own protocol."""
        for kind in (-1, 0, FrameKind.ENVELOPE, 32, 63, 127, 256):
            with self.assertRaisesRegex(ValueError, f"128 to 255 .* {int(kind)} is not"):
                self.link.send(kind, b"")
        self.assertRaises(ValueError, self.link.send, 200, bytes(MAX_FRAME_BYTES + 1))
        self.net.settle(1)
        self.assertEqual(self.heard, [])

    def test_waiting_for_room_ends_when_the_queue_has_room(self) -> None:
        self.assertIsNone(self.successResultOf(self.link.when_writable()))
        inner = self.inner(self.one, self.other)
        count = 0
        while inner.writable:
            self.link.send(200, bytes(MAX_FRAME_BYTES))
            count += 1
        waiting = self.link.when_writable()
        self.assertNoResult(waiting)
        self.net.result(waiting)
        self.net.settle(5)
        self.assertEqual(len(self.heard), count)

    def test_closed_link_tells_the_peer_that_it_is_no_longer_needed(self) -> None:
        """What was sent before arrives; what is sent afterwards does nothing."""
        lost: list[LinkLost] = []
        self.other.observe(LinkLost, lost.append)
        self.link.send(200, b"the last")
        self.link.close()
        self.link.close()
        self.link.send(200, b"too late")
        self.failureResultOf(self.link.when_writable(), LinkClosed)
        self.net.settle(0.5)
        self.assertEqual([each[2] for each in self.heard], [b"the last"])
        self.assertEqual([each.reason for each in lost], [CloseReason.NO_LONGER_NEEDED])
