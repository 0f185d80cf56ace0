"""
Everything that must hold before a change goes in. C{.ci/run} starts this.

It works on a copy and leaves the checkout as it is. It takes about 30 minutes on two cores; C{--all} adds
what it leaves out for that. The last line is C{N passed, N failed}: the tests of all runs, and each other
step that failed as one failure. The exit status is 0 only if nothing failed.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from machine import copy_tree, find_python, install_system, make_venv
from runner import Job, Result, Step, StepFailed, kill_children, kill_marked, run_steps, with_needs
from selection import on_a_reactor, test_modules, within, without
from trial_output import count_run, read_counts

OTHERS = ("3.10", "3.12", "3.13")
"""
The Pythons that get the wheel and run L{DIFFERS}: the lowest with the lowest versions of what the package
needs, the newest on asyncio, with all that has a reactor.
"""
LABORATORY = ("tests.natlab",)
"""Its nodes are daemons, which choose their reactor themselves: on asyncio would be the test's end only."""
UNMEASURED = (
    *LABORATORY,
    *(
        "tests.hostile",
        "tests.integration",
        "tests.mutations",
        "tests.test_benchmarks",
        "tests.test_ci",
        "tests.test_examples",
        "tests.test_soak",
        "tests.test_typing",
    ),
    *("tests.crust.netstate.test_real_changes", "tests.crust.punch.test_meeting"),
    *("tests.routing.absence.test_absence", "tests.routing.inviting.test_standing_in"),
    *("tests.routing.test_churn", "tests.routing.test_intruder", "tests.routing.test_mixed_groups"),
    *("tests.routing.test_network", "tests.routing.test_stopping"),
    *("tests.routing.connecting.test_fleet", "tests.routing.connecting.test_new_address"),
    "tests.routing.connecting.test_victim",
    *("tests.routing.links.test_consolidation", "tests.routing.links.test_consolidation_cases"),
    *("tests.routing.links.test_handshake_stateful", "tests.routing.links.test_second_links"),
    *("tests.routing.membership.test_close_group_search", "tests.routing.membership.test_cold_start"),
    *("tests.routing.membership.test_growth", "tests.routing.membership.test_no_room"),
    "tests.routing.membership.test_upkeep",
    *("tests.routing.private.test_directory_sync", "tests.routing.private.test_expulsion"),
    *("tests.routing.private.test_roster_sync", "tests.streams.multiplexing.test_mux_properties"),
    "tests.streams.survival.test_properties",
    *("tests.testing.play.test_days", "tests.testing.play.test_siege", "tests.testing.play.test_streaming"),
)
"""
Tests without coverage, which makes them three times as slow: whole networks and many random orders, which go
the same ways very often, and programs of their own. The others reach nearly every line that these do.
"""
DIFFERS = (
    *("tests.wire", "tests.timing", "tests.streams", "tests.daemon"),
    *("tests.crust.accept", "tests.crust.dial", "tests.crust.link", "tests.crust.mapping"),
    "tests.crust.tls",
    "tests.routing.test_state",
    *("tests.integration.test_daemons", "tests.integration.test_tunnels"),
    *("tests.test_aio", "tests.test_config", "tests.test_endpoints", "tests.test_examples"),
    *("tests.test_files", "tests.test_identity", "tests.test_names", "tests.test_packaging"),
)
"""
What may differ with the Python or with the version of a dependency, a third of the suite: bytes and files
that are read (msgspec, cryptography, OpenSSL, tomllib), clocks, sockets and processes, the state machine,
streams, and whatever is embedded or started. Decisions on our own values are the same everywhere.
"""
ASYNCIO_PARTS = 2
"""Processes for the tests on asyncio, where trial has no workers of its own."""
SEEDS_OF_A_STEP = 20
README_COMMAND = "python -m twisted.trial tests"
PIP_FOR_ALL = "pip>=23.2"
PIP = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_ROOT_USER_ACTION": "ignore"}


