"""
C{python -m routing_crust.testing}: play many seeds of a simulated network on which everything goes wrong, and
see what must always hold.

A seed that fails is printed with the one command that plays it again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Final, TypeVar

from ..errors import RoutingCrustError
from .play.bans import BanPlan, BanResult, play_bans
from .play.crowd import Crowd
from .play.faults import Schedule
from .play.growth import growth_table
from .play.scenario import STREAMS_PER_SECOND, Plan, Result, Scenario, play, prepare_process
from .play.siege import RAIDS, SiegePlan, SiegeResult, play_siege

NATS: Final = 0.0
_Plan = TypeVar("_Plan")
_Result = TypeVar("_Result")
_EPILOG: Final = """\
examples:
  python -m routing_crust.testing --seeds 300 --nodes 20 --minutes 3
  python -m routing_crust.testing --seed 17 --nodes 20 --minutes 3 --trace trace.txt
  python -m routing_crust.testing --crowd 1000
  python -m routing_crust.testing --growth 10,30,100,300
  python -m routing_crust.testing --siege --seeds 200
  python -m routing_crust.testing --bans --seeds 200
  python -m routing_crust.testing --bans --seed 1 --nodes 1000
  python -m routing_crust.testing --siege --seed 17 --raid "deaf proxy"
"""


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m routing_crust.testing",
        description="Play simulated networks from seeds, with faults, and check what must always hold.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to play").add_mutually_exclusive_group()
    add = what.add_argument
    add("--seeds", type=_count, default=20, metavar="N", help="number of seeds (default: 20)")
    add("--seed", type=int, metavar="S", help="this seed alone")
    add("--crowd", type=_count, metavar="N", help="N nodes, of which a tenth is lost; they must heal")
    add("--restart", type=_count, metavar="N", help="N nodes that all start again in one moment")
    add("--growth", type=_sizes, metavar="N,N,...", help="what joining and looking up cost, as a table")
    siege = parser.add_argument_group("a siege").add_argument
    siege("--siege", action="store_true", help="hostile hosts instead of faults: 20 %% of the nodes")
    titles = [each.title() for each in RAIDS]
    siege("--private", action="store_true", help="in a private network, of which they are no members")
    siege("--raid", action="append", choices=titles, metavar="NAME", help=f"only this: {', '.join(titles)}")
    bans = "a private network: members are banned while some are away and some hostile"
    parser.add_argument_group("bans").add_argument("--bans", action="store_true", help=bans)
    add = parser.add_argument_group("how").add_argument
    add("--first", type=int, default=0, metavar="S", help="the first of the seeds (default: 0)")
    nodes = "nodes in each network (default: 20, in a siege 40, for bans 12)"
    minutes = "for how long things go wrong (default: 3, in a siege 1)"
    add("--nodes", type=_count, metavar="N", help=nodes)
    add("--minutes", type=float, metavar="M", help=minutes)
    add("--faults", type=_count, metavar="N", help="how many do (default: half of nodes x minutes)")
    add("--schedule", type=Path, metavar="FILE", help="play the faults that are in this file")
    rate = "streams opened in a second; 0 is none (default: %(default)g)"
    share = "the share of nodes behind NATs, 0 to 1 (default: %(default)g)"
    add("--nats", type=_share, default=NATS, metavar="SHARE", help=share)
    add("--streams", type=float, default=STREAMS_PER_SECOND, metavar="R", help=rate)
    add("--messages", type=_count, default=10_000, metavar="N", help="of a crowd (default: 10,000)")
    add(
        "--jobs", type=_count, default=os.cpu_count() or 1, metavar="N", help="at once (default: %(default)s)"
    )
    add("--print-schedule", action="store_true", help="print the faults of --seed, and play nothing")
    add("--trace", type=Path, metavar="FILE", help="with --seed: write all that happens to a file")
    add("--hash", action="store_true", help="print the hash of what has happened")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Play. Returns the exit status: 0 if everything held."""
    options = make_parser().parse_args(arguments)
    if options.nodes is None:
        options.nodes = 40 if options.siege else 12 if options.bans else 20
    if options.minutes is None:
        options.minutes = 1.0 if options.siege else 3.0
    try:
        if options.siege:
            return _besiege(options)
        if options.bans:
            return _ban(options)
        if options.crowd is not None:
            return _crowd(Crowd(options.crowd, options.first), options)
        if options.restart is not None:
            return _crowd(Crowd(options.restart, options.first, restart=True), options)
        if options.growth is not None:
            print(growth_table(options.growth, options.first), end="")
            return 0
        if options.seed is not None:
            return _one(options)
        return _many(options)
    except RoutingCrustError as error:
        print(error)
        return 1


def _plan(options: argparse.Namespace, seed: int) -> Plan:
    schedule = None
    if options.schedule is not None:
        schedule = Schedule.from_text(options.schedule.read_text(encoding="utf-8"))
    return Plan(seed, options.nodes, options.minutes, options.faults, schedule, options.streams, options.nats)


