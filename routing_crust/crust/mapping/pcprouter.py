"""
The client of PCP (RFC 6887): it has ports mapped, and holes made in the firewall of IPv6.

One request does all: it makes a mapping, renews it, and so says whether it is still there; its answer has the
external address, too. The nonce that shows that a mapping is ours is the same after a restart, else the
router would refuse to touch what we had left there after a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final

from ...addresses import Kind, kind_of
from ...endpoints import Endpoint
from .lease import Gateway, Lease, RouterProblem, UselessMapping
from .pcp import NONCE_BYTES, PORT, MapReply, MapRequest, PcpRefusal, read_reply
from .question import ask

MAX_ATTEMPTS: Final = 3
"""How often a request is sent; a router that speaks NAT-PMP only has answered the first."""

_USELESS: Final = (Kind.NOBODY, Kind.LOOPBACK, Kind.METADATA)

Nonces = Callable[[bytes], bytes]
"""Derives from a text L{NONCE_BYTES} or more bytes that nobody else can guess; the same ones each time."""


class PcpRouter:
    """
    A gateway that speaks PCP, for one port of ours.
    """

    way = "PCP"
    check_every = 60.0

    def __init__(self, reactor: Any, nonces: Nonces, gateway: Gateway, port: int = PORT) -> None:
        """
        @param reactor: provides C{IReactorTime} and C{IReactorUDP}.
        @param port: where the gateway listens.
        """
        self._reactor = reactor
        self._nonces = nonces
        self._gateway = gateway
        self._port = port
        self._client = ip_address(gateway.local)
        self._asked_for: int | None = None
        self._lifetime = 0  # what was asked for last, in seconds

    async def map(self, local_port: int, external_port: int, lifetime: int) -> Lease:
        # noted before the request, which may take effect although it is cancelled
        self._asked_for, self._lifetime = local_port, lifetime
        reply = await self._ask(local_port, external_port, lifetime)
        if not reply.port or not reply.lifetime:
            raise RouterProblem("the router maps no port, and gives no reason")
        if reply.address.is_unspecified:
            raise UselessMapping("the router has no address itself")
        if reply.address.version != self._client.version or kind_of(reply.address) in _USELESS:
            raise UselessMapping(f"the router maps {reply.address}, at which nobody can dial us")
        external = Endpoint.of(str(reply.address), reply.port)
        return Lease(self.way, self._gateway.address, external, local_port, reply.lifetime)

    async def holds(self, lease: Lease) -> bool:
        reply = await self._ask(lease.local_port, lease.external.port, self._lifetime)
        is_same = (str(reply.address), reply.port) == (lease.external.host, lease.external.port)
        return is_same and bool(reply.lifetime)

    async def remove(self) -> None:
        if self._asked_for is not None:
            await self._ask(self._asked_for, 0, 0)
            self._asked_for = None

    async def _ask(self, local_port: int, external_port: int, lifetime: int) -> MapReply:
        """
        @raise RouterProblem: no answer, or a refusal.
        """
        # each address and port has its own: one that is seen tells nothing about the others
        nonce = self._nonces(f"{self._client} {local_port}".encode())[:NONCE_BYTES]
        request = MapRequest(self._client, nonce, local_port, external_port, lifetime)

        def read(datagram: bytes) -> MapReply | PcpRefusal | None:
            return read_reply(datagram, request)

        reply: MapReply | PcpRefusal = await ask(
            self._reactor, self._gateway, self._port, request.datagram, read, MAX_ATTEMPTS
        )
        if isinstance(reply, PcpRefusal):
            raise RouterProblem(reply.text)
        return reply
