"""A host that sleeps while it looks for a peer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.history import History
from routing_crust.names import Name
from routing_crust.routing.absence.absence_watch import FIRST_LOOK_SECONDS, AbsenceWatch
from routing_crust.routing.absence.group_word import Word
from routing_crust.routing.members import OPEN

PEER, OTHER = Name(b"\x01" * 32), Name(b"\x02" * 32)


class SleepTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.given: list[float] = []
        node: Any = SimpleNamespace(
            clock=self.clock,
            crust=SimpleNamespace(history=History(self.clock.seconds)),
            settings=Settings(),
            members=OPEN,
            brief=str,
        )
        group: Any = SimpleNamespace(ask=self.ask)
        addresses: Any = SimpleNamespace(knock=self.knock)
        self.watch = AbsenceWatch(node, group, addresses, lambda name: False)
        self.addCleanup(self.watch.stop)

    async def ask(self, name: Name, seconds: float) -> Word:
        self.clock.rightNow += 3600
        return Word(frozenset({OTHER}), {OTHER})

    async def knock(self, name: Name, seconds: float) -> tuple[()]:
        self.given.append(seconds)
        return ()

    def test_dials_get_no_time_if_the_host_slept_while_the_group_was_asked(self) -> None:
        """And no time below 0, which no clock takes."""
        self.watch.watch(PEER, lambda problem: None)
        self.clock.advance(FIRST_LOOK_SECONDS)
        self.assertEqual(set(self.given), {0.0})
