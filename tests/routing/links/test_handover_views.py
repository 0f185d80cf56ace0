"""Handovers of which one end knows less than the other."""

from __future__ import annotations

from collections import deque

from routing_crust.endpoints import PathKind
from routing_crust.errors import CloseReason
from routing_crust.wire.codec import encode
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import Confirmation, LinkUse

from .handover_world import WireEnd, World, WorldTests

HANDSHAKE = (FrameKind.HELLO, FrameKind.CONFIRMATION, FrameKind.CONFIRMATION_ACK)


class PeerKnowsLessTests(WorldTests):
    """One end knows of links or losses of which the other does not."""

    def setUp(self) -> None:
        self.world = World()
        self.old = self.world.dial(0, PathKind.TUNNEL)
        self.world.settle()

    def drop_continued(self, new: WireEnd) -> None:
        """What says that the new link comes after another is not there."""
        for end in (new, new.other):
            end.coming = deque(each for each in end.coming if each[0] != FrameKind.CONTINUED)

    def agree(self, new: WireEnd) -> None:
        """Both ends agree on the new link; nothing that is sent after that arrives yet."""
        world = self.world
        for end in (self.old, self.old.other):
            end.reading = False
        while self.old.heir is None or self.old.other.heir is None:
            ready = [each for each in world.ready() if each.coming[0][0] in HANDSHAKE]
            world.deliver(ready[0])

    def test_frame_without_continued_resets_both_ends(self) -> None:
        """The peer counts the new link as its first, so frames are missing here."""
        new = self.world.dial(0, PathKind.DIRECT)
        self.agree(new)
        self.drop_continued(new)
        self.world.ends[1].send(new.other)
        while new.coming:
            self.world.deliver(new)
        self.assertEqual(self.world.ends[0].events[-1], "anew")
        self.assertEqual(self.world.ends[0].sessions[-1], [])
        self.old.reading = self.old.other.reading = True
        self.world.settle()
        self.assertEqual(self.world.ends[1].events[-1], "anew")
        self.check_at_rest(self.world)

    def test_leaving_without_continued_resets_both_ends(self) -> None:
        """The peer has left the new link for another, and has sent nothing on it."""
        new = self.world.dial(0, PathKind.DIRECT)
        self.agree(new)
        self.drop_continued(new)
        newest = self.world.dial(0, PathKind.MAPPED)
        while new.other.heir is None:
            ready = [each for each in self.world.ready() if each.coming[0][0] in HANDSHAKE]
            self.world.deliver(ready[0])
        while new.coming:
            self.world.deliver(new)
        self.assertEqual(self.world.ends[0].events[-1], "anew")
        self.old.reading = self.old.other.reading = True
        self.world.settle()
        self.assertIs(self.world.live()[0], newest)
        self.check_at_rest(self.world)

    def test_old_link_is_used_again_when_the_new_one_is_lost(self) -> None:
        """
        The end that decides has lost the new link before the acknowledgement came, and decides for the old
        one again, which the other end has left.
        """
        small, great = self.world.ends
        small.send(self.old)
        new = self.world.dial(0, PathKind.DIRECT)
        while self.old.other.heir is None:
            ready = [each for each in self.world.ready() if each.coming[0][0] in HANDSHAKE]
            self.world.deliver(ready[0])
        great.send(new.other)
        small.links.close(new, CloseReason.HELLO_TIMEOUT)
        self.old.send(FrameKind.CONFIRMATION, encode(Confirmation(1 << 60, LinkUse.DIRECT, False)))
        small.send(self.old)
        while self.old.other.coming:
            self.world.deliver(self.old.other)
        assert great.peer is not None
        self.assertIs(great.peer.link, self.old.other)
        self.assertEqual(great.events, ["gained", "changed", "anew", "changed"])
        great.send(new.other)  # as an application does that has kept it
        self.world.settle()
        self.assertEqual(small.events, ["gained", "anew"])
        self.assertIs(small.sessions[-1][0][0], great.session)
        self.check_at_rest(self.world)
