"""The command: C{python -m benchmarks.soak}."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from statistics import mean
from time import monotonic, sleep
from typing import Any, Final

from ..processes import Worker
from .drift import MIN_SAMPLES, drift

MAX_DRIFT: Final = 0.02
MAX_SAMPLES: Final = 120
LEAVING_SECONDS: Final = 5.0
"""Seconds after the last peer has stopped until the node has closed its end of every link."""
GATHER_TIMEOUT_SECONDS: Final = 600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak. Returns the exit status: 0 if nothing has drifted and nothing is left."""
    options = make_parser().parse_args(arguments)
    node = Worker("soak-node", "node", -1)
    crowds = [Worker("soak-crowd", f"crowd {number}", -1) for number in range(options.processes)]
    try:
        return soak(options, node, crowds)
    finally:
        for worker in (*crowds, node):
            worker.stop()


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.soak", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=60.0, metavar="M", help="for how long (default: 60)")
    add("--links", type=int, default=1000, metavar="N", help="links of the node (default: 1000)")
    add("--rate", type=float, default=5000.0, metavar="R", help="messages a second (default: 5000)")
    add("--churn", type=float, default=1.0, metavar="R", help="links replaced in a second (default: 1)")
    add(
        "--names",
        type=int,
        default=5000,
        metavar="N",
        help="peers that the node has met by the first sample, which fill its tables (default: 5000)",
    )
    add("--processes", type=int, default=2, metavar="N", help="processes of peers (default: 2)")
    return parser


def soak(options: argparse.Namespace, node: Worker, crowds: Sequence[Worker]) -> int:
    """Link, load, sample, stop and judge."""
    share = len(crowds)
    contact = node.call("listen", links=options.links)
    empty = node.call("sample")
    sizes = {"peers": options.links // share, "names": options.names // share}
    gathering = [each.begin("gather", contact=contact, **sizes) for each in crowds]
    for crowd, call in zip(crowds, gathering, strict=True):
        crowd.result(call, GATHER_TIMEOUT_SECONDS)
    for crowd in crowds:
        crowd.call("begin", rate=options.rate / share, churn=options.churn / share)
    print(f"{options.links} links, {options.rate:g} messages/s, {options.churn:g} new links/s")
    samples = list(_sampled(options.minutes * 60, node, crowds))
    for crowd in crowds:
        crowd.call("stop")
    sleep(LEAVING_SECONDS)
    alone = node.call("sample")
    stopped = node.call("stop")
    return judge(samples, alone["descriptors"] - empty["descriptors"], stopped)


def _sampled(seconds: float, node: Worker, crowds: Sequence[Worker]) -> list[dict[str, Any]]:
    every = max(seconds / MAX_SAMPLES, min(1.0, seconds / MIN_SAMPLES))
    samples: list[dict[str, Any]] = []
    began = at = monotonic()
    before = node.call("sample")
    while monotonic() < began + seconds:
        sleep(max(0.0, at + every - monotonic()))
        took, at = monotonic() - at, monotonic()
        peers = [crowd.call("sample") for crowd in crowds]
        sample = node.call("sample")
        sample["rate"] = (sample["received"] - before["received"]) / took
        sample["core"] = (sample["processor"] - before["processor"]) / took
        sample["latency"] = sum(each["latency"] for each in peers) / len(peers)
        sample["slow"] = max(each["slow"] for each in peers)
        for each in ("skipped", "failures", "replaced", "linked"):
            sample[each] = sum(peer[each] for peer in peers)
        sample["failure"] = next((each["failure"] for each in peers if each["failure"]), "")
        samples.append(sample)
        before = sample
        print(
            f"{at - began:7.0f} s  {sample['memory'] / 2**20:7.1f} MiB  {100 * sample['core']:4.0f} %  "
            f"{sample['rate']:7.0f}/s  {1000 * sample['latency']:6.2f} ms, {1000 * sample['slow']:7.2f} ms  "
            f"{sample['linked']} linked, {sample['descriptors']} descriptors, {sample['timers']} timers",
            flush=True,
        )
    return samples


def judge(samples: Sequence[dict[str, Any]], left_alone: int, left: dict[str, int]) -> int:
    """
    Print what is to be said of it.

    @param left_alone: descriptors of links that the node holds although no peer is there any more.
    @param left: what it holds after its stop.
    @return: the exit status.
    """
    memory, latency = (drift([each[what] for each in samples]) for what in ("memory", "latency"))
    last = samples[-1]
    core = mean(each["core"] for each in samples[len(samples) // 4 :])
    print(f"{100 * core:.2f} % of a core in the mean, without the first quarter")
    print(f"drift of the resident set {100 * memory:+.1f} %, of the median latency {100 * latency:+.1f} %")
    print(
        f"{last['replaced']} links replaced, {last['skipped']} messages not sent, {last['failures']} failed"
    )
    print(f"without peers {left_alone} descriptors more than before; after the stop {left}")
    problems = [
        text
        for text, wrong in (
            ("the resident set drifts", memory > MAX_DRIFT),
            ("the latency drifts", latency > MAX_DRIFT),
            (f"messages failed: {last['failure']}", bool(last["failures"])),
            ("descriptors are left", left_alone > 0 or left["descriptors"] > 0),
            ("timers are left", left["timers"] > 0),
        )
        if wrong
    ]
    for each in problems:
        print(each)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
