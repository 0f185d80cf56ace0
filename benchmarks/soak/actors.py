"""The two parts of a soak, each in a process of its own: the node, and a crowd of its peers."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any, Final

from routing_crust import Contact, Endpoint, Identity, Role, RoutingService, Settings
from routing_crust.routing.membership.proxied import PLACES_PER_JOINING_PLACE

from .crowd import Crowd

LOOPBACK: Final = Endpoint("127.0.0.1", 0)
SPARE_LINKS: Final = 64
HANDSHAKES_PER_SECOND: Final = 1000.0
"""More than a crowd on this machine makes: the limit of a /24 would put off those that are replaced."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def places_for(clients: int) -> int:
    """The least C{max_clients} with room for this number: a part is kept for those that join as nodes."""
    return clients + clients // (PLACES_PER_JOINING_PLACE - 1)


class SoakNode:
    """The node under load."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._received = 0

    async def do_listen(self, links: int) -> str:
        """Start it, with room for C{links} links. Returns its contact."""
        # the first port makes Twisted hold one descriptor in reserve, for as long as the process lives
        first = RoutingService(
            Settings(role=Role.FIRST, listen=(LOOPBACK,), lan_discovery=False), reactor=self._reactor
        )
        first.startService()
        await first.stopService()
        gc.collect()
        self._before = self._open_files()
        settings = Settings(
            role=Role.FIRST,
            listen=(LOOPBACK,),
            lan_discovery=False,
            max_links=links + SPARE_LINKS,
            max_clients=places_for(links) + SPARE_LINKS,
            max_unverified_links=links + SPARE_LINKS,
            max_handshakes_per_prefix=HANDSHAKES_PER_SECOND,
        )
        self._service = RoutingService(settings, reactor=self._reactor)
        self._service.set_message_handler(self._heard)
        self._service.startService()
        return str(self._service.contact)

    def _heard(self, message: object) -> None:
        self._received += 1

    def do_sample(self) -> dict[str, Any]:
        """How it is."""
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        return {
            "memory": int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE,
            "processor": (int(fields[11]) + int(fields[12])) / _TICKS,
            "descriptors": self._open_files() - self._before,
            "timers": len(self._reactor.getDelayedCalls()),
            "received": self._received,
        }

    async def do_stop(self) -> dict[str, int]:
        """Stop it. Returns what is left of it."""
        await self._service.stopService()
        return {
            "descriptors": self._open_files() - self._before,
            "timers": len(self._reactor.getDelayedCalls()),
        }

    def _open_files(self) -> int:
        return len(os.listdir("/proc/self/fd"))


class SoakCrowd:
    """Some of its peers."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    async def do_gather(self, contact: str, peers: int, names: int = 0) -> None:
        """Link this number of clients with the node, after others: as many names in all."""
        node = Contact.from_text(contact)
        assert node.name is not None
        settings = Settings(role=Role.CLIENT, listen=(), contacts=(node,), lan_discovery=False)

        def make() -> RoutingService:
            return RoutingService(settings, reactor=self._reactor, identity=Identity.generate())

        self._crowd = Crowd(self._reactor, make, node.name, peers)
        await self._crowd.gather(names)

    def do_begin(self, rate: float, churn: float) -> None:
        """Send and replace from now on."""
        self._crowd.begin(rate, churn)

    def do_sample(self) -> dict[str, Any]:
        """What has happened since the last sample."""
        return self._crowd.sample()

    async def do_stop(self) -> None:
        """Stop all."""
        await self._crowd.stop()
