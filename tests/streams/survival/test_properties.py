"""
Two ends against the model of L{tests.streams.multiplexing.test_mux_properties}, with links that are lost and
made at any point: each end gets what the other has written, once and in order, as if nothing had happened.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.streams.multiplexing import resets
from routing_crust.wire.framing import FrameDecoder

from ..ends import Pair
from ..multiplexing.test_mux_properties import SETTINGS, Machine, User, ends
from .ends import SurvivingPair


class SurvivingMachine(Machine):
    """What an end sends reaches the other only while both have the link that it was sent over."""

    ends: Any

    def make_pair(self) -> Pair:
        return SurvivingPair(**SETTINGS)

    def both(self) -> bool:
        return all(each.connected for each in self.ends)

    def drop(self) -> None:
        """What was on its way is lost, cut anywhere."""
        for wire in self.wires:
            wire.source.out.clear()
            wire.bytes.clear()
            wire.decoder = FrameDecoder(
                65536,
                lambda _, kind, payload, end=wire.target: end.receive(kind, payload),
                None,
                lambda *_: None,
            )

    @rule(end=ends)
    def lose(self, end: int) -> None:
        """One end notices that the link is gone; the other may notice later."""
        if self.ends[end].connected and self.together:
            self.drop()
            self.together = False
            self.ends[end].lose()

    together = True

    @precondition(lambda self: not self.together)
    @rule(first=ends)
    def join(self, first: int) -> None:
        """A new link is there, at one end before the other."""
        for end in self.ends:
            if end.connected:
                end.lose()
        for number in (first, 1 - first):
            self.ends[number].gain()
        self.together = True

    def deliver(self, end: int, count: int) -> None:
        if self.together:
            self.wires[end].move(count)

    def settle(self) -> None:
        if not self.together:
            self.join(0)
        super().settle()

    deliver = rule(end=ends, count=Machine.COUNTS)(deliver)
    settle = rule()(settle)

    def nothing_is_left(self) -> None:
        self.pair.clock.advance(2)
        self.settle()
        super().nothing_is_left()
        for end in self.ends:
            assert len(end.peer._session.journal) == 0
            assert end.peer._session.journal.size == 0

    def history(self, user: User) -> None:
        assert not any(event[0] == "lost" for event in user.handler.events)
        super().history(user)


class PropertyTests(SynchronousTestCase):
    def test_streams_notice_nothing_of_lost_links(self) -> None:
        self.patch(resets, "MAX_STREAM_RESETS", 1000)
        test = SurvivingMachine.TestCase
        test.settings = hypothesis_settings(max_examples=150, stateful_step_count=60, deadline=None)
        test("runTest").debug()
