"""
The fair relay: passes on the traffic of others in fair shares.

What a node passes on for others may take C{relay_rate} bytes a second. While there is less to pass on it goes
through at once. When there is more, or when the link that it leaves by is slow, it waits in a queue for each
pair of the link that it came by and the peer that it goes to. The queues are served by deficit round robin
(Shreedhar and Varghese, "Efficient fair queuing using deficit round robin", 1995), with the shares of one
link divided among its queues. So a peer that floods us, or another peer through us, delays itself alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ...config import Settings
from ...names import Name
from ...quietlog import QuietLog
from ...timing.ratelimit import TokenBucket
from ...timing.shares import Account, Amounts
from ...timing.timers import cancel
from ...wire.framing import MAX_FRAME_BYTES

MAX_WAITING_BYTES: Final = 4 * 1024 * 1024
"""What may wait to be relayed; more is dropped."""

BURST_SECONDS: Final = 0.25
"""Seconds' worth of the rate that may go through at once after a quiet time."""
SLICE_SECONDS: Final = 0.01
"""Seconds' worth of the rate that are waited for before the queues are served again."""
ITEM_OVERHEAD_BYTES: Final = 256
"""Bytes that an item costs while it waits, besides its own."""
MIN_QUANTUM_BYTES: Final = 4 * 1024
"""What a queue may send in its turn at least, into however many queues its link divides its share."""
BLOCKED_POLL_SECONDS: Final = 0.005
"""How often links without room are looked at again while nothing else waits."""

_Item = TypeVar("_Item")


@dataclass(slots=True)
class _Flow(Generic[_Item]):
    """What waits from one link to one peer. Made with the first item that has to wait, gone with the last."""

    account: Account
    egress: Name
    items: deque[tuple[int, _Item]] = field(default_factory=deque)
    held: int = 0
    deficit: int = 0
    in_turn: bool = False


