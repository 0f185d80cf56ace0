"""
A download through the forward: the program that serves it, the one that fetches it, and when bytes have come.

The server sends at a steady rate until it is told to send the rest as fast as it can, so that a download
lasts as long as breaks are played, and has the given size at least.
"""

from __future__ import annotations

from typing import ClassVar, Final

from .household import FORWARDED, SERVED, Household
from .traffic import Traffic

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


class Download(Traffic):
    """
    Its numbers are bytes.

    @ivar size: how many it has at least.
    """

    label: ClassVar[str] = "download"

    def __init__(self, household: Household, size: int, rate: float) -> None:
        """
        @param rate: bytes a second until L{finish}.
        """
        self.size = size
        self._server = household.program("bob", "-c", _SERVER, str(SERVED), str(size), str(rate))
        self._server.wait("^listening")
        super().__init__(household, _CLIENT, str(FORWARDED))

    def finish(self, seconds: float) -> None:
        """Have the rest sent at once, and compare what has come with what was sent."""
        self._server.tell("hurry")
        received = self._last_line(seconds)
        sent = self._server.wait(r"^sent (.*)")
        if received != f"received {sent}" or int(sent.split()[0]) < self.size:
            raise AssertionError(f"sent were {sent}, of {self.size}; it has {received}")
