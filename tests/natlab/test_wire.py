"""The wires with delay and loss, without a laboratory."""

from __future__ import annotations

import os
import socket
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from .wire import Frames, carry, give, take


class FramesTests(SynchronousTestCase):
    def test_frames_arrive_in_order_when_their_time_has_come(self) -> None:
        """Frames arrive in order, each when its time has come."""
        frames = Frames(0.5, 0.0, Random(1))
        self.assertIsNone(frames.wait(9.0))
        frames.add(10.0, 3, b"one")
        frames.add(10.25, 4, b"two")
        self.assertEqual((frames.wait(10.25), frames.arrived(10.25)), (0.25, []))
        self.assertEqual(frames.arrived(10.5), [(3, b"one")])
        self.assertEqual(frames.wait(11.0), 0.0)
        self.assertEqual(frames.arrived(11.0), [(4, b"two")])
        self.assertIsNone(frames.wait(11.0))

    def test_given_share_of_frames_is_lost(self) -> None:
        """About that share is lost; all, or none, if it says so."""
        for loss, least, most in ((0.0, 1000, 1000), (0.2, 700, 900), (1.0, 0, 0)):
            frames = Frames(0.0, loss, Random(1))
            for _ in range(1000):
                frames.add(0.0, 3, b"")
            self.assertTrue(least <= len(frames.arrived(0.0)) <= most, loss)

    def test_frames_beyond_the_bound_are_lost(self) -> None:
        frames = Frames(1.0, 0.0, Random(1))
        for _ in range(10_001):
            frames.add(0.0, 3, b"")
        self.assertEqual(len(frames.arrived(1.0)), 10_000)

    def test_frames_wait_for_those_before_them_where_there_is_a_rate(self) -> None:
        """Each end has a wire of its own, so those to another one do not wait."""
        frames = Frames(0.5, 0.0, Random(1))
        frames.change(0.5, 0.0, 100.0)
        for end in (3, 3, 4):
            frames.add(10.0, end, bytes(50))
        self.assertEqual([end for end, _ in frames.arrived(11.0)], [3, 4])
        self.assertEqual([end for end, _ in frames.arrived(11.5)], [3])

    def test_frames_that_would_wait_for_too_long_are_lost(self) -> None:
        frames = Frames(0.0, 0.0, Random(1))
        frames.change(0.0, 0.0, 100.0)
        for _ in range(5):
            frames.add(10.0, 3, bytes(50))
        self.assertEqual(len(frames.arrived(99.0)), 4)

    def test_frames_do_not_overtake_those_of_a_longer_wire(self) -> None:
        frames = Frames(5.0, 0.0, Random(1))
        frames.add(10.0, 3, b"one")
        frames.change(0.0, 0.0, 1e6)
        frames.add(11.0, 3, b"two")
        self.assertEqual(frames.arrived(14.0), [])
        self.assertEqual(frames.arrived(15.0), [(3, b"one"), (3, b"two")])


class CarryTests(SynchronousTestCase):
    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Two ends that keep the bounds of what is sent, as devices do."""
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for each in pair:
            each.setblocking(False)
            self.addCleanup(each.close)
        return pair

    def test_frames_go_both_ways_until_the_control_descriptor_closes(self) -> None:
        """What comes in at one end goes out at the other, until the control descriptor is closed."""
        (left, one), (right, other) = self.pair(), self.pair()
        ends, running = os.pipe()
        self.addCleanup(os.close, ends)
        left.send(b"to the right")
        left.send(b"and more")
        right.send(b"to the left")
        now = [0.0]

        def clock() -> float:
            # it is asked once before each wait, for each of the frames, and when they may have arrived
            now[0] += 1.0
            if now[0] == 6.0:
                os.close(running)
            return now[0]

        carry(Frames(1.0, 0.0, Random(1)), [one.fileno(), other.fileno()], ends, clock)
        self.assertEqual([right.recv(99), right.recv(99)], [b"to the right", b"and more"])
        self.assertEqual(left.recv(99), b"to the left")

    def test_line_changes_the_wires_and_the_last_one_counts(self) -> None:
        _, one = self.pair()
        _, other = self.pair()
        ends, orders = os.pipe()
        self.addCleanup(os.close, ends)
        os.write(orders, b"0.0 0.0 inf\n0.0 1.0 inf\n")
        os.close(orders)
        frames = Frames(0.0, 0.0, Random(1))
        carry(frames, [one.fileno(), other.fileno()], ends, lambda: 0.0)
        frames.add(0.0, 3, b"lost")
        self.assertEqual(frames.arrived(0.0), [])

    def test_frame_that_is_not_taken_is_lost(self) -> None:
        """A read finds nothing where nothing was sent."""
        one, other = self.pair()
        self.assertEqual(take(one.fileno()), [])
        other.close()
        give(one.fileno(), b"lost")
