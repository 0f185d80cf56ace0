"""
The messages of PCP, the Port Control Protocol (RFC 6887): the request MAP and its answer, no I/O.

Every request has a head of 24 bytes, every answer too; what MAP says follows, and is the same in both::

    request head: version 2, opcode 1, reserved, lifetime, our address
    answer head:  version 2, opcode 129, reserved, result, lifetime, epoch, reserved
    MAP:          nonce, protocol, reserved, our port, external port, external address

Addresses have 16 bytes; one of IPv4 is written as C{::ffff:192.0.2.1}. We ask for ourselves only (no
C{THIRD_PARTY}), and send no options at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import Final

PORT: Final = 5351
"""Where routers listen, over UDP: the same as for NAT-PMP."""
VERSION: Final = 2
NONCE_BYTES: Final = 12
MAX_MESSAGE_BYTES: Final = 1100
MAX_LIFETIME_SECONDS: Final = 86400
"""What a router grants beyond is not relied on (RFC 6887, section 15)."""

_MAP: Final = 1
_TCP: Final = 6
_IS_REPLY: Final = 0x80
_REQUEST_HEAD: Final = Struct("!BBxxI16s")
_REPLY_HEAD: Final = Struct("!BBxBII12x")
_BODY: Final = Struct("!12sB3xHH16s")
_VERSION_REPLY_BYTES: Final = 4


class PcpResult(IntEnum):
    """Why a request is refused."""

    UNSUPPORTED_VERSION = 1
    NOT_AUTHORIZED = 2
    MALFORMED_REQUEST = 3
    UNSUPPORTED_OPCODE = 4
    UNSUPPORTED_OPTION = 5
    MALFORMED_OPTION = 6
    NETWORK_FAILURE = 7
    NO_RESOURCES = 8
    UNSUPPORTED_PROTOCOL = 9
    USER_EXCEEDED_QUOTA = 10
    CANNOT_PROVIDE_EXTERNAL = 11
    ADDRESS_MISMATCH = 12
    EXCESSIVE_REMOTE_PEERS = 13


_RESULTS: Final[dict[int, str]] = {
    PcpResult.UNSUPPORTED_VERSION: "the router speaks another version",
    PcpResult.NOT_AUTHORIZED: "the router is not allowed to do it; one of its options may be off",
    PcpResult.MALFORMED_REQUEST: "the router does not understand the request",
    PcpResult.UNSUPPORTED_OPCODE: "the router does not know how",
    PcpResult.NETWORK_FAILURE: "the router has no address itself",
    PcpResult.NO_RESOURCES: "the router cannot map any more ports",
    PcpResult.UNSUPPORTED_PROTOCOL: "the router maps no ports of TCP",
    PcpResult.USER_EXCEEDED_QUOTA: "the router maps no more ports for this host",
    PcpResult.CANNOT_PROVIDE_EXTERNAL: "the router cannot give that external port",
    PcpResult.ADDRESS_MISMATCH: "another NAT stands between this host and the router",
}


@dataclass(frozen=True, slots=True)
class MapRequest:
    """
    What is asked for.

    @ivar client: our address.
    @ivar nonce: tells our mapping from those of others: only who knows it can change or end it.
    @ivar external_port: the wanted one; 0 leaves it to the router.
    @ivar lifetime: in seconds; 0 ends the mapping.
    """

    client: IPv4Address | IPv6Address
    nonce: bytes
    local_port: int
    external_port: int
    lifetime: int

    @property
    def datagram(self) -> bytes:
        """The request as it is sent."""
        # of the external address, only the family is said
        anywhere = IPv4Address(0) if self.client.version == 4 else IPv6Address(0)
        head = _REQUEST_HEAD.pack(VERSION, _MAP, self.lifetime, _packed(self.client))
        body = _BODY.pack(self.nonce, _TCP, self.local_port, self.external_port, _packed(anywhere))
        return head + body


@dataclass(frozen=True, slots=True)
class MapReply:
    """
    A mapping is there, or after a lifetime of 0 is not there any more.

    @ivar address: the external address.
    @ivar port: the external port.
    @ivar lifetime: in seconds, L{MAX_LIFETIME_SECONDS} at most.
    """

    address: IPv4Address | IPv6Address
    port: int
    lifetime: int


@dataclass(frozen=True, slots=True)
class PcpRefusal:
    """
    The router says no.

    @ivar result: a L{PcpResult}, or a number that is unknown here.
    """

    result: int

    @property
    def text(self) -> str:
        """Why, in words."""
        return _RESULTS.get(self.result, f"the router gave the result {self.result}")


def read_reply(datagram: bytes, request: MapRequest) -> MapReply | PcpRefusal | None:
    """
    @return: C{None} if it is no reply to this request.
    """
    if len(datagram) < _VERSION_REPLY_BYTES or len(datagram) > MAX_MESSAGE_BYTES:
        return None
    if datagram[0] != VERSION:
        # A router that speaks NAT-PMP only answers like this (RFC 6887, section 9, and appendix A).
        is_refusal = datagram[1] & _IS_REPLY and datagram[3] == PcpResult.UNSUPPORTED_VERSION
        return PcpRefusal(PcpResult.UNSUPPORTED_VERSION) if is_refusal else None
    # options may follow, and all is in words of 4 bytes (RFC 6887, section 7)
    if len(datagram) < _REPLY_HEAD.size + _BODY.size or len(datagram) % 4:
        return None
    _, code, result, lifetime, _ = _REPLY_HEAD.unpack_from(datagram)
    nonce, protocol, local_port, external_port, external = _BODY.unpack_from(datagram, _REPLY_HEAD.size)
    # without the nonce anybody who can send with the router's address could answer
    if (code, nonce, protocol, local_port) != (_IS_REPLY | _MAP, request.nonce, _TCP, request.local_port):
        return None
    if result:
        return PcpRefusal(result)
    return MapReply(_unpacked(external), external_port, min(lifetime, MAX_LIFETIME_SECONDS))


def _packed(address: IPv4Address | IPv6Address) -> bytes:
    return bytes(10) + b"\xff\xff" + address.packed if address.version == 4 else address.packed


def _unpacked(raw: bytes) -> IPv4Address | IPv6Address:
    address = IPv6Address(raw)
    return address.ipv4_mapped or address
