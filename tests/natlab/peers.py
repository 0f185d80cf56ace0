"""
Plain sockets in a laboratory, for its own tests. All of them belong to this process and block, within bounds.
"""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from .lab import Lab, why_not
from .layout import RENDEZVOUS
from .namespaces import PATIENCE
from .router import Router

Address = tuple[str, int]
PORT: Final = 5483


class Peers(ExitStack):
    """Sockets of a laboratory, which are closed with this context."""

    def __init__(self, lab: Lab) -> None:
        ExitStack.__init__(self)
        self.lab = lab
        self._witnesses: dict[int, list[socket.socket]] = {}

    def udp(self, place: str | Router, address: str = "", port: int = PORT) -> socket.socket:
        """A bound socket for datagrams."""
        return self._made(place, socket.SOCK_DGRAM, address, port)

    def listener(self, place: str | Router, address: str = "", port: int = PORT) -> socket.socket:
        """One that accepts, and lets others dial from its port."""
        made = self._made(place, socket.SOCK_STREAM, address, port)
        made.listen()
        return made

    def dial(self, place: str | Router, to: Address, address: str = "", port: int = PORT) -> socket.socket:
        """
        A connection from a port that may listen as well.

        @raise OSError: it is refused, or there is no way.
        """
        dialling = self.dialling(place, to, address, port)
        if not outcome(dialling, PATIENCE * 1000):
            raise TimeoutError(f"{to} does not answer")
        return dialling

    def dialling(
        self, place: str | Router, to: Address, address: str = "", port: int = PORT
    ) -> socket.socket:
        """The same, without waiting for the end."""
        made = self._made(place, socket.SOCK_STREAM, address, port)
        made.setblocking(False)
        problem = made.connect_ex(to)
        if problem not in (0, errno.EINPROGRESS):
            raise OSError(problem, f"{to} cannot be dialled")
        return made

    def accept(self, listener: socket.socket) -> tuple[socket.socket, Address]:
        """The next connection, and the address that it comes from."""
        made, address = listener.accept()
        self.enter_context(made)
        made.settimeout(PATIENCE)
        return made, address

    def rendezvous(self, kind: int = socket.SOCK_STREAM) -> list[socket.socket]:
        """One socket on each of the addresses of the rendezvous, always the same two."""
        if kind not in self._witnesses:
            make = self.listener if kind == socket.SOCK_STREAM else self.udp
            self._witnesses[kind] = [make(RENDEZVOUS, each) for each in self.lab.rendezvous]
        return self._witnesses[kind]

    def _made(self, place: str | Router, kind: int, address: str, port: int) -> socket.socket:
        made = self.enter_context(self.lab.socket(place, kind))
        made.settimeout(PATIENCE)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((address, port))
        return made


class PeersTestCase(SynchronousTestCase):
    """Tests with laboratories, which are skipped where there can be none."""

    def build(self, hosts: Mapping[str, Router | None], *, delay: float = 0.0, loss: float = 0.0) -> Peers:
        """A laboratory with sockets, both of which end with the test."""
        routers = [each for each in hosts.values() if each is not None]
        reason = why_not(delay=bool(delay or loss), upnp=any(each.upnp for each in routers))
        if reason:
            raise SkipTest(reason)
        lab = Lab(hosts, delay=delay, loss=loss)
        self.addCleanup(lab.stop)
        lab.start()
        peers = Peers(lab)
        self.addCleanup(peers.close)
        return peers

    def refused(self, peers: Peers, place: str | Router, to: Address, **own: str | int) -> None:
        with self.assertRaises(ConnectionRefusedError):
            peers.dial(place, to, **own)  # type: ignore[arg-type]


def outcome(dialling: socket.socket, milliseconds: float = 0) -> bool:
    """
    Whether a dial has come to its end.

    @raise OSError: to a bad one.
    """
    watch = select.poll()
    watch.register(dialling, select.POLLOUT)
    if not watch.poll(milliseconds):
        return False
    problem = dialling.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if problem:
        raise OSError(problem, "refused")
    dialling.settimeout(PATIENCE)
    return True
