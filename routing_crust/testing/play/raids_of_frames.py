"""
Raids that consist of frames: what one link, or a few, can make a node do.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from ...endpoints import Endpoint
from ...routing.envelopes import RECORD_LABEL
from ...wire.codec import encode
from ...wire.end_to_end import Flavour, MessagePart, SealedPacket, SessionFlight
from ...wire.framing import FrameKind
from ...wire.messages import ClientRecord, EnvelopeKind
from ...wire.tunnels import TunnelOpen
from ..memory.key_agreement import RANDOM_BYTES
from .raid import Raid
from .raider import RaiderLink


class InventedRequests(Raid):
    """ConnectRequests of made-up keys, over one link."""

    each = 1 / 30

    def act(self, number: int) -> None:
        link = self.link()
        if link is not None:
            key = self.raider.new_key()
            to = self.target(number).name
            link.send(FrameKind.ENVELOPE, self.request(key, to, (), link.identity.name.raw))


class RequestsOfOwnLinks(Raid):
    """ConnectRequests of keys that each have a link of their own."""

    each = 1 / 10
    addresses = 4

    def act(self, number: int) -> None:
        target = self.target(number)

        def attached(link: RaiderLink, kind: int, payload: bytes) -> None:
            link.send(FrameKind.ENVELOPE, self.request(link.identity, target.name, (), target.name.raw))

        self.raider.attach(target, attached)


class JunkThroughRelays(Raid):
    """What looks like sealed messages of 16 kB, to one node after the other, through the target."""

    each = 1 / 100

    def act(self, number: int) -> None:
        link = self.link()
        if link is not None:
            junk = encode(SealedPacket(number, 0, 0, bytes(16_000)))
            # a hundred in a row to each, which fill the queue to it
            to = self.others[number // 100 % len(self.others)].name
            link.send(
                FrameKind.ENVELOPE, self.sealed(link.identity, EnvelopeKind.SEALED, to, junk, signed=False)
            )


class HandshakesOfFreeKeys(Raid):
    """First flights of handshakes that nobody completes, each of another key."""

    each = 1 / 60

    def act(self, number: int) -> None:
        link = self.link()
        if link is not None:
            key, to = self.raider.new_key(), self.target(number).name
            # odd from the greater name, else it would be refused for that
            flight = SessionFlight(2 * number + (key.name > to), 0, self.random.randbytes(RANDOM_BYTES))
            link.send(FrameKind.ENVELOPE, self.sealed(key, EnvelopeKind.SESSION_FLIGHT, to, encode(flight)))


class InventedClients(Raid):
    """Records of clients that there are not."""

    each = 1 / 100

    def act(self, number: int) -> None:
        link = self.link()
        if link is not None:
            key, now = self.raider.new_key(), self.raider.clock.seconds()
            record = ClientRecord(link.identity.name.raw, now, now + 3600)
            body = self.signed(key, RECORD_LABEL, record)
            to = self.target(number).name
            link.send(
                FrameKind.ENVELOPE, self.sealed(key, EnvelopeKind.CLIENT_RECORD, to, body, signed=False)
            )


class NewMessageIds(Raid):
    """Messages with a new number each, which are remembered against duplicates."""

    each = 1 / 200

    def act(self, number: int) -> None:
        link = self.link()
        if link is not None:
            link.send(FrameKind.MESSAGE, encode(MessagePart(number, 0, 1, Flavour.SEND, b"", b"")))


class UnansweredRequests(Raid):
    """Requests to the application, each over a link of its own key."""

    each = 1 / 60

    def act(self, number: int) -> None:
        link = self.link()
        if link is not None:
            part = MessagePart(number, 0, 1, Flavour.REQUEST, b"", bytes(10_000))
            link.send(FrameKind.MESSAGE, encode(part))


class TunnelSpending(Raid):
    """Tunnels to other nodes that nobody expects, of keys that each have a link of their own."""

    each = 1 / 5
    addresses = 2

    def act(self, number: int) -> None:
        other = self.others[number % len(self.others)].name.raw
        self.raider.attach(self.target(number), partial(self._open, other))

    def _open(self, other: bytes, link: RaiderLink, kind: int, payload: bytes) -> None:
        # odd, as from the end that has dialled
        for number in (1, 3, 5):
            wanted = TunnelOpen(number, False, other, self.random.randbytes(32), 65_536, True)
            link.send(FrameKind.TUNNEL_OPEN, encode(wanted))


class DialSpending(Raid):
    """Requests that name eight addresses each where nobody is, of keys that each have a link of their own."""

    each = 1 / 5
    addresses = 4

    def act(self, number: int) -> None:
        target = self.target(number)
        candidates = [Endpoint(f"203.0.{number % 250}.{each}", 5999) for each in range(1, 9)]

        def attached(link: RaiderLink, kind: int, payload: bytes) -> None:
            link.send(
                FrameKind.ENVELOPE, self.request(link.identity, target.name, candidates, target.name.raw)
            )

        self.raider.attach(target, attached)


FRAME_RAIDS: Final[tuple[type[Raid], ...]] = (
    InventedRequests,
    RequestsOfOwnLinks,
    JunkThroughRelays,
    HandshakesOfFreeKeys,
    InventedClients,
    NewMessageIds,
    UnansweredRequests,
    TunnelSpending,
    DialSpending,
)
