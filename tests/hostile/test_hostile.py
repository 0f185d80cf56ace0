"""
A live daemon, and a client that does not keep to the protocol: every breach, and all floods at once.
"""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from . import (  # noqa: F401  they add their behaviours
    breaches,
    breaches_of_attached,
    breaches_of_doors,
    breaches_of_streams,
    floods,
    floods_of_doors,
    floods_of_links,
)
from .behaviour import BEHAVIOURS, KEPT
from .measure import Outcome, Stage

MAX_GROWTH_BYTES = 192 * 1024 * 1024
"""Of the daemon's memory while all floods come at once: all of its buffers for peers together are smaller."""


class HostileTests(TestCase):
    async def play(self, names: list[str], seconds: float, private: bool = False) -> Outcome:
        """Play behaviours against a daemon of their own, and have honest peers reach it afterwards."""
        stage = Stage(private)
        self.addCleanup(stage.end)
        await stage.begin()
        outcome = await stage.play([BEHAVIOURS[each] for each in names], seconds, newcomers=False)
        await stage.honest_request()
        await stage.honest_newcomer()
        self.assertEqual([line for line in outcome.log if "Traceback" in line or "Unhandled" in line], [])
        return outcome

    async def test_each_breach_closes_its_connection_or_is_ignored_as_documented(self) -> None:
        names = [each.name for each in BEHAVIOURS.values() if not each.flood]
        outcome = await self.play(names, 1.0)
        self.assertGreater(len(names), 50)
        wrong = {
            name: reaction
            for name, reaction in zip(names, outcome.reactions, strict=True)
            if (reaction == KEPT) is not BEHAVIOURS[name].tolerated
        }
        self.assertEqual(wrong, {})

    async def test_stranger_gets_nothing_past_the_hello_of_a_private_network(self) -> None:
        """What an open network tolerates is refused as well."""
        names = [each.name for each in BEHAVIOURS.values() if each.tolerated]
        outcome = await self.play(names, 1.0, private=True)
        self.assertGreater(len(names), 5)
        self.assertEqual([reaction for reaction in outcome.reactions if reaction == KEPT], [])
        self.assertTrue([line for line in outcome.log if "it has to be invited" in line])

    async def test_a_daemon_outlives_all_floods_at_once(self) -> None:
        names = [each.name for each in BEHAVIOURS.values() if each.flood]
        outcome = await self.play(names, 6.0)
        self.assertGreater(len(names), 20)
        kept_out = [each for each in outcome.reactions if floods_of_doors.KEPT_OUT in each]
        self.assertEqual(kept_out, [])
        self.assertLess(outcome.memory, MAX_GROWTH_BYTES)
