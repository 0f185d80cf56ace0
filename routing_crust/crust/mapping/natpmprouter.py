"""
The client of NAT-PMP (RFC 6886).
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

from ...endpoints import Endpoint
from .lease import Gateway, Lease, RouterProblem
from .natpmp import (
    PORT,
    AddressReply,
    MappingRefusal,
    MappingReply,
    Reply,
    address_request,
    answers,
    has_forgotten,
    mapping_request,
    read_reply,
)
from .question import ask

MAX_ATTEMPTS: Final = 5
"""How often a request is sent. The RFC has nine, which take two minutes; here UPnP waits for its turn."""


class NatPmpRouter:
    """
    A gateway that speaks NAT-PMP, for one port of ours.
    """

    way = "NAT-PMP"
    check_every = 60.0

    def __init__(self, reactor: Any, gateway: Gateway, port: int = PORT) -> None:
        """
        @param reactor: provides C{IReactorTime} and C{IReactorUDP}.
        @param port: where the gateway listens.
        """
        self._reactor = reactor
        self._clock: IReactorTime = reactor
        self._gateway = gateway
        self._port = port
        self._epoch: tuple[int, float] | None = None  # what the router told last, and when
        self._forgotten = False
        self._asked_for: int | None = None
        self._lifetime = 0  # what was asked for last, in seconds

    async def map(self, local_port: int, external_port: int, lifetime: int) -> Lease:
        # asked first: a router without a public address would map a port of no use
        address = await self._external_address()
        # noted before the request, which may take effect although it is cancelled
        self._asked_for, self._lifetime = local_port, lifetime
        reply = await self._ask(mapping_request(local_port, external_port, lifetime))
        assert isinstance(reply, MappingReply)
        if not reply.external_port or not reply.lifetime:
            raise RouterProblem("the router maps no port, and gives no reason")
        self._forgotten = False
        external = Endpoint(address, reply.external_port)
        return Lease(self.way, self._gateway.address, external, local_port, reply.lifetime)

    async def holds(self, lease: Lease) -> bool:
        address = await self._external_address()
        if address != lease.external.host or self._forgotten:
            return False
        # The protocol has no question for this. A renewal is answered with another port if ours has gone to
        # another host, and brings back a mapping that the router has lost although its epoch went on.
        reply = await self._ask(mapping_request(lease.local_port, lease.external.port, self._lifetime))
        assert isinstance(reply, MappingReply)
        return bool(reply.lifetime) and reply.external_port == lease.external.port

    async def remove(self) -> None:
        if self._asked_for is not None:
            # to end a mapping both the external port and the lifetime must be 0 (RFC 6886, 3.4)
            await self._ask(mapping_request(self._asked_for, 0, 0))
            self._asked_for = None

    async def _external_address(self) -> str:
        reply = await self._ask(address_request())
        assert isinstance(reply, AddressReply)
        if reply.address.is_unspecified:
            raise RouterProblem("the router has no address itself")
        return str(reply.address)

    async def _ask(self, request: bytes) -> AddressReply | MappingReply:
        """
        @raise RouterProblem: no answer, or a refusal.
        """

        def read(datagram: bytes) -> Reply | None:
            reply = read_reply(datagram)
            return reply if reply is not None and answers(reply, request) else None

        reply: Reply = await ask(self._reactor, self._gateway, self._port, request, read, MAX_ATTEMPTS)
        if isinstance(reply, MappingRefusal):
            raise RouterProblem(reply.text)
        self._look_at_the_epoch(reply.epoch)
        return reply

    def _look_at_the_epoch(self, epoch: int) -> None:
        now = self._clock.seconds()
        if self._epoch is not None:
            before, when = self._epoch
            self._forgotten = self._forgotten or has_forgotten(before, now - when, epoch)
        self._epoch = (epoch, now)
