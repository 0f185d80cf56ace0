"""
A daemon that is killed, as those see it who want something of it: commands and a program behind a forward.

That they hear of it within seconds is held by L{tests.routing.absence}, on a fake clock.
"""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from .processes import PATIENCE_SECONDS, Daemon, DaemonCase
from .programs import free_port
from .test_daemons import asynchronous, here


class Hearing(Protocol):
    """Hears of the end of its connection."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(None)


class KilledPeerTests(DaemonCase):
    async def network(self, count: int) -> list[Daemon]:
        """The last one is the peer; the first one forwards a port to it."""
        found: list[Daemon] = []
        peer = self.start("peer", "--first", f"--listen={here()}", "--expose=echo=tcp:127.0.0.1:9")
        await self.until(lambda: peer.contact)
        self.port = free_port()
        forward = f"--forward=tcp:{self.port}={peer.name}/echo"
        for number in range(count - 1):
            options = () if number else (forward,)
            found.append(
                self.start(f"n{number}", f"--contact={peer.contact}", f"--listen={here()}", *options)
            )
        found.append(peer)
        await self.until(lambda: all(len(each.table) == count - 1 for each in found))
        await self.until(lambda: found[0].said("forwarding"))
        return found

    async def fails(self, what: str, one: Daemon, peer: Daemon) -> str:
        """Have a command fail before its time is over; what it says."""
        words = (f"--state-dir={one.state_dir}", f"--timeout={PATIENCE_SECONDS:g}", peer.name, "hello")
        _, err, status = await self.run_command(what, *words)
        self.assertEqual(status, 1)
        return err

    async def connection_ends(self) -> None:
        """A program that connects to the forward is cut off."""
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)  # type: ignore[arg-type]
        protocol: Any = await endpoint.connect(Factory.forProtocol(Hearing))
        await protocol.ended

    @asynchronous
    async def test_killed_peer_is_reported_with_the_reason_before_the_time_is_over(self) -> None:
        one, _, peer = await self.network(3)
        peer.signal(signal.SIGKILL)
        for what in ("request", "send"):
            err = await self.fails(what, one, peer)
            self.assertIn("cannot be reached: is it running, and in the network", err)
            self.assertIn(f"{peer.endpoint}: connection refused", err)
        await self.connection_ends()
        self.assertTrue(one.said("does not seem to be there"))
        await self.until(lambda: one.said("was not carried to echo"))
        out, _, _ = await self.run_command("explain", f"--state-dir={one.state_dir}", peer.name)
        self.assertIn("connection refused", out)
        self.assertIn("the only other node does not know of it", out)

    @asynchronous
    async def test_killed_peer_that_was_the_only_other_node_is_reported_as_well(self) -> None:
        one, peer = await self.network(2)
        peer.signal(signal.SIGKILL)
        await self.until(lambda: one.state != "connected")
        refused = "connection refused; there is no other node to ask for it"
        self.assertIn(refused, await self.fails("request", one, peer))
        await self.connection_ends()
        await self.until(lambda: one.said("was not carried to echo"))
        self.assertTrue(one.said(refused))
