"""
What a sender may say, and what it may be answered: the rules, without a disk and without a stream.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from .messages import (
    HASH_BYTES,
    MAX_CHUNKS,
    Accept,
    Done,
    Entry,
    Failed,
    Message,
    ProtocolBroken,
    Want,
    chunk_bytes,
)
from .receiving import MAX_AHEAD, Stage

__all__ = ["SendingRules", "Stage"]
_MAX_HASHES_AHEAD: Final = 2 * MAX_CHUNKS
"""What the answers to all files that were named may hold together."""


class SendingRules:
    """
    The rules for one transfer. The reader of the stream gives it each message; the writer asks before it
    names another file.

    @ivar stage: see L{Stage}.
    @ivar problem: why the receiver gave up.
    """

    def __init__(self) -> None:
        self.stage = Stage.OFFERED
        self.accepted = self.confirmed = False
        self.problem = ""
        self._unanswered: deque[int] = deque()
        self._wants: deque[Want] = deque()
        self._hashes_ahead = 0
        self._named: deque[int] = deque()

    @property
    def over(self) -> bool:
        """Whether the receiver has said its last."""
        return self.confirmed or self.stage is Stage.FAILED

    def may_name(self, size: int) -> bool:
        """Whether another file may be named: one that is alone always may."""
        if not self._named:
            return True
        return (
            len(self._named) < MAX_AHEAD
            and self._hashes_ahead + _hashes(size, size) // HASH_BYTES <= _MAX_HASHES_AHEAD
        )

    def named(self, entry: Entry) -> None:
        """A file or folder is named."""
        # nothing is wanted of a folder, so no answer comes for it
        if entry.size is not None:
            self._unanswered.append(entry.size)
            self._named.append(entry.size)
            self._hashes_ahead += _hashes(entry.size, entry.size) // HASH_BYTES

    def ended(self) -> None:
        """The first file that was named was sent."""
        size = self._named.popleft()
        self._hashes_ahead -= _hashes(size, size) // HASH_BYTES

    def done(self) -> None:
        """All was sent."""
        assert not self._named
        self.stage = Stage.DONE

    def told(self, message: Message) -> None:
        """
        A message came.

        @raise ProtocolBroken: it may not come, or not now.
        """
        if self.over:
            raise ProtocolBroken(f"{type(message).__name__} comes after the end")
        if isinstance(message, Failed):
            self.stage = Stage.FAILED
            self.problem = message.text
        elif isinstance(message, Accept) and not self.accepted:
            self.accepted = True
            self.stage = Stage.RUNNING
        elif isinstance(message, Want) and self._unanswered:
            self._answered(message)
        elif isinstance(message, Done) and self.stage is Stage.DONE:
            self.confirmed = True
        else:
            raise ProtocolBroken(f"{type(message).__name__} may not come now")

    def next_want(self) -> Want | None:
        """What is wanted of the first file that was named; C{None} until that is known."""
        return self._wants.popleft() if self._wants else None

    def _answered(self, want: Want) -> None:
        size = self._unanswered.popleft()
        if want.have > size:
            raise ProtocolBroken(f"it has {want.have} bytes of a file of {size}")
        if len(want.hashes) != _hashes(want.have, size):
            raise ProtocolBroken(f"{len(want.hashes)} bytes of hashes come for {want.have} bytes")
        if want.fixed and want.have != size:
            raise ProtocolBroken("it cannot keep a file of another size")
        self._wants.append(want)


def _hashes(have: int, size: int) -> int:
    """The bytes of the hashes for so much of a file of this size."""
    return -(-have // chunk_bytes(size)) * HASH_BYTES
