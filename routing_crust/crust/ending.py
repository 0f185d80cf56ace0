"""
When crust has stopped: once none of its parts has anything under way, and all events are told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ..timing.eventual import EventualQueue
from ..timing.waiters import Waiters


class Ending:
    """
    Made by a L{CrustService<routing_crust.crust.service.CrustService>} for all of its runs.

    @ivar running: whether crust was started, and not stopped since.
    """

    def __init__(
        self, clock: IReactorTime, parts_are_idle: Callable[[], bool], stopped: Callable[[], None]
    ) -> None:
        """
        @param parts_are_idle: whether none of the parts has anything under way.
        @param stopped: called when crust has stopped, before those who wait for it are told.
        """
        self.running = False
        self._parts_are_idle = parts_are_idle
        self._stopped = stopped
        self._eventually = EventualQueue(clock)
        self._closing = 0
        self._waiters: Waiters[None] = Waiters()

    def wait(self) -> Deferred[None]:
        """Fires when crust has stopped; L{look} has to be called afterwards."""
        return self._waiters.wait()

    def tell(self, event: Callable[..., object], *arguments: Any) -> None:
        """Report an event to routing in the next turn, when it is not the caller."""
        self._eventually.call(self._told, event, arguments)

    def _told(self, event: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        try:
            event(*arguments)
        finally:
            self.look()

    def hold(self) -> None:
        """Take crust for not stopped until L{let_go}."""
        self._closing += 1

    def let_go(self, _: object = None) -> None:
        """What L{hold} was called for is over."""
        self._closing -= 1
        self.look()

    def wait_for(self, end: Deferred[Any] | None) -> None:
        """Stay unstopped until this has fired or failed."""
        if end is not None:
            self.hold()
            end.addBoth(self.let_go)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._eventually and not self._closing and self._parts_are_idle()

    def look(self) -> None:
        """Something is over: see whether that was the last."""
        if self._waiters and not self.running and self.is_idle:
            self._stopped()
            self._waiters.fire(None)
