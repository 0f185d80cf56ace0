"""
Steps that run beside one another, each with its output in a file, and what became of them.

Some steps have the machine almost for themselves: tests with real networks and processes, which wait for
each other, and what all others wait for. Together they take as many lanes as there are cores. Steps that only
compute run beside them, at most one for each core, and at the lowest priority: they have what is left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Thread, Timer

from trial_output import Counts, what_went_wrong

LEAST_PRIORITY = 19
LIMIT_SECONDS = 5400
"""For one command: a bound on hanging, far above what any takes on a busy machine."""


class StepFailed(Exception):
    """A step has failed, and why."""


@dataclass(frozen=True, slots=True)
class Step:
    """
    One check, or something that checks need.

    @ivar action: what it does, with the job as its argument; it raises L{StepFailed}.
    @ivar needs: the names of steps that must have ended well before.
    @ivar lanes: how many cores it has before all others; 0 is what others leave.
    """

    name: str
    action: Callable[[Job], None]
    needs: tuple[str, ...] = ()
    lanes: int = 0


@dataclass(slots=True)
class Job:
    """
    A step that runs: it starts commands, and adds up what they take.

    @ivar log: the file with the output of all its commands.
    @ivar computed: the processor seconds of all processes that it has started and that were waited for.
    @ivar status: the exit status of its last command.
    @ivar counts: what its tests came to, if it has any.
    @ivar problem: why it failed; empty if it has not.
    """

    step: Step
    log: Path
    environment: Mapping[str, str]
    computed: float = 0.0
    seconds: float = 0.0
    status: int = 0
    counts: Counts | None = None
    problem: str = ""

    def run(
        self,
        *command: str | Path,
        cwd: Path | None = None,
        limit: float = LIMIT_SECONDS,
        may_fail: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """
        Run a command and wait for it.

        @param limit: seconds after which it is ended, with all that it has started.
        @param may_fail: whether its exit status is looked at elsewhere.
        @param env: what it has in its environment besides.
        @return: what it has printed.
        @raise StepFailed: it has failed, or was ended.
        """
        words = [str(each) for each in command]
        if not self.step.lanes:
            words = ["nice", "-n", str(LEAST_PRIORITY), *words]
        with self.log.open("ab") as output:
            output.write(f"$ {' '.join(words)}\n".encode())
            output.flush()
            begin = output.tell()
            process = subprocess.Popen(
                words,
                cwd=cwd,
                env={**self.environment, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        late: list[bool] = []

        def end() -> None:
            late.append(True)
            kill_tree(process.pid)

        timer = Timer(limit, end)
        timer.start()
        # not Popen.wait, which does not tell how much was computed
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = self.status = os.waitstatus_to_exitcode(status)
        self.computed += usage.ru_utime + usage.ru_stime
        if late:
            raise StepFailed(f"{words[-1]} was ended after {limit:g} s")
        if self.status and not may_fail:
            raise StepFailed(f"exit status {self.status}")
        with self.log.open("rb") as written:
            written.seek(begin)
            return written.read().decode(errors="replace")

    def work(self) -> None:
        """Do the step's action, and take note of how it ends."""
        began = time.monotonic()
        try:
            self.step.action(self)
        except StepFailed as failure:
            self.problem = str(failure)
        except Exception as error:  # a mistake in a check is a failed check
            self.problem = f"{type(error).__name__}: {error}"
        self.seconds = time.monotonic() - began


@dataclass(slots=True)
class Result:
    """
    What all the steps came to.

    @ivar passed: tests.
    @ivar failed: tests, and steps that failed otherwise or could not start.
    @ivar broken: a line for each step that failed.
    """

    passed: int = 0
    failed: int = 0
    broken: list[str] = field(default_factory=list)

    def add(self, job: Job) -> None:
        """Count a step that has ended."""
        counts = job.counts
        self.passed += counts.passed if counts else 0
        if job.problem:
            self.failed += max(1, counts.failed if counts else 0)
            self.broken.append(f"{job.step.name} ({job.problem})")

    def add_not_started(self, step: Step) -> None:
        """Count a step that had to be left out, since one that it needs has failed."""
        self.failed += 1
        self.broken.append(f"{step.name} (not started: what it needs has failed)")

    def end(self) -> int:
        """
        Print the last line.

        @return: the exit status.
        """
        if not self.passed and not self.failed:
            self.failed = 1
        for each in self.broken:
            print(f"failed:  {each}")
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed else 0


