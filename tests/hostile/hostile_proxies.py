"""
A proxy on the way out that serves its own ends: what it does with a connection follows from the host that it
is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

reactor: Any = _reactor

HTTP_OK: Final = b"HTTP/1.1 200 OK\r\n\r\n"
SOCKS_OK: Final = b"\x05\x00\x00\x01" + bytes(6)
CHUNK: Final = bytes(64 * 1024)
MAX_SENT_BYTES: Final = 256 * 1024 * 1024
"""Of an endless answer, if nobody hangs up."""


class ProxySession(Protocol):
    """
    One connection to the proxy, by HTTP or SOCKS5.

    @ivar is_socks: which of them it speaks.
    """

    transport: Any
    factory: HostileProxy

    def __init__(self) -> None:
        self.is_socks = False
        self.other: Any = None
        self._came = b""
        self._host = ""

    @property
    def ok(self) -> bytes:
        """The answer that the connection is there."""
        return SOCKS_OK if self.is_socks else HTTP_OK

    def dataReceived(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)
        elif not self._host:
            self._came += data
            self._read()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        over = self.factory.over.get(self._host)
        if over is not None and not over.called:
            over.callback(None)
        if self.other is not None:
            self.other.transport.loseConnection()

    def _read(self) -> None:
        if self._came.startswith(b"\x05"):
            self.is_socks = True
            methods = 2 + self._came[1] if len(self._came) > 1 else 2
            if len(self._came) == methods:
                self.transport.write(b"\x05\x00")
            elif len(self._came) >= methods + 10:
                self._asked(".".join(map(str, self._came[methods + 4 : methods + 8])))
        elif found := re.match(rb"CONNECT ([0-9.]+):\d+ .*\r\n\r\n", self._came, re.DOTALL):
            self._asked(found[1].decode())

    def _asked(self, host: str) -> None:
        self._host = host
        self.factory.acts[host](self)

    def lead_to(self, port: int) -> None:
        """Connect it with a port of this machine, as an honest proxy does."""
        far = _Far(self)
        connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), far).addErrback(
            lambda _: self.transport.loseConnection()
        )


class _Far(Protocol):
    transport: Any

    def __init__(self, near: ProxySession) -> None:
        self._near = near

    def connectionMade(self) -> None:
        self._near.transport.write(self._near.ok)
        self._near.other = self

    def dataReceived(self, data: bytes) -> None:
        self._near.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._near.transport.loseConnection()


class HostileProxy(Factory):
    """
    The proxy.

    @ivar acts: what it does, by the host that it is asked for.
    @ivar over: by hosts, fires when a connection has ended.
    """

    noisy = False
    protocol = ProxySession

    def __init__(self, acts: Mapping[str, Callable[[ProxySession], object]]) -> None:
        self.acts = acts
        self.over: dict[str, Deferred[None]] = {each: Deferred() for each in acts}


class _Endless:
    """A producer without an end."""

    def __init__(self, session: ProxySession, first: bytes) -> None:
        self._session = session
        self._sent = 0
        session.transport.write(first)
        session.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        self._sent += len(CHUNK)
        if self._sent > MAX_SENT_BYTES:
            self._session.transport.abortConnection()
        else:
            self._session.transport.write(CHUNK)

    def stopProducing(self) -> None:
        """The other end has hung up."""


def says_nothing(session: ProxySession) -> None:
    """It takes the request, and that is all."""


def hangs_up(session: ProxySession) -> None:
    """It ends the connection."""
    session.transport.loseConnection()


def wants_a_login(session: ProxySession) -> None:
    """It asks for a login of a kind that is not spoken."""
    answer = b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Negotiate\r\n\r\n"
    session.transport.write(b"\x05\x02\x00\x01" + bytes(6) if session.is_socks else answer)


def sends_garbage(session: ProxySession) -> None:
    """Its answer is of no protocol."""
    session.transport.write(b"\x00\xff" * 500)


def answers_without_an_end(session: ProxySession) -> None:
    """The head of its answer goes on and on."""
    _Endless(session, b"\x05\x00\x00\x03\xff" if session.is_socks else b"HTTP/1.1 200 OK\r\nX: ")


def floods_the_connection(session: ProxySession) -> None:
    """It says that the connection is there, and sends zeros over it."""
    _Endless(session, session.ok)


def begins_a_record(session: ProxySession) -> None:
    """It says that the connection is there, and sends half a record of TLS over it."""
    session.transport.write(session.ok + b"\x16\x03\x03\x40\x00" + bytes(100))


class Echo:
    """As the other end: says back what it is told."""

    def __init__(self, session: ProxySession) -> None:
        self.transport = session.transport


def echoes(session: ProxySession) -> None:
    """It says that the connection is there, and sends back all that comes."""
    session.transport.write(session.ok)
    session.other = Echo(session)
