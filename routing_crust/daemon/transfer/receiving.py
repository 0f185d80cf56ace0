"""
What a receiver may be told, and when: the rules, without a disk and without a stream.

Each file and folder comes after the folder that it is in, and after those of the same folder with a lesser
name. So the folders above the present one are all that is held, and no name comes twice.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final

from .messages import (
    MAX_PATH_BYTES,
    VERSION,
    Data,
    Done,
    End,
    Entry,
    Failed,
    Message,
    Offer,
    ProtocolBroken,
    Want,
)

MAX_AHEAD: Final = 128
"""Files that a sender may name before it has sent what it named first."""
RESERVED_PREFIX: Final = b".routing-crust-"
"""How the temporary folders of a receiver begin: no item may have such a name."""


class Stage(Enum):
    """How far a transfer has come."""

    OFFERED = "offered"
    RUNNING = "running"
    DONE = "done"
    """The sender has sent all."""
    FAILED = "failed"


class Expected:
    """
    A file that was named and is not there yet.

    @ivar position: where the next bytes belong at the earliest.
    @ivar covered: how much of it is there, from its beginning.
    @ivar answered: whether the sender was told what is wanted of it.
    @ivar fixed: whether nothing of it may be sent.
    """

    __slots__ = ("answered", "covered", "entry", "fixed", "position", "size")

    def __init__(self, entry: Entry, size: int) -> None:
        self.entry = entry
        self.size = size
        self.position = self.covered = 0
        self.answered = self.fixed = False


class ReceivingRules:
    """
    The rules for one transfer. The reader of the stream gives it each message and all data, in order, before
    acting on it.

    @ivar offer: what is offered; C{None} until that has come.
    @ivar stage: see L{Stage}; C{None} until there is an offer.
    @ivar expected: the files that were named and have not ended, the first of them first.
    """

    def __init__(self) -> None:
        self.offer: Offer | None = None
        self.stage: Stage | None = None
        self.expected: deque[Expected] = deque()
        self._files_left = self._folders_left = self._size_left = 0
        self._folders: list[bytes] = []
        self._last: tuple[bytes, ...] = ()

    def told(self, message: Message) -> None:
        """
        A message came.

        @raise ProtocolBroken: it may not come, or not now.
        """
        if isinstance(message, Failed) and self.stage is not Stage.FAILED:
            self.stage = Stage.FAILED
        elif isinstance(message, Offer) and self.stage is None:
            self._offered(message)
        elif isinstance(message, Entry) and self.stage is Stage.RUNNING:
            self._named(message)
        elif isinstance(message, End) and self.stage is Stage.RUNNING:
            if not self.expected or not self.expected[0].answered:
                raise ProtocolBroken("a file ends that was not begun")
            self.expected.popleft()
        elif isinstance(message, Done) and self.stage is Stage.RUNNING:
            if self.expected:
                raise ProtocolBroken(f"the transfer ends, and {len(self.expected)} files have not")
            if not self._last:
                # fewer than were offered is no fault: some may have gone meanwhile; but not all
                raise ProtocolBroken("the transfer ends, and nothing has come")
            self.stage = Stage.DONE
        else:
            raise ProtocolBroken(f"{type(message).__name__} may not come now")

    def accepted(self) -> None:
        """The offer is taken."""
        assert self.stage is Stage.OFFERED
        self.stage = Stage.RUNNING

    def answered(self, file: Expected, want: Want) -> None:
        """The sender is told what is wanted of a file."""
        file.answered = True
        file.fixed = want.fixed

    def data(self, data: Data) -> Expected:
        """
        Bytes came.

        @return: the file that they are of.
        @raise ProtocolBroken: they may not come, or not there.
        """
        file = self.expected[0] if self.expected else None
        if file is None or not file.answered or self.stage is not Stage.RUNNING:
            raise ProtocolBroken("bytes come that are of no file")
        if file.fixed:
            raise ProtocolBroken("bytes come of a file that is there already")
        end = data.offset + len(data.content)
        # forwards only: what came twice could be told two ways
        if data.offset < file.position:
            raise ProtocolBroken(f"bytes at {data.offset} come after those up to {file.position}")
        if end > file.size:
            raise ProtocolBroken(f"bytes up to {end} come of a file of {file.size}")
        file.position = end
        return file

    def _offered(self, offer: Offer) -> None:
        if offer.version != VERSION:
            raise ProtocolBroken(
                f"it sends by version {offer.version} of the protocol, this is version {VERSION}: "
                "update the older one"
            )
        self.offer = offer
        self.stage = Stage.OFFERED
        self._files_left, self._folders_left = offer.files, offer.folders
        self._size_left = offer.size

    def _named(self, entry: Entry) -> None:
        check_path(entry.path)
        *folders, name = entry.path
        # not below what was left, nor below a file
        if folders != self._folders[: len(folders)]:
            raise ProtocolBroken("a file comes before the folder that it is in")
        # as tuples: all of one folder before what follows it
        if self._last and not self._last < entry.path:
            raise ProtocolBroken("a name comes twice, or not in its order")
        self._last = entry.path
        self._folders = folders
        if entry.size is None:
            self._folders.append(name)
            self._folders_left -= 1
        else:
            self._files_left -= 1
            self._size_left -= entry.size
            self.expected.append(Expected(entry, entry.size))
        if self._files_left < 0 or self._folders_left < 0 or self._size_left < 0:
            raise ProtocolBroken("more comes than was offered")
        if len(self.expected) > MAX_AHEAD:
            raise ProtocolBroken("too many files are named in advance")


def check_path(path: tuple[bytes, ...]) -> None:
    """
    @raise ProtocolBroken: it leads elsewhere, or is no path for a file.
    """
    for name in path:
        if name in (b".", b"..") or b"/" in name or b"\0" in name:
            raise ProtocolBroken(f"{name!r} is no name of a file")
    # some disks do not tell capitals from small letters
    if path[0].lower().startswith(RESERVED_PREFIX):
        raise ProtocolBroken(f"{path[0]!r} is a name for temporary files")
    if sum(map(len, path)) + len(path) > MAX_PATH_BYTES:
        raise ProtocolBroken(f"a path has more than {MAX_PATH_BYTES} bytes")
