"""
How frames leave a link: through its own send queue, or over the link that replaces it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import Final, cast

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol

from ...errors import CloseReason, LinkClosed
from ...wire.framing import HEADER_BYTES, MAX_FRAME_BYTES, FrameKind, frame_header
from ..interfaces import ILink
from .owner import LinkOwner
from .sendqueue import MAX_QUEUE_BYTES, SendQueue

_FRAMES_OF_THIS_LINK: Final = frozenset(
    {
        FrameKind.HEARTBEAT,
        FrameKind.HELLO,
        FrameKind.CONFIRMATION,
        FrameKind.CONFIRMATION_ACK,
        FrameKind.GOODBYE,
        FrameKind.SWITCHED,
        # tunnels have their numbers on this link
        FrameKind.TUNNEL_CREDIT,
        FrameKind.TUNNEL_OPEN,
        FrameKind.TUNNEL_OPENED,
        FrameKind.TUNNEL_DATA,
        FrameKind.TUNNEL_CLOSED,
    }
)
"""Frames about the link that they go over. A link that was handed over sends all others over its heir."""
SMALL_BYTES: Final = 4096
"""Below this size, copying a payload behind its header is cheaper than joining one more part."""

# A frame's header where the length fits into its lower 16 bits.
_pack_small: Final = Struct(">BxH").pack


class FrameSender(Protocol):
    """
    The sending half of a link, with the methods of L{ILink}. Sending is the hottest path of all, so this is a
    base class and not a part, and L{send} itself adds to the queue.
    """

    __slots__ = ("_heir", "_owner", "_queue", "_reason", "_small")

    _owner: LinkOwner
    _queue: SendQueue

    def __init__(self) -> None:
        self._reason: LinkClosed | None = None
        self._heir: ILink | None = None
        self._small = SMALL_BYTES  # nothing is small once the link is closed

    @abstractmethod
    def abort(self, reason: CloseReason, detail: str = "") -> None:
        """L{ILink.abort}, for a queue that has grown too long."""

    @property
    def writable(self) -> bool:
        return not self._queue.full if self._heir is None else self._heir.writable

    @property
    def queued(self) -> int:
        return self._queue.size

    def send(self, kind: int, payload: bytes) -> None:
        size = len(payload)
        if size >= self._small:
            self._send_large(kind, payload)
            return
        queue = self._queue
        try:
            queue.parts.append(_pack_small(kind, size) + payload)
        except StructError:
            raise ValueError(f"{kind} is not a kind of frame: kinds go from 0 to 255") from None
        # the queue is looked after only at the alarm: this runs for every frame
        queue.size = queued = queue.size + size + HEADER_BYTES
        if queued >= queue.alarm:
            self._attend()

    def _send_large(self, kind: int, payload: bytes) -> None:
        most = MAX_FRAME_BYTES
        # tunnel data and Goodbyes stay here; an application must not notice the handover
        if self._heir is not None and kind not in _FRAMES_OF_THIS_LINK:
            self._heir.send(kind, payload)
            return
        if self._reason is not None:
            return
        if len(payload) > most or not 0 <= kind <= 255:
            raise ValueError(
                f"a frame of kind {kind} with {len(payload)} bytes cannot be sent: {most} is the most"
            )
        queue = self._queue
        queue.parts += (frame_header(kind, len(payload)), payload)
        queue.size += len(payload) + HEADER_BYTES
        if queue.size >= queue.alarm:
            self._attend()

    def _attend(self) -> None:
        if not self._queue.attend():
            self.abort(CloseReason.SEND_QUEUE_FULL, f"{MAX_QUEUE_BYTES} bytes wait to be sent")

    def when_writable(self) -> Deferred[None]:
        if self._heir is not None:
            return self._heir.when_writable()
        return self._queue.when_writable() if self._reason is None else fail(self._reason)

    def add_producer(self, producer: IPushProducer) -> None:
        """On a link that is closed, the producer is stopped at once."""
        if self._heir is not None:
            self._heir.add_producer(producer)
        elif self._reason is None:
            self._queue.add_producer(producer)
        else:
            producer.stopProducing()

    def remove_producer(self, producer: IPushProducer) -> None:
        if self._heir is not None:
            self._heir.remove_producer(producer)
        else:
            self._queue.remove_producer(producer)

    def set_feeder(self, feeder: Callable[[int], object] | None) -> None:
        self._queue.feeder = feeder if self._reason is None else None

    def feed_soon(self) -> None:
        if self._reason is None:
            self._queue.feed_soon()

    def hand_over(self, link: ILink) -> None:
        if cast(object, link) is self:
            self._heir = None
            self._small = SMALL_BYTES if self._reason is None else 0
            return
        self._heir = link
        self._small = 0  # from now on the kind of each frame decides
        self._queue.move_to(link)
