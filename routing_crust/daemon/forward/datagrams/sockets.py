"""
UDP sockets for programs: one that listens on a local port, and one that is connected to an exposed program.

An endpoint is written as those of Twisted are: C{udp:PORT} and C{udp6:PORT} with C{interface=ADDRESS} for a
port, C{udp:HOST:PORT} for a program.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IHostResolution, IListeningPort, IResolutionReceiver
from twisted.internet.protocol import DatagramProtocol
from zope.interface import implementer

from ....errors import ConfigurationError
from ..local_endpoints import on_loopback

READ_BYTES: Final = 65_535
"""The longest datagram that is read; Twisted would cut longer ones than 8,192 bytes off."""
_COLON: Final = re.compile(r"(?<!\\):")
_PORT_FORM: Final = "udp:PORT, such as udp:5353, with :interface=0.0.0.0 after it for other hosts"
_TARGET_FORM: Final = "udp:HOST:PORT, such as udp:127.0.0.1:53"


class UdpPort:
    """A local UDP port, on loopback unless its text names an interface."""

    def __init__(self, reactor: Any, setting: str, text: str) -> None:
        """
        @param setting: the setting that an error names.
        @raise ConfigurationError: the text is no such port.
        """
        _, port, *rest = (*_COLON.split(on_loopback(text)), "")
        option = rest[0].removeprefix("interface=") if rest else ""
        self._interface = option.replace("\\:", ":").strip("[]")
        # on_loopback() has added an interface where there was none
        if len(rest) != 2 or not _is_port(port, 0) or not _is_address(self._interface):
            raise ConfigurationError(setting, f"{text!r} is no UDP port to listen on: write {_PORT_FORM}")
        self._port = int(port)
        self._reactor = reactor

    def listen(self, protocol: DatagramProtocol) -> IListeningPort:
        """
        Open the port.

        @raise CannotListenError: it cannot be opened.
        """
        opened: IListeningPort = self._reactor.listenUDP(
            self._port, protocol, interface=self._interface, maxPacketSize=READ_BYTES
        )
        return opened


class UdpTarget:
    """Where an exposed program takes datagrams."""

    def __init__(self, reactor: Any, setting: str, text: str) -> None:
        """
        @param setting: the setting that an error names.
        @raise ConfigurationError: the text is no such place.
        """
        _, _, place = text.partition(":")
        host, _, port = place.replace("\\:", ":").rpartition(":")
        self._host = host.strip().strip("[]")
        # with an equals sign it is a port to listen on, given in the wrong place
        if not self._host or not _is_port(port, 1) or "=" in place:
            raise ConfigurationError(setting, f"{text!r} is no UDP program: write {_TARGET_FORM}")
        self._port = int(port)
        self._reactor = reactor

    async def connect(self, protocol: DatagramProtocol) -> None:
        """
        Open a socket that takes datagrams from the program alone.

        @raise DNSLookupError: its host has no address.
        @raise OSError: it cannot be opened.
        """
        address = self._host if _is_address(self._host) else await self._resolved()
        # a socket of one family cannot be connected to an address of the other
        interface = "::" if ":" in address else ""
        self._reactor.listenUDP(0, protocol, interface=interface, maxPacketSize=READ_BYTES)
        transport: Any = protocol.transport
        try:
            transport.connect(address, self._port)
        except BaseException:
            transport.stopListening()
            raise

    async def _resolved(self) -> str:
        first = _FirstAddress()
        self._reactor.nameResolver.resolveHostName(first, self._host, self._port, transportSemantics="UDP")
        address = await first.found
        if address is None:
            raise DNSLookupError(f"the host {self._host} has no address")
        return address


@implementer(IResolutionReceiver)
class _FirstAddress:
    """
    Waits for the first address of a host.

    @ivar found: fires with it; with C{None} if there is none.
    """

    def __init__(self) -> None:
        # a caller that gives up waits for nothing more; the answer is then of no use
        self.found: Deferred[str | None] = Deferred(lambda _: None)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """It has begun."""

    def addressResolved(self, address: Any) -> None:
        """An address was found."""
        if not self.found.called:
            self.found.callback(address.host)

    def resolutionComplete(self) -> None:
        """There are no more."""
        if not self.found.called:
            self.found.callback(None)


def _is_port(text: str, least: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and least <= int(text) <= 65535


def _is_address(text: str) -> bool:
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
