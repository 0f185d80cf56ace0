"""
Subjects: what is measured, each a few worker processes and a way to take one sample of them.

A subject is started once; its samples alternate with those of the subject that it is compared with.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from .processes import Worker

CALIBRATION_SECONDS: Final = 0.15
FEWEST: Final = 4
SET_UP_BATCH: Final = 128
WARM_LINKS: Final = 16
SENDER: Final = 1
RECEIVER: Final = 2

Spawn = Callable[[str, str, int], Worker]
"""Starts an actor, under the name of its part, on a core."""


class Subject(ABC):
    """
    Something whose speed is measured.

    @ivar count: how many operations make one sample.
    """

    first_guess = 64

    def __init__(self, spawn: Spawn, actor: str) -> None:
        self.count = self.first_guess
        self._spawn = spawn
        self._actor = actor
        self._workers: list[Worker] = []

    @abstractmethod
    def start(self) -> None:
        """Start the processes and bring them to where they can be measured."""

    @abstractmethod
    def sample(self) -> float:
        """Take one sample. Returns what was measured, in the figure's unit."""

    def calibrate(self, seconds: float) -> None:
        """Choose a count that takes about this many seconds; this also warms everything up."""
        self.count = self.first_guess
        rate = self.sample()
        while self.count < CALIBRATION_SECONDS * rate:
            self.count = min(8 * self.count, round(1.5 * CALIBRATION_SECONDS * rate))
            rate = self.sample()
        self.count = max(FEWEST, round(rate * seconds))

    def stop(self) -> None:
        """End the processes."""
        workers, self._workers = self._workers, []
        for each in reversed(workers):
            each.stop()

    def _worker(self, actor: str, part: str, core: int) -> Worker:
        worker = self._spawn(actor, part, core)
        self._workers.append(worker)
        return worker


class Pair(Subject):
    """A server on one core and a client on another, with one connection unless said otherwise."""

    mode = "sink"

    def start(self) -> None:
        self.server = self._worker(self._actor, "server", 1)
        self.client = self._worker(self._actor, "client", 0)
        self.port = self.server.call("listen", mode=self.mode)
        self._connect()

    def _connect(self) -> None:
        self.client.call("connect", port=self.port, mode=self.mode)


class OneWay(Pair):
    """Frames from the client to the server, per second at the server."""

    def __init__(self, spawn: Spawn, actor: str, size: int) -> None:
        super().__init__(spawn, actor)
        self._size = size
        self.first_guess = 8 if size > 1 << 16 else 64

    def sample(self) -> float:
        self.server.call("expect", count=self.count)
        measured = self.server.begin("measured")
        self.client.call("flood", size=self._size, count=self.count)
        rate: float = self.server.result(measured)
        return rate


class RoundTrips(Pair):
    """Messages that are answered, per second at the client."""

    mode = "echo"

    def __init__(self, spawn: Spawn, actor: str, size: int, window: int) -> None:
        super().__init__(spawn, actor)
        self._size = size
        self._window = window

    def sample(self) -> float:
        rate: float = self.client.call("ask", size=self._size, count=self.count, window=self._window)
        return rate


class Relayed(Subject):
    """Messages from one client to another through a node on a third core, acknowledged, per second."""

    def __init__(self, spawn: Spawn, size: int, window: int) -> None:
        super().__init__(spawn, "service")
        self._size = size
        self._window = window

    def start(self) -> None:
        relay = self._worker(self._actor, "relay", 2)
        port = relay.call("listen", mode="relay")
        receiver = self._worker(self._actor, "receiver", 1)
        receiver.call("connect", port=port, mode="relay", number=RECEIVER, client=True)
        self._sender = self._worker(self._actor, "sender", 0)
        self._sender.call("connect", port=port, mode="relay", number=SENDER, client=True)

    def sample(self) -> float:
        rate: float = self._sender.call(
            "ask", size=self._size, count=self.count, window=self._window, number=RECEIVER
        )
        return rate


class SetUps(Pair):
    """Links that are made, per second; to close them takes no time that counts."""

    def sample(self) -> float:
        rate: float = self.client.call("set_up", port=self.port, count=self.count, batch=SET_UP_BATCH)
        return rate

    def _connect(self) -> None:
        """Each sample makes its own."""


class IdleMemory(Subject):
    """
    What an idle link takes, in bytes, in the client or in the server.

    Each sample is taken in new processes, since memory that was once used is not a measure.
    """

    def __init__(self, spawn: Spawn, actor: str, side: str, links: int) -> None:
        super().__init__(spawn, actor)
        self._side = side
        self.count = links

    def start(self) -> None:
        """Each sample starts its own processes."""

    def calibrate(self, seconds: float) -> None:
        """The count is fixed."""

    def sample(self) -> float:
        server = self._worker(self._actor, "server", 1)
        client = self._worker(self._actor, "client", 0)
        measured = server if self._side == "server" else client
        try:
            port = server.call("listen", mode="sink")
            client.call("hold", port=port, count=WARM_LINKS)
            before: int = measured.call("memory")
            client.call("hold", port=port, count=self.count)
            after: int = measured.call("memory")
        finally:
            self.stop()
        return (after - before) / self.count


class Signatures(Subject):
    """One signature made and one verified, per second on one core."""

    def __init__(self, spawn: Spawn, size: int) -> None:
        super().__init__(spawn, "ed25519")
        self._size = size

    def start(self) -> None:
        self._signer = self._worker(self._actor, "signer", 0)

    def sample(self) -> float:
        rate: float = self._signer.call("ask", size=self._size, count=self.count, window=1)
        return rate