def check_table(steps: Sequence[Step]) -> None:
    """
    See that every name is there once, and that a step needs only steps above it.

    @raise ValueError: it is not so.
    """
    seen: set[str] = set()
    for step in steps:
        missing = [each for each in step.needs if each not in seen]
        if missing:
            raise ValueError(f"{step.name!r} needs {missing}, which are not above it")
        if step.name in seen:
            raise ValueError(f"two steps are called {step.name!r}")
        seen.add(step.name)


def with_needs(steps: Sequence[Step], text: str) -> list[Step]:
    """The steps with this text in their names, and all that they need."""
    wanted: set[str] = set()
    for step in reversed(steps):
        if text in step.name or step.name in wanted:
            wanted |= {step.name, *step.needs}
    return [each for each in steps if each.name in wanted]


def startable(
    waiting: Sequence[Step], running: Collection[Step], good: set[str], cores: int
) -> Iterator[Step]:
    """
    The steps that can start now, in the order of the table.

    @param good: the names of those that have ended well.
    """
    lanes = cores - sum(each.lanes for each in running)
    computing = sum(not each.lanes for each in running)
    for step in waiting:
        if not good.issuperset(step.needs):
            continue
        if not step.lanes and computing < cores:
            computing += 1
            yield step
        # one that needs more than is free waits, and smaller ones below it may begin before it
        elif 0 < step.lanes <= lanes:
            lanes -= step.lanes
            yield step


def run_steps(
    steps: Sequence[Step], folder: Path, environment: Mapping[str, str], cores: int = os.cpu_count() or 1
) -> Result:
    """Run all of them as soon as they can, and print how each has ended."""
    check_table(steps)
    result = Result()
    waiting, running = list(steps), list[Step]()
    good: set[str] = set()
    ended: SimpleQueue[Job] = SimpleQueue()

    def work(job: Job) -> None:
        job.work()
        ended.put(job)

    while True:
        for step in list(startable(waiting, running, good, cores)):
            waiting.remove(step)
            running.append(step)
            job = Job(step, folder / f"step-{steps.index(step)}.log", environment)
            job.log.touch()
            Thread(target=work, args=(job,), daemon=True).start()
        if not running:
            break
        job = ended.get()
        running.remove(job.step)
        if not job.problem:
            good.add(job.step.name)
        result.add(job)
        report(job)
    # only those are left whose needs have failed
    for step in waiting:
        result.add_not_started(step)
    return result


def report(job: Job) -> None:
    """Print how a step has ended, and what it printed if it has failed."""
    word = "FAILED" if job.problem else "ok"
    times = f"{job.seconds:5.0f} s, computed {job.computed:5.0f} s"
    print(f"{word:7} {job.step.name:45} {times}   {job.problem}".rstrip())
    if job.counts is not None:
        print(f"        {job.counts.summary or 'no summary'}")
        for reason, number in job.counts.not_run:
            print(f"        not run: {number} of {reason}")
    if job.problem:
        for line in what_went_wrong(job.log.read_text(errors="replace")).splitlines():
            print(f"    | {line}")
    sys.stdout.flush()


def kill_tree(pid: int) -> None:
    """Kill a process and all that it has started."""
    kill_children(pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_children(pid: int) -> None:
    """Kill all that a process has started, but not itself."""
    for each in _children(pid):
        kill_tree(each)


def kill_marked(mark: str) -> None:
    """Kill what has this in its environment: daemons are nobody's children any more."""
    for each in Path("/proc").glob("[0-9]*/environ"):
        pid = int(each.parent.name)
        with suppress(OSError):
            if pid != os.getpid() and mark.encode() in each.read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    found = []
    for each in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # the name in brackets may hold anything
            if int(each.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(each.parent.name))
    return found
