"""
How frames come over a link: what TLS has decrypted is cut into frames, within the share of the peer's prefix.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, cast

from twisted.logger import Logger

from ...endpoints import Connection
from ...errors import CloseReason, WireError
from ...limits import MAX_UNVERIFIED_BYTES
from ...wire.codec import MAX_CONTROL_BYTES
from ...wire.framing import UNLIMITED_CHARGE, FrameDecoder
from ..interfaces import ILink
from .liveness import Liveness
from .owner import LinkOwner
from .reading import READ_CHARGE, ReadingShare
from .sending import FrameSender

log = Logger()


class FrameReceiver(FrameSender):
    """
    The receiving half of a link, with the methods of L{ILink}. A base class, as the sending half is.

    @ivar has_heard: whether any byte came over it.
    """

    __slots__ = (
        "_allowance",
        "_decoder",
        "_liveness",
        "_reading",
        "_share",
        "_verified",
        "_waits",
        "connection",
        "has_heard",
    )

    transport: Any
    connection: Connection
    _liveness: Liveness
    _share: ReadingShare

    def __init__(self, owner: LinkOwner) -> None:
        super().__init__()
        self._owner = owner
        link = cast(ILink, self)
        self._decoder = FrameDecoder(MAX_CONTROL_BYTES, owner.link_frame, link, self._control_received)
        self._allowance = MAX_UNVERIFIED_BYTES
        self._verified = self.has_heard = False
        # two reasons to read nothing, the owner's and the share's: we read when neither is left
        self._reading = True
        self._waits = False

    @abstractmethod
    def close(self, reason: CloseReason, detail: str = "") -> None:
        """L{ILink.close}, for a peer whose bytes are wrong."""

    @abstractmethod
    def _control_received(self, kind: int, payload: bytes) -> None:
        """A frame came that is about the link itself."""

    def dataReceived(self, data: bytes) -> None:
        """Take bytes that TLS has decrypted."""
        if self._reason is not None:
            return
        self._liveness.heard = self.has_heard = True
        self._queue.asked = False
        self._queue.hold()  # what is sent meanwhile goes out together, below
        share, decoder = self._share, self._decoder
        # a read costs something, too, even if it completes no frame
        decoder.allowance = left = share.left - READ_CHARGE
        self.guarded(decoder.feed, data)
        share.left -= left - decoder.allowance + READ_CHARGE
        if share.left < share.refill_below:
            share.used(self, bool(decoder.waiting))
        if not self._verified:
            self._allowance -= len(data)
            if self._allowance < 0:
                limit = MAX_UNVERIFIED_BYTES
                self.close(CloseReason.PROTOCOL_ERROR, f"more than {limit} bytes before a verified Hello")
        self._queue.flush()

    def wait_to_read(self) -> None:
        """Read no more: L{go_on} will be called."""
        self._waits = True
        if self._reading and self._reason is None:
            self.transport.pauseProducing()

    def go_on(self, allowance: int) -> int:
        """
        Deliver what waits.

        @param allowance: the charge of the frames that may be delivered.
        @return: what is left of it; not above 0 if more waits.
        """
        decoder = self._decoder
        decoder.allowance = allowance
        if self._reason is None:
            self._queue.hold()
            self.guarded(FrameDecoder.go_on, decoder)
            self._queue.flush()
        if decoder.waiting:
            return min(0, decoder.allowance)
        if self._waits:
            self._waits = False
            if self._reading:
                self.transport.resumeProducing()
        return max(1, decoder.allowance)

    def pause_reading(self) -> None:
        if self._reading and self._reason is None:
            self._reading = False
            if not self._waits:
                self.transport.pauseProducing()

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            if not self._waits:
                self.transport.resumeProducing()

    def guarded(self, call: Callable[[Any], None], argument: Any) -> None:
        """Call code that handles the peer's bytes, ours or the owner's; close the link if it raises."""
        try:
            call(argument)
        except WireError as problem:
            self.close(problem.reason, str(problem))
        except Exception:  # a mistake of ours: it costs this link, and no other
            log.failure("the handler of a link to {peer} failed", peer=self.connection)
            self.close(CloseReason.PROTOCOL_ERROR, "the handler of this link failed")

    def _deliver_rest(self) -> None:
        """The connection is gone, and there will be no turn for what came before its end."""
        if self._reason is None and self._decoder.waiting:
            self._queue.hold()
            self._decoder.allowance = UNLIMITED_CHARGE
            self.guarded(FrameDecoder.go_on, self._decoder)

    def _stop_receiving(self) -> None:
        """Deliver nothing from now on, and read on: else the end of the connection would go unnoticed."""
        self._decoder.stop()
        if self._waits or not self._reading:
            self._waits, self._reading = False, True
            self.transport.resumeProducing()