def _many(options: argparse.Namespace) -> int:
    began = time.monotonic()
    plans = [_plan(options, seed) for seed in range(options.first, options.first + options.seeds)]
    failed = 0
    for result in _results(play, plans, options.jobs):
        failed += _tell(options, result, _command(options, result.plan, f"--seed {result.plan.seed}"))
    seconds = time.monotonic() - began
    after = options.first + options.seeds
    what = f"seeds {options.first} to {after - 1} of {options.nodes} nodes and {options.minutes:g} minutes"
    print(f"{what}: {len(plans) - failed} held, {failed} did not, in {seconds:.0f} s")
    print(f"the next: {_command(options, plans[0], f'--seeds {options.seeds} --first {after}')}")
    return 1 if failed else 0


def _besiege(options: argparse.Namespace) -> int:
    began = time.monotonic()
    seeds = range(options.first, options.first + options.seeds) if options.seed is None else (options.seed,)
    raids = None if options.raid is None else tuple(options.raid)
    plans = [SiegePlan(seed, options.nodes, options.minutes, raids, options.private) for seed in seeds]
    failed = 0
    slowest: dict[str, float] = {}
    for result in _results(play_siege, plans, options.jobs):
        failed += _tell(options, result, _replay_siege(result))
        for name, value in result.figures.items():
            slowest[name] = max(value, slowest.get(name, 0.0))
    for name, value in slowest.items():
        print(f"{name:32} {value:.1f}")
    seconds = time.monotonic() - began
    what = f"{len(plans)} sieges of {options.nodes} nodes and {options.minutes:g} minutes"
    print(f"{what}: {len(plans) - failed} held, {failed} did not, in {seconds:.0f} s")
    return 1 if failed else 0


def _ban(options: argparse.Namespace) -> int:
    began = time.monotonic()
    seeds = range(options.first, options.first + options.seeds) if options.seed is None else (options.seed,)
    plans = [BanPlan(seed, options.nodes) for seed in seeds]
    failed, figures = 0, dict[str, list[float]]()
    for result in _results(play_bans, plans, options.jobs):
        again = f"python -m routing_crust.testing --bans --seed {result.plan.seed} --nodes {options.nodes}"
        failed += _tell(options, result, again)
        for name, value in result.figures.items():
            figures.setdefault(name, []).append(value)
    for name, values in figures.items():
        print(f"{name:40} median {median(values):.2f}, most {max(values):.2f}")
    seconds = time.monotonic() - began
    what = f"bans in {len(plans)} networks of {options.nodes} members"
    print(f"{what}: {len(plans) - failed} held, {failed} did not, in {seconds:.0f} s")
    return 1 if failed else 0


def _tell(options: argparse.Namespace, result: Result | SiegeResult | BanResult, again: str) -> bool:
    """Print what has come of one seed. Returns whether it failed."""
    if options.hash:
        print(f"seed {result.plan.seed}: {result.trace}")
    if result.problem:
        print(f"seed {result.plan.seed}: {result.problem}")
        print(f"again: {again}", flush=True)
    return bool(result.problem)


def _replay_siege(result: SiegeResult) -> str:
    plan = result.plan
    parts = ["python -m routing_crust.testing --siege", f"--seed {plan.seed}", f"--nodes {plan.nodes}"]
    parts.append(f"--minutes {plan.minutes:g}")
    parts += ["--private"] * plan.private
    parts += [f'--raid "{each}"' for each in plan.raids or ()]
    return " ".join(parts)


def _results(player: Callable[[_Plan], _Result], plans: list[_Plan], jobs: int) -> Iterator[_Result]:
    if jobs == 1 or len(plans) == 1:
        yield from map(player, plans)
        return
    # not forked: nothing of this process is wanted there
    with ProcessPoolExecutor(jobs, get_context("spawn"), prepare_process) as pool:
        yield from pool.map(player, plans)


def _command(options: argparse.Namespace, plan: Plan, seeds: str) -> str:
    """The command that plays seeds with the faults of this plan."""
    parts = ["python -m routing_crust.testing", seeds, f"--nodes {plan.nodes}"]
    parts.append(f"--minutes {plan.minutes:g}")
    if plan.faults is not None:
        parts.append(f"--faults {plan.faults}")
    if plan.nats != NATS:
        parts.append(f"--nats {plan.nats:g}")
    if plan.streams != STREAMS_PER_SECOND:
        parts.append(f"--streams {plan.streams:g}")
    if options.schedule is not None:
        parts.append(f"--schedule {options.schedule}")
    return " ".join(parts)


def _one(options: argparse.Namespace) -> int:
    scenario = Scenario(_plan(options, options.seed), keep_trace=options.trace is not None)
    if options.print_schedule:
        print(scenario.schedule, end="")
        scenario.invariants.abandon()
        return 0
    try:
        scenario.run()
    finally:
        scenario.invariants.abandon()
        if options.trace is not None:
            lines = scenario.network.trace.lines
            options.trace.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, value in scenario.figures.items():
        print(f"{name:32} {value:.1f}")
    if options.hash:
        print(scenario.network.trace.hash())
    return 0


def _crowd(crowd: Crowd, options: argparse.Namespace) -> int:
    began = time.monotonic()
    for name, value in crowd.run(options.messages).items():
        print(f"{name:40} {value:,.1f}", flush=True)
    print(f"{'seconds that it took':40} {time.monotonic() - began:,.1f}")
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a count: write 1 or more")
    return int(text)


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share: write 0 to 1")
    return number


def _sizes(text: str) -> list[int]:
    return [_count(each) for each in text.split(",")]


if __name__ == "__main__":
    prepare_process()
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # to take a network of a thousand nodes to pieces, object by object, takes 20 s
