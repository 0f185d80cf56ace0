"""The planted bugs can be planted; whether they are caught takes too long for here: see C{__main__}."""

from __future__ import annotations

from pathlib import Path

from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

import routing_crust

from .catalogue import MUTANTS
from .mutant import Forker, Mutant, StaleMutant

HERE = Path(routing_crust.__file__).parent


class CatalogueTests(SynchronousTestCase):
    def test_every_bug_can_be_planted(self) -> None:
        """The text that it replaces is there once, and the result is valid Python."""
        stale = []
        for mutant in MUTANTS:
            text = (HERE / mutant.module).read_text(encoding="utf-8")
            try:
                compile(mutant.planted(text), mutant.module, "exec")
            except StaleMutant as error:
                # all of them at once, since who has moved one line has moved others
                stale.append(str(error))
        self.assertEqual(stale, [])

    def test_every_bug_has_its_own_name_and_tests_that_are_there(self) -> None:
        """There are many, each with a name of its own and with tests that are there."""
        self.assertGreaterEqual(len(MUTANTS), 20)
        self.assertEqual(len({each.name for each in MUTANTS}), len(MUTANTS))
        for mutant in MUTANTS:
            for test in mutant.tests:
                namedAny(test)

    def test_bug_whose_text_is_missing_or_doubled_is_refused(self) -> None:
        mutant = Mutant("nothing", "names.py", "x", "y", ())
        with self.assertRaisesRegex(StaleMutant, r"names\.py 0 times"):
            mutant.planted("abc")
        with self.assertRaisesRegex(StaleMutant, "2 times"):
            mutant.planted("x and x")


class RunTests(SynchronousTestCase):
    def test_planted_bug_makes_a_test_fail_that_passes_without(self) -> None:
        """A bug in a copy makes a test fail there, and the same test passes without it."""
        tests = ("tests.routing.messaging.test_duplicates",)
        bug = Mutant(
            "everything is new", "routing/messaging/duplicates.py", "if key in keys:", "if False:", tests
        )
        forker = Forker()
        self.addCleanup(forker.close)
        outcome = forker.run(tests, bug)
        self.assertFalse(outcome.passed)
        self.assertIn("tests.routing.messaging.test_duplicates.", outcome.caught_by)
        self.assertTrue(forker.run(tests).passed)

    def test_tree_is_not_changed_by_a_bug(self) -> None:
        """The copy shares its files with the tree, all but the one with the bug in it."""
        path = HERE / "names.py"
        before = path.read_bytes()
        bug = Mutant("no length is right", "names.py", "!= NAME_BYTES:", "!= 0:", ())
        forker = Forker()
        self.addCleanup(forker.close)
        self.assertFalse(forker.run(("tests.test_names",), bug).passed)
        self.assertEqual(path.read_bytes(), before)

    def test_run_that_hangs_is_ended_and_the_next_one_is_not(self) -> None:
        tests = ("tests.test_names",)
        forker = Forker()
        self.addCleanup(forker.close)
        self.assertEqual(forker.run(tests, seconds=0.0).caught_by, "it hung for 0 s")
        self.assertTrue(forker.run(tests).passed)
