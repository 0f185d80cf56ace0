"""A stream with a transport at both ends."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.identity import Identity
from routing_crust.streams.address import NodeAddress
from routing_crust.streams.multiplexing.stream import Stream
from routing_crust.streams.transport import StreamTransport
from routing_crust.timing.eventual import EventualQueue

from .ends import Pair
from .protocols import Noting

ONE, TWO = (NodeAddress(Identity.from_seed(bytes([each]) * 32).name, "echo") for each in (1, 2))


class Producer:
    """Writes pieces for as long as it may."""

    def __init__(self, transport: Any, pieces: int, size: int = 10_000) -> None:
        self.transport = transport
        self.left = pieces
        self.size = size
        self.paused = True
        self.calls: list[str] = []

    def resumeProducing(self) -> None:
        self.calls.append("resume")
        self.paused = False
        while self.left and not self.paused:
            self.left -= 1
            self.transport.write(bytes(self.size))
        if not self.left:
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.calls.append("pause")
        self.paused = True

    def stopProducing(self) -> None:
        self.calls.append("stop")
        self.paused = True


class TransportCase(SynchronousTestCase):
    """A stream with a transport at both ends."""

    def setUp(self) -> None:
        self.set_up(Noting(), Noting())

    def set_up(self, mine: Noting, theirs: Noting) -> None:
        self.pair = Pair()
        self.eventually = EventualQueue(self.pair.clock)
        self.gone: list[Noting] = []
        here, _, there, _ = self.pair.open()
        self.here, self.there = here, there
        self.mine, self.theirs = mine, theirs
        self.transport = self.attach(here, mine, ONE, TWO)
        self.other = self.attach(there, theirs, TWO, ONE)

    def attach(
        self, stream: Stream, protocol: Noting, host: NodeAddress, peer: NodeAddress
    ) -> StreamTransport:
        transport = StreamTransport(
            stream, protocol, host, peer, self.eventually, lambda: self.gone.append(protocol)
        )
        stream.handler = transport
        transport.start()
        return transport

    def settle(self) -> None:
        self.pair.settle()
        while self.pair.clock.getDelayedCalls():
            self.pair.clock.advance(0)
            self.pair.settle()

    def over(self) -> None:
        """Nothing is left of the stream."""
        self.settle()
        self.assertEqual((self.pair.one.mux.streams, self.pair.two.mux.streams), ({}, {}))
