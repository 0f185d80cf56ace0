"""
An outgoing message: the routes that were tried, the attempt under way, and the Deferred that waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from ...crust.interfaces import ILink
from ...errors import PeerUnreachable
from ...names import Name
from ...timing.timers import cancel
from ...wire.codec import encode
from ...wire.messages import AckPart, AckStatus, Flavour, MessagePart
from .fragmentation import split
from .transmission import Transmission


@dataclass(slots=True, eq=False)
class OutgoingMessage:
    """
    A message of ours that is not acknowledged yet.

    @ivar link: the link that the last attempt set out by; C{None} if it found none.
    @ivar transmission: the last attempt, if it did not fit into the link at once.
    @ivar trace: what the ids of the last attempt's envelopes have in common; 0 if there were none.
    @ivar tried: the links that all attempts but the last set out by.
    @ivar heard: whether a part of the answer has come since the last deadline.
    @ivar retry: the delayed call for the next attempt, after a hint.
    """

    id: int
    destination: Name
    body: bytes
    flavour: Flavour
    group: bytes
    deferred: Deferred[Any]
    attempts: int = 1
    tried: tuple[ILink, ...] = ()
    link: ILink | None = None
    transmission: Transmission | None = None
    trace: int = 0
    heard: bool = False
    retry: IDelayedCall | None = None

    def parts(self, size: int) -> Iterator[bytes]:
        """The message in encoded parts of C{size} bytes of its body."""
        bodies = split(self.body, size)
        for number, body in enumerate(bodies):
            yield encode(MessagePart(self.id, number, len(bodies), self.flavour, self.group, body))

    def allows(self, ack: AckPart) -> bool:
        """Whether this message can be acknowledged like this: only an answer has a body, and parts."""
        request = self.flavour is Flavour.REQUEST
        if request and ack.status is AckStatus.ANSWERED:
            return ack.part < ack.parts
        expected = AckStatus.REFUSED if request else AckStatus.DELIVERED
        return ack.status is expected and ack.parts == 1 and ack.part == 0 and not ack.body

    def unreachable(self) -> PeerUnreachable:
        """Why it was given up."""
        return PeerUnreachable(
            f"{self.destination.short} has not acknowledged the message: "
            f"attempts: {self.attempts}, routes tried: {len(self.tried)}"
        )

    def end_attempt(self) -> None:
        """End the attempt that is under way."""
        if self.transmission is not None:
            self.transmission.abandon()
            self.transmission = None
        self.trace = 0
        if self.retry is not None:
            cancel(self.retry)
            self.retry = None
        if self.link is not None:
            if self.link not in self.tried:
                self.tried += (self.link,)
            self.link = None
