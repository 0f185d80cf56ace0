"""
C{python -m tests.streams.survival}: the two ends of a session from many seeds. Links are lost and made at any
byte, at one end before the other, also while the ends resume; the checks are those of L{SurvivingMachine}.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from routing_crust.streams.frames import Cause, StreamReason
from routing_crust.streams.multiplexing import resets

from .test_properties import SurvivingMachine

STEPS: Final = 60
"""In each seed."""
CUT: Final[Cause] = StreamReason.ABORTED, "cut"
_SAID_EVERY_SECONDS: Final = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the seeds, and say how many held."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.streams.survival",
        description="Lose the link of two ends again and again, from seeds: does everything come, once?",
    )
    parser.add_argument("--seeds", type=int, default=300, metavar="N", help="how many (default: %(default)d)")
    parser.add_argument("--first", type=int, default=0, metavar="S", help="the first one (default: 0)")
    options = parser.parse_args(arguments)
    # the machine resets more streams in a moment than users do
    resets.MAX_STREAM_RESETS = 1000  # type: ignore[misc]
    began, said, losses, failed = time.process_time(), time.monotonic(), 0, []
    for seed in range(options.first, options.first + options.seeds):
        try:
            losses += play(seed)
        except Exception as problem:  # whatever the code under test may raise
            failed.append(seed)
            print(f"seed {seed}: {type(problem).__name__}: {problem}", file=sys.stderr, flush=True)
        if time.monotonic() - said > _SAID_EVERY_SECONDS:
            said = time.monotonic()
            print(f"{seed - options.first + 1} seeds so far", file=sys.stderr, flush=True)
    seconds = time.process_time() - began
    print(
        f"{options.seeds} seeds, {losses} losses of links: {options.seeds - len(failed)} held, "
        f"{len(failed)} did not, {options.seeds / seconds:.0f} a second of one core"
    )
    return 1 if failed else 0


def play(seed: int) -> int:
    """
    Play one seed.

    @return: how often an end has lost its link.
    @raise AssertionError: something did not hold.
    """
    random = Random(seed)
    machine = SurvivingMachine()
    losses = 0

    def end() -> int:
        return random.randrange(2)

    def index() -> int:
        return random.randrange(8)

    def lose() -> None:
        nonlocal losses
        losses += 1
        machine.lose(end=end())

    def join() -> None:
        if not machine.together:
            machine.join(first=end())

    def write() -> None:
        data = random.randbytes(random.randint(1, 50))
        machine.write(end=end(), index=index(), data=data, times=random.choice((1, 1000)))

    def deliver() -> None:
        machine.deliver(end=end(), count=random.randint(1, random.choice((40, 100_000))))

    acts: dict[Callable[[], object], int] = {
        lose: 3,
        join: 4,
        write: 6,
        deliver: 8,
        lambda: machine.feed(end=end(), room=random.randint(1, 100_000)): 6,
        lambda: machine.turn(end=end()): 3,
        lambda: machine.advance(seconds=random.random()): 2,
        lambda: machine.open(end=end(), at_once=random.random() < 0.5): 2,
        lambda: machine.decide(end=end(), index=index(), yes=random.random() < 0.8): 2,
        lambda: machine.read(end=end(), index=index(), reading=random.random() < 0.7): 3,
        lambda: machine.finish(end=end(), index=index()): 1,
        lambda: machine.close(end=end(), index=index(), cause=random.choice((None, CUT))): 1,
        lambda: machine.reset(end=end(), index=index(), opened=random.random() < 0.7): 1,
        machine.settle: 1,
        lambda: machine.look_at_everything(lost=None): 1,
    }
    for act in random.choices(list(acts), list(acts.values()), k=STEPS):
        act()
        machine.bounds()
    machine.teardown()
    return losses


if __name__ == "__main__":
    sys.exit(main())
