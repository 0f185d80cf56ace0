"""
Many peers of one node in one process: they send it messages at a rate, and one after the other is replaced.

The clock and the making of a peer are handed in, so that the same crowd runs on a fake clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import repeat
from statistics import median
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from routing_crust.names import Name
from routing_crust.routing.service import RoutingService

TICK_SECONDS: Final = 0.02
"""Seconds between two bursts of messages."""
STARTS_PER_SECOND: Final = 25.0
"""How many peers are started in a second, until all are there."""
MAX_UNANSWERED_SECONDS: Final = 2.0
"""Seconds of messages that may wait for their acknowledgement; no more are sent until then."""
BODY: Final = bytes(100)


class Crowd:
    """
    The peers of one process.

    @ivar sent: messages that were sent.
    @ivar acknowledged: of these, how many were acknowledged.
    @ivar skipped: messages that were not sent since too many waited.
    @ivar failures: messages that failed, other than by the end of their peer.
    @ivar replaced: peers that have been replaced.
    """

    def __init__(
        self, clock: IReactorTime, make: Callable[[], RoutingService], node: Name, peers: int
    ) -> None:
        """
        @param make: makes a peer that will be linked with the node; it is started here.
        @param node: to whom all messages go.
        """
        self._clock = clock
        self._make = make
        self._node = node
        self._wanted = peers
        self._peers: deque[RoutingService] = deque()
        self._latencies: list[float] = []
        self._ending: set[Deferred[None]] = set()
        self._loops: list[LoopingCall] = []
        self._rate = 0.0
        self._began = 0.0
        self._due = 0
        self.sent = self.acknowledged = self.skipped = self.replaced = 0
        self.failures: list[str] = []

    def gather(self, names: int = 0) -> Deferred[None]:
        """
        Start all peers, some in each second. Fires when the last is linked.

        @param names: how many the node shall have met by then; those beyond the crowd are replaced at once.
        """
        done: Deferred[None] = Deferred()
        more = max(names - self._wanted, 0)
        loop = LoopingCall(self._start_one, repeat(True, more), done)
        loop.clock = self._clock
        self._loops.append(loop)
        loop.start(1 / STARTS_PER_SECOND)
        return done

    def _start_one(self, more: Iterator[bool], done: Deferred[None]) -> None:
        if len(self._peers) == self._wanted:
            if next(more, False):
                self._exchange_one()
                return
            self._loops.pop().stop()
            linked = gatherResults([each.when_connected() for each in self._peers])
            linked.addCallback(lambda _: None).chainDeferred(done)
            return
        self._add()

    def _add(self) -> None:
        peer = self._make()
        self._peers.append(peer)
        peer.startService()

    def begin(self, rate: float, churn: float) -> None:
        """
        Send and replace from now on.

        @param rate: messages a second of all peers together.
        @param churn: peers that are replaced in a second.
        """
        self._rate = rate
        self._began = self._clock.seconds()
        self._repeat(self._send_some, TICK_SECONDS)
        if churn:
            self._repeat(self._replace_one, 1 / churn)

    def _repeat(self, call: Callable[[], object], every: float) -> None:
        loop = LoopingCall(call)
        loop.clock = self._clock
        self._loops.append(loop)
        loop.start(every, now=False)

    def _send_some(self) -> None:
        due = round((self._clock.seconds() - self._began) * self._rate)
        count, self._due = due - self._due, due
        if self.sent - self.acknowledged - len(self.failures) > self._rate * MAX_UNANSWERED_SECONDS:
            self.skipped += count
            return
        for _ in range(count):
            self._peers.rotate(-1)
            if self._peers[0].bootstrapped:
                self._send(self._peers[0])

    def _send(self, peer: RoutingService) -> None:
        began = self._clock.seconds()
        self.sent += 1

        def answered(result: object) -> None:
            self.acknowledged += 1
            if not isinstance(result, Failure):
                self._latencies.append(self._clock.seconds() - began)
            elif peer.running:
                self.acknowledged -= 1
                self.failures.append(result.getErrorMessage())

        peer.send(self._node, BODY).addBoth(answered)

    def _replace_one(self) -> None:
        self._peers.rotate(-1)
        self._exchange_one()
        self.replaced += 1

    def _exchange_one(self) -> None:
        self._end(self._peers.popleft())
        self._add()

    def _end(self, peer: RoutingService) -> None:
        stopped = peer.stopService()
        self._ending.add(stopped)
        stopped.addBoth(lambda _: self._ending.discard(stopped))

    def sample(self) -> dict[str, Any]:
        """What has happened since the last sample: the latencies, and the counts so far."""
        latencies, self._latencies = sorted(self._latencies), []
        return {
            "latency": median(latencies) if latencies else 0.0,
            "slow": latencies[len(latencies) * 99 // 100] if latencies else 0.0,
            "acknowledged": self.acknowledged,
            "skipped": self.skipped,
            "failures": len(self.failures),
            "failure": self.failures[0] if self.failures else "",
            "replaced": self.replaced,
            "linked": sum(each.bootstrapped for each in self._peers),
        }

    def stop(self) -> Deferred[None]:
        """Stop every peer. Fires when all have."""
        loops, self._loops = self._loops, []
        for loop in loops:
            loop.stop()
        peers, self._peers = self._peers, deque()
        for peer in peers:
            self._end(peer)
        done: Deferred[None] = gatherResults(list(self._ending)).addCallback(lambda _: None)
        return done
