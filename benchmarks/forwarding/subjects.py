"""Subjects: a program that sends, a forward, and a program that takes, each end on a core of its own."""

from __future__ import annotations

import socket
from typing import Any

from ..processes import Worker
from ..subjects import Spawn, Subject

RELAY, FAR, NEAR = 3, 2, 1
OPENED_AT_ONCE = 8
RELAYED_BLOCKS = 512
"""Through a relay, in a sample: a slow one still has done with it in seconds."""


class Forwarded(Subject):
    """What all have."""

    mode = "sink"
    first_guess = 512

    def __init__(self, spawn: Spawn, actor: str, relayed: bool = False) -> None:
        """
        @param relayed: whether there is a node in between, with no way around it.
        """
        super().__init__(spawn, actor)
        self._relayed = relayed

    def start(self) -> None:
        target = self._worker("plain", "target", 1)
        at: dict[str, Any] = {}
        if self._actor == "forward-ours":
            at["at"] = None
            if self._relayed:
                self.relay = self._worker(self._actor, "relay", 2)
                at["at"] = self.relay.call("relay", number=RELAY)
        else:
            at["port"] = free_port()
        self.far = self._worker(self._actor, "far", 1)
        self.near = self._worker(self._actor, "near", 0)
        served = self.far.call("serve", number=FAR, target=target.call("listen", mode=self.mode), **at)
        port = self.near.call("forward", number=NEAR, to=served, port=free_port())
        self.client: Worker = self._worker("plain", "client", 0)
        self.client.call("connect", port=port, mode=self.mode)

    def cpu(self) -> float:
        """What both ends have used, in seconds."""
        used: float = self.far.call("cpu") + self.near.call("cpu")
        return used


class ForwardedBulk(Forwarded):
    """Blocks of 64 KiB one way over one connection, per second at the client."""

    def start(self) -> None:
        super().start()
        self.client.call("open_streams", mode=self.mode, count=1)

    def sample(self) -> float:
        rate: float = self.client.call("send", blocks=self.count)[0]
        return rate


class ForwardedCpu(ForwardedBulk):
    """What both ends use for a block, in microseconds."""

    first_guess = 2048

    def calibrate(self, seconds: float) -> None:
        """The clock of processor time ticks a hundred times a second, so samples are long."""
        self.count = round(self.first_guess * max(seconds, 0.01))
        self.sample()

    def sample(self) -> float:
        before = self.cpu()
        super().sample()
        return 1e6 * (self.cpu() - before) / self.count


class RelayCpu(ForwardedCpu):
    """What the relay uses for a block, in microseconds."""

    first_guess = RELAYED_BLOCKS

    def __init__(self, spawn: Spawn, actor: str) -> None:
        super().__init__(spawn, actor, relayed=True)

    def cpu(self) -> float:
        used: float = self.relay.call("cpu")
        return used


class EndCpu(ForwardedCpu):
    """What an end uses for a block, in microseconds, where there is a relay."""

    first_guess = RELAYED_BLOCKS

    def __init__(self, spawn: Spawn, actor: str) -> None:
        super().__init__(spawn, actor, relayed=True)

    def cpu(self) -> float:
        return super().cpu() / 2


class ForwardedEcho(Forwarded):
    """Small echoes over one connection, one after the other, in a second by their median."""

    mode = "echo"

    def calibrate(self, seconds: float) -> None:
        """Enough for a median that can be trusted."""
        self.count = max(20, round(800 * seconds))
        self.sample()

    def sample(self) -> float:
        microseconds: float = self.client.call("echo", count=self.count, beside=False)
        return 1e6 / microseconds


class ForwardedOpens(Forwarded):
    """Connections in a second, some at a time, each with one echo."""

    mode = "echo"
    first_guess = 128

    def calibrate(self, seconds: float) -> None:
        """
        The same number for all. The rate of the first few, while the machine was idle, asked for more than
        it did in minutes when it was busy.
        """
        self.count = max(OPENED_AT_ONCE, round(self.first_guess * seconds))
        self.sample()

    def sample(self) -> float:
        rate: float = self.client.call("open", count=self.count, slots=OPENED_AT_ONCE)
        return rate


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port
