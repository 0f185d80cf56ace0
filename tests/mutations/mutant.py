"""
A mutant, and the outcome of tests that are run against it.

The tests run in a process of their own, in a folder that holds the tests and a copy of the package with the
bug in it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import routing_crust

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = Path(routing_crust.__file__).parent  # beside the tests in a tree, elsewhere where it is installed
BESIDE = ("tests", "benchmarks", "examples", "docs", "README.rst", "twisted")
"""What the tests may look for besides the package."""
TIMEOUT = 600.0
"""Seconds after which a run counts as hanging."""
_FAILED_TEST = re.compile(r"^(tests\.[.\w]+\.[A-Z]\w+\.test_\w+)$", re.MULTILINE)


class StaleMutant(Exception):
    """The text that a mutant changes is not in its file, or more than once: mend the catalogue."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """
    One planted bug.

    @ivar name: what is wrong, in a few words.
    @ivar module: the file, from the package's folder on.
    @ivar before: the text that is replaced; it must be there exactly once.
    @ivar after: the replacement.
    @ivar tests: the tests that are run against it, or their classes or modules.
    """

    name: str
    module: str
    before: str
    after: str
    tests: tuple[str, ...]

    def planted(self, text: str) -> str:
        """
        The file's text with the bug in it.

        @raise StaleMutant: the text to replace is not there exactly once.
        """
        found = text.count(self.before)
        if found != 1:
            raise StaleMutant(
                f"{self.name}: its text is in {self.module} {found} times, and must be there once"
            )
        return text.replace(self.before, self.after)


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    The outcome of a run of tests.

    @ivar passed: whether all tests passed, so that the bug was not noticed.
    @ivar caught_by: the first test that failed, or why the run ended otherwise.
    @ivar seconds: how long it took.
    @ivar output: what the tests printed.
    """

    passed: bool
    caught_by: str
    seconds: float
    output: str


def run_tests(tests: tuple[str, ...], mutant: Mutant | None = None, seconds: float = TIMEOUT) -> Outcome:
    """
    Run tests until the first failure.

    @param mutant: the bug to plant; C{None} plants none.
    @param seconds: after this time they count as hanging.
    @raise StaleMutant: as L{Mutant.planted} does.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        there = Path(folder)
        shutil.copytree(PACKAGE, there / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
        for each in BESIDE:
            if (ROOT / each).exists():
                (there / each).symlink_to(ROOT / each)
        if mutant is not None:
            path = there / PACKAGE.name / mutant.module
            path.write_text(mutant.planted(path.read_text(encoding="utf-8")), encoding="utf-8")
        return _run(there, tests, seconds)


def _run(there: Path, tests: tuple[str, ...], most: float) -> Outcome:
    # -B: the tests are links into the tree, and a mutant's bytecode must not be left beside them
    command = [
        sys.executable,
        "-B",
        "-m",
        "twisted.trial",
        "--exitfirst",
        f"--temp-directory={there}/trial",
        *tests,
    ]
    began = time.monotonic()
    try:
        ended = subprocess.run(
            command,
            check=False,
            cwd=there,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=most,
        )
    except subprocess.TimeoutExpired as hanging:
        output = hanging.stdout.decode(errors="replace") if isinstance(hanging.stdout, bytes) else ""
        return Outcome(False, f"it hung for {most:g} s", time.monotonic() - began, output)
    seconds = time.monotonic() - began
    if ended.returncode == 0:
        return Outcome(True, "", seconds, ended.stdout)
    failed = _FAILED_TEST.findall(ended.stdout)
    otherwise = "it could not be imported"
    if ended.returncode < 0:
        otherwise = f"the run was ended by signal {-ended.returncode}"
    return Outcome(False, failed[0] if failed else otherwise, seconds, ended.stdout)
