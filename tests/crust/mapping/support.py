"""What the tests of mapped ports share: a gateway, a fake clock with UDP, and a log that is written down."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.mapping.lease import Gateway, Lease
from routing_crust.endpoints import Endpoint

GATEWAY = Gateway("192.168.1.1", "192.168.1.5")
OTHER = Gateway("10.0.0.1", "10.0.0.7")


def lease(external: str = "5.5.5.11:5483", lifetime: float = 7200, way: str = "NAT-PMP") -> Lease:
    """A lease of our port 5483."""
    return Lease(way, GATEWAY.address, Endpoint.from_text(external), 5483, lifetime)


class FakeRouter:
    """A router that writes down each question; the test answers them."""

    check_every = 60.0

    def __init__(self, way: str, gateway: Gateway, asked: list[tuple[Any, ...]]) -> None:
        self.way = way
        self.gateway = gateway
        self.asked = asked
        self.answer: Deferred[Any] = Deferred()
        self.cancelled = 0

    async def _ask(self, *question: Any) -> Any:
        self.asked.append((self.way, *question))
        self.answer = Deferred()
        try:
            return await self.answer
        except CancelledError:
            self.cancelled += 1
            raise

    async def map(self, local_port: int, external_port: int, lifetime: int) -> Lease:
        mapped: Lease = await self._ask("map", local_port, external_port, lifetime)
        return mapped

    async def holds(self, lease: Lease) -> bool:
        return bool(await self._ask("holds", lease.external.port))

    async def remove(self) -> None:
        await self._ask("remove")


class FakePort:
    """A UDP port, its protocol's transport as well. Closes in the next turn, as real ones do."""

    def __init__(self, network: UdpClock, protocol: Any, local: str) -> None:
        self.network = network
        self.protocol = protocol
        self.local = local
        self.connected_to: tuple[str, int] | None = None
        self.to: tuple[Any, ...] | None = None

    def connect(self, host: str, port: int) -> None:
        if self.network.no_route:
            raise OSError(101, "Network is unreachable")
        self.connected_to = (host, port)

    def write(self, datagram: bytes, to: tuple[Any, ...] | None = None) -> None:
        self.to = to
        if self.network.write_fails:
            raise OSError(1, "Operation not permitted")
        self.network.sent.append((self.network.seconds(), datagram))
        if self.network.refused_at_once:
            self.protocol.connectionRefused()

    def stopListening(self) -> Deferred[None]:
        assert self.protocol.transport is self
        closed: Deferred[None] = Deferred()
        self.network.callLater(0, self._closed, closed)
        return closed

    def _closed(self, closed: Deferred[None]) -> None:
        self.network.ports.remove(self)
        self.protocol.doStop()
        closed.callback(None)


class LostPort(FakePort):
    """One that the reactor has closed already."""

    def stopListening(self) -> Deferred[None]:
        return succeed(None)


class UdpClock(Clock):
    """
    A fake clock whose reactor has UDP.

    @ivar sent: when, and what.
    @ivar ports: those that are open.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[float, bytes]] = []
        self.ports: list[FakePort] = []
        self.no_route = self.write_fails = self.refused_at_once = False

    def listenUDP(self, port: int, protocol: Any, interface: str = "") -> FakePort:
        made = FakePort(self, protocol, interface)
        self.ports.append(made)
        protocol.makeConnection(made)
        return made

    def answer(self, datagram: bytes, source: tuple[str, int] | None = None) -> None:
        """The newest socket hears this, from the one it has asked or another; then a turn goes by."""
        port = self.ports[-1]
        port.protocol.datagramReceived(datagram, source or port.connected_to)
        self.advance(0)

    def lose_port(self) -> None:
        """The reactor closes the newest socket of its own accord."""
        port = self.ports.pop()
        port.__class__ = LostPort
        port.protocol.doStop()


class QuietTests(SynchronousTestCase):
    """Nothing may be logged as a failure."""

    def setUp(self) -> None:
        self.addCleanup(lambda: self.assertEqual(self.flushLoggedErrors(), []))
