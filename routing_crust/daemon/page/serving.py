"""
The status page of the daemon: where it listens, and the token for those who look from other hosts.
"""

from __future__ import annotations

import secrets
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.server import Request as ServerRequest
from twisted.web.server import Site

from ...errors import CannotListen, ConfigurationError
from ...files import read_bounded, write_atomically
from ..forward.local_endpoints import listening_endpoint, listening_problem
from .feed import MAX_WATCHERS
from .resource import StatusPage

TOKEN_FILE: Final = "status-page.token"
TOKEN_BYTES: Final = 24
MAX_TOKEN_FILE_BYTES: Final = 1024
MAX_CONNECTIONS: Final = 2 * MAX_WATCHERS
"""Connections at once: for one more, the oldest makes room that waits for a request, whole or half."""


class PageRequest(ServerRequest):
    """A request without a body: a client that sends one is cut off before it is kept."""

    def process(self) -> None:
        """The request is whole: its connection is in use until it has been answered."""
        channel: Any = self.channel
        answering, connection = channel.site.answering, channel.transport
        answering.add(connection)
        self.notifyFinish().addBoth(lambda _: answering.discard(connection))
        super().process()  # type: ignore[no-untyped-call]

    def gotLength(self, length: int | None) -> None:
        """The headers have come; of a body whose length is not known it is C{None}."""
        super().gotLength(length)  # type: ignore[no-untyped-call]
        if length != 0:
            self.channel.forceAbortClient()


class PageSite(Site):
    """
    Keeps no log of requests.

    @ivar answering: the connections whose request is being answered.
    """

    noisy = False
    requestFactory = PageRequest
    displayTracebacks = False

    def __init__(self, page: StatusPage) -> None:
        super().__init__(page)  # type: ignore[no-untyped-call]
        self.answering: set[object] = set()

    def log(self, request: Request) -> None:
        """Leave it out: pages ask once a second, and metrics each quarter of a minute."""


class PageConnections(WrappingFactory):
    """
    Bounds the connections to a site: who can reach the port needs no token to open one and say nothing, and
    each takes a descriptor from links and from the control socket.
    """

    noisy = False

    def __init__(self, site: PageSite) -> None:
        super().__init__(site)  # type: ignore[no-untyped-call]
        self._site = site

    def registerProtocol(self, p: ProtocolWrapper) -> None:
        """A connection is made."""
        if len(self.protocols) >= MAX_CONNECTIONS:
            silent = next((each for each in self.protocols if each not in self._site.answering), None)
            if silent is not None:
                # now, and not when it is closed: the next one has to find another
                self.unregisterProtocol(silent)
                silent.abortConnection()
        super().registerProtocol(p)  # type: ignore[no-untyped-call]

    def unregisterProtocol(self, p: ProtocolWrapper) -> None:
        """A connection is gone, or has made room."""
        self.protocols.pop(p, None)


class PageServer:
    """Made by the daemon, discarded with L{stop}."""

    log = Logger()

    def __init__(self, page: StatusPage, endpoint: str, state_dir: Path, reactor: Any) -> None:
        """
        @param endpoint: what Twisted's C{serverFromString} reads; a TCP port is on loopback unless it has an
            interface.
        @raise ConfigurationError: the endpoint cannot be used.
        """
        self.page = page
        self._text = endpoint
        self._endpoint = listening_endpoint(reactor, "status_page", endpoint)
        self._state_dir = state_dir
        self._port: IListeningPort | None = None

    def start(self) -> None:
        """
        Listen.

        @raise CannotListen: the port cannot be opened.
        @raise ConfigurationError: the token for other hosts can neither be read nor made.
        """
        failures: list[Failure] = []
        listening = self._endpoint.listen(PageConnections(PageSite(self.page)))
        listening.addCallback(self._listening).addErrback(failures.append)
        if failures:
            # the port may be open: the token comes after it
            self.stop()
            # that of the token says already what to do
            if failures[0].check(ConfigurationError):
                failures[0].raiseException()
            problem = listening_problem(self._text, failures[0].value)
            raise CannotListen(f"the status page cannot be at {self._text}: {problem}")

    def stop(self) -> Deferred[None]:
        """
        Close the port, and the connections of those who look.

        @return: fires with C{None} when the port is closed.
        """
        self.page.close()
        port, self._port = self._port, None
        if port is None:
            return succeed(None)
        return maybeDeferred(port.stopListening).addCallback(lambda _: None)

    def _listening(self, port: IListeningPort) -> None:
        self._port = port
        where: Any = port.getHost()
        host = getattr(where, "host", None)
        if host is None:  # a UNIX socket, which has a mode
            self.log.info("status page: at {where}", where=self._text, event="status page")
            return
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if self._text.lower().startswith("ssl") else "http"
        url = f"{scheme}://{shown}:{where.port}/"
        if ip_address(host.partition("%")[0]).is_loopback:
            self.log.info("status page: {url}", url=url, event="status page")
            return
        path = self._state_dir / TOKEN_FILE
        self.page.token = token_in(path)
        self.log.info(
            "status page: {url}, for other hosts, with any user name and the password in {path}{clear}",
            url=url,
            path=path,
            clear="" if scheme == "https" else "; it goes over the network in clear",
            event="status page",
        )


def token_in(path: Path) -> str:
    """
    The token in this file, which is made when it is not there.

    @raise ConfigurationError: it cannot be read or made, others may read it, or it holds too little.
    """
    try:
        if not path.exists():
            write_atomically(path, secrets.token_urlsafe(TOKEN_BYTES).encode() + b"\n")
        if path.stat().st_mode & 0o077:
            raise ConfigurationError("status_page", f"others may read {path}: run 'chmod 600 {path}'")
        token = read_bounded(path, MAX_TOKEN_FILE_BYTES).decode("utf-8", "replace").strip()
    except OSError as error:
        raise ConfigurationError("status_page", f"{path}: {error.strerror}") from None
    if len(token) < TOKEN_BYTES:
        raise ConfigurationError(
            "status_page",
            f"{path} holds no token of {TOKEN_BYTES} characters or more: delete it, and one is made",
        )
    return token
