"""What of a transfer is done, for the part that shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Sums:
    """
    The sums of one transfer, changed while it goes on.

    @ivar size: bytes of all files.
    @ivar covered: bytes that are there at the receiver, by now or from before.
    @ivar moved: bytes that went over the stream.
    @ivar files: files that are complete.
    @ivar folders: folders that were named.
    """

    size: int = 0
    covered: int = 0
    moved: int = 0
    files: int = 0
    folders: int = 0
