"""What a peer can make us hold back, wait for and do during a handover."""

from __future__ import annotations

from msgspec import Struct

from routing_crust.endpoints import PathKind
from routing_crust.errors import CloseReason, WireError
from routing_crust.routing.links import handover
from routing_crust.routing.links.handover import HANDOVER_TIMEOUT_SECONDS
from routing_crust.routing.links.peer_links import MAX_RESETS_PER_LINK
from routing_crust.wire.codec import encode
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import Contacts, Continued, Switched, View

from .handover_world import GREAT, End, WireEnd, World, WorldTests


class BoundTests(WorldTests):
    """Bounds on what a peer can make us hold back, wait for and do."""

    def setUp(self) -> None:
        self.patch(handover, "MAX_HELD_BYTES", 64 * 1024)
        self.world = World()
        self.old = self.world.dial(0, PathKind.TUNNEL)
        self.world.settle()

    def switch(self, held: bool = True) -> WireEnd:
        """
        Another link, by which both ends are linked; returns the end of the one that dialled it.

        @param held: whether nothing comes over the old one.
        """
        new = self.world.dial(0, PathKind.DIRECT)
        self.old.reading = self.old.other.reading = not held
        self.world.settle()
        self.old.reading = self.old.other.reading = True
        return new

    def both(self) -> list[tuple[End, WireEnd]]:
        """Each node, and its end of the old link."""
        return [(self.world.ends[end.which], end) for end in (self.old, self.old.other)]

    def send(self, kind: FrameKind, message: Struct, link: WireEnd) -> None:
        """Send something that the other end does not expect."""
        link.other.coming.append((kind, encode(message)))

    def refused(self, kind: FrameKind, message: Struct, link: WireEnd, times: int = 1) -> None:
        """The peer is cut off when it has sent this on a link for the last of these times."""
        for _ in range(times):
            self.send(kind, message, link)
        self.assertRaises(WireError, self.world.settle)
        self.world.pass_time(1)
        self.assertEqual(self.world.ends[link.other.which].events[-1], "lost")

    def test_new_link_is_not_read_beyond_switch_memory(self) -> None:
        """More than C{MAX_HELD_BYTES} is not held back: the new link is not read until it is its turn."""
        new = self.switch()
        sender, _ = self.both()[0]
        receiver = self.world.ends[1]
        self.old.other.reading = False
        for _ in range(700):
            sender.send(new)
        self.world.settle()
        self.assertFalse(new.other.reading)
        self.assertGreater(len(new.other.coming), 100)
        self.assertEqual(receiver.sessions[-1], [])
        self.old.other.reading = True
        self.world.settle()
        self.assertTrue(new.other.reading)
        self.assertEqual(len(receiver.sessions[-1]), 700)
        self.check_at_rest(self.world)

    def test_new_link_is_read_again_if_the_old_one_times_out(self) -> None:
        """The reset after the timeout frees the memory for which the new link was paused."""
        new = self.switch()
        self.old.other.reading = False
        for _ in range(700):
            self.world.ends[0].send(new)
        self.world.settle()
        self.assertFalse(new.other.reading)
        self.world.clock.advance(HANDOVER_TIMEOUT_SECONDS)
        self.old.other.reading = True
        self.world.settle()
        self.assertTrue(new.other.reading)
        self.assertEqual([end.events[-1] for end in self.world.ends], ["anew", "anew"])
        self.check_at_rest(self.world)

    def test_link_is_read_on_after_the_last_frame_that_was_held_back(self) -> None:
        """Else what the peer says last on a link that it has left would never be read."""
        new = self.switch()
        self.old.other.reading = False
        for _ in range(700):
            self.world.ends[0].send(new)
        self.world.settle()
        self.world.dial(0, PathKind.MAPPED)
        self.world.settle()
        self.assertFalse(new.other.reading)
        while new.other.coming:  # they were on their way when reading was paused
            self.world.deliver(new.other)
        self.old.other.reading = True
        self.world.settle()
        self.assertTrue(new.other.reading)
        self.check_at_rest(self.world)

    def test_peer_that_leaves_its_only_link_is_cut_off(self) -> None:
        """A peer that leaves its link has another, or is cut off in time."""
        self.send(FrameKind.SWITCHED, Switched(False), self.old)
        self.world.settle()
        self.world.pass_time(HANDOVER_TIMEOUT_SECONDS - 1)
        self.assertEqual(len(self.world.live()), 1)
        self.world.pass_time(2)
        self.assertEqual(self.old.other.closed, CloseReason.STALLED)
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_second_leaving_of_a_link_is_refused(self) -> None:
        self.refused(FrameKind.SWITCHED, Switched(False), self.old, times=2)

    def test_acknowledgement_before_we_leave_is_refused(self) -> None:
        """Everything cannot have come before we have left the link."""
        self.refused(FrameKind.SWITCHED, Switched(True), self.old)

    def test_frame_on_a_link_that_the_peer_left_is_refused(self) -> None:
        self.send(FrameKind.SWITCHED, Switched(False), self.old)
        self.refused(FrameKind.CONTACTS, Contacts(()), self.old)

    def test_leaving_a_link_that_was_never_agreed_on_is_refused(self) -> None:
        """A link that came up, but has not taken the place of another."""
        self.world.dial(0, PathKind.TUNNEL)
        self.world.settle()
        new = self.world.wires[-1]
        if new in self.world.live():
            self.refused(FrameKind.SWITCHED, Switched(False), new)
        else:
            self.assertEqual(self.world.live(), [self.old])

    def test_peer_that_resets_too_often_is_cut_off(self) -> None:
        """Each reset costs us the frames on their way and the state of the layers above."""
        self.old.closed = CloseReason.UNKNOWN  # so that it does not answer itself
        for view in range(1, MAX_RESETS_PER_LINK + 1):
            self.send(FrameKind.ANEW, View(view), self.old)
        self.world.settle()
        events = self.world.ends[1].events
        self.assertEqual(events, ["gained"] + ["anew"] * MAX_RESETS_PER_LINK)
        self.refused(FrameKind.ANEW, View(MAX_RESETS_PER_LINK + 1), self.old)

    def test_second_continued_on_a_link_is_refused(self) -> None:
        """A link comes after one other."""
        self.send(FrameKind.CONTINUED, Continued(bytes(16), 0), self.old)
        self.world.settle()
        self.assertEqual(self.world.ends[1].events, ["gained", "anew"])
        self.check_at_rest(self.world)
        self.refused(FrameKind.CONTINUED, Continued(bytes(16), 0), self.old)

    def test_older_view_is_ignored(self) -> None:
        """An ANEW that was sent before the peer knew our view means nothing."""
        self.send(FrameKind.ANEW, View(7), self.old)
        self.send(FrameKind.ANEW, View(3), self.old)
        self.world.settle()
        self.assertEqual(self.world.ends[1].events, ["gained", "anew"])

    def test_anew_on_a_link_that_both_left_is_refused(self) -> None:
        """A peer can come back only to a link that both ends have agreed on again."""
        self.switch()
        self.send(FrameKind.ANEW, View(1), self.old)
        self.assertRaises(WireError, self.world.settle)

    def test_unknown_frame_is_held_back_and_closes_all_links(self) -> None:
        """When its turn comes, it closes the current link, and the others of the line with it."""
        new = self.switch()
        self.old.other.reading = False
        new.other.coming.append((127, b""))
        self.world.settle()
        self.assertEqual(len(self.world.live()), 2)
        self.old.other.reading = True
        self.world.pass_time(1)
        self.assertEqual(new.other.closed, CloseReason.PROTOCOL_ERROR)
        self.assertEqual(self.world.live(), [])
        self.assertEqual([end.events[-1] for end in self.world.ends], ["lost", "lost"])

    def test_contacts_are_held_back_until_their_turn(self) -> None:
        """Every frame that is not of the handshake waits."""
        new = self.switch()
        heard: list[bytes] = []
        self.world.ends[1].links.handle_frames(
            (FrameKind.CONTACTS,), lambda link, kind, payload: heard.append(payload)
        )
        self.old.other.reading = False
        self.send(FrameKind.CONTACTS, Contacts(()), new)
        self.world.settle()
        self.assertEqual(heard, [])
        self.old.other.reading = True
        self.world.settle()
        self.assertEqual(heard, [encode(Contacts(()))])

    def test_stop_in_the_middle_leaves_no_timer(self) -> None:
        """A stop in the middle leaves no timer."""
        self.switch()
        self.old.reading = False
        for end in self.world.ends:
            end.links.stop()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])
        self.world.settle()

    def test_drop_of_all_links_is_one_loss(self) -> None:
        """All links to a peer are dropped at once, which is one loss."""
        self.switch()
        self.old.reading = self.old.other.reading = False
        self.world.ends[0].links.drop(GREAT.name, CloseReason.NO_LONGER_NEEDED)
        self.assertEqual(self.world.ends[0].events[-2:], ["changed", "lost"])
        self.world.settle()
        self.old.reading = self.old.other.reading = True
        self.world.pass_time(1)
        self.assertEqual(self.world.ends[1].events[-1], "lost")
        self.assertNotIn("anew", [*self.world.ends[0].events, *self.world.ends[1].events])
        self.assertEqual(self.world.live(), [])

    def test_restarted_peer_has_one_new_link(self) -> None:
        """The older links of a peer that has restarted are gone at once, and the frames on their way too."""
        self.switch()
        self.old.reading = self.old.other.reading = False
        great = self.world.ends[1]
        great.links.stop()
        self.world.ends[1] = End(self.world, 1, self.world.settings, incarnation=2)
        self.world.dial(1, PathKind.DIRECT)
        self.world.settle()
        self.old.reading = self.old.other.reading = True
        self.world.pass_time(1)
        self.assertEqual(self.world.ends[0].events[-3:], ["changed", "lost", "gained"])
        self.check_at_rest(self.world)
