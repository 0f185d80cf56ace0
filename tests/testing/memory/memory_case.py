"""What the tests of the network in memory share: a recorder of events, and a test case that makes crusts."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ICrustEvents, ILink
from routing_crust.crust.link.link import Link
from routing_crust.crust.reachability import Reachability
from routing_crust.endpoints import Endpoint
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.identity import Identity
from routing_crust.testing.clock import SimulatedClock
from routing_crust.testing.memory.crust import MemoryCrust
from routing_crust.testing.memory.network import MemoryNetwork
from routing_crust.timing.shares import OURSELVES

KIND = 128
ANYWHERE = (Endpoint("198.51.100.7", 5483),)


class WatchedClock(SimulatedClock):
    """A clock that knows whether it is running calls at the moment."""

    running = False

    def step_before(self, end: float) -> bool:
        self.running = True
        try:
            return super().step_before(end)
        finally:
            self.running = False


@implementer(ICrustEvents)
class Recorder:
    """
    Keeps every event as a tuple. Fails when one is reported from within a call by its owner.

    @ivar verify: whether links are called verified as soon as they are up.
    @ivar react: called with each event; what it calls in turn must not lead to an event at once.
    """

    def __init__(self, clock: WatchedClock) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.times: list[float] = []
        self.verify = True
        self.react: Callable[[tuple[Any, ...]], object] = id
        self._clock = clock
        self._inside = False

    def _add(self, *event: Any) -> None:
        within = self._inside or not self._clock.running
        assert not within, f"{event} is reported from within a call"
        self.events.append(event)
        self.times.append(self._clock.seconds())
        self._inside = True
        self.react(event)
        self._inside = False

    def on_connect(self, link: ILink) -> None:
        self._add("connect", link)
        if self.verify:
            link.verified()

    def on_accept(self, link: ILink) -> None:
        self._add("accept", link)
        if self.verify:
            link.verified()

    def new_message(self, link: ILink, kind: int, payload: bytes) -> None:
        self._add("message", kind, payload)

    def link_doubted(self, link: ILink) -> None:
        """Nothing to do."""

    def lost_connection(self, link: ILink, reason: LinkClosed) -> None:
        self._add("lost", link, reason.reason, reason.by_peer)

    def bootstrap_finished(self, links: int, problem: str) -> None:
        self._add("finished", links, problem)

    def external_endpoints(self, endpoints: tuple[Endpoint, ...]) -> None:
        self._add("external", endpoints)

    def reachability_changed(self, reachability: Reachability) -> None:
        self._add("reachability", reachability)

    def network_changed(self) -> None:
        self._add("changed")

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [event[1:] for event in self.events if event[0] == kind]

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.of("message")]

    @property
    def losses(self) -> list[tuple[CloseReason, bool]]:
        return [(reason, by_peer) for _, reason, by_peer in self.of("lost")]


class MemoryTestCase(SynchronousTestCase):
    """Makes networks, crusts and links."""

    def setUp(self) -> None:
        self.make_network(1)

    def make_network(self, seed: int) -> None:
        """Start over: another clock, another network."""
        self.clock = WatchedClock()
        self.network = MemoryNetwork(self.clock, random=Random(seed))
        self.made = 0
        self.recorders: dict[MemoryCrust, Recorder] = {}

    def crust(
        self, *, start: bool = True, endpoints: tuple[Endpoint, ...] = (), **settings: Any
    ) -> MemoryCrust:
        self.made += 1
        identity = Identity.from_seed(self.made.to_bytes(32, "big"))
        crust = MemoryCrust(
            self.network, Settings(**{"lan_discovery": False, **settings}), identity, endpoints
        )
        self.recorders[crust] = Recorder(self.clock)
        if start:
            crust.start(self.recorders[crust])
        return crust

    def dial(self, one: MemoryCrust, other: MemoryCrust, token: bytes = b"") -> Deferred[ILink]:
        return one.connect(other.listening, other.identity.name, token, OURSELVES)

    def pair(self, **settings: Any) -> tuple[Link, Link]:
        """Both ends of a new link between two new crusts, the dialling one first."""
        one, other = self.crust(**settings), self.crust(**settings)
        self.dial(one, other)
        self.network.run_until(lambda: one.links and other.links)
        return one.links[0], other.links[0]

    def crust_of(self, end: ILink) -> MemoryCrust:
        """Whose link this is."""
        return next(each for each in self.recorders if end in each.links or end in each._refused)

    def recorder(self, end: Link) -> Recorder:
        """Who hears of this link, while it is there or when it is gone."""
        mine = next(
            each for each in self.recorders.values() if (end,) in each.of("connect") + each.of("accept")
        )
        return mine

    def left(self) -> list[object]:
        """Delayed calls of what is over; a crust that runs looks now and then whether its host has slept."""
        return [each for each in self.clock.getDelayedCalls() if "NetWatch" not in repr(each)]

    def at_once(self, call: Callable[[], object]) -> None:
        """Make a call of the network's that reports events before it returns."""
        self.clock.running = True
        call()
        self.clock.running = False
