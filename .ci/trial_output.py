"""
What a run of trial says of itself, as numbers.

Trial's exit status is not enough: no tests at all are a success to it, and so is a test that passes although
it is marked as one that cannot.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

_SUMMARY = re.compile(r"^(?:PASSED|FAILED)(?: \(.*\))?$", re.MULTILINE)
_RAN = re.compile(r"^Ran (\d+) tests? in", re.MULTILINE)
_NOT_RUN = re.compile(r"^\[(?:SKIPPED|TODO)\]\n(.*)$", re.MULTILINE)
_FIRST_PROBLEM = re.compile(r"^={70,}\n\[(?!SKIPPED|TODO)", re.MULTILINE)
_FAILED_TEST = re.compile(r"^tests\.[.\w]+\.[A-Z]\w*\.test_\w+$", re.MULTILINE)
_RULE = re.compile(r"^={70,}\n", re.MULTILINE)
_MOST_NAMED = 5
_MOST_SAID = 400


@dataclass(frozen=True, slots=True)
class Counts:
    """
    The end of a run.

    @ivar summary: trial's last line; empty if there is none.
    @ivar ran: how many tests trial has run.
    @ivar passed: how many of them passed.
    @ivar failed: how many failed, or passed unexpectedly, or are errors.
    @ivar not_run: each reason for which tests were skipped, and how many.
    @ivar blamed: the tests that failed, as far as trial has printed them, each with the last line of what it
        says: where the rest of the output is lost, it tells the most.
    """

    summary: str
    ran: int
    passed: int
    failed: int
    not_run: tuple[tuple[str, int], ...]
    blamed: tuple[str, ...] = ()

    def problem(self, expected: int) -> str:
        """
        Why this run counts as failed; empty if it does not.

        @param expected: how many tests there are.
        """
        if not self.summary:
            return "trial gave no summary"
        if self.failed:
            names = [*self.blamed[:_MOST_NAMED], *["..."] * (len(self.blamed) > _MOST_NAMED)]
            return f"{self.failed} tests failed" + (f": {', '.join(names)}" if names else "")
        if not self.passed:
            return "no test passed"
        if self.ran < expected:
            return f"there are {expected} tests, and {self.ran} were run"
        return ""


def read_counts(output: str) -> Counts:
    """Count what a run of trial has printed."""
    summaries: list[str] = _SUMMARY.findall(output)
    summary = summaries[-1] if summaries else ""
    bad = ("failures", "errors", "unexpectedSuccesses")
    return Counts(
        summary=summary,
        ran=count_run(output),
        passed=_number("successes", summary),
        failed=sum(_number(each, summary) for each in bad),
        not_run=tuple(sorted(Counter(_NOT_RUN.findall(output)).items())),
        blamed=_blamed(output),
    )


def count_run(output: str) -> int:
    """How many tests trial says it has run, or would have with C{--dry-run}."""
    found: list[str] = _RAN.findall(output)
    return int(found[-1]) if found else 0


def what_went_wrong(output: str, most: int = 120) -> str:
    """The part of a failed step's output to look at first: trial's list of failures, or the end."""
    first = _FIRST_PROBLEM.search(output)
    if first is not None:
        return "\n".join(output[first.start() :].splitlines()[:most])
    return "\n".join(output.splitlines()[-most // 2 :])


def _blamed(output: str) -> tuple[str, ...]:
    first = _FIRST_PROBLEM.search(output)
    found: dict[str, str] = {}
    # trial names those that were skipped in the same way, before the failures
    for problem in _RULE.split(output[first.start() :] if first else ""):
        names: list[str] = _FAILED_TEST.findall(problem)
        if names:
            said = problem[: problem.index(names[0])].strip().rpartition("\n")[2]
            found.update(dict.fromkeys(names, said[-_MOST_SAID:]))
    return tuple(f"{name} ({said})" for name, said in found.items())


def _number(key: str, summary: str) -> int:
    found = re.search(rf"\b{key}=(\d+)", summary)
    return int(found[1]) if found else 0
