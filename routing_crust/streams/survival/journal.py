"""
The journal of a session: the frames that the peer has not said to have received, so that they can be sent
again over another link.

Both ends count the frames of streams, so a frame needs no number of its own on the wire.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

from ...errors import WireError


class Journal:
    """
    Made, and discarded, with its session.

    @ivar acknowledged: how many frames the peer has received for certain.
    @ivar size: the bytes of the payloads that are kept.
    """

    __slots__ = ("_frames", "acknowledged", "size")

    def __init__(self) -> None:
        self._frames: deque[tuple[int, bytes]] = deque()
        self.acknowledged = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def count(self) -> int:
        """How many frames there have been in all."""
        return self.acknowledged + len(self._frames)

    def add(self, kind: int, payload: bytes) -> None:
        """Keep a frame."""
        self._frames.append((kind, payload))
        self.size += len(payload)

    def can_be(self, received: int) -> bool:
        """Whether the peer can have received this many frames, of those that it has not acknowledged."""
        return self.acknowledged <= received <= self.acknowledged + len(self._frames)

    def acknowledge(self, received: int) -> None:
        """
        The peer has received this number of frames in all; keep the others.

        @raise WireError: that cannot be.
        """
        if not self.can_be(received):
            raise WireError(
                f"the peer says that it has received {received} frames of streams; "
                f"{self.count} were sent, of which it had {self.acknowledged} before"
            )
        for _ in range(received - self.acknowledged):
            self.size -= len(self._frames.popleft()[1])
        self.acknowledged = received

    def after(self, received: int) -> Iterator[tuple[int, bytes]]:
        """The frames after this number, each with its kind."""
        # to be used up at once: a deque that changes meanwhile raises an error
        return islice(self._frames, received - self.acknowledged, None)
