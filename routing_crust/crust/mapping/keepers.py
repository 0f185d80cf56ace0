"""
The keepers of the ports that are wanted at a time: they are begun and ended as that changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred, gatherResults

from ...endpoints import Endpoint
from .keeper import PortKeeper
from .lease import RouterAccess

MakeKeeper = Callable[[Endpoint, RouterAccess], PortKeeper]


class PortKeepers:
    """Made by a L{PortMapper<routing_crust.crust.mapping.portmapper.PortMapper>}."""

    def __init__(self, make: MakeKeeper, gone: Callable[[PortKeeper], object]) -> None:
        """
        @param make: makes a keeper, which is not started.
        @param gone: called with a keeper whose port is not wanted any more, before it is stopped.
        """
        self._make = make
        self._gone = gone
        self._present: dict[Endpoint, PortKeeper] = {}
        self._ending: dict[Deferred[None], None] = {}

    @property
    def present(self) -> tuple[PortKeeper, ...]:
        """The keepers of the ports that are wanted."""
        return tuple(self._present.values())

    def follow(self, wanted: Mapping[Endpoint, RouterAccess]) -> None:
        """
        Begin and end what that takes.

        @param wanted: where we listen, each with how its router is asked.
        """
        for lost in [each for each in self._present if each not in wanted]:
            keeper = self._present.pop(lost)
            # before the removal, which takes a while: nobody should dial the port meanwhile
            self._gone(keeper)
            self._end(keeper)
        for each, access in wanted.items():
            if each not in self._present:
                self._present[each] = self._make(each, access)
                self._present[each].start()

    def stop(self) -> Deferred[None]:
        """
        End all. Idempotent.

        @return: fires when nothing is left, also of what an earlier change has ended; never fails.
        """
        for keeper in self._present.values():
            self._end(keeper)
        self._present.clear()
        return gatherResults(list(self._ending)).addCallback(lambda _: None)

    def _end(self, keeper: PortKeeper) -> None:
        ended: Deferred[None] = Deferred()
        # noted before the stop, which may be over within the call
        self._ending[ended] = None

        def forget(_: object) -> None:
            self._ending.pop(ended)
            ended.callback(None)

        keeper.stop().addCallback(forget)
