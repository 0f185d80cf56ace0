"""A keeper on a fake clock with routers that answer as they are told."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from routing_crust.crust.mapping.keeper import PortKeeper
from routing_crust.crust.mapping.lease import Gateway, Lease, PortRouter, RouterAccess, RouterProblem

from ..addresses import at
from .support import GATEWAY, FakeRouter, QuietTests, lease


class NoJitter(Random):
    """Every wait is the longest that it can be."""

    def uniform(self, a: float, b: float) -> float:
        return b


class KeeperTests(QuietTests):
    ways: tuple[str, ...] = ("NAT-PMP",)
    listening = "0.0.0.0:5483"
    lifetime = 7200

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.gateway: Gateway | None = GATEWAY
        self.asked: list[tuple[Any, ...]] = []
        self.routers: list[FakeRouter] = []
        self.told: list[tuple[Lease | None, Lease | None]] = []
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self.write_down)
        self.addCleanup(globalLogPublisher.removeObserver, self.write_down)

    def write_down(self, event: Any) -> None:
        if event["log_namespace"].endswith("PortKeeper") and event["log_level"] >= LogLevel.info:
            self.lines.append(event["log_format"].format(**event))

    def make_router(self, way: str, gateway: Gateway) -> PortRouter:
        self.routers.append(FakeRouter(way, gateway, self.asked))
        return self.routers[-1]

    def start(self) -> PortKeeper:
        self.keeper = PortKeeper(
            at(self.listening),
            self.lifetime,
            self.clock,
            NoJitter(1),
            RouterAccess(lambda: self.gateway, [partial(self.make_router, way) for way in self.ways]),
            lambda old, new: self.told.append((old, new)),
        )
        self.keeper.start()
        return self.keeper

    def answer(self, result: Any = None) -> None:
        """The last question is answered; a text is a problem."""
        waiting = self.routers[-1].answer
        if isinstance(result, str):
            waiting.errback(RouterProblem(result))
        else:
            waiting.callback(result)

    def take_asked(self) -> list[tuple[Any, ...]]:
        """What was asked since the last call."""
        taken = self.asked[:]
        self.asked.clear()
        return taken

    def assertWaits(self, seconds: float) -> None:
        """Nothing is asked for so long, and then it is."""
        self.assertEqual(self.take_asked(), [])
        self.clock.advance(seconds - 0.5)
        self.assertEqual(self.asked, [])
        self.clock.advance(0.5)
        self.assertNotEqual(self.asked, [])

    def mapped(self, external: str = "5.5.5.11:5483", lifetime: float = 7200) -> Lease:
        """It is started, and mapped."""
        self.start()
        there = lease(external, lifetime)
        self.answer(there)
        self.take_asked()
        self.told.clear()
        self.lines.clear()
        return there
