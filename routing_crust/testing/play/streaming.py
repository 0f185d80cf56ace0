"""
Streams in a simulated network on which things go wrong: nodes open them to each other by name, and what must
hold of streams is looked at, once in a simulated second, and whenever one of their ends hears something.

The checks are those of L{Streaming}'s methods, and these that ends make themselves:

  - C{what_arrives_was_sent}: what comes out at one end is what the other has written next: nothing is lost on
    the way, comes twice, or comes earlier than what was written before it.
  - C{a_clean_end_carries_all}: an end that is told of a clean end has received everything.
  - C{one_end}: nothing comes after the end, and the end comes once.
  - C{ends_have_a_reason}: none ends for a reason that has not come about.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from ...errors import RoutingCrustError
from ...limits import KIB
from ...names import Name
from ...routing.service import RoutingService
from ...streams import StreamReason, StreamRefused, StreamReset, streams_of
from ..host import SimulatedNode
from ..simulation import SimulatedNetwork, SimulationStuck
from .invariants import CHECK_EVERY_SECONDS, Invariants, NetworkChecks
from .transfer_ends import Accepting, Acceptor, OpeningFactory
from .transfers import COUNT, ECHO, SIMPLE, Transfer, TransferEnd

OPEN_DEADLINE_SECONDS: Final = 170.0
"""Seconds in which a stream is open or not to be had: making a link, as for messages, and the answer."""
SURVIVAL_SECONDS: Final = 60.0
"""Seconds for which streams wait for another link: more than most faults last, less than some."""
HALF_DEAD: Final = 140.0 + SURVIVAL_SECONDS
"""
Seconds for which a stream may be at one end only. An end that has heard nothing for nearly 60 may die itself
before it gives its link up, and the other one then needs 60 to notice and waits for another link; and ends
may pause.
"""
ALL_OVER_WITHIN: Final = 120.0 + SURVIVAL_SECONDS
"""Seconds, after everything has healed, in which every stream of before is over."""
CARRIED_WITHIN_SECONDS: Final = 100.0
"""
Seconds in which new streams are then opened, have carried what they are to, and are over. That is long: a
link that has been dead for less than 60 may have to be noticed first; then another stream is opened.
"""
_WINDOWS: Final = (16 * KIB, 64 * KIB, 256 * KIB)
_CANCELLED_EARLY: Final = 0.05
"""The share of those who open a stream and do not want it any more."""

_Key = tuple[object, ...]
_Pair = tuple[SimulatedNode, SimulatedNode]


class Streaming(NetworkChecks):
    """
    The streams of one network. Made with it; its nodes are told of with L{serve}, before they start.

    @ivar transfers: all that there were, by number.
    """

    def __init__(self, network: SimulatedNetwork, invariants: Invariants, seed: int) -> None:
        super().__init__(network)
        self._invariants = invariants
        self._random = Random(f"streams of {seed}")  # whatever else is drawn is the same without streams
        self._accepting: list[Accepting] = []
        self._openings: list[OpeningFactory] = []
        self._one_sided: dict[_Key, float] = {}
        self._nodes: dict[Name, SimulatedNode] = {}
        self._opening = False
        self._rate = 0.0
        self._current: dict[int, OpeningFactory] = {}
        self.transfers: dict[int, Transfer] = {}

    def serve(self, service: RoutingService) -> None:
        """Let a node offer its protocols: for L{SimulatedNetwork.node}'s C{setup}."""
        streams = streams_of(service)
        for protocol in (ECHO, COUNT, SIMPLE):
            accepting = Accepting(service, self.transfers, self._hear)
            self._accepting.append(accepting)
            streams.listen(protocol, accepting)

    def settings(self) -> dict[str, float]:
        """Settings for a node: small windows, or large ones, and how long streams wait."""
        window = self._random.choice(_WINDOWS)
        return {"stream_window": window, "stream_survival": SURVIVAL_SECONDS}

    # Opening.

    def begin(self, rate: float) -> None:
        """
        From now on nodes open streams, and all is looked at.

        @param rate: streams a second.
        """
        self._opening = True
        self._rate = rate
        self._network.clock.callLater(1 / rate, self._open_some)
        self._network.clock.callLater(CHECK_EVERY_SECONDS, self._tick)

    def end(self) -> None:
        """No more are opened."""
        self._opening = False

    def _open_some(self) -> None:
        if not self._opening:
            return
        self._network.clock.callLater(1 / self._rate, self._open_some)
        alive = self._network.alive
        if len(alive) > 1:
            one, other = self._random.sample(alive, 2)
            self.open(one, other)

    def open(self, one: SimulatedNode, other: SimulatedNode, plain: bool = False) -> Transfer:
        """
        Have one node open a stream to another, and transfer something.

        @param plain: whether neither end pauses or gives up.
        """
        transfer = Transfer(len(self.transfers), self._random, plain)
        self.transfers[transfer.number] = transfer
        opening = self._current[transfer.number] = OpeningFactory(transfer, one.service, self._hear)
        self._openings.append(opening)
        opened = streams_of(one.service).open(other.name, transfer.protocol, opening)
        if not plain and self._random.random() < _CANCELLED_EARLY:
            # by the time of the network: the node's own clock may be set back before
            self._network.clock.callLater(self._random.random(), opened.cancel)
        opened.addBoth(transfer.has_an_answer)
        opened.addErrback(_cancelled)
        self._invariants.expect(one, opened, f"{transfer}", OPEN_DEADLINE_SECONDS)
        return transfer

    # Looking.

    def look(self) -> None:
        """
        Make every check now.

        @raise InvariantBroken: by the first that does not hold.
        """
        self._raise_what_was_heard()
        self._nodes = {node.name: node for node in self._network}
        before, self._one_sided = self._one_sided, {}
        now = self._network.clock.now
        for key, one, other in self._half_dead_ends() + self._held_at_one_end():
            since = before.get(key, now)
            if any(name in self._nodes and self._nodes[name].asleep for name in (one, other)):
                since = min(now, since + CHECK_EVERY_SECONDS)
            self._one_sided[key] = since
            if now - since > HALF_DEAD:
                what = " ".join(str(each) for each in key)
                self._break("none_is_half_dead", f"{what} has been at one end only for {now - since:.0f} s")

    def _half_dead_ends(self) -> list[tuple[_Key, Name, Name]]:
        """Ends that are there while the other is not, and between which nodes."""
        found: list[tuple[_Key, Name, Name]] = []
        for opening in list(self._current.values()):
            transfer = opening.transfer
            opener, acceptor = transfer.opener, transfer.acceptor
            if opener is not None and self._is_open(opener):
                if acceptor is None or not self._is_open(acceptor):
                    found.append(((str(transfer), "at the", opener.title), opener.host, opener.peer.name))
            elif transfer.answer is not None or not self._is_there(opening.service):
                del self._current[transfer.number]
                transfer.forget_the_bytes()
        for number, end in self._accepted():
            opener = None if end.transfer is None else end.transfer.opener
            if opener is None or not self._is_open(opener):
                what = end.transfer or "a stream without a transfer"
                key = (str(what), "at the", end.title, end.host.short, end.peer.protocol, number)
                found.append((key, end.host, end.peer.name))
        return found

    def _accepted(self) -> list[tuple[int, Acceptor]]:
        """The ends that accepted a stream and are there, each with its number among those of its protocol."""
        return [
            (number, end)
            for accepting in self._accepting
            for number, end in accepting.connected.items()
            if self._is_open(end)
        ]

    def _held_at_one_end(self) -> list[tuple[_Key, Name, Name]]:
        """What one node holds and the other does not."""
        held = {node.name: streams_of(node.service).numbers() for node in self._network if node.running}
        found: list[tuple[_Key, Name, Name]] = []
        for here, peers in held.items():
            for there, numbers in peers.items():
                if not numbers:
                    continue
                others = held.get(there, {}).get(here, ())
                found += [
                    (("stream", number, "of", here.short, "with", there.short), here, there)
                    for number in numbers
                    if number not in others
                ]
        return found

    def _is_open(self, end: TransferEnd) -> bool:
        """Whether it is connected, and its process is there."""
        return end.reason is None and self._is_there(end.service)

    def _is_there(self, service: RoutingService) -> bool:
        node = self._nodes[service.node_name]
        return node.running and node.service is service

    def _tick(self) -> None:
        self.look()
        if self._opening:
            self._network.clock.callLater(CHECK_EVERY_SECONDS, self._tick)

    # When all is well again.

    def heal(self) -> dict[str, float]:
        """
        What was there before is over in its time; then new streams do what they are to, from every node.

        @return: how long that took, and how much there was, by name.
        @raise InvariantBroken: it did not come about.
        """
        began = self._network.clock.now
        self._wait(self._all_over, ALL_OVER_WITHIN, "every_stream_ends", self._left)
        over = self._network.clock.now
        new = {pair: self.open(*pair, plain=True) for pair in self._pairs()}
        self._wait(
            lambda: self._carried(new),
            CARRIED_WITHIN_SECONDS,
            "new_streams_carry",
            lambda: [each.state for each in new.values() if not each.done],
        )
        return {
            "streams": float(len(self.transfers)),
            "streams that did all": float(len([each for each in self.transfers.values() if each.done])),
            "bytes over streams": float(
                sum(each.there.arrived + each.back.arrived for each in self.transfers.values())
            ),
            "streams over after": over - began,
            "new streams done after": self._network.clock.now - over,
        }

    def _pairs(self) -> list[_Pair]:
        """Every node with another one."""
        alive = self._network.alive
        choose = self._random.choice
        return [
            (node, choose([each for each in alive if each is not node])) for node in alive if len(alive) > 1
        ]

    def _carried(self, new: dict[_Pair, Transfer]) -> bool:
        """Whether each of these has done all; one that failed for want of a link is opened again."""
        for pair, transfer in new.items():
            if _lacked_a_link(transfer.problem):
                new[pair] = self.open(*pair, plain=True)
        return all(each.done for each in new.values()) and self._all_over()

    def _all_over(self) -> bool:
        self.look()
        return not self._left()

    def _left(self) -> list[str]:
        held = [
            f"stream {number} of {node.name.short} with {name.short}"
            for node in self._network
            if node.running
            for name, numbers in streams_of(node.service).numbers().items()
            for number in numbers
        ]
        accepted = [f"{end.transfer} at the {end.title}" for _, end in self._accepted()]
        return [each.transfer.state for each in self._current.values()] + accepted + held

    def _wait(
        self, until: Callable[[], bool], seconds: float, check: str, left: Callable[[], list[str]]
    ) -> None:
        try:
            self._network.run_until(until, seconds, every=CHECK_EVERY_SECONDS)
        except SimulationStuck:
            self._break(check, f"not within {seconds:g} s: {'; '.join(left())}")

    def nothing_is_left(self, service: RoutingService) -> None:
        """
        After its stop a node has no stream, no peer to have one with, and no protocol is still connected.

        @raise InvariantBroken: something is left.
        """
        left = {
            "peers": len(streams_of(service).numbers()),
            "protocols": len([end for end in self._ends() if end.service is service and end.reason is None]),
            "factories": len([each for each in self._openings if each.service is service and each.numPorts]),
        }
        kept = {what: count for what, count in left.items() if count}
        if kept:
            self._break("nothing_is_left", f"{service.node_name.short} has stopped and has {kept}")
        self._raise_what_was_heard()

    def _ends(self) -> list[TransferEnd]:
        openers = [each.opener for each in self.transfers.values() if each.opener is not None]
        return [*openers, *(end for accepting in self._accepting for end in accepting.connected.values())]


def _cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)


def _lacked_a_link(problem: BaseException | None) -> bool:
    """Whether there was no link, or it was lost, or it was dead for longer than an answer is waited for."""
    if isinstance(problem, StreamRefused):
        return problem.reason is StreamReason.TOO_SLOW
    return isinstance(problem, RoutingCrustError) and not isinstance(problem, StreamReset)
