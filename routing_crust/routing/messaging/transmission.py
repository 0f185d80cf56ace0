"""
Transmissions: our own message parts and acknowledgements on their way into a link, no faster than the link
takes them.

To a peer with a link they go bare over that link, which is authenticated and encrypted. To any other node
each part is sealed in the session with it, and goes in an envelope.

A single frame goes straight in while the link is writable. What does not fit waits its turn in one queue
for each link, and is made (and sealed, if need be) only when its turn comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, TypeAlias

from twisted.python.failure import Failure

from ...crust.interfaces import ILink
from ...errors import LinkClosed
from ...names import Name
from ...wire.codec import encode
from ...wire.framing import FrameKind
from ...wire.messages import EnvelopeKind
from ..envelopes import Sealer
from ..membership.neighbourhood import Neighbourhood
from ..sessions.sessions import Sessions

_ENVELOPE: Final = int(FrameKind.ENVELOPE)
Frames: TypeAlias = Iterator[tuple[int, bytes]]


class Transmission:
    """
    Some frames that belong together, in order.

    @ivar waiting: whether not all of them are in the link yet.
    @ivar size: what they count for in L{TransmissionQueues.waiting_bytes}.
    """

    __slots__ = ("_frames", "size", "waiting")

    def __init__(self, frames: Frames, size: int) -> None:
        self._frames = frames
        self.size = size
        self.waiting = True

    def abandon(self) -> None:
        """Drop the frames that have not gone out yet."""
        self._frames = iter(())
        self.waiting = False

    def feed(self, link: ILink) -> bool:
        """Send until the link is full or nothing is left. Returns whether nothing is left."""
        while link.writable:
            frame = next(self._frames, None)
            if frame is None:
                self.waiting = False
                return True
            link.send(*frame)
        return False


class _Queue:
    """What waits for one link, and how many bytes of it count."""

    __slots__ = ("size", "transmissions")

    def __init__(self, first: Transmission) -> None:
        self.transmissions = deque((first,))
        self.size = first.size


class TransmissionQueues:
    """
    What waits for each link. Made by the messenger, told of lost links, discarded after L{stop}.
    """

    def __init__(self, sealer: Sealer, neighbourhood: Neighbourhood, sessions: Sessions) -> None:
        self._sealer = sealer
        self._neighbourhood = neighbourhood
        self._sessions = sessions
        self._queues: dict[ILink, _Queue] = {}

    def __len__(self) -> int:
        return sum(len(queue.transmissions) for queue in self._queues.values())

    def is_free(self, link: ILink) -> bool:
        """Whether a frame may go straight into the link, with nothing before it and room for it."""
        return link not in self._queues and link.writable

    def waiting_bytes(self, link: ILink) -> int:
        """How much waits for this link, by the sizes that the transmissions were given."""
        queue = self._queues.get(link)
        return 0 if queue is None else queue.size

    @property
    def source_proxy(self) -> bytes:
        """Our proxy, as our envelopes name it; empty if we have none."""
        proxy = self._neighbourhood.proxy
        return b"" if proxy is None else proxy.raw

    def send_bare(self, link: ILink, kind: int, parts: Iterator[bytes], size: int = 0) -> Transmission:
        """
        Send encoded parts over a link to the peer that they are for, after what waits already.

        @param kind: the kind of frame.
        @param size: what they count for in L{waiting_bytes}.
        """
        return self._start(link, ((kind, part) for part in parts), size)

    def new_trace(self) -> int:
        """The id for the first envelope of a transmission; those of the others follow it."""
        return self._sealer.new_trace()

    def send_sealed(
        self,
        link: ILink,
        kind: int,
        destination: Name,
        proxy: bytes,
        parts: Iterator[bytes],
        trace: int,
        size: int = 0,
    ) -> Transmission:
        """
        Send encoded parts to a node with which there is a session, after what waits already. If the session
        is gone when their turn comes, the rest is dropped: the part that waits for an answer sends it again.

        @param link: the first hop.
        @param kind: as in L{send_bare}.
        @param proxy: the destination's proxy; may be empty.
        @param trace: as made by L{new_trace}.
        @param size: as in L{send_bare}.
        """
        return self._start(link, self._envelopes(bytes((kind,)), destination, proxy, parts, trace), size)

    def _envelopes(
        self, kind: bytes, destination: Name, proxy: bytes, parts: Iterator[bytes], trace: int
    ) -> Frames:
        # a generator, so that what is abandoned while it waits was never sealed
        for number, part in enumerate(parts, trace):
            source_proxy = self.source_proxy
            body = self._sessions.seal(destination, number, source_proxy, kind + part)
            if body is None:
                return
            envelope = self._sealer.seal(
                number,
                EnvelopeKind.SEALED,
                destination,
                body,
                destination_proxy=proxy,
                source_proxy=source_proxy,
                signed=False,
            )
            yield _ENVELOPE, encode(envelope)

    def _start(self, link: ILink, frames: Frames, size: int) -> Transmission:
        # a transmission may go straight in only if no other waits, so that the order is kept
        transmission = Transmission(frames, size)
        queue = self._queues.get(link)
        if queue is not None:
            queue.transmissions.append(transmission)
            queue.size += size
        elif not transmission.feed(link):
            self._queues[link] = _Queue(transmission)
            self._wait(link)
        return transmission

    def link_changed(self, old: ILink, new: ILink) -> None:
        """A new link has replaced the old one: move to it what waits for the old one."""
        queue = self._queues.pop(old, None)
        if queue is not None:
            self._queues[new] = queue
            self._wait(new)

    def link_lost(self, link: ILink) -> None:
        """A link is gone: drop what waits for it."""
        queue = self._queues.pop(link, None)
        if queue is not None:
            for each in queue.transmissions:
                each.abandon()
            queue.transmissions.clear()

    def stop(self) -> None:
        """Send nothing more."""
        for link in list(self._queues):
            self.link_lost(link)

    def _wait(self, link: ILink) -> None:
        link.when_writable().addCallbacks(
            self._resume, self._closed, callbackArgs=(link,), errbackArgs=(link,)
        )

    def _resume(self, _: None, link: ILink) -> None:
        queue = self._queues.get(link)
        if queue is None:
            return
        waiting = queue.transmissions
        while waiting:
            # an abandoned transmission keeps its place in the queue, but sends nothing
            if waiting[0].waiting and not waiting[0].feed(link):
                self._wait(link)
                return
            queue.size -= waiting.popleft().size
        del self._queues[link]

    def _closed(self, failure: Failure, link: ILink) -> None:
        failure.trap(LinkClosed)
        self.link_lost(link)
