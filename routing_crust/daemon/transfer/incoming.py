"""One file on the receiver's disk, from what is there of it to its last byte."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Final

from ...limits import MIB
from .errors import AlreadyThere, TransferError, disk_error, shown
from .messages import MAX_DATA_BYTES, Entry, Want, chunk_bytes
from .source import zero_blocks

_WRITTEN_BYTES: Final = 8 * MIB
"""After these the kernel is told to write to the disk."""


class IncomingFile:
    """
    A file that is received, open.

    The hash of the whole goes along with what is written. If something before that is written again, the file
    is read once more in the end.

    @ivar entry: as the sender named it.
    """

    def __init__(self, entry: Entry, descriptor: int, fixed: bool) -> None:
        """
        @param fixed: it is in its place already, and must be the same.
        """
        assert entry.size is not None
        self.entry = entry
        self._size = entry.size
        self._descriptor = descriptor
        self._fixed = fixed
        self._hasher = hashlib.sha256()
        self._hashed = self._begun = 0
        self._read_again = False

    def want(self) -> Want:
        """
        What the sender is asked for: look at what there is.

        @raise TransferError: it cannot be read.
        """
        hashes = bytearray()
        try:
            have = os.fstat(self._descriptor).st_size
            # an earlier attempt was at a longer file of this name
            if have > self._size:
                os.ftruncate(self._descriptor, self._size)
                have = self._size
            chunk = chunk_bytes(self._size)
            for start in range(0, have, chunk):
                hasher = hashlib.sha256()
                for block in self._blocks(start, min(start + chunk, have)):
                    hasher.update(block)
                    self._hasher.update(block)
                hashes += hasher.digest()
        except OSError as error:
            raise disk_error(shown(self.entry.path), error) from None
        self._hashed = self._begun = have
        return Want(have, bytes(hashes), self._fixed)

    def write(self, offset: int, content: bytes) -> None:
        """
        Write bytes.

        @raise TransferError: the disk does not take them.
        """
        try:
            view = memoryview(content)
            at = offset
            while view:
                written = os.pwrite(self._descriptor, view, at)
                at += written
                view = view[written:]
            self._begin_writing(at)
        except OSError as error:
            raise disk_error(shown(self.entry.path), error) from None
        if offset < self._hashed:
            self._read_again = True
        elif not self._read_again:
            # what was skipped is a hole, which reads as zeros
            self._zeros(offset)
            self._hasher.update(content)
            self._hashed = at

    def finish(self, digest: bytes, mode: int, modified: int | None) -> None:
        """
        All has come.

        @param digest: what the sender says is its SHA-256.
        @param mode: the permission bits that it gets.
        @param modified: when it shall have been changed last, in nanoseconds; C{None} is now.
        @raise TransferError: it is not what was sent, or the disk does not take it.
        """
        try:
            if not self._fixed:
                # a hole at the end
                os.ftruncate(self._descriptor, self._size)
            if self._read_again:
                self._hasher = hashlib.sha256()
                for block in self._blocks(0, self._size):
                    self._hasher.update(block)
            else:
                self._zeros(self._size)
            if self._hasher.digest() != digest:
                self._is_another()
            if not self._fixed:
                os.fchmod(self._descriptor, mode)
                if modified is not None:
                    os.utime(self._descriptor, ns=(modified, modified))
        except OSError as error:
            raise disk_error(shown(self.entry.path), error) from None

    def flush(self) -> None:
        """
        Have the disk keep it.

        @raise TransferError: it cannot.
        """
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise disk_error(shown(self.entry.path), error) from None

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _begin_writing(self, end: int) -> None:
        """Have the kernel write now, so that L{flush} finds little left to wait for."""
        if end - self._begun >= _WRITTEN_BYTES and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._descriptor, self._begun, end - self._begun, os.POSIX_FADV_DONTNEED)
            self._begun = end

    def _is_another(self) -> None:
        if self._fixed:
            raise AlreadyThere(self.entry.path, False)
        # what is there is of no use to the next attempt
        os.ftruncate(self._descriptor, 0)
        raise TransferError(
            f"{shown(self.entry.path)} has come with another hash than it was sent with: a disk or a memory "
            "is faulty; send it again"
        )

    def _zeros(self, end: int) -> None:
        for zeros in zero_blocks(end - self._hashed):
            self._hasher.update(zeros)
        self._hashed = end

    def _blocks(self, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            block = os.pread(self._descriptor, min(MAX_DATA_BYTES, end - start), start)
            if not block:
                raise TransferError(f"{shown(self.entry.path)} has become shorter on the disk")
            yield block
            start += len(block)
