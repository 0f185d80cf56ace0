"""
C{python -m tests.mutations}: plant each bug of the catalogue and see whether the tests notice.

The exit status is 0 only if the tests pass without a bug and every bug is caught by a test.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from .catalogue import MUTANTS
from .mutant import TIMEOUT, Forker, Mutant, Outcome, compile_all


def main(arguments: list[str] | None = None) -> int:
    """Run the gate. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutations",
        description="Plant bugs in a copy of the package, and see which test catches each.",
    )
    parser.add_argument("--only", metavar="TEXT", default="", help="only the bugs whose name holds this text")
    parser.add_argument("--list", action="store_true", help="print the bugs and run nothing")
    parser.add_argument(
        "-j",
        "--jobs",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="how many to try at once (%(default)s)",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="print the output of runs in which no test failed as it should"
    )
    parser.add_argument(
        "--healthy",
        action="store_true",
        help="the tests are known to pass without a bug: do not run them for that",
    )
    options = parser.parse_args(arguments)
    chosen = [each for each in MUTANTS if options.only in each.name]
    if options.list:
        for each in chosen:
            print(f"{each.name:55} {each.module}")
        return 0
    return _try_all(chosen, options.jobs, options.verbose, options.healthy)


def _try_all(chosen: list[Mutant], jobs: int, verbose: bool, healthy: bool) -> int:
    survivors: list[str] = []
    most = TIMEOUT
    compile_all()
    free: SimpleQueue[Forker] = SimpleQueue()
    for _ in range(jobs):
        free.put(Forker())

    def run(tests: tuple[str, ...], mutant: Mutant | None, seconds: float) -> Outcome:
        forker = free.get()
        try:
            return forker.run(tests, mutant, seconds)
        finally:
            free.put(forker)

    if not healthy:
        tests = tuple(sorted({test for each in chosen for test in each.tests}))
        without = run(tests, None, 3 * TIMEOUT)
        if not without.passed:
            print(without.output)
            print(f"without a bug {without.caught_by} fails already, so nothing can be said")
            return 1
        print(f"without a bug all tests of {len(tests)} modules pass, in {without.seconds:.0f} s")
        most = max(most, 2 * without.seconds)  # a busy machine makes no bug
    with ThreadPoolExecutor(jobs) as pool:
        for mutant, outcome in zip(
            chosen, pool.map(lambda each: run(each.tests, each, most), chosen), strict=True
        ):
            if not _report(mutant, outcome, verbose):
                survivors.append(mutant.name)
    for _ in range(jobs):
        free.get().close()
    # at the end, where they are seen in a long log
    for each in survivors:
        print(f"not caught: {each}")
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} bugs were caught")
    return 1 if survivors else 0


def _report(mutant: Mutant, outcome: Outcome, verbose: bool) -> bool:
    caught = not outcome.passed and outcome.caught_by.startswith("tests.")
    what = outcome.caught_by or "NOT CAUGHT"
    print(f"{mutant.name:55} {what}", flush=True)
    if verbose and not caught:
        print(outcome.output)
    return caught


if __name__ == "__main__":
    sys.exit(main())
