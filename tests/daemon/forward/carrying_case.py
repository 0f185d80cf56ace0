"""A node that exposes a program, and one that forwards to it."""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger, LogPublisher, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Name, RoutingService
from routing_crust.daemon.forward import exposer as exposing
from routing_crust.daemon.forward import forwarder as forwarding
from routing_crust.daemon.forward import registry as carrying
from routing_crust.daemon.forward.exposer import Exposer
from routing_crust.daemon.forward.forwarder import PortForwarder
from routing_crust.daemon.forward.registry import ForwardRegistry
from routing_crust.forwarding_rules import Exposure, Forward
from routing_crust.streams import streams_of
from tests.routing.net import Net

from ..control.wires import Port, Program, Wire


class CarryingCase(SynchronousTestCase):
    """One node exposes, another forwards."""

    def setUp(self) -> None:
        self.lines: list[str] = []
        observer = LogPublisher(lambda event: self.lines.append(formatEvent(event)))
        for module, kind in ((exposing, Exposer), (forwarding, PortForwarder), (carrying, ForwardRegistry)):
            self.assertIs(getattr(module, kind.__name__), kind)
            self.patch(kind, "log", Logger(observer=observer))
        self.net = Net()
        self.server, self.client = self.net.grow(2, max_streams=8)
        self.program, self.port = Program(self.net.clock), Port(self.net.clock)
        self.registries = [ForwardRegistry(each, MemoryReactorClock()) for each in (self.server, self.client)]
        self.addCleanup(self.stop)

    def stop(self) -> None:
        for each in self.registries:
            self.net.result(each.stop())
            self.assertEqual(each.status()["streams"], [])
        self.net.stop()
        self.assertEqual(self.net.clock.getDelayedCalls(), [])

    def expose(self, *allowed: Name, everyone: bool = False, keep: float | None = None) -> Exposer:
        exposer = Exposer(
            Exposure("ssh", "tcp:localhost:22", keep),
            self.server.directory.allowance(["*"] if everyone else allowed),
            self.program,
            streams_of(self.server),
        )
        self.registries[0].expose(exposer)
        return exposer

    def forward(
        self, to: RoutingService | None = None, protocol: str = "ssh", keep: float | None = None
    ) -> PortForwarder:
        forward = Forward("tcp:2222", (to or self.server).node_name, protocol, keep)
        forwarder = PortForwarder(forward, self.port, self.client)
        self.successResultOf(self.registries[1].forward(forwarder))
        return forwarder

    def both(self) -> None:
        self.expose(self.client.node_name)
        self.forward()

    def open(self) -> tuple[Wire, Wire]:
        """A connection: the ends of the two programs."""
        near = self.port.connect()
        self.net.run(lambda: near.producer is not None and not self.program.wires[-1].paused)
        return near, self.program.wires[-1]

    def over(self) -> bool:
        states = [each.status() for each in self.registries]
        return not any(each["streams"] or each["stream_counts"] for each in states)
