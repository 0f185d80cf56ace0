"""
A mutant, and the outcome of tests that are run against it.

The tests run in a process of their own, in a folder that holds the tests and a copy of the package with the
bug in it. What is the same as in the tree is one file with it, its bytecode too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from compileall import compile_dir
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from threading import Timer

import routing_crust

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = Path(routing_crust.__file__).parent  # beside the tests in a tree, elsewhere where it is installed
BESIDE = ("tests", "benchmarks", "examples", "docs", "README.rst", "twisted")
"""What the tests may look for besides the package."""
TIMEOUT = 600.0
"""Seconds after which a run counts as hanging."""
HANG_SECONDS = 120
"""Trial's bound on a test in these runs: most that wait in vain do so for the bug."""
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


class Forker:
    """
    Runs tests, one run after the other, each in a new process; see L{forker}. Not for several threads.
    """

    def __init__(self) -> None:
        self._process = self._start()

    def run(self, tests: tuple[str, ...], mutant: Mutant | None = None, seconds: float = TIMEOUT) -> Outcome:
        """
        Run tests until the first failure.

        @param mutant: the bug to plant; C{None} plants none.
        @param seconds: after this time they count as hanging.
        @raise StaleMutant: as L{Mutant.planted} does.
        """
        with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
            there = Path(folder)
            shutil.copytree(PACKAGE, there / PACKAGE.name, copy_function=_link)
            for each in BESIDE:
                if (ROOT / each).exists():
                    (there / each).symlink_to(ROOT / each)
            if mutant is not None:
                path = there / PACKAGE.name / mutant.module
                planted = mutant.planted(path.read_text(encoding="utf-8"))
                path.unlink()  # written to, it would change the tree
                Path(cache_from_source(str(path))).unlink(missing_ok=True)
                path.write_text(planted, encoding="utf-8")
            return self._run(there, tests, seconds)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _start(self) -> subprocess.Popen[str]:
        # -B: the tests are links into the tree, and a mutant's bytecode must not be left beside them
        command = [sys.executable, "-B", str(Path(__file__).with_name("forker.py"))]
        # a session of its own: all that hangs can be killed with it
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "TEST_TIMEOUT_SECONDS": str(HANG_SECONDS)},
        )

    def _run(self, there: Path, tests: tuple[str, ...], most: float) -> Outcome:
        began = time.monotonic()
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        printed = there / "output"
        process.stdin.write(json.dumps([str(there), str(printed), list(tests)]) + "\n")
        process.stdin.flush()
        late: list[bool] = []

        def end() -> None:
            late.append(True)
            os.killpg(process.pid, signal.SIGKILL)

        timer = Timer(most, end)
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        output = printed.read_text(errors="replace") if printed.exists() else ""
        seconds = time.monotonic() - began
        if not line:
            self.close()
            self._process = self._start()
            why = f"it hung for {most:g} s" if late else "the runs were ended from outside"
            return Outcome(False, why, seconds, output)
        return _outcome(int(line), output, seconds)


def compile_all() -> None:
    """Make the bytecode that the copies share, which would be made again for each bug otherwise."""
    for each in (PACKAGE, ROOT / "tests"):
        compile_dir(each, quiet=2)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one that has no links
        shutil.copy2(source, target)


def _outcome(status: int, output: str, seconds: float) -> Outcome:
    if status == 0:
        return Outcome(True, "", seconds, output)
    failed = _FAILED_TEST.findall(output)
    otherwise = "it could not be imported"
    if status < 0:
        otherwise = f"the run was ended by signal {-status}"
    return Outcome(False, failed[0] if failed else otherwise, seconds, output)
