"""Losses of links from seeds, as the command plays them."""

from __future__ import annotations

import io
import sys

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.streams.multiplexing import resets
from routing_crust.streams.survival.session import StreamSession

from .__main__ import main


class SeedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(resets, "MAX_STREAM_RESETS", 1000)
        self.out, self.err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)

    def test_every_seed_holds(self) -> None:
        """The command plays as many as it is told to: 20,000 take a minute of one core."""
        self.assertEqual(main(["--seeds", "300"]), 0)
        self.assertIn("300 held, 0 did not", self.out.getvalue())

    def test_seed_that_does_not_hold_is_named(self) -> None:
        """One frame too few is sent again."""
        count = StreamSession.count
        self.patch(StreamSession, "count", lambda session, size: count(session, size) and bool(size % 7))
        self.assertEqual(main(["--seeds", "3", "--first", "10"]), 1)
        self.assertIn("seed 1", self.err.getvalue())
