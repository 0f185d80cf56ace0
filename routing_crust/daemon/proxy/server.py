"""The port of the proxy: on loopback unless its text names an interface, as that of the status page is."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_address
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...errors import CannotListen
from ...quietlog import QuietLog
from ..forward.connections import CarriedConnections
from ..forward.local_endpoints import listening_endpoint, listening_problem
from ..forward.registry import ForwardRegistry
from .connection import ProxyConnection

MAX_CONNECTIONS: Final = 512
"""
Connections of programs at once. Beyond that one that has not said what it wants makes room, if there is any.
"""
REFUSALS_AT_ONCE: Final = 8
"""Lines of the log about hosts that one program asks for in vain: who looks for a mistake tries some."""
KIND: Final = "proxied"
"""The word for such connections in the status and the metrics."""


class ProxyServer(Factory):
    """
    Made by the daemon, discarded with L{stop}.

    @ivar where: the address that it listens on, in words; empty while it does not.
    """

    log = Logger()
    noisy = False

    def __init__(self, registry: ForwardRegistry, endpoint: str, reactor: Any) -> None:
        """
        @param endpoint: what Twisted's C{serverFromString} reads.
        @raise ConfigurationError: it cannot be used.
        """
        self.where = ""
        self.connections = CarriedConnections(KIND, registry.service.clock)
        registry.others.append(self.connections)
        self._service = registry.service
        self._text = endpoint
        self._endpoint = listening_endpoint(reactor, "local_proxy", endpoint)
        self._asking: dict[ProxyConnection, None] = {}  # the oldest first
        self._port: IListeningPort | None = None
        seconds = registry.service.clock.seconds
        self._quiet = QuietLog(self.log, seconds)
        self._quiet_refusals = QuietLog(self.log, seconds, REFUSALS_AT_ONCE)

    def start(self) -> None:
        """
        Listen.

        @raise CannotListen: the port cannot be opened.
        """
        failures: list[Failure] = []
        self._endpoint.listen(self).addCallback(self._listening).addErrback(failures.append)
        if failures:
            problem = listening_problem(self._text, failures[0].value)
            raise CannotListen(f"the proxy cannot be at {self._text}: {problem}")

    def stop(self) -> Deferred[None]:
        """
        Close the port, and abort the connections.

        @return: fires with C{None} when none is left.
        """
        return Deferred.fromCoroutine(self._stop())

    def drain(self) -> None:
        """Close the port; connections that are open stay."""
        port, self._port = self._port, None
        if port is not None:
            maybeDeferred(port.stopListening)

    async def _stop(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        # these have no stream yet, so the registry does not know them
        for each in list(self._asking):
            each.abort()
        await self.connections.abort_all()

    def buildProtocol(self, addr: IAddress | None) -> ProxyConnection | None:
        """Take a connection of a program."""
        if self._count >= MAX_CONNECTIONS and not self._make_room():
            self._quiet.info(
                "too many connections",
                "a connection to the proxy was closed: there are {most}, and no more are taken",
                most=MAX_CONNECTIONS,
            )
            return None
        # where the program is, not where it wants to go: a page of a browser can name any number of hosts
        tell = partial(self._not_carried, getattr(addr, "host", ""))
        connection = ProxyConnection(self._service, self.connections, self._gone, tell)
        self._asking[connection] = None
        return connection

    @property
    def _count(self) -> int:
        # one that is being opened is among those that are carried
        return len(self.connections) + len([each for each in self._asking if not each.is_opening])

    def _make_room(self) -> bool:
        """Whether there was a connection of which nobody has use yet, and which is closed now."""
        silent = next((each for each in self._asking if not each.is_opening), None)
        if silent is None:
            return False
        # a page of a browser can hold hundreds with half a request each
        self._gone(silent)
        silent.abort()
        self._quiet.info(
            "made room",
            "a connection to the proxy that had not said where to was closed: there are {most}, and a new "
            "one came",
            most=MAX_CONNECTIONS,
        )
        return True

    def _gone(self, connection: ProxyConnection) -> None:
        self._asking.pop(connection, None)

    def _not_carried(self, by: str, where: str, problem: str) -> None:
        if not where:
            self._quiet.info("refused", "proxy: refused a program: {problem}", by=by, problem=problem)
            return
        self._quiet_refusals.info(
            "not carried",
            "proxy: not connected to {where}: {problem}",
            by=by,
            where=where,
            problem=problem,
            event="not carried",
        )

    def _listening(self, port: IListeningPort) -> None:
        self._port = port
        where: Any = port.getHost()
        host = getattr(where, "host", None)
        if host is None:  # a UNIX socket, which has a mode
            self.where = self._text
        else:
            self.where = f"[{host}]:{where.port}" if ":" in host else f"{host}:{where.port}"
        self.log.info("proxy: SOCKS5 and HTTP at {where}, for *.crust", where=self.where, event="proxy")
        if host is not None and not ip_address(host.partition("%")[0]).is_loopback:
            self.log.warn(
                "the proxy at {where} is open to every host that reaches this machine, and each connection "
                "acts under this node's name",
                where=self.where,
            )
