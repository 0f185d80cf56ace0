"""Protocols that write down what happens to them, and what a test of streams needs beside."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer


class Noting(Protocol):
    """Writes everything down."""

    transport: Any

    def __init__(self) -> None:
        self.received = b""
        self.calls: list[str] = []
        self.reason: BaseException | None = None

    def connectionMade(self) -> None:
        self.calls.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.calls.append("lost")
        self.reason = reason.value


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Noting):
    """Hears of each direction."""

    def readConnectionLost(self) -> None:
        self.calls.append("read lost")

    def writeConnectionLost(self) -> None:
        self.calls.append("write lost")


class Echo(Noting):
    """Sends everything back."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.write(data)


class Keeping(Factory):
    """Makes protocols and keeps them; counts its starts and stops."""

    def __init__(self, protocol: type[Noting] = Noting) -> None:
        self.protocol: Any = protocol
        self.made: list[Any] = []
        self.addresses: list[Any] = []
        self.running = 0

    def buildProtocol(self, addr: Any) -> Any:
        self.addresses.append(addr)
        self.made.append(self.protocol())
        return self.made[-1]

    def startFactory(self) -> None:
        self.running += 1

    def stopFactory(self) -> None:
        self.running -= 1