class FairRelay(Generic[_Item]):
    """
    Passes on what is relayed, no faster than allowed and in fair shares.

    Made by the forwarder, fed with all that is not for this node, discarded after L{stop}. There
    is one delayed call while something waits, and none else.

    @ivar dropped: how many items were dropped because too much waited.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        settings: Settings,
        transmit: Callable[[Name, _Item], object],
        has_room: Callable[[Name], bool],
    ) -> None:
        """
        @param transmit: called with the peer and each item when its turn has come, at once or later. It
            checks itself whether the link still exists. Must not raise.
        @param has_room: whether the link to this peer takes more now.
        """
        self._settings = settings
        self._clock = clock
        self._transmit = transmit
        self._has_room = has_room
        self._quiet = QuietLog(self.log, clock.seconds)
        self._most = MAX_WAITING_BYTES
        # at least the largest item, so that a link with one queue passes one on in each turn
        self._quantum = MAX_FRAME_BYTES
        rate = settings.relay_rate
        self._bucket = TokenBucket(rate, rate * BURST_SECONDS, clock.seconds)
        self._flows: dict[Account, dict[Name, _Flow[_Item]]] = {}
        self._amounts = Amounts()
        self._turns: deque[_Flow[_Item]] = deque()
        self._blocked: dict[Name, deque[_Flow[_Item]]] = {}
        self._timer: IDelayedCall | None = None
        self._stopped = False
        self.dropped = 0

    def settings_changed(self) -> None:
        """The setting C{relay_rate} may be another."""
        rate = self._settings.relay_rate
        self._bucket.change(rate, rate * BURST_SECONDS)

    def __len__(self) -> int:
        """How many items wait."""
        return sum(len(flow.items) for flows in self._flows.values() for flow in flows.values())

    @property
    def held(self) -> int:
        """How many bytes wait, with what the waiting itself costs."""
        return self._amounts.total

    def relay(self, account: Account, egress: Name, size: int, item: _Item) -> bool:
        """
        Pass on an item: at once if nothing waits and rate and link allow it, else when its turn comes.

        @param account: the link that it came by.
        @param egress: the peer that it goes to.
        @param size: its bytes.
        @return: whether it was taken; what was taken may still be dropped if too much has to wait.
        """
        if self._stopped:
            return False
        # An item may cost more than the tokens left: the debt delays the next ones, and no item is too large.
        # nothing may overtake what waits for the same peer
        free = not self._turns and egress not in self._blocked
        if free and self._bucket.tokens > 0 and self._has_room(egress):
            self._bucket.spend(size)
            self._transmit(egress, item)
            return True
        flow = self._flow(account, egress)
        flow.items.append((size, item))
        self._hold(flow, size + ITEM_OVERHEAD_BYTES)
        taken = self._drop_excess(flow)
        self._set_timer()
        return taken

    def stop(self) -> None:
        """Drop all that waits and take nothing more. Idempotent."""
        self._stopped = True
        self._flows.clear()
        self._turns.clear()
        self._blocked.clear()
        self._amounts.clear()
        cancel(self._timer)

    def _flow(self, account: Account, egress: Name) -> _Flow[_Item]:
        flows = self._flows.setdefault(account, {})
        flow = flows.get(egress)
        if flow is None:
            flow = flows[egress] = _Flow(account, egress)
            self._blocked.get(egress, self._turns).append(flow)
        return flow

    def _drop_excess(self, newest: _Flow[_Item]) -> bool:
        """
        Drop the latest of the longest queue of the link that holds most until what waits is within bounds.

        @return: whether the item that C{newest} has just got is still there.
        """
        there = True
        while self.held > self._most:
            # the peer that floods us pays, and its older items keep their turns
            longest = max(self._flows[self._amounts.fullest()].values(), key=lambda flow: flow.held)
            size, _ = longest.items.pop()
            if not longest.items:
                self._leave_queue(longest)
            self._let_go(longest, size)
            self._count_drop(longest)
            there = there and longest is not newest
        return there

    def _count_drop(self, flow: _Flow[_Item]) -> None:
        self.dropped += 1
        self._quiet.info(
            "dropped relayed traffic",
            "dropped what {peer} sends to {egress} through us: too much waits to be relayed, and no other "
            "link has as much waiting ({dropped} dropped so far)",
            by=flow.account[0],
            peer=flow.account[-1],
            egress=flow.egress,
            dropped=self.dropped,
        )

    def _leave_queue(self, flow: _Flow[_Item]) -> None:
        blocked = self._blocked.get(flow.egress)
        if blocked is None:
            self._turns.remove(flow)
            return
        blocked.remove(flow)
        if not blocked:
            del self._blocked[flow.egress]

    def _serve(self) -> None:
        # if an item raises, those behind it are still served on the next call
        try:
            for egress in [each for each in self._blocked if self._has_room(each)]:
                # in front, and in the order in which they were stopped, so that no turn is lost
                self._turns.extendleft(reversed(self._blocked.pop(egress)))
            while self._turns and self._bucket.tokens > 0:
                flow = self._turns[0]
                if not self._has_room(flow.egress):
                    self._blocked.setdefault(flow.egress, deque()).append(self._turns.popleft())
                    continue
                if not flow.in_turn:
                    flow.in_turn = True
                    queues = len(self._flows[flow.account])
                    flow.deficit += max(self._quantum // queues, MIN_QUANTUM_BYTES)
                self._serve_turn(flow)
        finally:
            self._timer = None
            self._set_timer()

    def _serve_turn(self, flow: _Flow[_Item]) -> None:
        """Pass on what one flow may send in its turn, as far as the rate and its link allow it."""
        while flow.items and flow.items[0][0] <= flow.deficit:
            if self._bucket.tokens <= 0 or not self._has_room(flow.egress):
                return  # the turn goes on when there is room again
            size, item = flow.items.popleft()
            flow.deficit -= size
            self._bucket.spend(size)
            if not flow.items:
                self._turns.popleft()
            self._let_go(flow, size)
            # last, since it may stop this relay
            self._transmit(flow.egress, item)
            if self._stopped:
                return
        if flow.items:
            flow.in_turn = False
            self._turns.rotate(-1)

    def _set_timer(self) -> None:
        if self._timer is None and not self._stopped and self._flows:
            wait = self._bucket.wait(self._settings.relay_rate * SLICE_SECONDS)
            if not self._turns:
                wait = max(wait, BLOCKED_POLL_SECONDS)
            self._timer = self._clock.callLater(wait, self._serve)

    def _hold(self, flow: _Flow[_Item], change: int) -> None:
        flow.held += change
        self._amounts.add(flow.account, change)

    def _let_go(self, flow: _Flow[_Item], size: int) -> None:
        self._hold(flow, -size - ITEM_OVERHEAD_BYTES)
        if not flow.items:
            # the deficit goes too: a peer must not save up turns while it sends nothing
            flows = self._flows[flow.account]
            del flows[flow.egress]
            if not flows:
                del self._flows[flow.account]
