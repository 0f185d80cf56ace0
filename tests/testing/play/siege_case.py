"""A test with a siege of which it plays only a part."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.testing.play.siege import Siege, SiegePlan


class SiegeTestCase(SynchronousTestCase):
    def grown_siege(self, plan: SiegePlan) -> Siege:
        """A siege whose honest nodes have joined; it is given up after the test."""
        siege = Siege(plan)
        self.addCleanup(siege.invariants.abandon)
        self.addCleanup(siege.network.stop)
        siege.grow()
        return siege
