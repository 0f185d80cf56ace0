"""What survival costs: streams of ours, against those of a session that keeps nothing for another link."""

from __future__ import annotations

from sys import maxsize
from typing import Any
from unittest.mock import patch

from routing_crust.streams.survival import session
from routing_crust.streams.survival.journal import Journal

from .stream_subjects import Bulk
from .streaming import OurStreams

MICROSECONDS = 1e6


class Uncounted(Journal):
    """Keeps no frame, and has none acknowledged."""

    def add(self, kind: int, payload: bytes) -> None:
        """Forget it."""

    def can_be(self, received: int) -> bool:
        """Whatever the peer says."""
        return True

    def acknowledge(self, received: int) -> None:
        """Nothing waits for that."""


class PassingStreams(OurStreams):
    """Streams that end with their link: both ends keep nothing and acknowledge nothing."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        # for as long as this process lives, which is the worker's own
        patch.multiple(session, Journal=Uncounted, ACK_AFTER_BYTES=maxsize, ACK_BESIDE_BYTES=maxsize).start()


class BulkCpu(Bulk):
    """What both ends use for a block of 64 KiB, in microseconds of processor time."""

    def calibrate(self, seconds: float) -> None:
        """As many blocks as are sent in that time."""
        self.count = self.first_guess
        self.count = max(1, round(super().sample() * seconds))

    def sample(self) -> float:
        before = self._cpu()
        super().sample()
        return MICROSECONDS * (self._cpu() - before) / self.count

    def _cpu(self) -> float:
        used: float = self.client.call("cpu") + self.server.call("cpu")
        return used
