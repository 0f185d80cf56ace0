"""Two ends of a TLS session, between which a test carries the bytes as it likes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from routing_crust.crust.link.tls import LinkTls, _SessionCreator
from routing_crust.crust.tls.transport import TlsTransport
from routing_crust.identity import Identity

Protocols = Callable[[], Protocol]


@implementer(IHandshakeListener)
class Recorder(Protocol):
    """
    Remembers what comes.

    @ivar received: what came, by call.
    @ivar lost: why the connection was lost, each time that it was.
    @ivar shaken: how often the handshake was completed.
    """

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.lost: list[Failure] = []
        self.shaken = 0

    @property
    def data(self) -> bytes:
        """All that came."""
        return b"".join(self.received)

    def handshakeCompleted(self) -> None:
        """TLS is ready."""
        self.shaken += 1

    def dataReceived(self, data: bytes) -> None:
        """Some bytes."""
        self.received.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over."""
        self.lost.append(reason)


class End:
    """
    One end.

    @ivar sent: the calls of C{write} of the connection below, since the last time that they were taken.
    """

    def __init__(self, number: int, client: bool, protocol: Recorder | None = None) -> None:
        self.tls = LinkTls(Identity.from_seed(bytes([number]) * 32))
        self.protocol = protocol or Recorder()
        creator = _SessionCreator(self.tls, client, None)
        factory = TLSMemoryBIOFactory(creator, client, Factory.forProtocol(Protocol), Clock())
        self.transport: Any = TlsTransport(factory, self.protocol)  # type: ignore[no-untyped-call]
        self.below = Below()
        self.transport.makeConnection(self.below)

    def take(self) -> bytes:
        """What it has sent."""
        sent, self.below.sent = b"".join(self.below.sent), []
        return sent


class Below(StringTransport):
    """The connection below: counts the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.sent.append(data)


def carry(one: End, other: End) -> None:
    """Carry bytes in both directions until there are none."""
    while True:
        there, back = one.take(), other.take()
        if not there and not back:
            return
        if there:
            other.transport.dataReceived(there)
        if back:
            one.transport.dataReceived(back)


def pair(one: Recorder | None = None, other: Recorder | None = None) -> tuple[End, End]:
    """A client and a server after their handshake."""
    client, server = End(1, True, one), End(2, False, other)
    carry(client, server)
    return client, server
