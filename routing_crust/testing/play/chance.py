"""
Schedules drawn by chance: what may go wrong in a network on a bad day, from one seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from .faults import (
    HOUR,
    ChangeAddress,
    ChangeLatency,
    Crash,
    Fault,
    FlushNat,
    HalfOpen,
    Heal,
    JumpClock,
    LoseDials,
    OneWay,
    Partition,
    Reset,
    Restart,
    Schedule,
    Sleep,
    Stall,
)

SILENCE_SECONDS: Final = 60.0
"""Seconds after which a half-open link is noticed."""
QUIET_LATENCY_SECONDS: Final = 0.03
"""The median latency after a schedule, in seconds."""
# a schedule is drawn before there are links: the number is taken modulo their count when the fault happens
_SOME_LINK: Final = 1000

_Draw = Callable[[Random, float, int, float], Sequence[Fault]]


def random_schedule(random: Random, hosts: int, seconds: float, faults: int, nats: bool = False) -> Schedule:
    """
    Draw a schedule. All that is broken is put right at its end, and every host runs again and is awake; links
    that are half-open have been silent for long enough to be noticed.

    @param hosts: how many there are; the first one, number 0, is spared nothing.
    @param seconds: how long it lasts.
    @param faults: how many faults there are before the end.
    @param nats: whether what happens to NATs is among them.
    """
    chances = (*_CHANCES, *_CHANCES_OF_NATS) if nats else _CHANCES
    weights = [weight for weight, _ in chances]
    found: list[Fault] = []
    for _ in range(faults):
        at = _rounded(random.random() * seconds * 0.9)
        draw = random.choices(chances, weights)[0][1]
        found += draw(random, at, hosts, seconds)
    end = [Heal(seconds), LoseDials(seconds, 0.0), ChangeLatency(seconds, QUIET_LATENCY_SECONDS)]
    return Schedule([*found, *end, *(Restart(seconds, host) for host in range(hosts))])


def _crash(random: Random, at: float, hosts: int, seconds: float) -> Sequence[Fault]:
    host = random.randrange(hosts)
    back = _rounded(min(at + 1 + random.random() * 60, seconds))
    return Crash(at, host, random.random() < 0.5), Restart(back, host)


def _sleep(random: Random, at: float, hosts: int, seconds: float) -> Sequence[Fault]:
    return (Sleep(at, random.randrange(hosts), _rounded(min(5 + random.random() * 120, seconds - at))),)


def _jump(random: Random, at: float, hosts: int, seconds: float) -> Sequence[Fault]:
    return (JumpClock(at, random.randrange(hosts), random.choice((HOUR, -HOUR))),)


def _partition(random: Random, at: float, hosts: int, seconds: float) -> Sequence[Fault]:
    group = tuple(sorted(random.sample(range(hosts), random.randint(1, max(1, hosts // 2)))))
    return Partition(at, group), Heal(_rounded(min(at + 1 + random.random() * 90, seconds)))


def _one_way(random: Random, at: float, hosts: int, seconds: float) -> Sequence[Fault]:
    sender = random.randrange(hosts)
    return (OneWay(at, sender, (sender + 1 + random.randrange(max(1, hosts - 1))) % hosts),)


def _reset(random: Random, at: float, hosts: int, seconds: float) -> Sequence[Fault]:
    return (Reset(at, random.randrange(_SOME_LINK)),)


def _half_open(random: Random, at: float, hosts: int, seconds: float) -> Sequence[Fault]:
    return (HalfOpen(_early(at, seconds), random.randrange(_SOME_LINK)),)


def _flush(random: Random, at: float, hosts: int, seconds: float) -> Sequence[Fault]:
    return (FlushNat(_early(at, seconds), random.randrange(hosts)),)


def _new_address(random: Random, at: float, hosts: int, seconds: float) -> Sequence[Fault]:
    return (ChangeAddress(_early(at, seconds), random.randrange(hosts)),)


def _stall(random: Random, at: float, hosts: int, seconds: float) -> Sequence[Fault]:
    return (Stall(at, random.randrange(_SOME_LINK), _rounded(min(1 + random.random() * 55, seconds - at))),)


def _latency(random: Random, at: float, hosts: int, seconds: float) -> Sequence[Fault]:
    return (ChangeLatency(at, _rounded(0.001 + random.random() * 0.5)),)


def _lose_dials(random: Random, at: float, hosts: int, seconds: float) -> Sequence[Fault]:
    return (LoseDials(at, _rounded(random.random() * 0.5)),)


_CHANCES: Final[tuple[tuple[int, _Draw], ...]] = (
    (30, _crash),
    (10, _sleep),
    (5, _jump),
    (10, _partition),
    (7, _one_way),
    (12, _reset),
    (10, _half_open),
    (8, _stall),
    (4, _latency),
    (4, _lose_dials),
)
_CHANCES_OF_NATS: Final[tuple[tuple[int, _Draw], ...]] = ((15, _flush), (10, _new_address))


def _early(at: float, seconds: float) -> float:
    """A time so early that links that fall silent are noticed before the end."""
    return _rounded(at * max(0.0, 1 - SILENCE_SECONDS / seconds))


def _rounded(number: float) -> float:
    """Short enough that it is the same number when it is read again."""
    return float(f"{number:.4g}")
