"""
The messages of NAT-PMP (RFC 6886): one table of requests and replies, no I/O.

We ask the router, and it answers each request with one reply::

    address request: version 0, opcode 0
    mapping request: version 0, opcode 2 (TCP), reserved, our port, wanted port, lifetime
    address reply:   version 0, opcode 128, result, epoch, external address
    mapping reply:   version 0, opcode 130, result, epoch, our port, external port, lifetime
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address
from struct import Struct
from typing import ClassVar, Final

PORT: Final = 5351
"""Where routers listen, over UDP."""
VERSION: Final = 0


class Operation(IntEnum):
    """What is asked for."""

    ADDRESS = 0
    MAP_TCP = 2


class NatPmpResult(IntEnum):
    """Why a request is refused."""

    UNSUPPORTED_VERSION = 1
    NOT_AUTHORIZED = 2
    NETWORK_FAILURE = 3
    OUT_OF_RESOURCES = 4
    UNSUPPORTED_OPCODE = 5


_RESULTS: Final[dict[int, str]] = {
    NatPmpResult.UNSUPPORTED_VERSION: "the router speaks another version",
    NatPmpResult.NOT_AUTHORIZED: "the router is not allowed to do it; one of its options may be off",
    NatPmpResult.NETWORK_FAILURE: "the router has no address itself",
    NatPmpResult.OUT_OF_RESOURCES: "the router cannot map any more ports",
    NatPmpResult.UNSUPPORTED_OPCODE: "the router does not know how",
}


@dataclass(frozen=True, slots=True)
class AddressReply:
    """
    The router's external address.

    @ivar epoch: for how many seconds the router has remembered its mappings.
    """

    operation: ClassVar = Operation.ADDRESS
    epoch: int
    address: IPv4Address


@dataclass(frozen=True, slots=True)
class MappingReply:
    """
    A mapping is there, or after a lifetime of 0 is not there any more.

    @ivar epoch: for how many seconds the router has remembered its mappings.
    @ivar lifetime: in seconds.
    """

    operation: ClassVar = Operation.MAP_TCP
    epoch: int
    local_port: int
    external_port: int
    lifetime: int


@dataclass(frozen=True, slots=True)
class MappingRefusal:
    """
    The router says no.

    @ivar result: a L{NatPmpResult}, or a number that is unknown here.
    """

    operation: Operation
    result: int

    @property
    def text(self) -> str:
        """Why, in words."""
        return _RESULTS.get(self.result, f"the router gave the result {self.result}")


Reply = AddressReply | MappingReply | MappingRefusal

_HEAD: Final = Struct("!BBH")
_IS_REPLY: Final = 0x80
_MAPPING: Final = Struct("!HHI")
# What follows the head in a reply, and what is made of it.
_REPLIES: Final[dict[int, tuple[Struct, Callable[..., Reply]]]] = {
    Operation.ADDRESS: (Struct("!I4s"), lambda epoch, address: AddressReply(epoch, IPv4Address(address))),
    Operation.MAP_TCP: (Struct("!IHHI"), MappingReply),
}


def address_request() -> bytes:
    """Ask for the external address."""
    return bytes((VERSION, Operation.ADDRESS))


def mapping_request(local_port: int, external_port: int, lifetime: int) -> bytes:
    """
    Ask for a mapping of a TCP port, or for its end.

    @param external_port: the wanted one; 0 leaves it to the router.
    @param lifetime: in seconds; 0 ends it.
    """
    return _HEAD.pack(VERSION, Operation.MAP_TCP, 0) + _MAPPING.pack(local_port, external_port, lifetime)


def read_reply(datagram: bytes) -> Reply | None:
    """
    @return: C{None} if it is no reply to anything that we ask for.
    """
    if len(datagram) < _HEAD.size:
        return None
    version, code, result = _HEAD.unpack_from(datagram)
    if code ^ _IS_REPLY not in _REPLIES:
        return None
    operation = Operation(code ^ _IS_REPLY)
    if version != VERSION:
        # The successor, PCP, answers like this where it is the only one (RFC 6887, appendix A).
        return MappingRefusal(operation, NatPmpResult.UNSUPPORTED_VERSION)
    if result:
        return MappingRefusal(operation, result)
    body, make = _REPLIES[operation]
    if len(datagram) < _HEAD.size + body.size:
        return None
    return make(*body.unpack_from(datagram, _HEAD.size))


def answers(reply: Reply, request: bytes) -> bool:
    """Whether a reply is one to this request: of its kind and, if it maps, for its port."""
    if isinstance(reply, MappingReply):
        mapping = mapping_request(reply.local_port, 0, 0)
        return request[: _HEAD.size + 2] == mapping[: _HEAD.size + 2]
    return request[1] == reply.operation


def has_forgotten(before: int, elapsed: float, now: int) -> bool:
    """
    Whether a router has restarted and so lost its mappings (RFC 6886, 3.6).

    @param before: the epoch that it told last.
    @param elapsed: the seconds since, by our clock; routers' clocks may be slower by an eighth.
    @param now: the epoch that it tells now.
    """
    # the slack of an eighth and 2 s is the RFC's
    return now < before + max(0.0, elapsed) * 7 / 8 - 2
