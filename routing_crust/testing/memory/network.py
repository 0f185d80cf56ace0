"""
A network in memory, for tests of what is above it: no sockets, no ciphers, and time that a test moves.

A L{MemoryNetwork} joins any number of hosts. Everything happens on one fake clock and draws on
one source of randomness, so the same seed gives the same run. Faults are made by its methods. Usage::

    clock = SimulatedClock()
    network = MemoryNetwork(clock, random=Random(1))
    here = MemoryCrust(network, Settings(), Identity.from_seed(bytes(32)))
    there = MemoryCrust(network, Settings(), Identity.from_seed(bytes(31) + b"1"))
    here.start(events_here)
    there.start(events_there)
    dialled = here.connect(there.endpoints, there.identity.name, b"token", OURSELVES)
    network.run_until(lambda: dialled.called)

What takes how long: a connection is there after two latencies, the link at the end that dialled after two
more, and at the other end after one more than that; each piece that is written takes one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from random import Random
from typing import Final

from ...config import DEFAULT_PORT
from ...endpoints import Endpoint
from ..clock import SimulatedClock
from ..latency import Latency
from ..trace import Trace
from .connecting import NO_ROUTE, REFUSED, DialRefused, Listener, MemoryConnector
from .internet import Arrival, Internet, PacketPath, Router
from .name_servers import MemoryNameServers
from .obstacles import Obstacles
from .transport import Host, MemoryTransport

# the dynamic ports (RFC 6335, section 6)
_FIRST_EPHEMERAL: Final = 49152
_EPHEMERAL_PORTS: Final = 65536 - _FIRST_EPHEMERAL


class MemoryNetwork(Obstacles):
    """
    The network: its hosts, the connections between them, and what is on its way.

    @ivar clock: the clock of everything in it.
    @ivar random: where everything in it draws from.
    @ivar latency: seconds from one end to the other, or what they are drawn from; may be changed at any time.
    @ivar dial_loss: the share of dials that nothing comes back of, 0 to 1.
    @ivar addresses: the network that made-up addresses are from: the one for benchmarks (RFC 2544).
    @ivar dials: how many endpoints have been dialled.
    @ivar guesses: how many of these to guess or open ports.
    @ivar frames: how many frames have been sent, without Heartbeats and Goodbyes.
    @ivar bytes: how many bytes they had, with their headers.
    @ivar trace: keeps what happens, in order.
    @ivar internet: if hosts have real addresses, who is behind which box.
    """

    addresses: Final = "198.18.0.0/15"

    def __init__(
        self,
        clock: SimulatedClock,
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
        super().__init__()
        self.internet = internet
        self.clock = clock
        self.random = random
        self.latency = latency
        self.dial_loss = 0.0
        self.dials = self.guesses = self.frames = self.bytes = 0
        self.trace = Trace(clock.seconds) if trace is None else trace
        self.name_servers = MemoryNameServers()
        self._made_up = 0
        self._ports = 0
        self._hosts: dict[str, bool] = {}
        self._listeners: dict[Endpoint, Listener] = {}
        self._connectors: dict[tuple[Endpoint, Endpoint], MemoryConnector] = {}
        self._open: dict[tuple[Endpoint, Endpoint], MemoryTransport] = {}
        self._passages: dict[MemoryTransport, PacketPath] = {}

    # Faults, beside those of Obstacles.

    def flush_nat(self, router: Router) -> None:
        """Have the outermost NAT before some hosts forget everything: links through it fall silent."""
        assert self.internet is not None
        self.internet.flush(router)
        self._silence_what_is_shut()

    def change_address(self, router: Router) -> None:
        """Give the outermost NAT before some hosts another external address; it forgets everything, too."""
        assert self.internet is not None
        self.internet.change_address(router)
        self._silence_what_is_shut()

    def _silence_what_is_shut(self) -> None:
        # a NAT drops what it no longer knows, and tells neither end
        for link, passage in self._passages.items():
            if not passage.is_open:
                self._half_open.update((link, link.other))
        self._ways_changed()

    def crash(self, host: Host, silently: bool = False) -> None:
        """
        Kill the process of a host: nothing reaches it and nothing leaves it any more. To start it again, make
        a new crust with the same endpoints.

        @param silently: whether the computer goes down with it: peers hear nothing, and find out by the
            silence, and dials to it time out. Else they hear C{CONNECTION_LOST}, and dials are refused.
        """
        self.listen_no_more(host.listening)
        if silently:
            for address in (host.host, *(each.host for each in host.listening)):
                self._hosts[address] = False
        for connector in [each for each in self._connectors.values() if each.host.host == host.host]:
            connector.vanish()
        for end in self._ends():
            if end.host.host == host.host:
                if silently:
                    self._half_open.update((end, end.other))
                end.vanish(silently)
        self._ways_of_changed(host)

    # Time.

    def run_until(self, predicate: Callable[[], object], timeout: float = 60.0) -> None:
        """
        Go from one delayed call to the next until something holds.

        @param timeout: for how many seconds of the network's time.
        @raise AssertionError: it did not hold in time, or nothing is left that could change it.
        """
        deadline = self.clock.now + timeout
        while not predicate():
            if not self.clock.step_before(deadline):
                left = (
                    "nothing more will happen"
                    if self.clock.next_time() is None
                    else f"{timeout:g} s are over"
                )
                raise AssertionError(f"it does not hold at {self.clock.now:g} s, and {left}")

    def settle(self, seconds: float) -> None:
        """Let that many seconds pass."""
        self.clock.advance(seconds)

    # What hosts ask.

    def new_endpoint(self, behind: Router | None = None) -> Endpoint:
        """
        An unused address.

        @param behind: the NAT that its host stands behind.
        """
        if self.internet is not None:
            return self.internet.new_host(behind)
        self._made_up += 1
        return Endpoint(str(IPv4Address("198.18.0.0") + self._made_up), DEFAULT_PORT)

    def new_port(self, host: str) -> Endpoint:
        """A port of a host that the system chooses."""
        self._ports += 1
        return Endpoint(host, _FIRST_EPHEMERAL + (self._ports - 1) % _EPHEMERAL_PORTS)

    def add(self, host: Host) -> None:
        """A host is there, and answers from now on."""
        for address in (host.host, *(each.host for each in host.listening)):
            self._hosts[address] = True

    def listener(self, endpoint: Endpoint) -> Listener | None:
        """The port that listens there."""
        return self._listeners.get(endpoint)

    def listen(self, endpoint: Endpoint, listener: Listener) -> None:
        """Let C{listener} accept what is dialled there."""
        self._listeners[endpoint] = listener

    def listen_no_more(self, endpoints: Iterable[Endpoint]) -> None:
        """Refuse what is dialled there."""
        for endpoint in endpoints:
            self._listeners.pop(endpoint, None)

    # What hosts that dial ask.

    def delay(self, here: str, there: str) -> float:
        """How long something takes from one host to another, this time."""
        latency = self.latency
        return latency.between(here, there, self.random) if isinstance(latency, Latency) else latency

    def begins(self, connector: MemoryConnector) -> bool:
        self._connectors[connector.local, connector.remote] = connector
        self.dials += 1
        self.guesses += connector.is_guess
        self.trace.note("dial", connector.host.host, connector.remote.host, connector.remote.port)
        return not self.dial_loss or self.random.random() >= self.dial_loss

    def given_up(self, connector: MemoryConnector) -> None:
        ends = connector.local, connector.remote
        # a dial that found these two ends taken was never entered: the entry is another's
        if self._connectors.get(ends) is connector:
            del self._connectors[ends]

    def is_taken(self, local: Endpoint, remote: Endpoint) -> bool:
        return (local, remote) in self._open or (local, remote) in self._connectors

    def open_way(self, source: Endpoint, remote: Endpoint) -> None:
        if self.internet is not None:
            self.internet.send(source, remote)

    def answer(self, connector: MemoryConnector) -> tuple[Listener | MemoryConnector, Arrival] | None:
        arrival: Arrival | None = Arrival(connector.local, connector.remote)
        if self.internet is not None:
            arrival = self.internet.send(connector.local, connector.remote)
        if arrival is None:
            return None
        endpoint = arrival.endpoint
        if endpoint.host not in self._hosts:
            raise DialRefused(NO_ROUTE)
        here = connector.host.host
        if not self._hosts[endpoint.host] or (here, endpoint.host) in self._blocked:
            return None
        # both ways: the dialler learns nothing unless the answer gets back
        if not (self._passes(here, endpoint.host) and self._passes(endpoint.host, here)):
            return None
        ends = endpoint, arrival.source
        old = self._open.get(ends)
        if old is not None:
            # the dialler's system does not know that connection any more, and says so when it is asked
            old.lose()
            return None
        crossing = self._connectors.get(ends)
        if crossing is not None and crossing is not connector:
            return crossing, arrival
        listener = self._listeners.get(endpoint)
        if listener is None:
            raise DialRefused(REFUSED)
        return listener, arrival

    def join(self, connector: MemoryConnector, other: Host, arrival: Arrival) -> MemoryTransport:
        here = MemoryTransport(self, connector.host, connector.local, connector.remote)
        there = MemoryTransport(self, other, arrival.endpoint, arrival.source)
        here.other, there.other = there, here
        self._links[here] = None
        self._open[here.local, here.peer] = here
        self._open[there.local, there.peer] = there
        if arrival.steps:
            self._passages[here] = PacketPath(arrival.steps)
        self.trace.note("join", connector.host.host, connector.remote.host)
        return here

    # What the ends of connections ask.

    def note_frame(self, end: MemoryTransport, kind: int, size: int) -> None:
        self.frames += 1
        self.bytes += size
        self.trace.note("frame", end.host.host, end.other.host.host, kind, size)

    def ended(self, end: MemoryTransport) -> None:
        # a later connection may have the same two ends by now
        if self._open.get((end.local, end.peer)) is end:
            del self._open[end.local, end.peer]
        # with one end alive it still counts as a connection, to which faults may happen
        if not end.other.gone:
            return
        for each in (end, end.other):
            self._links.pop(each, None)
            self._half_open.discard(each)
            passage = self._passages.pop(each, None)
            if passage is not None:
                passage.end()
