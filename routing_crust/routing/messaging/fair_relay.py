"""
The fair relay: passes on the traffic of others in fair shares.

What a node passes on for others may take C{relay_rate} bytes a second. While there is less to pass on it goes
through at once. When there is more it waits, for each peer that it came from in a queue of its own, and the
queues are served by deficit round robin (Shreedhar and Varghese, "Efficient fair queuing using deficit round
robin", 1995): each in its turn, the same number of bytes. So one peer that floods us delays itself alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...config import Settings
from ...timing.ratelimit import TokenBucket
from ...timing.timers import cancel
from ...wire.framing import MAX_FRAME_BYTES

MAX_WAITING_BYTES: Final = 4 * 1024 * 1024
"""What may wait to be relayed; more is dropped."""

BURST: Final = 0.25
"""Seconds' worth of the rate that may go through at once after a quiet time."""
SLICE: Final = 0.01
"""Seconds' worth of the rate that are waited for before the queues are served again."""
ITEM_OVERHEAD_BYTES: Final = 256
"""Bytes that an item costs while it waits, besides its own."""

_Item = TypeVar("_Item")


@dataclass(slots=True)
class _Flow(Generic[_Item]):
    """What waits from one peer. Made with the first item that has to wait, gone with the last."""

    ingress: Hashable
    items: deque[tuple[int, _Item]] = field(default_factory=deque)
    held: int = 0
    deficit: int = 0
    in_turn: bool = False


class FairRelay(Generic[_Item]):
    """
    Hands on what is relayed, no faster than allowed and in fair shares.

    Made by the forwarder, fed with all that is not for this node, discarded after L{stop}. There
    is one delayed call while something waits, and none else.

    @ivar held: how many bytes wait, with what the waiting itself costs.
    @ivar dropped: how many items were dropped because too much waited.
    """

    def __init__(self, clock: IReactorTime, settings: Settings, transmit: Callable[[_Item], object]) -> None:
        """
        @param transmit: called with each item when its turn has come, at once or later. It checks itself
            whether the link still exists. Must not raise.
        """
        rate = settings.relay_rate
        self._clock = clock
        self._transmit = transmit
        self._most = MAX_WAITING_BYTES
        # at least the largest item, so that each turn passes one on
        self._quantum = MAX_FRAME_BYTES
        self._bucket = TokenBucket(rate, rate * BURST, clock.seconds)
        self._slice = rate * SLICE
        self._flows: dict[Hashable, _Flow[_Item]] = {}
        self._turns: deque[_Flow[_Item]] = deque()
        self._timer: IDelayedCall | None = None
        self._stopped = False
        self.held = 0
        self.dropped = 0

    def __len__(self) -> int:
        """How many items wait."""
        return sum(len(flow.items) for flow in self._flows.values())

    def relay(self, ingress: Hashable, size: int, item: _Item) -> bool:
        """
        Pass on an item: at once if nothing waits and the rate allows it, else when its turn comes.

        @param ingress: the peer that it came from.
        @param size: its bytes.
        @return: whether it was taken; what was taken may still be dropped if too much has to wait.
        """
        if self._stopped:
            return False
        # An item may cost more than the tokens left: the debt delays the next ones, and no item is too large.
        # nothing may overtake what waits
        if not self._flows and self._bucket.tokens > 0:
            self._bucket.spend(size)
            self._transmit(item)
            return True
        flow = self._flows.get(ingress)
        if flow is None:
            flow = self._flows[ingress] = _Flow(ingress)
            self._turns.append(flow)
        flow.items.append((size, item))
        flow.held += size + ITEM_OVERHEAD_BYTES
        self.held += size + ITEM_OVERHEAD_BYTES
        taken = self._drop_excess(flow)
        if self._timer is None and self._flows:
            self._timer = self._clock.callLater(self._bucket.wait(self._slice), self._serve)
        return taken

    def stop(self) -> None:
        """Drop all that waits and take nothing more. Idempotent."""
        self._stopped = True
        self._flows.clear()
        self._turns.clear()
        self.held = 0
        cancel(self._timer)

    def _drop_excess(self, newest: _Flow[_Item]) -> bool:
        """
        Drop the latest of the longest queue until what waits is within bounds.

        @return: whether the item that C{newest} has just got is still there.
        """
        there = True
        while self.held > self._most:
            # the peer that floods us pays, and its older items keep their turns
            longest = max(self._flows.values(), key=lambda flow: flow.held)
            size, _ = longest.items.pop()
            self._let_go(longest, size)
            self.dropped += 1
            if not longest.items:
                self._turns.remove(longest)
            there = there and longest is not newest
        return there

    def _serve(self) -> None:
        # if an item raises, those behind it are still served on the next call
        try:
            while self._turns and self._bucket.tokens > 0:
                flow = self._turns[0]
                if not flow.in_turn:
                    flow.in_turn = True
                    flow.deficit += self._quantum
                self._serve_turn(flow)
        finally:
            self._timer = None
            if self._turns:
                self._timer = self._clock.callLater(self._bucket.wait(self._slice), self._serve)

    def _serve_turn(self, flow: _Flow[_Item]) -> None:
        """Pass on what one flow may send in its turn, as far as the rate allows it."""
        while flow.items and flow.items[0][0] <= flow.deficit:
            if self._bucket.tokens <= 0:
                return  # the turn goes on when there is budget again
            size, item = flow.items.popleft()
            flow.deficit -= size
            self._bucket.spend(size)
            self._let_go(flow, size)
            if not flow.items:
                self._turns.popleft()
            # last, since it may stop this relay
            self._transmit(item)
            if self._stopped:
                return
        if flow.items:
            flow.in_turn = False
            self._turns.rotate(-1)

    def _let_go(self, flow: _Flow[_Item], size: int) -> None:
        flow.held -= size + ITEM_OVERHEAD_BYTES
        self.held -= size + ITEM_OVERHEAD_BYTES
        if not flow.items:
            # the deficit goes too: a peer must not save up turns while it sends nothing
            del self._flows[flow.ingress]
