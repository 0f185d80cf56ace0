"""Two ends whose streams outlive their links: links are lost and made at each end by itself."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock

from routing_crust.config import Settings
from routing_crust.endpoints import Connection, Endpoint, Protocol
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.names import Name
from routing_crust.streams.frames import Ended
from routing_crust.streams.multiplexing.stream import Stream
from routing_crust.streams.survival.peer import ENDS_SESSION, PeerStreams

from ..ends import End, Pair

ODD, EVEN = Name(bytes(32)), Name(b"\xff" * 32)
LOST = LinkClosed(CloseReason.CONNECTION_LOST)


class Carrier:
    """One end of a link. What is sent over it after its loss goes nowhere."""

    connection = Connection(Protocol.TCP, Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2))

    def __init__(self, end: SurvivingEnd) -> None:
        self.end = end
        self.peer = end.other
        self.feeder: Any = None
        self.up = True

    def send(self, kind: int, payload: bytes) -> None:
        if self.up:
            self.end.out.append((kind, payload))

    def feed_soon(self) -> None:
        self.end.hungry = True

    def set_feeder(self, feeder: Any) -> None:
        self.feeder = feeder


class SurvivingEnd(End):
    """
    An end with all that a node has for a peer's streams. It is the owner of them.

    @ivar expirations: how often no stream waited any more.
    """

    def __init__(self, odd: bool, clock: Clock | None = None, **settings: Any) -> None:
        super().__init__(odd, clock, **settings)
        self.name, self.other = (ODD, EVEN) if odd else (EVEN, ODD)
        self.settings = Settings(**settings)
        self.random = Random(odd)
        self.eventually: Any = SimpleNamespace(call=self.next_turn_call)
        self.expirations = 0
        self.resent = 0
        self.peer: PeerStreams | None = None
        self.gain()

    def next_turn_call(self, call: Callable[[], None]) -> None:
        self.next_turn.append(call)

    @property
    def connected(self) -> bool:
        return self.peer is not None and self.peer.attached

    def gain(self, *, new: bool = True, ended: Ended = Ended.NONE) -> None:
        """This end has a link."""
        link: Any = Carrier(self)
        if self.peer is None:
            self.peer = PeerStreams(self, link, ended, new)  # type: ignore[arg-type]
        else:
            self.peer.link_gained(link)
        self.mux = self.peer.mux

    def lose(self, reason: LinkClosed = LOST) -> None:
        """This end notices that its link is gone."""
        assert self.peer is not None
        link: Any = self.peer.link
        link.up = False
        self.out.clear()
        if reason.reason in ENDS_SESSION:
            self.peer.end(reason)
            self.peer = None
        else:
            self.peer.suspend(reason)

    def feed(self, room: int = 1 << 20) -> None:
        self.hungry = False
        link: Any = None if self.peer is None else self.peer.link
        if link is not None and link.up and link.feeder is not None:
            link.feeder(room)

    def receive(self, kind: int, payload: bytes) -> None:
        if self.peer is not None:
            self.peer.receive(kind, payload)
            self.mux = self.peer.mux

    # PeerOwner.

    def stream_requested(self, name: Any, stream: Any = None) -> None:
        requested: Stream = stream
        super().stream_requested(requested)

    def idle(self, name: Name) -> None:
        """Nobody waits for that."""

    def resumed(self, peer: PeerStreams, size: int) -> None:
        self.resent += size

    def expired(self, peer: PeerStreams) -> None:
        self.expirations += 1


class SurvivingPair(Pair):
    """Two such ends; what one sends is delivered only while both have the same link."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.one: Any = SurvivingEnd(True, self.clock, **settings)
        self.two: Any = SurvivingEnd(False, self.clock, **settings)

    def deliver(self, source: Any, target: Any, count: int = 1 << 30) -> None:
        while source.out and count:
            count -= 1
            target.receive(*source.out.popleft())

    def cut(self) -> None:
        """Both ends lose the link, and what was on its way."""
        for end in (self.one, self.two):
            end.lose()

    def join(self) -> None:
        """Both ends have a link again."""
        for end in (self.one, self.two):
            end.gain()
        self.settle()
