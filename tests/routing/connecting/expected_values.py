"""Requests and answers for tests of expected connections."""

from __future__ import annotations

from typing import cast

from routing_crust.crust.interfaces import ILink
from routing_crust.endpoints import Connection, Endpoint, Protocol
from routing_crust.names import Name
from routing_crust.routing.connecting.expected import (
    ExpectedRequest,
    ExpectedResponse,
)
from routing_crust.wire.messages import ConnectRequest, ConnectResponse, LinkUse
from tests.crust.addresses import STRANGER

PUBLIC = Endpoint("8.8.8.8", 5483)


def name_of(number: int) -> Name:
    return Name(number.to_bytes(32, "big"))


def nonce_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def request(peer: int = 1, nonce: int = 1, *endpoints: Endpoint) -> ExpectedRequest:
    message = ConnectRequest(bytes(32), nonce_of(nonce), 0.0, 90.0, 1, LinkUse.MEMBER, ())
    return ExpectedRequest(name_of(peer), nonce_of(nonce), endpoints, message, STRANGER)


def response(peer: int, nonce: int = 1) -> ExpectedResponse:
    """An answer to a request of our own."""
    message = ConnectResponse(bytes(32), b"token", ())
    return ExpectedResponse(name_of(peer), nonce_of(nonce), (), message, b"token")


def connection(port: int) -> Connection:
    return Connection(Protocol.TCP, Endpoint("192.0.2.1", port), Endpoint("192.0.2.2", 5483))


LINK = cast(ILink, object())
