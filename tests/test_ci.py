"""The checks of C{.ci}: what they count, what counts as a failure, and the order in which steps start."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

CI = Path(__file__).resolve().parent.parent / ".ci"
TESTS = CI.parent / "tests"
MODULES = [each for each in TESTS.rglob("*.py") if each.name.startswith("test_")]
PASSED = """
[SKIPPED]
this takes root

tests.natlab.test_pairs
[SKIPPED]
this takes root

tests.natlab.test_kinds
-------------------------------------------------------------------------------
Ran 12 tests in 3.210s

PASSED (skips=2, successes=10)
"""


class CiTestCase(SynchronousTestCase):
    """Tests of programs that are in the tree only."""

    def setUp(self) -> None:
        if not CI.is_dir():
            raise SkipTest("the checks are not installed with the tests")
        self.patch(sys, "path", [str(CI), *sys.path])
        self.checks: Any = import_module("checks")
        self.runner: Any = import_module("runner")
        self.machine: Any = import_module("machine")
        self.selection: Any = import_module("selection")
        self.counts: Any = import_module("trial_output")
        self.printed = StringIO()
        self.patch(sys, "stdout", self.printed)

    def step(self, name: str, action: Any = lambda job: None, *needs: str, lanes: int = 0) -> Any:
        return self.runner.Step(name, action, needs, lanes)


class CountingTests(CiTestCase):
    def test_tests_that_passed_and_reasons_of_skips_are_counted(self) -> None:
        counts = self.counts.read_counts(PASSED)
        self.assertEqual((counts.ran, counts.passed, counts.failed), (12, 10, 0))
        self.assertEqual(counts.not_run, (("this takes root", 2),))
        self.assertEqual(counts.problem(12), "")

    def test_failures_errors_and_unexpected_successes_all_count_as_failed(self) -> None:
        text = "Ran 9 tests in 1.0s\n\nFAILED (failures=1, errors=2, unexpectedSuccesses=3, successes=3)\n"
        counts = self.counts.read_counts(text)
        self.assertEqual((counts.passed, counts.failed), (3, 6))
        self.assertEqual(counts.problem(9), "6 tests failed")

    def test_failed_tests_are_named_each_with_its_reason_but_not_skipped_ones(self) -> None:
        names = [f"tests.natlab.test_pairs.PairTests.test_{each}" for each in "abcdefg"]
        skipped = f"{'=' * 79}\n[SKIPPED]\nthis takes root\n\ntests.natlab.test_kinds.KindTests.test_kind\n"
        listed = "".join(f"{'=' * 79}\n[FAIL]\nTraceback:\n  x\nwhy {each[-1]}\n\n{each}\n" for each in names)
        blamed = [f"{each} (why {each[-1]})" for each in names]
        for many, text in ((1, blamed[0]), (7, ", ".join([*blamed[:5], "..."]))):
            head = listed if many == 7 else listed[: listed.index(names[0]) + len(names[0]) + 1]
            counts = self.counts.read_counts(
                f"{skipped}{head}Ran 9 tests in 1.0s\n\nFAILED (failures={many})\n"
            )
            self.assertEqual(counts.problem(9), f"{many} tests failed: {text}")

    def test_unexpected_success_fails_a_run_that_trial_calls_passed(self) -> None:
        text = "Ran 2 tests in 1.0s\n\nPASSED (unexpectedSuccesses=1, successes=1)\n"
        self.assertEqual(self.counts.read_counts(text).problem(2), "1 tests failed")

    def test_run_without_summary_is_a_failure(self) -> None:
        self.assertEqual(self.counts.read_counts("Segmentation fault").problem(0), "trial gave no summary")

    def test_run_in_which_nothing_passed_is_a_failure(self) -> None:
        for text in ("Ran 0 tests in 0.0s\n\nPASSED\n", "Ran 3 tests in 0.0s\n\nPASSED (skips=3)\n"):
            self.assertEqual(self.counts.read_counts(text).problem(0), "no test passed")

    def test_run_of_fewer_tests_than_there_are_is_a_failure(self) -> None:
        problem = self.counts.read_counts(PASSED).problem(13)
        self.assertEqual(problem, "there are 13 tests, and 12 were run")

    def test_last_summary_counts_when_a_test_prints_one(self) -> None:
        text = f"FAILED (failures=1)\n{PASSED}"
        self.assertEqual(self.counts.read_counts(text).passed, 10)

    def test_output_of_failed_tests_is_shown_from_their_list_on(self) -> None:
        lines = ["a test ... [FAIL]", "=" * 79, "[FAIL]", "why"]
        self.assertEqual(self.counts.what_went_wrong("\n".join(lines)), "\n".join(lines[1:]))
        self.assertEqual(self.counts.what_went_wrong("1\n2\n3\n4", most=4), "3\n4")


class PlantedBugTests(CiTestCase):
    def problem(self, output: str, status: int) -> str:
        """What the step of the planted bugs says when its command has printed this."""
        checks = self.checks.Checks(Path("work"), everything=False)
        job = self.runner.Job(self.step("planted bugs", checks.planted_bugs), Path("log"), {}, status=status)
        self.patch(self.runner.Job, "run", lambda *_, **__: output)
        job.work()
        problem: str = job.problem
        return problem

    def test_bugs_that_were_not_caught_are_named_at_the_end(self) -> None:
        output = "a bug   NOT CAUGHT\nanother   tests.test_x\nnot caught: a bug\n1 of 2 bugs were caught\n"
        self.assertEqual(self.problem(output, 1), "not caught: a bug")

    def test_command_that_fails_otherwise_is_a_failure(self) -> None:
        self.assertEqual(self.problem("Killed", -9), "exit status -9")
        self.assertEqual(self.problem("2 of 2 bugs were caught", 0), "")


class OrderTests(CiTestCase):
    def startable(self, steps: list[Any], running: list[Any], good: set[str], cores: int = 2) -> list[str]:
        return [each.name for each in self.runner.startable(steps, running, good, cores)]

    def test_step_waits_for_what_it_needs(self) -> None:
        steps = [self.step("b", None, "a"), self.step("c")]
        self.assertEqual(self.startable(steps, [], set()), ["c"])
        self.assertEqual(self.startable(steps, [], {"a"}), ["b", "c"])

    def test_steps_that_come_first_share_the_cores_and_no_more(self) -> None:
        all_of_it, half, other = (
            self.step(each, lanes=lanes) for each, lanes in (("all", 2), ("half", 1), ("other", 1))
        )
        self.assertEqual(self.startable([all_of_it, half], [], set()), ["all"])
        self.assertEqual(self.startable([half], [all_of_it], set()), [])
        self.assertEqual(self.startable([half, other, all_of_it], [], set()), ["half", "other"])
        self.assertEqual(self.startable([all_of_it, other], [half], set()), ["other"])

    def test_as_many_steps_compute_as_there_are_cores(self) -> None:
        steps = [self.step(each) for each in "abc"]
        suite = self.step("suite", lanes=2)
        self.assertEqual(self.startable([*steps, suite], [], set()), ["a", "b", "suite"])
        self.assertEqual(self.startable(steps[1:], [suite, steps[0]], set()), ["b"])

    def test_chosen_step_brings_what_it_needs(self) -> None:
        steps = [self.step("a"), self.step("b"), self.step("c", None, "a"), self.step("cd", None, "c")]
        self.assertEqual([each.name for each in self.runner.with_needs(steps, "d")], ["a", "c", "cd"])

    def test_table_in_which_a_step_needs_one_below_it_is_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, "'b' needs"):
            self.runner.check_table([self.step("b", None, "a"), self.step("a")])

    def test_table_with_two_steps_of_one_name_is_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, "two steps"):
            self.runner.check_table([self.step("a"), self.step("a")])


class RunTests(CiTestCase):
    def run_steps(self, *steps: Any) -> tuple[int, list[str]]:
        """
        Run them in a folder of their own.

        @return: the exit status, and the lines that were printed.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        result = self.runner.run_steps(steps, folder, {"PATH": "/usr/bin:/bin"}, cores=2)
        status: int = result.end()
        return status, self.printed.getvalue().splitlines()

    def suite(self, output: str, expected: int) -> Any:
        """A step of tests that have printed this."""

        def action(job: Any) -> None:
            job.counts = self.counts.read_counts(output)
            if job.counts.problem(expected):
                raise self.runner.StepFailed(job.counts.problem(expected))

        return self.step("tests", action)

    def test_last_line_has_the_tests_that_passed(self) -> None:
        status, lines = self.run_steps(self.suite(PASSED, 12), self.step("mypy"))
        self.assertEqual((status, lines[-1]), (0, "10 passed, 0 failed"))
        self.assertIn("        not run: 2 of this takes root", lines)

    def test_failing_command_fails_the_run_and_its_output_is_shown(self) -> None:
        code = "print('so that is why'); raise SystemExit(3)"
        step = self.step("broken", lambda job: job.run(sys.executable, "-c", code))
        status, lines = self.run_steps(self.suite(PASSED, 12), step)
        self.assertEqual((status, lines[-1]), (1, "10 passed, 1 failed"))
        self.assertIn("    | so that is why", lines)
        self.assertIn("failed:  broken (exit status 3)", lines)

    def test_each_failed_test_counts(self) -> None:
        failed = "Ran 9 tests in 1.0s\n\nFAILED (failures=2, successes=7)\n"
        status, lines = self.run_steps(self.suite(failed, 9))
        self.assertEqual((status, lines[-1]), (1, "7 passed, 2 failed"))

    def test_missing_tests_count_as_one_failure(self) -> None:
        status, lines = self.run_steps(self.suite(PASSED, 13))
        self.assertEqual((status, lines[-1]), (1, "10 passed, 1 failed"))

    def test_mistake_in_a_check_is_a_failure(self) -> None:
        status, lines = self.run_steps(self.step("wrong", lambda job: 1 / 0))
        self.assertEqual((status, lines[-1]), (1, "0 passed, 1 failed"))
        self.assertIn("ZeroDivisionError", "".join(lines))

    def test_step_whose_need_has_failed_is_not_started_and_counts(self) -> None:
        started: list[str] = []
        steps = [
            self.step("first", lambda job: 1 / 0),
            self.step("second", started.append, "first"),
            self.step("third", started.append, "second"),
        ]
        status, lines = self.run_steps(*steps)
        self.assertEqual((status, lines[-1], started), (1, "0 passed, 3 failed", []))

    def test_run_without_any_tests_is_a_failure(self) -> None:
        self.assertEqual(self.run_steps(self.step("mypy"))[0], 1)

    def test_command_that_takes_too_long_is_ended(self) -> None:
        code = "import signal; signal.pause()"
        step = self.step("slow", lambda job: job.run(sys.executable, "-c", code, limit=0.0))
        status, lines = self.run_steps(step)
        self.assertEqual((status, lines[-1]), (1, "0 passed, 1 failed"))
        self.assertIn("was ended after 0 s", "".join(lines))

    def test_process_is_ended_with_its_children(self) -> None:
        """All of them hold the pipe, which ends when they have ended."""
        child = "import signal; print('here', flush=True); signal.pause()"
        parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
        with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), b"here\n")
            self.runner.kill_tree(process.pid)
            self.assertEqual(process.stdout.read(), b"")

    def test_step_tells_what_its_commands_have_computed(self) -> None:
        jobs: list[Any] = []

        def action(job: Any) -> None:
            jobs.append(job)
            self.assertEqual(job.run("sh", "-c", "echo one; echo two >&2"), "one\ntwo\n")

        self.run_steps(self.step("words", action))
        self.assertEqual(jobs[0].problem, "")
        self.assertGreater(jobs[0].computed, 0)


