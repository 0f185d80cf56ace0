"""
The pipes of the network in memory: what one end of a connection sends, on its way to the other.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...timing.timers import cancel


class Pipe:
    """
    One direction of a link: what was put in comes out in order, each after its delay.

    What stands still (because a test holds it, or because the network between the two ends is broken)
    stays in the pipe, as TCP would send it again, and arrives when the way is free, unless the link was
    given up meanwhile.

    @ivar due: when each of the things that wait comes out, and what is called then.
    """

    def __init__(self, clock: IReactorTime, stands_still: Callable[[], bool]) -> None:
        """
        @param stands_still: whether nothing may come out now. When that changes, L{go_on} is called.
        """
        # few at a time; an empty deque has 700 bytes, and there are two pipes for each connection
        self.due: list[tuple[float, Callable[[], None]]] = []
        self._clock = clock
        self._stands_still = stands_still
        self._call: IDelayedCall | None = None

    def put(self, delay: float, action: Callable[[], None]) -> None:
        """Call C{action} after C{delay} seconds, but never before what was put in earlier."""
        earliest = self.due[-1][0] if self.due else 0.0
        self.due.append((max(earliest, self._clock.seconds() + delay), action))
        self.go_on()

    def clear(self) -> None:
        """Forget what is on its way."""
        self.due.clear()
        self._disarm()

    def go_on(self) -> None:
        """The way may be free again: deliver what is due."""
        if self._call is None and self.due and not self._stands_still():
            wait = max(0.0, self.due[0][0] - self._clock.seconds())
            self._call = self._clock.callLater(wait, self._deliver)

    def deliver_first(self) -> None:
        """Deliver what is first in the pipe, at once."""
        self._disarm()
        self.due.pop(0)[1]()
        self.go_on()

    def _deliver(self) -> None:
        self._call = None
        if not self._stands_still():
            self.deliver_first()

    def _disarm(self) -> None:
        cancel(self._call)
        self._call = None
