"""The figures: what is measured on which sides, and the goal that the project has set itself."""

from __future__ import annotations

from functools import partial
from typing import Final

from .figure import Figure
from .first_messages import FirstMessages, SessionHandshakes
from .forwarding.figures import FORWARD_FIGURES
from .simulated import NODES, Calls, Simulation
from .stream_subjects import Bulk, Even, Fastest, Latency, Opens, Slowest
from .subjects import IdleMemory, OneWay, Relayed, RoundTrips, SetUps, Signatures
from .survival import BulkCpu

SMALL: Final = 64
IDLE_LINKS: Final = 500
WINDOW: Final = 64
STREAMS: Final = 64
PENDING_BY_NODE: Final = 20
"""Calls that wait on each node's clock, about."""
RELAY_WINDOW: Final = 1024
"""Enough that both ends always have something to sign and to verify."""


def _frames(name: str, what: str, size: int, goal: float) -> Figure:
    return Figure(
        name,
        f"one-way frames of {what}",
        "frames/s",
        goal,
        "bare",
        partial(OneWay, actor="link", size=size),
        partial(OneWay, actor="bare", size=size),
    )


def _round_trips(window: int, goal: float) -> Figure:
    return Figure(
        f"round-trips-{window}",
        f"round trips of 64 B, window {window}",
        "trips/s",
        goal,
        "bare",
        partial(RoundTrips, actor="link", size=SMALL, window=window),
        partial(RoundTrips, actor="bare", size=SMALL, window=window),
    )


def _memory(side: str) -> Figure:
    return Figure(
        f"memory-{side}",
        f"memory of an idle link, {side}",
        "B/link",
        0.8,
        "bare",
        partial(IdleMemory, actor="link", side=side, links=IDLE_LINKS),
        partial(IdleMemory, actor="bare", side=side, links=IDLE_LINKS),
        at_most=True,
    )


def _relay(name: str, window: int, goal: float | None) -> Figure:
    return Figure(
        name,
        f"send by name through a relay, 64 B, window {window}",
        "messages/s",
        goal,
        "Ed25519",
        partial(Relayed, size=SMALL, window=window),
        partial(Signatures, size=SMALL),
    )


def _bulk(name: str, what: str, streams: int, goal: float) -> Figure:
    return Figure(
        name,
        f"bytes over {what}, in blocks of 64 KiB",
        "blocks/s",
        goal,
        "bare",
        partial(Bulk, actor="streams", streams=streams),
        partial(Bulk, actor="bare-streams"),
    )


FIGURES: Final = (
    Figure(
        "set-ups",
        "link set-ups with Hello and Confirmation",
        "links/s",
        0.8,
        "bare",
        partial(SetUps, actor="handshake"),
        partial(SetUps, actor="bare"),
    ),
    Figure(
        "set-ups-crust",
        "link set-ups, TLS alone",
        "links/s",
        None,
        "bare",
        partial(SetUps, actor="link"),
        partial(SetUps, actor="bare"),
    ),
    _frames("frames-64", "64 B", SMALL, 1.9),
    _frames("frames-1k", "1 KiB", 1 << 10, 1.5),
    _frames("frames-64k", "64 KiB", 1 << 16, 1.6),
    _frames("frames-1m", "1 MiB", 1 << 20, 4.0),
    _round_trips(1, 1.4),
    _round_trips(64, 1.55),
    _memory("client"),
    _memory("server"),
    Figure(
        "send",
        f"send by name to a linked peer, 64 B, window {WINDOW}",
        "messages/s",
        3.0,
        "AMP",
        partial(RoundTrips, actor="service", size=SMALL, window=WINDOW),
        partial(RoundTrips, actor="amp", size=SMALL, window=WINDOW),
    ),
    _relay("relay", RELAY_WINDOW, 1.0),
    _relay("relay-64", WINDOW, None),
    Figure(
        "first-message",
        "processor time of both ends for the first message to a name, through a relay",
        "us",
        None,
        "its TLS handshake alone",
        partial(FirstMessages, size=SMALL),
        SessionHandshakes,
        at_most=True,
    ),
    _bulk("bulk", "one stream", 1, 1.2),
    _bulk("bulk-64", f"{STREAMS} streams at once", STREAMS, 1.1),
    Figure(
        "bulk-survival",
        "processor time of both ends for 64 KiB over one stream",
        "us",
        1.03,
        "sessions that keep nothing",
        partial(BulkCpu, actor="streams"),
        partial(BulkCpu, actor="passing-streams"),
        at_most=True,
    ),
    Figure(
        "bulk-64-slowest",
        f"the slowest of {STREAMS} streams, by the mean of them",
        "of the mean",
        0.5,
        "even shares",
        partial(Slowest, actor="streams", streams=STREAMS),
        partial(Even, actor="streams"),
    ),
    Figure(
        "bulk-64-fastest",
        f"the fastest of {STREAMS} streams, by the mean of them",
        "of the mean",
        2.0,
        "even shares",
        partial(Fastest, actor="streams", streams=STREAMS),
        partial(Even, actor="streams"),
        at_most=True,
    ),
    Figure(
        "opens",
        "streams opened and closed, 16 at a time",
        "streams/s",
        5.0,
        "our own link set-ups",
        partial(Opens, actor="streams"),
        partial(SetUps, actor="handshake"),
    ),
    Figure(
        "echo-beside-bulk",
        "a small echo beside a stream that sends all the time",
        "us",
        1.8,
        "the echo alone",
        partial(Latency, actor="streams", beside=True),
        partial(Latency, actor="streams", beside=False),
        at_most=True,
    ),
    Figure(
        "send-foolscap",
        f"send by name to a linked peer, 64 B, window {WINDOW}, against remote calls",
        "messages/s",
        1.0,
        "Foolscap",
        partial(RoundTrips, actor="service", size=SMALL, window=WINDOW),
        partial(RoundTrips, actor="foolscap", size=SMALL, window=WINDOW),
        needs="foolscap",
    ),
    Figure(
        "bulk-foolscap",
        "bytes over one stream, in blocks of 64 KiB, against remote calls with them",
        "blocks/s",
        1.0,
        "Foolscap",
        partial(Bulk, actor="streams"),
        partial(Bulk, actor="foolscap"),
        needs="foolscap",
    ),
    Figure(
        "sim-calls",
        "calls of the simulation's clock, 10,000 pending",
        "calls/s",
        10.0,
        "Twisted's Clock",
        partial(Calls, ours=True),
        partial(Calls, ours=False),
    ),
    Figure(
        "sim-events",
        f"what happens in a simulated network of {NODES} nodes",
        "events/s",
        None,
        "Twisted's Clock, as many calls pending",
        partial(Simulation, what="events"),
        partial(Calls, ours=False, pending=PENDING_BY_NODE * NODES),
    ),
    Figure(
        "sim-messages",
        f"messages by name in a simulated network of {NODES} nodes",
        "messages/s",
        None,
        "over real sockets",
        partial(Simulation, what="messages"),
        partial(RoundTrips, actor="service", size=SMALL, window=WINDOW),
    ),
    *FORWARD_FIGURES,
)
