"""UDP sockets in memory: those of a daemon, and the programs at their other ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock


class Socket:
    """
    A UDP socket of a daemon.

    @ivar written: the datagrams that it has sent, each with its address, which is C{None} where it is
        connected.
    @ivar to: what it is connected to.
    @ivar problem: raised by the next write.
    """

    def __init__(self, port: int, interface: str, protocol: Any) -> None:
        self.port = port
        self.interface = interface
        self.protocol = protocol
        self.written: list[tuple[bytes, Any]] = []
        self.to: tuple[str, int] | None = None
        self.problem: Exception | None = None
        self.is_open = True
        protocol.makeConnection(self)

    def write(self, datagram: bytes, address: Any = None) -> None:
        if self.problem is not None:
            raise self.problem
        self.written.append((datagram, address))

    def connect(self, host: str, port: int) -> None:
        if self.problem is not None:
            raise self.problem
        self.to = (host, port)

    def getHost(self) -> IPv4Address:
        return IPv4Address("UDP", self.interface, self.port)

    def stopListening(self) -> None:
        assert self.is_open
        self.is_open = False
        self.protocol.doStop()

    # What a program does.

    def sends(self, datagram: bytes, address: Any = None) -> None:
        assert self.is_open
        self.protocol.datagramReceived(datagram, address)

    @property
    def datagrams(self) -> list[bytes]:
        return [datagram for datagram, _ in self.written]


class Hosts:
    """Stands for the reactor's resolver."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {"localhost": "127.0.0.1", "six": "::1"}
        self.later: list[Callable[[], None]] | None = None

    def resolveHostName(self, receiver: Any, host: str, port: int, transportSemantics: str) -> None:
        assert transportSemantics == "UDP"

        def answer() -> None:
            receiver.resolutionBegan(None)
            if host in self.known:
                receiver.addressResolved(IPv4Address("UDP", self.known[host], port))
                receiver.addressResolved(IPv4Address("UDP", "192.0.2.9", port))
            receiver.resolutionComplete()

        if self.later is None:
            answer()
        else:
            self.later.append(answer)


class UdpReactor(MemoryReactorClock):
    """
    Opens such sockets.

    @ivar sockets: all that were opened.
    @ivar taken: ports that cannot be opened.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sockets: list[Socket] = []
        self.taken: list[int] = []
        self.nameResolver: Any = Hosts()

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> Socket:
        assert maxPacketSize > 65_507
        if port in self.taken:
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))
        socket = Socket(port, interface, protocol)
        self.sockets.append(socket)
        return socket

    @property
    def open(self) -> list[Socket]:
        return [each for each in self.sockets if each.is_open]
