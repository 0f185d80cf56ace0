"""
Network interfaces as places to listen: all the addresses that one has, whichever these are at the time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ..endpoints import Endpoint
from ..plain_errors import InvalidEndpoint

# Linux allows 15 characters, and other systems about as many
_INTERFACE: Final = re.compile(r"[A-Za-z0-9_.@-]{1,15}")


@dataclass(frozen=True, slots=True)
class InterfacePort:
    """
    A port at each address of an interface, IPv4 and IPv6.

    @ivar interface: its name, as C{eth0}. There need not be such an interface yet.
    @ivar port: 1 to 65535.
    """

    interface: str
    port: int

    @classmethod
    def of(cls, interface: str, port: int) -> InterfacePort:
        """
        A port at an interface.

        @raise InvalidEndpoint: it cannot be the name of one, or the port is none to listen on.
        """
        text = f"{interface}:{port}"
        label = interface.rpartition(".")[2]
        # a network interface in a VLAN is called eth0.100, and no host has a number there
        if interface.lower() == "localhost" or ("." in interface and not label.isdigit()):
            raise InvalidEndpoint(
                f"{text!r} cannot be listened on: write an address of this machine or the name of an "
                f"interface, not a host name, as in 0.0.0.0:{port} or eth0:{port}"
            )
        if not _INTERFACE.fullmatch(interface):
            raise InvalidEndpoint(
                f"{text!r} cannot be listened on: {interface!r} is neither an address nor the name of an "
                "interface"
            )
        if not 1 <= port <= 65535:
            raise InvalidEndpoint(
                f"{text!r} cannot be listened on: an interface takes a port from 1 to 65535, the same at "
                "all its addresses"
            )
        return cls(interface, port)

    def __str__(self) -> str:
        return f"{self.interface}:{self.port}"


Place = Endpoint | InterfacePort
"""What the setting C{listen} holds."""
