"""
An outgoing message: the routes that were tried, the attempt under way, and the Deferred that waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from ....config import OUTBOX_OVERHEAD_BYTES
from ....crust.interfaces import ILink
from ....errors import PeerUnreachable, RefusalReason, RequestRefused, RequestTimedOut
from ....limits import MAX_EXTENDED_WAIT_SECONDS, UNREACHABLE_SECONDS
from ....names import Name
from ....timing.timers import cancel
from ....wire.codec import decode, encode
from ....wire.end_to_end import AckPart, AckStatus, Flavour, MessagePart, Refusal, Working
from ..fragmentation import split
from ..transmission import Transmission


@dataclass(slots=True, eq=False)
class OutgoingMessage:
    """
    A message of ours that is not acknowledged yet.

    @ivar link: the link that the last attempt set out by; C{None} if it found none.
    @ivar transmission: the last attempt, if it did not fit into the link at once.
    @ivar trace: what the ids of the last attempt's envelopes have in common; 0 if there were none.
    @ivar awaits_session: whether the last attempt waits for a session with the destination.
    @ivar tried: the links that all attempts but the last set out by.
    @ivar heard: whether a part of the answer has come since the last deadline.
    @ivar retry: the delayed call for the next attempt, after a hint.
    @ivar hints: how often a hint said that it found no way.
    @ivar end_watch: ends the watch for the absence of the destination, if there is one.
    @ivar short_waits: the waits that are left, in seconds, of those after the loss of its link.
    @ivar other_wait: the delayed call for the end of a wait that is no usual one.
    @ivar began: when it was sent first, in seconds.
    @ivar since: from when its destination has been silent: then, or when its handler should have been done.
    @ivar working_until: until when the peer's handler works on it, as it said.
    @ivar timeout: the delayed call that ends the wait, if the caller has set it a time.
    """

    id: int
    destination: Name
    body: bytes
    flavour: Flavour
    group: bytes
    deferred: Deferred[Any]
    began: float = 0.0
    attempts: int = 1
    tried: tuple[ILink, ...] = ()
    link: ILink | None = None
    transmission: Transmission | None = None
    trace: int = 0
    awaits_session: bool = False
    heard: bool = False
    retry: IDelayedCall | None = None
    working_until: float = 0.0
    timeout: IDelayedCall | None = None
    hints: int = 0
    end_watch: Callable[[], None] | None = None
    short_waits: tuple[float, ...] = ()
    other_wait: IDelayedCall | None = None
    since: float = 0.0

    def __post_init__(self) -> None:
        self.since = self.began

    @property
    def cost(self) -> int:
        """What it counts for in the outbox, in bytes."""
        return len(self.body) + OUTBOX_OVERHEAD_BYTES

    def left(self, now: float) -> float:
        """Seconds until it fails, if nothing is heard."""
        return self.since + UNREACHABLE_SECONDS - now

    def parts(self, size: int) -> Iterator[bytes]:
        """The message in encoded parts of C{size} bytes of its body."""
        bodies = split(self.body, size)
        for number, body in enumerate(bodies):
            yield encode(MessagePart(self.id, number, len(bodies), self.flavour, self.group, body))

    def allows(self, ack: AckPart) -> bool:
        """Whether this message can be acknowledged like this: only an answer has parts."""
        if self.flavour is Flavour.REQUEST and ack.status is AckStatus.ANSWERED:
            return ack.part < ack.parts
        if ack.parts != 1 or ack.part != 0:
            return False
        if self.flavour is Flavour.REQUEST:
            return ack.status in (AckStatus.REFUSED, AckStatus.WORKING)
        return ack.status is AckStatus.DELIVERED and not ack.body

    def refused(self, body: bytes, who: str) -> RequestRefused:
        """
        The error that a refusal means.

        @param who: the destination, as an error calls it.

        @raise WireError: this is no refusal.
        """
        refusal = decode(Refusal, body)
        try:
            reason = RefusalReason(refusal.reason)
        except ValueError:  # of a later version
            reason = RefusalReason.UNKNOWN
        # the text is the peer's own, and may be shown in a terminal or a log
        detail = "".join(each if each.isprintable() else "?" for each in refusal.detail)
        return RequestRefused(detail, reason, who)

    def works_on(self, body: bytes, now: float) -> None:
        """
        The peer's handler takes longer: wait for it, and count the attempts from 0 when its time is over.

        @raise WireError: this is no such acknowledgement.
        """
        most = self.began + MAX_EXTENDED_WAIT_SECONDS
        until = min(now + decode(Working, body).seconds, most)
        # a copy that comes late must not shorten the wait
        if until > self.working_until:
            self.working_until = self.since = until
            self.attempts = 1

    def unreachable(self, who: str) -> PeerUnreachable:
        """Why it was given up. C{who} is the destination, as an error calls it."""
        return PeerUnreachable(
            f"{who} has not acknowledged the message: "
            f"attempts: {self.attempts + self.hints}, routes tried: {len(self.tried)}"
        )

    def too_late(self, seconds: float, now: float, who: str) -> RequestTimedOut:
        """Why its caller has no answer after C{seconds}. C{who} is the destination, as an error calls it."""
        working = "and works on it" if self.working_until > now else f"after {self.attempts} attempts"
        return RequestTimedOut(f"{who} has not answered within {seconds:g} s, {working}")

    def end_attempt(self) -> None:
        """End the attempt that is under way."""
        if self.transmission is not None:
            self.transmission.abandon()
            self.transmission = None
        self.trace = 0
        self.awaits_session = False
        if self.retry is not None:
            cancel(self.retry)
            self.retry = None
        if self.link is not None:
            if self.link not in self.tried:
                self.tried += (self.link,)
            self.link = None
