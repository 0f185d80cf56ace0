"""The figures of forwards."""

from __future__ import annotations

from functools import partial
from typing import Final

from ..figure import Figure
from .subjects import (
    EndCpu,
    Forwarded,
    ForwardedBulk,
    ForwardedCpu,
    ForwardedEcho,
    ForwardedOpens,
    RelayCpu,
)

_OURS: Final = "forward-ours"
_PROGRAMS: Final = {"ssh": "ssh -L", "socat": "socat, TLS"}


def _against(
    program: str, name: str, what: str, unit: str, subject: type[Forwarded], goal: float | None
) -> Figure:
    return Figure(
        f"forward-{name}-{program}",
        f"{what}, by a forward",
        unit,
        goal,
        _PROGRAMS[program],
        partial(subject, actor=_OURS),
        partial(subject, actor=f"forward-{program}"),
        at_most=subject is ForwardedCpu,
        needs=program,
    )


def _all_against(program: str, goals: tuple[float | None, ...]) -> tuple[Figure, ...]:
    bulk, cpu, echo, opens = goals
    return (
        _against(program, "bulk", "bytes over one connection", "blocks/s", ForwardedBulk, bulk),
        _against(program, "cpu", "time of both ends for a block", "us/block", ForwardedCpu, cpu),
        _against(program, "echo", "small echoes", "echoes/s", ForwardedEcho, echo),
        _against(program, "opens", "connections, each with an echo", "a second", ForwardedOpens, opens),
    )


FORWARD_FIGURES: Final = (
    *_all_against("ssh", (1.0, 1.0, 1.0, 3.0)),
    *_all_against("socat", (None, None, None, None)),
    Figure(
        "forward-relayed",
        "bytes over one connection, by a forward through a relay",
        "blocks/s",
        0.45,
        "our own direct forward",
        partial(ForwardedBulk, actor=_OURS, relayed=True),
        partial(ForwardedBulk, actor=_OURS),
    ),
    Figure(
        "relay-cpu",
        "time of a relay for a block",
        "us/block",
        0.5,
        "one end's",
        partial(RelayCpu, actor=_OURS),
        partial(EndCpu, actor=_OURS),
        at_most=True,
    ),
)
