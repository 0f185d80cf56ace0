"""
A download through the forward: the program that serves it, the one that fetches it, and when bytes have come.

The server sends at a steady rate until it is told to send the rest as fast as it can, so that a download
lasts as long as breaks are played, and has the given size at least.
"""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from typing import Final

from ..namespaces import PATIENCE
from .household import FORWARDED, SERVED, Household
from .program import NothingCame, Program

STEADY_SECONDS: Final = 2.0
"""Bytes flow again when they have come for so long"""
MAX_STEADY_GAP_SECONDS: Final = 0.5
"""without a longer pause than this."""
_SERVER: Final = """
import hashlib, random, socket, sys, threading, time
port, size, rate = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
server = socket.create_server(("127.0.0.1", port))
print("listening", flush=True)
hurry = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), hurry.set()), daemon=True).start()
connection, _ = server.accept()
numbers, digest, sent = random.Random(size), hashlib.sha256(), 0
while sent < size or not hurry.is_set():
    piece = numbers.randbytes(32768)
    connection.sendall(piece)
    digest.update(piece)
    sent += len(piece)
    if not hurry.is_set():
        hurry.wait(len(piece) / rate)
connection.shutdown(socket.SHUT_WR)
print("sent", sent, digest.hexdigest(), flush=True)
sys.stdin.read()
"""
_CLIENT: Final = """
import hashlib, socket, sys, time
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
digest, size, said = hashlib.sha256(), 0, 0.0
while piece := connection.recv(262144):
    now = time.monotonic()
    digest.update(piece)
    size += len(piece)
    if now - said > 0.05:
        said = now
        print("at", now, size, flush=True)
print("received", size, digest.hexdigest(), flush=True)
"""


class Download:
    """
    Begun when it is made; its programs end with the laboratory.

    @ivar size: how many bytes it has at least.
    """

    def __init__(self, household: Household, size: int, rate: float) -> None:
        """
        @param rate: bytes a second until L{finish}.
        """
        self.size = size
        self._arrivals: list[tuple[float, int]] = []
        self._received = ""
        self._server = household.program("bob", "-c", _SERVER, str(SERVED), str(size), str(rate))
        self._server.wait("^listening")
        command = (sys.executable, "-u", "-c", _CLIENT, str(FORWARDED))
        self._client = Program(household.lab, "alice", *command, heard=self._heard)
        self.flows(time.monotonic())

    def _heard(self, line: str) -> None:
        word, *values = line.split()
        if word == "at":
            self._arrivals.append((float(values[0]), int(values[1])))
        else:
            self._received = line

    @property
    def came(self) -> int:
        """How many bytes have come."""
        return self._arrivals[-1][1] if self._arrivals else 0

    def goes_on(self, size: int) -> None:
        """
        Wait until this many more bytes have come.

        @raise NothingCame: they do not.
        """
        wanted = self.came + size
        self._client.until(lambda: self.came >= wanted, "no bytes come")

    def flows(self, since: float, seconds: float = PATIENCE) -> None:
        """
        Wait until bytes have come steadily after this time.

        @raise NothingCame: they do not.
        """
        self._client.until(lambda: self._is_steady(since), "no bytes come", seconds)

    def _is_steady(self, since: float) -> bool:
        recent = [at for at, _ in self._arrivals[-500:] if at > since]
        if self._received:
            raise NothingCame(f"the download has ended: {self._received}")
        last = recent[-1] if recent else 0.0
        recent = [each for each in recent if each >= last - STEADY_SECONDS]
        gaps = [later - earlier for earlier, later in pairwise(recent)]
        return bool(gaps) and last - recent[0] > STEADY_SECONDS * 0.8 and max(gaps) < MAX_STEADY_GAP_SECONDS

    def pause(self, since: float, until: float) -> float:
        """
        The longest pause that began after the one time or was going on then, less what of it was before the
        other time, when the path was back.
        """
        times = [at for at, _ in self._arrivals]
        gaps = [
            (later - earlier, max(0.0, later - max(earlier, until)))
            for earlier, later in pairwise(times)
            if later > since
        ]
        return max(gaps, default=(0.0, 0.0))[1]

    def finish(self, seconds: float) -> None:
        """
        Have the rest sent at once, and compare what has come with what was sent.

        @raise AssertionError: it is not the same.
        """
        self._server.tell("hurry")
        self._client.until(lambda: bool(self._received), "the download did not end", seconds)
        sent = self._server.wait(r"^sent (.*)")
        if self._received != f"received {sent}" or int(sent.split()[0]) < self.size:
            raise AssertionError(f"sent were {sent}, of {self.size}; it has {self._received}")
