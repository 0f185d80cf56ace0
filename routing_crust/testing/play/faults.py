"""
Faults as data: a schedule of what goes wrong and when, which can be printed, read again and played.

A line of its text is a time in seconds, a fault and its fields, as in C{12.5 crash host=3 silently=yes}.
Hosts are numbers, in the order in which the nodes were made. Schedules are drawn by C{chance}.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ...errors import RoutingCrustError
from ..host import SimulatedNode
from ..latency import LongTailed
from ..memory.transport import MemoryTransport
from ..simulation import SimulatedNetwork

HOUR = 3600.0


class BadSchedule(RoutingCrustError):
    """A text is not a schedule; the error says which line and why."""


@dataclass(frozen=True, slots=True)
class Fault(ABC):
    """
    Something that goes wrong, or is put right.

    @ivar at: when, in seconds from the beginning of the schedule.
    """

    word: ClassVar[str]
    at: float

    @abstractmethod
    def happen(self, network: SimulatedNetwork) -> None:
        """Let it happen. What does not fit (a crash of what is down) is left out."""

    def __str__(self) -> str:
        fields = dataclasses.fields(self)[1:]
        shown = [f"{each.name}={_as_text(getattr(self, each.name))}" for each in fields]
        return " ".join([f"{self.at:g}", self.word, *shown])


@dataclass(frozen=True, slots=True)
class _OfHost(Fault):
    """A fault of one host."""

    host: int

    def happen(self, network: SimulatedNetwork) -> None:
        nodes = network.all
        if self.host < len(nodes):
            self.strike(nodes[self.host])

    @abstractmethod
    def strike(self, node: SimulatedNode) -> None:
        """Let it happen to this host."""


@dataclass(frozen=True, slots=True)
class Crash(_OfHost):
    """A process is killed; C{silently}: its host goes down, and its peers are not told."""

    word: ClassVar[str] = "crash"
    silently: bool = False

    def strike(self, node: SimulatedNode) -> None:
        node.crash(self.silently)


@dataclass(frozen=True, slots=True)
class Restart(_OfHost):
    """What was killed or stopped starts again, with its disk."""

    word: ClassVar[str] = "restart"

    def strike(self, node: SimulatedNode) -> None:
        node.restart()


@dataclass(frozen=True, slots=True)
class Sleep(_OfHost):
    """A host sleeps for C{seconds}."""

    word: ClassVar[str] = "sleep"
    seconds: float = 60.0

    def strike(self, node: SimulatedNode) -> None:
        node.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class JumpClock(_OfHost):
    """A host's clock is set forward, or back where C{seconds} is negative."""

    word: ClassVar[str] = "jump-clock"
    seconds: float = HOUR

    def strike(self, node: SimulatedNode) -> None:
        node.jump_clock(self.seconds)


@dataclass(frozen=True, slots=True)
class FlushNat(_OfHost):
    """The NAT before a host forgets everything; links through it fall silent."""

    word: ClassVar[str] = "flush-nat"

    def strike(self, node: SimulatedNode) -> None:
        node.flush_nat()


@dataclass(frozen=True, slots=True)
class ChangeAddress(_OfHost):
    """The NAT before a host gets another external address, and forgets everything."""

    word: ClassVar[str] = "change-address"

    def strike(self, node: SimulatedNode) -> None:
        node.change_address()


@dataclass(frozen=True, slots=True)
class Partition(Fault):
    """The hosts of C{group} are cut off from all others; they reach each other."""

    word: ClassVar[str] = "partition"
    group: tuple[int, ...]

    def happen(self, network: SimulatedNetwork) -> None:
        nodes = network.all
        # a schedule may be played with fewer nodes than it was drawn for
        network.partition([nodes[each] for each in self.group if each < len(nodes)])


@dataclass(frozen=True, slots=True)
class OneWay(Fault):
    """Nothing that one host sends reaches the other."""

    word: ClassVar[str] = "one-way"
    sender: int
    receiver: int

    def happen(self, network: SimulatedNetwork) -> None:
        nodes = network.all
        if max(self.sender, self.receiver) < len(nodes):
            network.network.shut(nodes[self.sender].crust, nodes[self.receiver].crust)


@dataclass(frozen=True, slots=True)
class Heal(Fault):
    """Every partition ends, of one direction too; links that stalled go on; no dial is lost any more."""

    word: ClassVar[str] = "heal"

    def happen(self, network: SimulatedNetwork) -> None:
        network.heal()


