"""This library's messages by name: C{RoutingService.send}, each one acknowledged by its destination."""

from __future__ import annotations

from random import SystemRandom
from typing import Any

from routing_crust.config import Role, Settings
from routing_crust.crust.platform import SystemPlatform
from routing_crust.crust.service import CrustService
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.limits import MIB
from routing_crust.routing.service import RoutingService

from .credentials import CLIENT, SERVER, identity
from .tools import ask_all


def client_settings(port: int) -> Settings:
    """Of a client of the network that was started with this port."""
    return _settings(Role.CLIENT, port)


def _settings(role: Role, port: int | None) -> Settings:
    return Settings(
        role=role,
        listen=() if role is Role.CLIENT else (Endpoint("127.0.0.1", 0),),
        contacts=() if port is None else (Contact(Endpoint("127.0.0.1", port), identity(SERVER).name),),
        lan_discovery=False,
        relay_rate=1024 * MIB,
    )


class ServiceActor:
    """A node of a network, or a client."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def do_listen(self, mode: str) -> int:
        """Start a network. Returns the port."""
        return self._start(SERVER, Role.FIRST, None).endpoints[0].port

    async def do_connect(self, port: int, mode: str, number: int = CLIENT, client: bool = False) -> None:
        """
        Join the network.

        @param client: whether as a client, which has one link only, to its proxy.
        """
        self._start(number, Role.CLIENT if client else Role.NODE, port)
        await self._service.when_connected()
        if not client:
            await self._service.when_group_connected()

    async def do_ask(self, size: int, count: int, window: int, number: int = SERVER) -> float:
        """Send messages to the node with this number. Returns how many were acknowledged in a second."""
        service, name, body = self._service, identity(number).name, bytes(size)
        return await ask_all(lambda: service.send(name, body), count, window)

    def _start(self, number: int, role: Role, port: int | None) -> CrustService:
        own = identity(number)
        settings = _settings(role, port)
        crust = CrustService(settings, own, SystemPlatform(self._reactor), SystemRandom())
        self._service = RoutingService(settings, reactor=self._reactor, identity=own, crust=crust)
        self._service.set_message_handler(lambda message: None)
        self._service.startService()
        return crust