class TableTests(CiTestCase):
    def table(self, everything: bool) -> list[Any]:
        self.patch(self.checks, "find_python", lambda version: f"python{version}")
        table: list[Any] = self.checks.Checks(Path("nowhere"), everything).table()
        return table

    def test_every_need_is_above_its_step(self) -> None:
        for everything in (False, True):
            self.runner.check_table(self.table(everything))

    def test_all_suites_come_before_what_only_computes(self) -> None:
        suites = [
            each for each in self.table(False) if "suite" in each.name and "coverage of" not in each.name
        ]
        self.assertTrue(all(each.lanes for each in suites))
        self.assertEqual(sum("asyncio" in each.name for each in suites), self.checks.ASYNCIO_PARTS)

    def test_no_step_needs_more_lanes_than_there_are(self) -> None:
        cores = self.checks.Checks(Path("nowhere"), everything=True).cores
        self.assertTrue(all(0 <= each.lanes <= cores for each in self.table(True)))

    def test_pip_that_serves_all_environments_is_new_enough_before_it_is_used(self) -> None:
        """That of some systems knows no C{--python}, or does not run on the newest Python."""
        commands: list[list[str]] = []
        job = SimpleNamespace(run=lambda *words: commands.append([str(each) for each in words]))
        self.patch(self.checks, "make_venv", lambda *_, **__: None)
        self.checks.Checks(Path("nowhere"), everything=False).install(job)
        self.assertEqual(commands[0], ["nowhere/venv/bin/pip", "install", "--quiet", "pip>=23.2"])

    def test_parts_on_asyncio_have_each_module_once(self) -> None:
        checks = self.checks.Checks(Path("nowhere"), everything=False)
        played: list[str] = []
        self.patch(self.checks, "test_modules", lambda _: self.selection.test_modules(TESTS))
        self.patch(self.checks, "tests_on_asyncio", lambda _: ("tests.wire", "tests.test_names"))
        self.patch(checks, "trial", lambda _job, _python, tests, *_: played.extend(tests))
        for part in range(1, self.checks.ASYNCIO_PARTS + 1):
            checks.asyncio_suite("3.13", part)(None)
        expected = [each for each in self.selection.test_modules(TESTS) if each.startswith("tests.wire.")]
        self.assertEqual(sorted(played), sorted([*expected, "tests.test_names"]))

    def test_bad_days_have_each_seed_once(self) -> None:
        for everything, seeds in ((False, 40), (True, 300)):
            checks = self.checks.Checks(Path("nowhere"), everything)
            played: list[int] = []

            def play(*options: str, played: list[int] = played) -> None:
                numbers = dict(each[2:].split("=") for each in options)
                first = int(numbers["first"])
                played += range(first, first + int(numbers["seeds"]))

            self.patch(checks, "play", lambda _job, _venv, _cwd, *options, play=play: play(*options))
            steps = [each for each in checks.on_bad_days(()) if "NAT" not in each.name]
            for step in steps:
                step.action(None)
            self.assertEqual(played, list(range(seeds)))

    def test_chosen_tests_are_there_once(self) -> None:
        for chosen in (self.checks.DIFFERS, self.checks.UNMEASURED, self.checks.tests_on_asyncio(TESTS)):
            for each in chosen:
                self.assertIsNotNone(find_spec(each), each)
                self.assertFalse(any(other.startswith(f"{each}.") for other in chosen), each)
            self.assertEqual(len(set(chosen)), len(chosen))

    def test_launcher_starts_the_checks(self) -> None:
        done = subprocess.run(["bash", CI / "run", "--list"], capture_output=True, text=True, check=True)
        self.assertIn("\nsuite with coverage\n", done.stdout)


