"""What a new connection waits for after something has happened to the network: real daemons behind NATs."""

from __future__ import annotations

import contextlib
import socket
import time
from threading import Thread
from typing import Any, Final

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from .lab import Lab
from .layout import RENDEZVOUS
from .namespaces import PATIENCE
from .node import PORT, LabNode, LabTestCase
from .router import Nat, Router

reactor: Any = _reactor
SERVED: Final = 8080
FORWARDED: Final = 8081
IDLE_SECONDS: Final = 14.0


def echo(listener: socket.socket) -> None:
    """Send back what each connection brings, until the listener is closed."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            Thread(target=_echo_one, args=(connection,), daemon=True).start()


def _echo_one(connection: socket.socket) -> None:
    with contextlib.suppress(OSError), connection:
        while text := connection.recv(99):
            connection.sendall(text)


def connection_that_works(lab: Lab, host: str) -> socket.socket:
    """Connect to the forwarded port, again after each failure, until what was sent comes back."""
    begun = time.monotonic()
    while time.monotonic() < begun + PATIENCE:
        own = lab.socket(host)
        own.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            own.connect(("127.0.0.1", FORWARDED))
            own.sendall(b"there?")
            if own.recv(99) == b"there?":
                return own
        own.close()
        time.sleep(0.1)
    raise AssertionError("no connection worked")


class RecoveryTestCase(LabTestCase):
    """Two nodes behind routers of their own, each of which forwards a port to the other."""

    home: Router
    alice: LabNode
    bob: LabNode

    async def two_homes(self) -> Lab:
        self.home = Router(Nat.PORT_RESTRICTED)
        lab = self.build({"alice": Router(Nat.PORT_RESTRICTED), "bob": self.home}, delay=0.010)
        first = await self.start_first(lab)
        options = [f"--contact={first.contact(lab.rendezvous[0])}"]
        second = await self.start_node(lab, RENDEZVOUS, *options, f"--listen={lab.rendezvous[1]}:{PORT}")
        options += [f"--contact={second.contact(lab.rendezvous[1])}", f"--listen=0.0.0.0:{PORT}"]
        expose = [f"--expose=echo=tcp:127.0.0.1:{SERVED}", "--allow-peer=echo=*"]
        for host in ("alice", "bob"):
            listener = lab.socket(host)
            self.addCleanup(listener.close)
            self.addCleanup(listener.shutdown, socket.SHUT_RDWR)
            listener.bind(("127.0.0.1", SERVED))
            listener.listen()
            Thread(target=echo, args=(listener,), daemon=True).start()
        bob = await self.start_node(lab, "bob", *options, *expose)
        forward = f"--forward=tcp:{FORWARDED}={bob.name}/echo"
        self.alice = await self.start_node(lab, "alice", *options, *expose, forward)
        await bob.stop()
        forward = f"--forward=tcp:{FORWARDED}={self.alice.name}/echo"
        self.bob = await self.start_node(lab, "bob", *options, *expose, forward, of=bob)
        return lab

    async def connects(self, lab: Lab, host: str) -> socket.socket:
        """A connection of a program there that works."""
        own = await deferToThread(connection_that_works, lab, host)
        self.addCleanup(own.close)
        return own


class NewAddressTests(RecoveryTestCase):
    async def test_new_connection_works_after_a_router_got_another_address(self) -> None:
        """At both ends, also where the links had long been idle."""
        lab = await self.two_homes()
        for host in ("alice", "bob"):
            await self.connects(lab, host)
        for host in ("alice", "bob"):
            await deferLater(reactor, IDLE_SECONDS)
            lab.change_address(self.home)
            await self.connects(lab, host)


class StallTests(RecoveryTestCase):
    async def test_stall_of_a_line_ends_no_session_when_another_is_opened(self) -> None:
        """Nothing passes for 11 s, while a program opens another connection."""
        lab = await self.two_homes()
        session = await self.connects(lab, "alice")
        lab.cut("bob")
        session.sendall(b"still there?")
        another = self.connects(lab, "alice")
        another_works = Deferred.fromCoroutine(another)
        await deferLater(reactor, 11)
        lab.mend("bob")
        await another_works
        self.assertEqual(await deferToThread(session.recv, 99), b"still there?")
