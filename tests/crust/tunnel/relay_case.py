"""A relay on a fake clock, between links that write down what they are given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.link.tls import LinkTls
from routing_crust.crust.tunnel.carried import QUIET_BYTES
from routing_crust.crust.tunnel.dispatch import TunnelDispatch
from routing_crust.crust.tunnel.room import LEAST_TUNNEL_BYTES
from routing_crust.crust.tunnel.transport import data_frame
from routing_crust.crust.tunnel.windows import TUNNEL_WINDOW_BYTES
from routing_crust.endpoints import Connection, PathKind, Protocol
from routing_crust.names import Name
from routing_crust.quietlog import QuietLog
from routing_crust.wire.codec import decode, encode
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.tunnels import TunnelClosed, TunnelOpen, TunnelOpened, TunnelReason

from ..addresses import at, identity, name

WINDOW = TUNNEL_WINDOW_BYTES


PROOF = bytes(32)


class FakeLink:
    """Writes down what is sent."""

    writable = True
    queued = 0
    path_kind = PathKind.DIRECT
    connection = Connection(Protocol.TCP, at("192.0.2.1:1"), at("198.51.100.1:1"))

    def __init__(self, seed: int, initiator: bool = False) -> None:
        self.peer = name(seed)
        self.initiator = initiator
        self.frames: list[tuple[int, bytes]] = []

    def send(self, kind: int, payload: bytes) -> None:
        self.frames.append((kind, payload))

    def when_writable(self) -> Deferred[None]:
        return succeed(None)

    def take(self, kind: FrameKind, message: Any = None) -> list[Any]:
        """What came of one kind, which is forgotten."""
        found = [payload for each, payload in self.frames if each == kind]
        self.frames = [each for each in self.frames if each[0] != kind]
        return found if message is None else [decode(message, payload) for payload in found]

    def received(self) -> int:
        """How many bytes came through tunnels, which are forgotten."""
        return sum(len(each) - 4 for each in self.take(FrameKind.TUNNEL_DATA))


class WritingLink(FakeLink):
    """
    A link that writes in the next turn what it was given in this one, as real ones do.

    @ivar is_stuck: whether its transport takes nothing.
    @ivar most_queued: how many bytes waited at most.
    """

    is_stuck = False
    most_queued = 0

    def __init__(self, seed: int, clock: Clock) -> None:
        super().__init__(seed)
        self.clock = clock

    def send(self, kind: int, payload: bytes) -> None:
        super().send(kind, payload)
        if kind == FrameKind.TUNNEL_DATA:
            if not self.queued:
                self.clock.callLater(0, self.write)
            self.queued += len(payload)
            self.most_queued = max(self.most_queued, self.queued)

    def write(self) -> None:
        """Write all that waits."""
        if not self.is_stuck:
            self.queued = 0


class RelayCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.make()

    def make(self, **settings: Any) -> None:
        self.settings = Settings(**settings)
        owner = SimpleNamespace(clock=self.clock, settings=self.settings)
        quiet = QuietLog(Logger(), self.clock.seconds)
        tls = LinkTls(identity(9))
        self.tunnels = TunnelDispatch(
            owner,  # type: ignore[arg-type]
            tls,
            quiet,
            lambda proof: None,
            lambda link: None,
            lambda: None,
        )
        self.links: dict[Name, Any] = {}
        self.tunnels.carry(lambda link, peer: self.links.get(peer))
        self.a, self.b = self.link(1), self.link(2)

    def fill(self, count: int) -> None:
        """A relay with memory for this many."""
        self.make(tunnel_memory=count * LEAST_TUNNEL_BYTES)

    def tearDown(self) -> None:
        self.tunnels.stop()
        self.assertEqual(self.tunnels.carried, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def link(self, seed: int, address: str = "192.0.2.1:1") -> Any:
        link = FakeLink(seed)
        link.connection = Connection(Protocol.TCP, at(address), at("198.51.100.1:1"))
        self.links[link.peer] = link
        return link

    def frame(self, link: Any, kind: FrameKind, message: Any) -> None:
        self.tunnels.frame_received(link, kind, encode(message))

    def ask(self, link: Any, peer: Any, number: int = 1, credit: int = WINDOW, awaited: bool = False) -> None:
        message = TunnelOpen(number, False, peer.peer.raw, PROOF, credit, awaited)
        self.frame(link, FrameKind.TUNNEL_OPEN, message)

    def open(self, a: Any, b: Any, number: int = 1, credit: int = WINDOW, awaited: bool = False) -> int:
        """Open a tunnel, and return its number at the far end."""
        self.ask(a, b, number, credit, awaited)
        (offer,) = b.take(FrameKind.TUNNEL_OPEN, TunnelOpen)
        self.frame(b, FrameKind.TUNNEL_OPENED, TunnelOpened(offer.number, credit, 0))
        a.take(FrameKind.TUNNEL_OPENED)
        return int(offer.number)

    def data(self, link: Any, number: int, size: int) -> None:
        while size:
            chunk = min(size, QUIET_BYTES)
            self.tunnels.frame_received(link, FrameKind.TUNNEL_DATA, data_frame(number, bytes(chunk)))
            size -= chunk

    def closed(self, link: Any) -> list[TunnelReason]:
        return [each.reason for each in link.take(FrameKind.TUNNEL_CLOSED, TunnelClosed)]
