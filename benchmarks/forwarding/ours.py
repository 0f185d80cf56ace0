"""Nodes that expose and forward as the daemon does."""

from __future__ import annotations

from typing import Any

from routing_crust.config import Role, Settings, TwoWay
from routing_crust.daemon.forward.registry import ForwardRegistry
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.forwarding_rules import Exposure, Forward, Permission
from routing_crust.routing.service import RoutingService

from ..credentials import identity
from .cpu import cpu_seconds

RELAY_RATE = 1 << 30
PROTOCOL = "bench"


class ForwardingNode:
    """One node: of either end, or the relay between them."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def do_relay(self, number: int) -> dict[str, Any]:
        """Be the first node, which carries tunnels. Returns where it is."""
        listen = (Endpoint("127.0.0.1", 0),)
        service = self._start(Settings(role=Role.FIRST, listen=listen, **_COMMON), number)
        return {"contact": service.endpoints[0].port, "number": number}

    async def do_serve(self, number: int, target: int, at: dict[str, Any] | None) -> dict[str, Any]:
        """
        Expose a program.

        @param target: the port of the program.
        @param at: the relay that both ends are clients of; C{None} for a direct link.
        @return: what L{do_forward} needs.
        """
        exposed: dict[str, Any] = {
            "expose": (Exposure(PROTOCOL, f"tcp:127.0.0.1:{target}"),),
            "allow_peer": (Permission(PROTOCOL, None),),
        }
        if at is None:
            listen = (Endpoint("127.0.0.1", 0),)
            service = self._start(Settings(role=Role.FIRST, listen=listen, **exposed, **_COMMON), number)
            return {"contact": service.endpoints[0].port, "number": number, "at": number}
        await self._client(at, number, exposed).when_connected()
        return {"contact": at["contact"], "number": number, "at": at["number"]}

    async def do_forward(self, number: int, to: dict[str, Any], port: int) -> int:
        """Forward a port to it. Returns the port."""
        forward = Forward(f"tcp:{port}", identity(to["number"]).name, PROTOCOL)
        at = {"contact": to["contact"], "number": to["at"]}
        await self._client(at, number, {"forward": (forward,)}).when_connected()
        return port

    def do_cpu(self) -> float:
        """The processor time of this node."""
        return cpu_seconds()

    def _client(self, at: dict[str, Any], number: int, also: dict[str, Any]) -> RoutingService:
        contact = Contact(Endpoint("127.0.0.1", at["contact"]), identity(at["number"]).name)
        return self._start(
            Settings(role=Role.CLIENT, listen=(), contacts=(contact,), **also, **_COMMON), number
        )

    def _start(self, settings: Settings, number: int) -> RoutingService:
        service = RoutingService(settings, reactor=self._reactor, identity=identity(number))
        service.startService()
        ForwardRegistry(service, self._reactor).start(settings)
        return service


_COMMON: dict[str, Any] = {"lan_discovery": False, "two_way": TwoWay.OFF, "relay_rate": RELAY_RATE}
