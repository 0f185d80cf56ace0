"""What two nodes have in one of these networks, measured with real nodes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final

from ..called import NothingCame
from ..lab import Lab
from ..matrix import Meeting, Try
from .network import Network

DELAY_SECONDS: Final = 0.010
"""Of each access to the internet, one way: a round trip between two takes 40 ms."""


@dataclass(frozen=True, slots=True)
class Measured:
    """
    @ivar joined: seconds from the start of Bob, who knows only contacts, until he was in the network.
    @ivar first: his link with Alice, and his first message to her.
    @ivar again: for each event, the seconds from it until another message was acknowledged, and the path kind
        of the link that there was then, or next.
    """

    network: Network
    first: Try
    joined: float = 0.0
    again: Mapping[str, tuple[float, str]] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether everything was as it must be, and in time."""
        within = self.network.within
        return (
            self.first.path_kind in self.network.expected
            and not self.first.problem
            and self.first.linked <= within
            and self.again.keys() == self.network.events.keys()
            and all(seconds <= within for seconds, _ in self.again.values())
        )


def measure(network: Network) -> Measured:
    """
    Build the network, and play it once.

    @raise LabError: none can be built here.
    """
    lab = Lab(network.hosts, delay=DELAY_SECONDS, loss=network.loss)
    with lab, ExitStack() as neighbours:
        network.prepare(lab)
        meeting = Meeting(lab, network.expected, network.endpoints)
        try:
            meeting.start()
            for host in network.neighbours:
                neighbours.enter_context(meeting.node(host, network.listen[1])).wait("connected")
        except NothingCame as problem:
            return Measured(network, Try(problem=str(problem)))
        return _play(network, meeting)


def _play(network: Network, meeting: Meeting) -> Measured:
    first, joined = Try(), 0.0
    again: dict[str, tuple[float, str]] = {}
    try:
        with meeting.pair(network.listen) as (_, bob):
            joined = float(bob.wait("connected")["seconds"])
            first = meeting.watch(bob)
            for what, happens in network.events.items():
                happens(meeting.lab)
                said = bob.send_again()
                again[what] = float(said["seconds"]), str(said["path_kind"])
    except NothingCame as problem:
        first = replace(first, problem=str(problem))
    return Measured(network, first, joined, again)