class Checks:
    """
    What the steps do, in one folder.

    @ivar tree: the copy of the checkout.
    @ivar venv: has the package, editable, and all that developers need.
    """

    def __init__(self, work: Path, everything: bool) -> None:
        self.work = work
        self.tree = work / "tree"
        self.venv = work / "venv"
        self.measured = {"COVERAGE_FILE": str(work / "coverage")}
        self.everything = everything
        self.cores = os.cpu_count() or 1

    def table(self) -> list[Step]:
        """All the steps. Of those that can start, the upper ones do first, so the long ones are above."""
        installed = ("install",)
        all_cores = self.cores
        steps = [
            Step("system packages", install_system, lanes=all_cores),
            Step("install", self.install, ("system packages",), lanes=all_cores),
            Step("wheel", self.build_wheel, installed),
            Step("suite with coverage", self.measured_suite, installed, lanes=all_cores),
            Step("suite, whole networks", self.unmeasured_suite, installed, lanes=all_cores),
            *self.on_other_pythons(),
            Step("planted bugs", self.planted_bugs, installed),
            *self.on_bad_days(installed),
            Step("crowd", self.crowd, installed),
            Step("documentation", self.documentation, installed),
            Step("packaging", self.packaging, installed),
            Step("mypy", self.types, installed),
            Step("ruff check", self.tool("ruff", "check", "--no-cache"), installed),
            Step("ruff format", self.tool("ruff", "format", "--check", "--no-cache"), installed),
            Step("import contracts", self.tool("lint-imports", "--no-cache"), installed),
            Step("coverage of lines and branches", self.coverage, ("suite with coverage",)),
        ]
        if self.everything:
            steps.append(Step("suite, large sizes", self.large_sizes, installed))
        return steps

    def on_other_pythons(self) -> Iterator[Step]:
        """The wheel's tests, and a simulated day, which must be the same everywhere."""
        found = [each for each in OTHERS if find_python(each)]
        for each in set(OTHERS) - set(found):
            print(f"not run: the tests on Python {each}, which is not here")
        installs = []
        for version in reversed(found):
            name = f"Python {version}" + (" and lowest versions" if version == OTHERS[0] else "")
            install = f"install the wheel, {name}"
            installs.append(install)
            yield Step(install, self.install_wheel(version), ("wheel",))
            if version == found[-1]:
                for part in range(1, ASYNCIO_PARTS + 1):
                    yield Step(
                        f"suite on asyncio, {name}, part {part} of {ASYNCIO_PARTS}",
                        self.asyncio_suite(version, part),
                        (install,),
                        lanes=1,
                    )
            else:
                suite = self.wheel_suite(version)
                yield Step(f"third of the suite, {name}", suite, (install,), lanes=self.cores)
        yield Step("the same day everywhere", self.same_day, tuple(installs))

    def on_bad_days(self, needs: tuple[str, ...]) -> Iterator[Step]:
        """Simulated networks on which all goes wrong, a few seeds a step so that no core is left with all."""
        last = 300 if self.everything else 40
        for first in range(0, last, SEEDS_OF_A_STEP):
            end = first + SEEDS_OF_A_STEP
            yield Step(f"bad days {first} to {end - 1}", self.bad_days(first), needs)
        yield Step("bad days behind NATs", self.bad_days_behind_nats, needs)

    def install(self, job: Job) -> None:
        make_venv(job, Path(sys.executable), self.venv, pip=True)
        # it serves the environments of all Pythons, which older ones of pip do not, or not on the newest
        job.run(self.venv / "bin/pip", "install", "--quiet", PIP_FOR_ALL)
        job.run(self.venv / "bin/pip", "install", "--quiet", "--editable", f"{self.tree}[dev]")
        job.run(self.venv / "bin/pip", "check")

    def build_wheel(self, job: Job) -> None:
        # from a copy, since setuptools leaves its own copy of the modules in a folder build/
        copied = shutil.copytree(self.tree, self.work / "to-build")
        job.run(
            self.venv / "bin/pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", self.work / "wheel", copied
        )

    def measured_suite(self, job: Job) -> None:
        if README_COMMAND not in (self.tree / "README.rst").read_text():
            raise StepFailed(f"README.rst does not say {README_COMMAND!r}")
        tests = without(test_modules(self.tree / "tests"), UNMEASURED)
        self.trial(job, self.venv / "bin/python", tests, self.tree, coverage=True)

    def unmeasured_suite(self, job: Job) -> None:
        self.trial(job, self.venv / "bin/python", UNMEASURED, self.tree)

    def trial(
        self,
        job: Job,
        python: Path,
        tests: Iterable[str],
        cwd: Path,
        *options: str,
        coverage: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """
        Run tests, and see that they are all run and pass.

        @raise StepFailed: they do not, or there are none.
        """
        folder = job.log.with_suffix(".trial")
        trial = ("-m", "twisted.trial", f"--temp-directory={folder}", *options)
        # -j waits for ever if there are none
        there = count_run(job.run(python, *trial, "--dry-run", *tests, cwd=cwd))
        if not there:
            raise StepFailed("there are no tests")
        program = python.with_name("coverage") if coverage else python
        words = ("run", *trial) if coverage else trial
        env = {**self.measured, **(env or {})}
        # trial's workers die on the asyncio reactor as soon as a test waits for it
        parallel = () if "--reactor=asyncio" in options else (f"-j{self.cores}",)
        output = job.run(program, *words, *parallel, *tests, cwd=cwd, may_fail=True, env=env)
        job.counts = read_counts(output)
        problem = job.counts.problem(there) or (f"exit status {job.status}" if job.status else "")
        if problem:
            raise StepFailed(problem)

    def coverage(self, job: Job) -> None:
        for command in ("combine", "report"):
            job.run(self.venv / "bin/coverage", command, cwd=self.tree, env=self.measured)

    def install_wheel(self, version: str) -> Callable[[Job], None]:
        """The step that installs the wheel for one Python; for the lowest with the lowest versions."""

        def install(job: Job) -> None:
            venv = self.wheel_venv(version)
            make_venv(job, Path(find_python(version)), venv, pip=False)
            (wheel,) = (self.work / "wheel").glob("*.whl")
            constraints = venv / "constraints.txt"
            constraints.write_text("")
            if version == OTHERS[0]:
                constraints.write_text(job.run(sys.executable, self.tree / ".ci/floors.py", wheel))
            pip = (self.venv / "bin/pip", "--python", venv / "bin/python")
            job.run(*pip, "install", "--quiet", f"{wheel}[test]", "--constraint", constraints)
            job.run(*pip, "check")
            # away from the tree, which would be imported in place of the wheel
            for each in ("tests", "benchmarks", "examples"):
                shutil.copytree(self.tree / each, venv / "away" / each)

        return install

    def wheel_suite(self, version: str) -> Callable[[Job], None]:
        """The step that runs the tests that may differ with the wheel."""

        def run(job: Job) -> None:
            venv = self.wheel_venv(version)
            tests = ("tests",) if self.everything else DIFFERS
            self.trial(job, venv / "bin/python", tests, venv / "away", "--reactor=epoll")

        return run

    def asyncio_suite(self, version: str, part: int) -> Callable[[Job], None]:
        """The step that runs one part of them on asyncio, and of all others that have a reactor."""

        def run(job: Job) -> None:
            venv = self.wheel_venv(version)
            there = test_modules(venv / "away/tests")
            chosen = there if self.everything else tests_on_asyncio(venv / "away/tests")
            tests = within(there, chosen)[part - 1 :: ASYNCIO_PARTS]
            self.trial(job, venv / "bin/python", tests, venv / "away", "--reactor=asyncio")

        return run

    def wheel_venv(self, version: str) -> Path:
        """The environment with the wheel for one Python."""
        return self.work / f"venv-{version}"

    def same_day(self, job: Job) -> None:
        """What happens in a simulated network is the same on every Python."""
        day = self.play_a_day(job, self.venv, self.tree)
        if not day:
            raise StepFailed("nothing was played")
        for venv in self.work.glob("venv-*"):
            if self.play_a_day(job, venv, venv / "away") != day:
                raise StepFailed(f"another day in {venv.name}")

    def play_a_day(self, job: Job, venv: Path, cwd: Path) -> list[str]:
        """The hashes of what happens in some networks."""
        said = self.play(job, venv, cwd, "--seeds=3", "--nodes=10", "--minutes=1", "--hash")
        return [each for each in said.splitlines() if each.startswith("seed ")]

    def play(self, job: Job, venv: Path, cwd: Path, *options: str) -> str:
        """Play simulated networks; one that fails prints the command that plays it again."""
        return job.run(venv / "bin/python", "-m", "routing_crust.testing", "--jobs=1", *options, cwd=cwd)

    def bad_days(self, first: int) -> Callable[[Job], None]:
        """The step that plays some seeds from this one on."""

        def run(job: Job) -> None:
            seeds = (f"--first={first}", f"--seeds={SEEDS_OF_A_STEP}")
            self.play(job, self.venv, self.tree, *seeds, "--nodes=20", "--minutes=2")

        return run

    def bad_days_behind_nats(self, job: Job) -> None:
        seeds = 20 if self.everything else 10
        self.play(job, self.venv, self.tree, f"--seeds={seeds}", "--nodes=20", "--minutes=2", "--nats=0.5")

    def crowd(self, job: Job) -> None:
        self.play(job, self.venv, self.tree, f"--crowd={1000 if self.everything else 200}")

    def planted_bugs(self, job: Job) -> None:
        # a test that fails without a bug fails the suite, too, and so these checks
        # two at once: a bug that makes a test hang has it wait for long, and computes nothing
        command = (self.venv / "bin/python", "-m", "tests.mutations", "-j2", "--healthy")
        said = job.run(*command, cwd=self.tree, may_fail=True)
        if job.status:
            survivors = [each for each in said.splitlines() if each.startswith("not caught: ")]
            raise StepFailed("; ".join(survivors) or f"exit status {job.status}")

    def large_sizes(self, job: Job) -> None:
        """Tests that the suite has in a small size."""
        tests = ("tests.routing.links.test_handshake_stateful", "tests.routing.connecting.test_victim")
        sizes = {"HANDSHAKE_EXAMPLES": "2000", "VICTIM_NODES": "100"}
        self.trial(job, self.venv / "bin/python", tests, self.tree, env=sizes)

    def types(self, job: Job) -> None:
        mypy = (self.venv / "bin/mypy", f"--cache-dir={self.work / 'mypy'}")
        job.run(*mypy, cwd=self.tree)
        job.run(*mypy, *sorted((self.tree / ".ci").glob("*.py")), cwd=self.tree)

    def tool(self, name: str, *arguments: str) -> Callable[[Job], None]:
        """The step that runs a program of the environment in the tree."""

        def run(job: Job) -> None:
            job.run(self.venv / "bin" / name, *arguments, cwd=self.tree)

        return run

    def documentation(self, job: Job) -> None:
        bin = self.venv / "bin"
        job.run(
            bin / "sphinx-build",
            *("-W", "--keep-going", "-q", "-b", "html", "docs"),
            self.work / "docs",
            cwd=self.tree,
        )
        job.run(bin / "python", "-m", "pydoctor", f"--html-output={self.work / 'docs/api'}", cwd=self.tree)
        job.run(bin / "python", "docs/check_links.py", self.work / "docs", cwd=self.tree)
        job.run(bin / "towncrier", "build", "--draft", "--version=0", cwd=self.tree)

    def packaging(self, job: Job) -> None:
        job.run(self.venv / "bin/python", ".ci/packaging.py", self.work / "packaging", cwd=self.tree)


def main() -> int:
    """Run the checks. Returns the exit status."""
    parser = argparse.ArgumentParser(prog=".ci/run", description="Check everything, in a copy of this tree.")
    parser.add_argument(
        "--all", action="store_true", help="also what repeats or takes long: see docs/developing.rst"
    )
    parser.add_argument(
        "--only", metavar="TEXT", default="", help="only steps with this in the name, and what they need"
    )
    parser.add_argument("--list", action="store_true", help="print the steps and run none")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="checks-"))
    steps = with_needs(Checks(work, options.all).table(), options.only)
    if options.list:
        print("\n".join(each.name for each in steps))
        work.rmdir()
        return 0
    began = time.monotonic()
    mark = {"ROUTING_CRUST_CHECKS": work.name}
    # Popen would leave the processes of a step behind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    try:
        print(f"Python {platform.python_version()}, {os.cpu_count()} cores", flush=True)
        copy_tree(Path.cwd(), work / "tree")
        result = run_steps(steps, work, environment() | mark)
    except Exception:
        traceback.print_exc()
        result = Result(failed=1)
    finally:
        kill_children(os.getpid())
        kill_marked("=".join(*mark.items()))
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    print(f"kept:    {work}\n" if options.keep else "", end="")
    print(f"took {time.monotonic() - began:.0f} s")
    return result.end()


def tests_on_asyncio(tests: Path) -> tuple[str, ...]:
    """What may differ with the Python, and whatever runs on a reactor, but for the laboratory of NATs."""
    return (*DIFFERS, *without(on_a_reactor(tests), (*DIFFERS, *LABORATORY)))


def environment() -> dict[str, str]:
    """What all steps have in their environment: nothing of another Python's."""
    without = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {"CI": "true"} | {each: value for each, value in os.environ.items() if each not in without} | PIP


if __name__ == "__main__":
    sys.exit(main())