class SelectionTests(CiTestCase):
    """Which tests are in which run."""

    def tree(self, **modules: str) -> Path:
        """A folder of tests with these modules, C{__} for a dot in their names."""
        tests = Path(self.mktemp()).absolute() / "tests"
        for name, text in modules.items():
            path = tests.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tests

    def test_two_runs_have_each_test_once(self) -> None:
        modules = self.selection.test_modules(TESTS)
        here = {".".join(path.relative_to(TESTS.parent).with_suffix("").parts) for path in MODULES}
        self.assertEqual(set(modules), here)
        measured = self.selection.without(modules, self.checks.UNMEASURED)
        others = [
            each
            for each in modules
            if any(each == room or each.startswith(f"{room}.") for room in self.checks.UNMEASURED)
        ]
        self.assertEqual(sorted((*measured, *others)), sorted(modules))
        self.assertIn("tests.test_names", measured)
        self.assertIn("tests.natlab.test_pairs", others)

    def test_module_that_imports_the_reactor_is_on_a_reactor(self) -> None:
        tree = self.tree(
            test_itself="from twisted.internet import reactor\n",
            test_inside="def test() -> None:\n    from twisted.internet import reactor\n",
            test_waits="from twisted.trial.unittest import SkipTest, TestCase\n",
            test_waits_otherwise="from twisted.trial import unittest\nclass A(unittest.TestCase): ...\n",
            test_clock="from twisted.internet.task import Clock\nfrom twisted.trial import unittest\n",
        )
        expected = ("inside", "itself", "waits", "waits_otherwise")
        self.assertEqual(self.selection.on_a_reactor(tree), tuple(f"tests.test_{each}" for each in expected))

    def test_module_whose_helper_imports_the_reactor_is_on_a_reactor(self) -> None:
        tree = self.tree(
            helper="from twisted.internet import reactor\n",
            room__near="from ..helper import something\n",
            room__test_near="from .near import something\n",
            room__test_folder="from .. import helper\n",
            test_whole="import tests.helper\n",
            test_circle="from . import circle\n",
            circle="from . import test_circle\n",
        )
        expected = ("room.test_folder", "room.test_near", "test_whole")
        self.assertEqual(self.selection.on_a_reactor(tree), tuple(f"tests.{each}" for each in expected))

    def test_every_test_that_waits_for_the_reactor_runs_on_asyncio(self) -> None:
        """What is loaded says so, too, and not its text alone."""
        chosen = self.selection.on_a_reactor(TESTS)
        for name in self.selection.without(self.selection.test_modules(TESTS), chosen):
            module = import_module(name)
            for each in vars(module).values():
                waits = isinstance(each, type) and issubclass(each, TestCase)
                self.assertFalse(waits, f"{name}: {each} is missing on asyncio")
            self.assertNotIn("reactor", vars(module), name)


