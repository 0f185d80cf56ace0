"""Requests to a page over a wire in memory, through C{twisted.web} as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.web.resource import Resource

from routing_crust.daemon.page.serving import PageSite


@dataclass
class Answer:
    """What came back so far."""

    code: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """The connection of a browser."""

    def __init__(self, page: Resource) -> None:
        self.site: Any = PageSite(page)
        self.site.startFactory()
        self.transport = StringTransport(peerAddress=IPv4Address("TCP", "127.0.0.1", 4000))
        self.protocol: Any = self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 4000))
        self.protocol.makeConnection(self.transport)

    def send(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        """Ask, and see what came at once."""
        given = {"Host": "localhost:8053", "Connection": "close", **headers}
        if body:
            given["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items() if value)]
        self.transport.clear()
        self.protocol.dataReceived("\r\n".join([*lines, "", ""]).encode() + body)
        return self.answer()

    def answer(self) -> Answer:
        """What has come until now."""
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        if not first:
            return Answer(0, {}, b"")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body = b"".join(_chunks(body))
        return Answer(int(first.split()[1]), headers, body)

    def hang_up(self) -> None:
        """Close it."""
        from twisted.internet.error import ConnectionDone
        from twisted.python.failure import Failure

        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.site.stopFactory()


def _chunks(body: bytes) -> list[bytes]:
    found = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        found.append(rest[:length])
        body = rest[length + 2 :]
    return found
