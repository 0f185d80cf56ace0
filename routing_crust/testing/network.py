"""
A network in memory, for tests of what is above crust: no sockets, no TLS, and time that a test moves.

A L{MemoryNetwork} joins any number of L{MemoryCrust}s. Everything happens on one fake clock and draws on
one source of randomness, so the same seed gives the same run. Faults are made by its methods. Usage::

    clock = Clock()
    network = MemoryNetwork(clock, random=Random(1))
    here = MemoryCrust(network, Settings(), Identity.from_seed(bytes(32)))
    there = MemoryCrust(network, Settings(), Identity.from_seed(bytes(31) + b"1"))
    here.start(events_here)
    there.start(events_there)
    dialled = here.connect(there.endpoints, there.identity.name, b"token", False)
    network.run_until(lambda: dialled.called)

What takes how long: a dial is answered after two latencies; from then on each end hears of the link within
one more, which one first is up to chance; each frame takes one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from random import Random
from typing import Final

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from ..config import DEFAULT_PORT
from ..endpoints import Connection, Direction, Endpoint, Protocol
from .crust import MemoryCrust
from .dialling import Attempt
from .links import MemoryLink

__all__ = ["MemoryCrust", "MemoryLink", "MemoryNetwork", "Way"]

_FIRST_EPHEMERAL: Final = 49152
_EPHEMERAL_PORTS: Final = 65536 - _FIRST_EPHEMERAL

Way = MemoryLink | tuple[MemoryCrust, MemoryCrust]
"""What one end of a link sends, or everything that goes from the first crust to the second."""


class MemoryNetwork:
    """
    The network: who is where, what can reach what, and what is on its way.

    @ivar clock: the clock of everything in it.
    @ivar random: where everything in it draws from.
    @ivar latency: seconds from one end to the other; may be changed at any time.
    @ivar addresses: the network that made-up addresses are from: the one for benchmarks (RFC 2544).
    @ivar dials: how many endpoints have been dialled.
    @ivar frames: how many frames have been sent, without Goodbyes.
    @ivar bytes: how many bytes they had, with their headers.
    @ivar links: the links of which at least one end is alive, by the dialling end, oldest first.
    """

    addresses: Final = "198.18.0.0/15"

    def __init__(self, clock: Clock, latency: float = 0.01, *, random: Random) -> None:
        self.clock = clock
        self.random = random
        self.latency = latency
        self.dials = self.frames = self.bytes = 0
        self.links: list[MemoryLink] = []
        self._made_up = 0
        self._ports = 0
        self._hosts: dict[str, MemoryCrust | None] = {}
        self._listeners: dict[Endpoint, MemoryCrust] = {}
        self._groups: dict[MemoryCrust, int] = {}
        self._blocked: set[tuple[MemoryCrust, MemoryCrust]] = set()
        self._half_open: set[MemoryLink] = set()
        self._held: list[Way] = []

    # Faults.

    def partition(self, groups: Iterable[Iterable[MemoryCrust]]) -> None:
        """
        Let nothing pass between crusts of different groups, until L{heal}. Those in no group are one
        more group together. What is sent meanwhile waits, and arrives on healing if the link still
        lives then; dials time out. It takes the place of an earlier partition.
        """
        self._groups = {crust: number for number, group in enumerate(groups) for crust in group}
        self._ways_changed()

    def heal(self) -> None:
        """End the partition."""
        self.partition(())

    def block(self, dialler: MemoryCrust, target: MemoryCrust) -> None:
        """Let the dials of C{dialler} to C{target} time out, as a NAT in front of C{target} does."""
        self._blocked.add((dialler, target))

    def unblock(self, dialler: MemoryCrust, target: MemoryCrust) -> None:
        """Undo L{block}."""
        self._blocked.discard((dialler, target))

    def cut(self, link: MemoryLink) -> None:
        """Break a connection: both ends hear C{CONNECTION_LOST}, and what is on its way is lost."""
        for end in (link, link.other):
            end.lose()

    def half_open(self, link: MemoryLink) -> None:
        """Let nothing pass on a link any more, without telling: both ends find out by its silence."""
        self._half_open.update((link, link.other))
        self._ways_changed()

    def crash(self, crust: MemoryCrust, silently: bool = False) -> None:
        """
        Kill the process of a crust: it reports and does nothing any more. To start it again, make a new
        L{MemoryCrust} with the same endpoints.

        @param silently: whether its computer goes down with it: peers hear nothing, and find out by the
            silence, and dials to it time out. Else they hear C{CONNECTION_LOST}, and dials are refused.
        """
        self.listen_no_more(crust)
        if silently:
            for host in (crust.host, *(each.host for each in crust.endpoints)):
                self._hosts[host] = None
            for link in self.links:
                if crust in (link.crust, link.other.crust):
                    self._half_open.update((link, link.other))
        crust.vanish(silently)
        self._ways_changed()

    def hold(self, way: Way) -> None:
        """
        Keep everything that goes this way, until L{release}: frames, Goodbyes, resets, and before all
        these the news that a link is up, without which no event of it is reported at the far end.
        Silence is not timed for it, but the timeouts of dials, Hellos and closing are.
        """
        self._held.append(way)

    def release(self, way: Way, count: int | None = None) -> None:
        """
        Let go of what is held.

        @param count: how many things to deliver, each before this returns, oldest first; the rest is
            still held. C{None} ends the holding.
        @raise ValueError: this way is not held, or not so many things are.
        """
        if count is None:
            self._held.remove(way)
            self._ways_changed()
            return
        if way not in self._held:
            raise ValueError(f"{way!r} is not held")
        for _ in range(count):
            waiting = [end for end in self._ends() if end.pipe.due and self._goes(end, way)]
            min(waiting, key=lambda end: end.pipe.due[0][0]).pipe.deliver_first()

    def waiting(self, way: Way) -> int:
        """How many things are on this way and have not arrived."""
        return sum(len(end.pipe.due) for end in self._ends() if self._goes(end, way))

    # Time.

    def run_until(self, predicate: Callable[[], object], timeout: float = 60.0) -> None:
        """
        Go from one delayed call to the next until something holds.

        @param timeout: for how many seconds of the network's time.
        @raise AssertionError: it did not hold in time, or nothing is left that could change it.
        """
        deadline = self.clock.seconds() + timeout
        while not predicate():
            coming = self._next_call()
            if coming is None or coming.getTime() > deadline:
                left = "nothing more will happen" if coming is None else f"{timeout:g} s are over"
                raise AssertionError(f"it does not hold at {self.clock.seconds():g} s, and {left}")
            self._advance_to(coming.getTime())

    def settle(self, seconds: float) -> None:
        """Let that many seconds pass, going from one delayed call to the next."""
        deadline = self.clock.seconds() + seconds
        while (coming := self._next_call()) is not None and coming.getTime() <= deadline:
            self._advance_to(coming.getTime())
        self._advance_to(deadline)

    def _next_call(self) -> IDelayedCall | None:
        return min(self.clock.getDelayedCalls(), key=lambda call: call.getTime(), default=None)

    def _advance_to(self, time: float) -> None:
        self.clock.advance(max(0.0, time - self.clock.seconds()))

    # What crusts, dials and links ask.

    def new_endpoint(self) -> Endpoint:
        """An address that nobody has."""
        self._made_up += 1
        return Endpoint(str(IPv4Address("198.18.0.0") + self._made_up), DEFAULT_PORT)

    def add(self, crust: MemoryCrust) -> None:
        """A crust is at its host from now on."""
        self._hosts[crust.host] = crust
        for endpoint in crust.endpoints:
            self._hosts[endpoint.host] = crust

    def listener(self, endpoint: Endpoint) -> MemoryCrust | None:
        """Who listens there."""
        return self._listeners.get(endpoint)

    def listen(self, crust: MemoryCrust) -> None:
        """Accept what is dialled to its endpoints."""
        for endpoint in crust.endpoints:
            self._listeners[endpoint] = crust

    def listen_no_more(self, crust: MemoryCrust) -> None:
        """Refuse what is dialled to its endpoints."""
        for endpoint in crust.endpoints:
            if self._listeners.get(endpoint) is crust:
                del self._listeners[endpoint]

    def answer(self, dialler: MemoryCrust, endpoint: Endpoint) -> MemoryCrust | str | None:
        """
        What comes back when an endpoint is dialled.

        @return: who accepts; or what error there is, as text; or C{None} for nothing at all.
        """
        if endpoint.host not in self._hosts:
            return "no route to host"
        owner = self._hosts[endpoint.host]
        if owner is None or (dialler, owner) in self._blocked or self._apart(dialler, owner):
            return None
        target = self._listeners.get(endpoint)
        if target is None:
            return "connection refused"
        if target is dialler:
            return "that is ourselves"
        return target.refusal(dialler.host) or target

    def join(self, attempt: Attempt, target: MemoryCrust) -> MemoryLink:
        """Make both ends of a link. @return: the end of the one who dialled."""
        dialler, endpoint = attempt.dial.crust, attempt.endpoint
        local = Endpoint(dialler.host, _FIRST_EPHEMERAL + self._ports % _EPHEMERAL_PORTS)
        self._ports += 1
        binding = self.random.randbytes(32)
        here = Connection(Protocol.TCP, peer=endpoint, local=local)
        there = Connection(Protocol.TCP, peer=local, local=endpoint)
        link = MemoryLink(dialler, target, here, Direction.CONNECTED, binding)
        link.token = attempt.dial.token
        link.bootstrap = attempt.dial.bootstrap
        link.other = MemoryLink(target, dialler, there, Direction.ACCEPTED, binding)
        link.other.other = link
        self.links.append(link)
        dialler.made(link, attempt)
        target.made(link.other, None)
        for end in (link, link.other):
            end.pipe.put(self.random.uniform(0, self.latency), end.other.come_up)
        return link

    def forget(self, link: MemoryLink) -> None:
        """One end is gone; when both are, so is the link."""
        dialling = link if link.initiator else link.other
        if dialling.gone and dialling.other.gone and dialling in self.links:
            self.links.remove(dialling)
            self._half_open.difference_update((link, link.other))

    def stands_still(self, end: MemoryLink) -> bool:
        """Whether what this end has sent does not arrive now."""
        return self.is_cut_off(end) or any(self._goes(end, way) for way in self._held)

    def is_cut_off(self, end: MemoryLink) -> bool:
        """Whether the two ends of a link cannot reach each other."""
        return end in self._half_open or self._apart(end.crust, end.other.crust)

    def _apart(self, one: MemoryCrust, other: MemoryCrust) -> bool:
        return self._groups.get(one, -1) != self._groups.get(other, -1)

    @staticmethod
    def _goes(end: MemoryLink, way: Way) -> bool:
        return end is way or (end.crust, end.other.crust) == way

    def _ends(self) -> list[MemoryLink]:
        return [end for link in self.links for end in (link, link.other)]

    def _ways_changed(self) -> None:
        for end in self._ends():
            end.way_changed()
            end.pipe.go_on()
