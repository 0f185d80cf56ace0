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

from ...config import DEFAULT_PORT
from ...endpoints import Connection, Direction, Endpoint, Protocol
from ..clock import SimulatedClock
from ..latency import Latency
from ..trace import Trace
from .crust import MemoryCrust
from .dialling import Attempt
from .internet import Arrival, Internet, Router
from .internet import Way as Passage
from .links import MemoryLink

__all__ = ["MemoryCrust", "MemoryLink", "MemoryNetwork", "Way"]

_FIRST_EPHEMERAL: Final = 49152
_EPHEMERAL_PORTS: Final = 65536 - _FIRST_EPHEMERAL

AnyClock = Clock | SimulatedClock

Way = MemoryLink | tuple[MemoryCrust, MemoryCrust]
"""What one end of a link sends, or everything that goes from the first crust to the second."""


class MemoryNetwork:
    """
    The network: who is where, what can reach what, and what is on its way.

    @ivar clock: the clock of everything in it.
    @ivar random: where everything in it draws from.
    @ivar latency: seconds from one end to the other, or what they are drawn from; may be changed at any time.
    @ivar dial_loss: the share of dials that nothing comes back of, 0 to 1.
    @ivar addresses: the network that made-up addresses are from: the one for benchmarks (RFC 2544).
    @ivar dials: how many endpoints have been dialled.
    @ivar tunnels: how many tunnels have been opened.
    @ivar frames: how many frames have been sent, without Goodbyes.
    @ivar bytes: how many bytes they had, with their headers.
    @ivar disturbed: whether anything stands in the way anywhere; where nothing does, nobody looks closer.
    @ivar trace: keeps what happens, in order.
    @ivar internet: if hosts have real addresses, who is behind which box.
    """

    addresses: Final = "198.18.0.0/15"

    def __init__(
        self,
        clock: AnyClock,
        latency: float | Latency = 0.01,
        *,
        random: Random,
        trace: Trace | None = None,
        internet: Internet | None = None,
    ) -> None:
        """
        @param trace: C{None} makes one that keeps nothing but its hash.
        @param internet: C{None} for hosts that are all in one network.
        """
        self.internet = internet
        self._passages: dict[MemoryLink, Passage] = {}
        self.clock = clock
        self.random = random
        self.latency = latency
        self.dial_loss = 0.0
        self.dials = self.frames = self.bytes = 0
        self.trace = Trace(clock.seconds) if trace is None else trace
        self._links: dict[MemoryLink, None] = {}
        self.tunnels = 0
        self._made_up = 0
        self._ports = 0
        self._hosts: dict[str, MemoryCrust | None] = {}
        self._listeners: dict[Endpoint, MemoryCrust] = {}
        self._groups: dict[str, int] = {}
        self._shut: dict[tuple[str, str], None] = {}
        self._asleep: dict[str, None] = {}
        self._blocked: set[tuple[str, str]] = set()
        self._half_open: set[MemoryLink] = set()
        self._held: list[Way] = []
        self.disturbed = False

    @property
    def links(self) -> list[MemoryLink]:
        """The links of which at least one end is alive, by the dialling end, oldest first."""
        return list(self._links)

    # Faults. Those between crusts outlast them: they are between their hosts.

    def partition(self, groups: Iterable[Iterable[MemoryCrust]]) -> None:
        """
        Let nothing pass between crusts of different groups, until L{heal}. Those in no group are one
        more group together. What is sent meanwhile waits, and arrives on healing if the link still
        lives then; dials time out. It takes the place of an earlier partition.
        """
        self._groups = {crust.host: number for number, group in enumerate(groups) for crust in group}
        self._ways_changed()

    def heal(self) -> None:
        """End the partition, and open every way that L{shut} has shut."""
        self._shut.clear()
        self.partition(())

    def shut(self, sender: MemoryCrust, receiver: MemoryCrust) -> None:
        """Let nothing pass from one crust to another, but the other way: a partition of one direction."""
        self._shut[sender.host, receiver.host] = None
        self._ways_changed()

    def sleep(self, crust: MemoryCrust) -> None:
        """Let nothing reach a crust, and nothing leave it, until L{wake}: its host sleeps."""
        self._asleep[crust.host] = None
        self._ways_of_changed(crust)

    def wake(self, crust: MemoryCrust) -> None:
        """Undo L{sleep}."""
        self._asleep.pop(crust.host, None)
        self._ways_of_changed(crust)

    def block(self, dialler: MemoryCrust, target: MemoryCrust) -> None:
        """Let the dials of C{dialler} to C{target} time out, as a firewall in front of C{target} does."""
        self._blocked.add((dialler.host, target.host))

    def unblock(self, dialler: MemoryCrust, target: MemoryCrust) -> None:
        """Undo L{block}."""
        self._blocked.discard((dialler.host, target.host))

    def cut(self, link: MemoryLink) -> None:
        """Break a connection: both ends hear C{CONNECTION_LOST}, and what is on its way is lost."""
        for end in (link, link.other):
            end.lose()

    def half_open(self, link: MemoryLink) -> None:
        """Let nothing pass on a link any more, without telling: both ends find out by its silence."""
        self._half_open.update((link, link.other))
        self._ways_changed(lambda end: end is link or end is link.other)

    def mend(self, link: MemoryLink) -> None:
        """
        Undo L{half_open}: the link goes on, if its ends have not given it up. Where one of them went down
        with its host meanwhile, it stays as it is.
        """
        if link.dead or link.other.dead:
            return
        self._half_open.difference_update((link, link.other))
        self._ways_changed(lambda end: end is link or end is link.other)

    def flush_nat(self, router: Router) -> None:
        """Have the outermost NAT before some hosts forget everything: links by way of it fall silent."""
        assert self.internet is not None
        self.internet.flush(router)
        self._silence_what_is_shut()

    def change_address(self, router: Router) -> None:
        """Give the outermost NAT before some hosts another external address; it forgets everything, too."""
        assert self.internet is not None
        self.internet.change_address(router)
        self._silence_what_is_shut()

    def _silence_what_is_shut(self) -> None:
        for link, passage in self._passages.items():
            if not passage.is_open:
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
            for host in (crust.host, *(each.host for each in crust.listening)):
                self._hosts[host] = None
            for link in self._links:
                if crust in (link.crust, link.other.crust):
                    self._half_open.update((link, link.other))
        crust.vanish(silently)
        self._ways_of_changed(crust)

    def hold(self, way: Way) -> None:
        """
        Keep everything that goes this way, until L{release}: frames, Goodbyes, resets, and before all
        these the news that a link is up, without which no event of it is reported at the far end.
        Silence is not timed for it, but the timeouts of dials, Hellos and closing are.
        """
        self._held.append(way)
        self.disturbed = True

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

    def new_endpoint(self, behind: Router | None = None) -> Endpoint:
        """
        An address that nobody has.

        @param behind: the NAT that its host stands behind.
        """
        if self.internet is not None:
            return self.internet.new_host(behind)
        self._made_up += 1
        return Endpoint(str(IPv4Address("198.18.0.0") + self._made_up), DEFAULT_PORT)

    def add(self, crust: MemoryCrust) -> None:
        """A crust is at its host from now on."""
        self._hosts[crust.host] = crust
        for endpoint in crust.listening:
            self._hosts[endpoint.host] = crust

    def listener(self, endpoint: Endpoint) -> MemoryCrust | None:
        """Who listens there."""
        return self._listeners.get(endpoint)

    def listen(self, crust: MemoryCrust) -> None:
        """Accept what is dialled to its endpoints."""
        for endpoint in crust.listening:
            self._listeners[endpoint] = crust

    def listen_no_more(self, crust: MemoryCrust) -> None:
        """Refuse what is dialled to its endpoints."""
        for endpoint in crust.listening:
            if self._listeners.get(endpoint) is crust:
                del self._listeners[endpoint]

    def answer(
        self, dialler: MemoryCrust, endpoint: Endpoint, source: str | None = None
    ) -> MemoryCrust | str | None:
        """
        What comes back when an endpoint is dialled.

        @param source: the address that the dial seems to come from, if that is not the dialler's.
        @return: who accepts; or what error there is, as text; or C{None} for nothing at all.
        """
        if endpoint.host not in self._hosts:
            return "no route to host"
        owner = self._hosts[endpoint.host]
        if owner is None or (dialler.host, owner.host) in self._blocked:
            return None
        if not (self._passes(dialler.host, owner.host) and self._passes(owner.host, dialler.host)):
            return None
        if self.dial_loss and self.random.random() < self.dial_loss:
            return None
        target = self._listeners.get(endpoint)
        if target is None:
            return "connection refused"
        if target is dialler:
            return "that is ourselves"
        return target.refusal(source or dialler.host) or target

    def new_port(self, crust: MemoryCrust) -> Endpoint:
        """A port of a host that the system chooses."""
        self._ports += 1
        return Endpoint(crust.host, _FIRST_EPHEMERAL + (self._ports - 1) % _EPHEMERAL_PORTS)

    def join(self, attempt: Attempt, target: MemoryCrust) -> MemoryLink:
        """Make both ends of a link. @return: the end of the one who dialled."""
        dialler = attempt.dial.crust
        origin = attempt.origin or self.new_port(dialler)
        link = self.connect(dialler, target, attempt.endpoint, origin, attempt.arrival)
        link.token = attempt.dial.token
        link.bootstrap = attempt.dial.bootstrap
        self.joined(link)
        dialler.made(link, attempt)
        target.made(link.other, None)
        self.come_up(link)
        return link

    def connect(
        self,
        dialler: MemoryCrust,
        target: MemoryCrust,
        endpoint: Endpoint,
        origin: Endpoint,
        arrival: Arrival | None,
    ) -> MemoryLink:
        """
        Make both ends of a connection.

        @param endpoint: what was dialled.
        @param origin: from where.
        @param arrival: the same as the other end sees it, if that is something else.
        @return: the end of the one who dialled.
        """
        binding = self.random.randbytes(32)
        here = Connection(Protocol.TCP, peer=endpoint, local=origin)
        there = Connection(Protocol.TCP, peer=origin, local=endpoint)
        if arrival is not None:
            there = Connection(Protocol.TCP, peer=arrival.source, local=arrival.endpoint)
        link = MemoryLink(dialler, target, here, Direction.CONNECTED, binding)
        link.other = MemoryLink(target, dialler, there, Direction.ACCEPTED, binding)
        link.other.other = link
        if arrival is not None and arrival.steps:
            self._passages[link] = Passage(arrival.steps)
        self.trace.note("join", dialler.host, endpoint.host)
        return link

    def come_up(self, link: MemoryLink) -> None:
        """Have both ends told that there is a link, each in its own time."""
        for end in (link, link.other):
            end.pipe.put(self.random.uniform(0, self.delay()), end.other.come_up)

    def joined(self, link: MemoryLink) -> None:
        """There is a link, that has been made elsewhere."""
        self._links[link if link.initiator else link.other] = None

    def forget(self, link: MemoryLink) -> None:
        """One end is gone; when both are, so is the link."""
        dialling = link if link.initiator else link.other
        if dialling.gone and dialling.other.gone and dialling in self._links:
            del self._links[dialling]
            self._half_open.difference_update((link, link.other))
            if self._passages:
                self._end_passage(link)

    def _end_passage(self, link: MemoryLink) -> None:
        for end in (link, link.other):
            passage = self._passages.pop(end, None)
            if passage is not None:
                passage.end()

    def stands_still(self, end: MemoryLink) -> bool:
        """Whether what this end has sent does not arrive now, though the other end would take it."""
        return self.is_cut_off(end) or any(self._goes(end, way) for way in self._held)

    def is_cut_off(self, end: MemoryLink) -> bool:
        """Whether what this end sends cannot reach the other."""
        if end.legs:
            return end in self._half_open or any(
                self.is_cut_off(each) or self.is_cut_off(each.other) for each in end.legs
            )
        return end in self._half_open or not self._passes(end.crust.host, end.other.crust.host)

    def delay(self) -> float:
        """How long something takes from one end to the other, this time."""
        latency = self.latency
        return latency.draw(self.random) if isinstance(latency, Latency) else latency

    def _passes(self, sender: str, receiver: str) -> bool:
        groups = self._groups
        if groups and groups.get(sender, -1) != groups.get(receiver, -1):
            return False
        if self._asleep and (sender in self._asleep or receiver in self._asleep):
            return False
        return not self._shut or (sender, receiver) not in self._shut

    @staticmethod
    def _goes(end: MemoryLink, way: Way) -> bool:
        return end is way or (end.crust, end.other.crust) == way

    def _ends(self) -> list[MemoryLink]:
        return [end for link in self._links for end in (link, link.other)]

    def _ways_of_changed(self, crust: MemoryCrust) -> None:
        host = crust.host
        self._ways_changed(lambda end: end.crust.host == host or end.other.crust.host == host)

    def _ways_changed(self, touches: Callable[[MemoryLink], bool] = lambda end: True) -> None:
        """
        @param touches: whether this changes anything for this end, unless that is one of a tunnel.
        """
        self.disturbed = bool(self._groups or self._shut or self._asleep or self._half_open or self._held)
        for end in self._ends():
            if end.legs or touches(end):
                end.way_changed()
                end.pipe.go_on()
