"""
First messages: what it costs in processor time to send to nodes that one has never sent to.

A message to a name without a link makes a session first: a TLS handshake of the two ends, whose flights the
relay carries. The reference is that handshake alone, in memory, with certificates that neither end has seen.
"""

from __future__ import annotations

from itertools import cycle
from time import process_time
from typing import Any, Final

from twisted.internet.defer import gatherResults

from routing_crust.crust.session_tls import SessionTls
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.service import RoutingService

from .by_name import ServiceActor, client_settings
from .credentials import CLIENT, identity
from .subjects import SENDER, Spawn, Subject

NEWCOMERS: Final = 32
"""Fewer than a relay has clients at once, by the default of C{max_clients}."""
MICROSECONDS: Final = 1e6
LABEL: Final = b"EXPERIMENTAL benchmark"
KEY_BYTES: Final = 32


class FirstSender(ServiceActor):
    """A client that sends one message after another."""

    async def do_first(self, names: list[str], size: int) -> float:
        """Send each of these nodes a message. Returns the processor time of this end, in seconds."""
        body, wanted = bytes(size), [Name.from_text(each) for each in names]
        began = process_time()
        for each in wanted:
            await self._service.send(each, body)
        return process_time() - began


class Newcomers:
    """Clients that nobody has sent anything to yet."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._services: list[RoutingService] = []

    async def do_come(self, port: int, count: int) -> list[str]:
        """Replace those of before by this number of clients with new keys. Returns their names."""
        await gatherResults([each.stopService() for each in self._services], consumeErrors=True)
        settings = client_settings(port)
        self._services = [RoutingService(settings, reactor=self._reactor) for _ in range(count)]
        for each in self._services:
            each.set_message_handler(lambda message: None)
            each.startService()
            await each.when_connected()
        return [str(each.node_name) for each in self._services]

    def do_cpu(self) -> float:
        """The processor time of this process so far, in seconds."""
        return process_time()


class Handshakes:
    """The handshakes of sessions, without anything around them."""

    def __init__(self, reactor: Any) -> None:
        """
        @param reactor: not used: all of it happens in memory.
        """

    def do_ask(self, count: int) -> float:
        """Make them, with keys that were never seen. Returns the processor time of each, in seconds."""
        own, one = identity(CLIENT), SessionTls(identity(CLIENT))
        others = [Identity.generate() for _ in range(count)]
        # as a node has made its own before it is sent anything
        ends = [SessionTls(each) for each in others]
        began = process_time()
        for each, end in zip(others, ends, strict=True):
            here, there = one.agree(each.name, True), end.agree(own.name, False)
            flight = here.advance(b"")
            turns = cycle((there, here))
            # the end that has the last word gets nothing back
            while flight:
                flight = next(turns).advance(flight)
            here.export(LABEL, b"", KEY_BYTES)
            there.export(LABEL, b"", KEY_BYTES)
        return (process_time() - began) / count


class FirstMessages(Subject):
    """The processor time of both ends for a first message through a relay, in microseconds."""

    def __init__(self, spawn: Spawn, size: int) -> None:
        super().__init__(spawn, "first-sender")
        self._size = size
        self.count = NEWCOMERS

    def start(self) -> None:
        self._port: int = self._worker("service", "relay", 2).call("listen", mode="relay")
        self._newcomers = self._worker("newcomers", "receivers", 1)
        self._sender = self._worker(self._actor, "sender", 0)
        self._sender.call("connect", port=self._port, mode="relay", number=SENDER, client=True)

    def calibrate(self, seconds: float) -> None:
        """The count is fixed: each message needs a client of its own."""
        self.sample()

    def sample(self) -> float:
        names = self._newcomers.call("come", port=self._port, count=self.count)
        before = self._newcomers.call("cpu")
        spent = self._sender.call("first", names=names, size=self._size)
        spent += self._newcomers.call("cpu") - before
        return float(spent) / self.count * MICROSECONDS


class SessionHandshakes(Subject):
    """The processor time of both ends for the handshake of a session alone, in microseconds."""

    def __init__(self, spawn: Spawn) -> None:
        super().__init__(spawn, "session-handshakes")
        self.count = NEWCOMERS

    def start(self) -> None:
        self._both = self._worker(self._actor, "both ends", 0)

    def calibrate(self, seconds: float) -> None:
        """The count is that of the messages."""
        self.sample()

    def sample(self) -> float:
        return float(self._both.call("ask", count=self.count)) * MICROSECONDS