class MachineTests(CiTestCase):
    def test_running_python_is_found_by_its_version(self) -> None:
        version = "{}.{}".format(*sys.version_info)
        self.assertEqual(self.machine.version_of(sys.executable), version)
        self.assertEqual(self.machine.version_of("false"), "")
        self.assertEqual(self.machine.find_python("2.0"), "")

    def test_copy_has_what_git_knows_or_would_add(self) -> None:
        source, target = (Path(self.mktemp()).absolute() for _ in range(2))
        source.mkdir()
        for each in ("known", "deleted", "new", "ignored"):
            (source / each).write_text(each)
        (source / ".gitignore").write_text("ignored\n")
        try:
            subprocess.run(["git", "init", "-q"], cwd=source, check=True)
        except FileNotFoundError:
            raise SkipTest("git is not installed") from None
        subprocess.run(["git", "add", "known", "deleted"], cwd=source, check=True)
        (source / "deleted").unlink()
        self.machine.copy_tree(source, target)
        self.assertEqual({each.name for each in target.iterdir()}, {".gitignore", "known", "new"})


class ChangesTests(CiTestCase):
    """Each file in C{changes/} becomes an entry of the news."""

    def test_fragment_is_named_by_a_number_or_a_word_and_by_a_type(self) -> None:
        """Towncrier takes a word without + for the number of an issue."""
        project = (CI.parent / "pyproject.toml").read_text()
        types = "|".join(re.findall(r'\[\[tool\.towncrier\.type\]\]\ndirectory = "(\w+)"', project))
        self.assertTrue(types)
        for path in self.fragments():
            self.assertRegex(
                path.name,
                rf"^(\d+|\+[a-z][a-z0-9-]*)\.({types})\.rst$",
                f"changes/{path.name}: call it NUMBER.TYPE.rst or +word.TYPE.rst, with TYPE one of {types}",
            )

    def test_fragment_is_a_sentence(self) -> None:
        for path in self.fragments():
            text = path.read_text(encoding="utf-8").strip()
            self.assertRegex(text, r"(?s)^[A-Z`].*[.:)]$", f"changes/{path.name}: write a sentence or two")

    def fragments(self) -> list[Path]:
        return [each for each in sorted((CI.parent / "changes").iterdir()) if each.name != "README.rst"]