@dataclass(frozen=True, slots=True)
class _OfLink(Fault):
    """
    A fault of one link.

    @ivar which: a number; the rest of its division by the number of links chooses one.
    """

    which: int

    def happen(self, network: SimulatedNetwork) -> None:
        links = network.network.links
        if links:
            self.strike(network, links[self.which % len(links)])

    @abstractmethod
    def strike(self, network: SimulatedNetwork, link: MemoryTransport) -> None:
        """Let it happen to this link."""


@dataclass(frozen=True, slots=True)
class Reset(_OfLink):
    """A connection breaks, and both ends hear of it."""

    word: ClassVar[str] = "reset"

    def strike(self, network: SimulatedNetwork, link: MemoryTransport) -> None:
        network.network.cut(link)


@dataclass(frozen=True, slots=True)
class HalfOpen(_OfLink):
    """Nothing passes on a link any more, and neither end is told."""

    word: ClassVar[str] = "half-open"

    def strike(self, network: SimulatedNetwork, link: MemoryTransport) -> None:
        network.network.half_open(link)


@dataclass(frozen=True, slots=True)
class Stall(_OfLink):
    """Nothing passes on a link for C{seconds}; then it goes on."""

    word: ClassVar[str] = "stall"
    seconds: float = 10.0

    def strike(self, network: SimulatedNetwork, link: MemoryTransport) -> None:
        network.network.half_open(link)
        network.clock.callLater(self.seconds, network.network.mend, link)


@dataclass(frozen=True, slots=True)
class ChangeLatency(Fault):
    """From now on what is sent takes about this long: long-tailed, with this median in seconds."""

    word: ClassVar[str] = "latency"
    median: float
    spread: float = 0.5

    def happen(self, network: SimulatedNetwork) -> None:
        network.network.latency = LongTailed(self.median, self.spread)


@dataclass(frozen=True, slots=True)
class LoseDials(Fault):
    """From now on nothing comes back of this share of all dials."""

    word: ClassVar[str] = "lose-dials"
    share: float

    def happen(self, network: SimulatedNetwork) -> None:
        network.network.dial_loss = self.share


FAULTS: tuple[type[Fault], ...] = (
    Crash, Restart, Sleep, JumpClock, Partition, OneWay, Heal, Reset, HalfOpen, Stall, ChangeLatency,
    LoseDials, FlushNat, ChangeAddress,
)  # fmt: skip
_BY_WORD = {each.word: each for each in FAULTS}


class Schedule:
    """
    Faults in the order in which they happen.

    @ivar faults: the same as a tuple.
    """

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        # stable: of two faults at one time the first in the text happens first
        self.faults = tuple(sorted(faults, key=lambda each: each.at))

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.faults)

    def __len__(self) -> int:
        return len(self.faults)

    def __eq__(self, other: object) -> bool:
        return self.faults == other.faults if isinstance(other, Schedule) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.faults)

    def __str__(self) -> str:
        return "".join(f"{each}\n" for each in self.faults)

    @classmethod
    def from_text(cls, text: str) -> Schedule:
        """
        Read what C{str} gives. Empty lines are left out, and what follows a C{#}.

        @raise BadSchedule: with the line.
        """
        faults = []
        for number, line in enumerate(text.splitlines(), 1):
            words = line.partition("#")[0].split()
            if words:
                try:
                    faults.append(_read(words))
                except (KeyError, ValueError, TypeError) as error:
                    raise BadSchedule(f"line {number} is no fault ({error}): {line.strip()}") from None
        return cls(faults)

    def apply(self, network: SimulatedNetwork) -> None:
        """Have everything happen in its time, from now on."""
        for each in self.faults:
            network.clock.callLater(each.at, _happen, each, network)


def _happen(fault: Fault, network: SimulatedNetwork) -> None:
    network.trace.note("fault", str(fault))
    fault.happen(network)


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _read(words: list[str]) -> Fault:
    at, word, *rest = words
    if word not in _BY_WORD:
        raise ValueError(f"the faults are {', '.join(_BY_WORD)}")
    of = _BY_WORD[word]
    # texts, since annotations are postponed
    types = {each.name: each.type for each in dataclasses.fields(of)}
    given = dict(each.split("=", 1) for each in rest)
    return of(float(at), **{name: _value(str(types[name]), text) for name, text in given.items()})


def _value(of: str, text: str) -> object:
    if of == "bool":
        return {"yes": True, "no": False}[text]
    if of.startswith("tuple"):
        return tuple(int(each) for each in text.split(",") if each)
    return int(text) if of == "int" else float(text)
