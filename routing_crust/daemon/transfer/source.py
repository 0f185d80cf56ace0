"""
The sender's disk: which files and folders there are, and what is in them.

No symbolic link is followed below what the operator names, and nothing but files is read: a device or a pipe
could never end. What is left out is told.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .errors import TransferError, disk_error, shown
from .messages import (
    HASH_BYTES,
    MAX_DATA_BYTES,
    MAX_ENTRIES,
    MAX_FILE_BYTES,
    MAX_SHOWN_ITEMS,
    VERSION,
    Entry,
    Offer,
    ProtocolBroken,
    Want,
    chunk_bytes,
)
from .receiving import check_path

_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_STORED_UNIT_BYTES: Final = 512


class OutgoingFile:
    """
    A file to send, open.

    @ivar entry: as it is named to the receiver.
    """

    def __init__(self, entry: Entry, descriptor: int, info: os.stat_result) -> None:
        assert entry.size is not None
        self.entry = entry
        self._size = entry.size
        self._descriptor = descriptor
        self._before = (info.st_size, info.st_mtime_ns)
        self._has_holes = info.st_blocks * _STORED_UNIT_BYTES < info.st_size
        self._hasher = hashlib.sha256()

    def missing(self, want: Want) -> Iterator[tuple[int, bytes]]:
        """
        Read the file, and give what the receiver has not got, with its offsets.

        @raise TransferError: the file has changed since it was named, or cannot be read.
        """
        chunk = chunk_bytes(self._size)
        for number, start in enumerate(range(0, want.have, chunk)):
            end = min(start + chunk, want.have)
            theirs = want.hashes[number * HASH_BYTES : (number + 1) * HASH_BYTES]
            hasher = hashlib.sha256()
            for _, block in self._blocks(start, end):
                hasher.update(block)
                self._hasher.update(block)
            if hasher.digest() != theirs and not want.fixed:
                yield from self._blocks(start, end)
        for offset, block in self._rest(want.have):
            self._hasher.update(block)
            if offset is not None:
                yield offset, block

    def digest(self) -> bytes:
        """
        The SHA-256 of the file, after all of L{missing}.

        @raise TransferError: it has changed since it was named.
        """
        self._check(os.fstat(self._descriptor))
        return self._hasher.digest()

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _blocks(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        while start < end:
            try:
                block = os.pread(self._descriptor, min(MAX_DATA_BYTES, end - start), start)
            except OSError as error:
                raise disk_error(shown(self.entry.path), error) from None
            if not block:
                raise self._changed()
            yield start, block
            start += len(block)

    def _rest(self, start: int) -> Iterator[tuple[int | None, bytes]]:
        """What follows a position; holes come as zeros that belong nowhere."""
        while start < self._size:
            # a file without holes is not searched for them
            hole = self._next(os.SEEK_HOLE, start) if self._has_holes else self._size
            yield from self._blocks(start, hole)
            start = self._next(os.SEEK_DATA, hole) if hole < self._size else hole
            for zeros in zero_blocks(start - hole):
                yield None, zeros

    def _next(self, whence: int, start: int) -> int:
        try:
            return min(os.lseek(self._descriptor, start, whence), self._size)
        except OSError:
            # no data up to the end, or a disk that knows of no holes
            return self._size if whence == os.SEEK_DATA else min(self._size, start + MAX_DATA_BYTES)

    def _check(self, info: os.stat_result) -> None:
        if (info.st_size, info.st_mtime_ns) != self._before:
            raise self._changed()

    def _changed(self) -> TransferError:
        return TransferError(
            f"{shown(self.entry.path)} has changed while it was sent: send it again, and what has come is "
            "not sent twice"
        )


def zero_blocks(length: int) -> Iterator[bytes]:
    """This number of zeros, in pieces."""
    zeros = bytes(min(length, MAX_DATA_BYTES))
    while length:
        yield zeros[:length]
        length -= min(length, len(zeros))


@dataclass(slots=True)
class _Count:
    files: int = 0
    folders: int = 0
    size: int = 0
    stored: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """
    What the operator wants to send.

    @ivar items: each path by the name that the receiver gets, in the order of the names.
    @ivar left_out: told what is not sent, and why.
    """

    items: dict[bytes, Path]
    left_out: Callable[[str], object] = field(default=lambda text: None)

    @classmethod
    def of(cls, paths: Iterable[Path], left_out: Callable[[str], object]) -> Source:
        """
        @raise TransferError: one of them cannot be sent.
        """
        items: dict[bytes, Path] = {}
        for path in paths:
            # also of '.' and 'photos/..'; of a link only the folder is resolved
            whole = Path(os.path.abspath(path))
            name = os.fsencode(whole.name)
            if not name:
                raise TransferError(f"{shown((os.fsencode(path),))} has no name: give what is in it")
            try:
                check_path((name,))
            except ProtocolBroken as error:
                raise TransferError(str(error)) from None
            if name in items:
                raise TransferError(f"{shown((name,))} is given twice: send them one after the other")
            items[name] = whole
        return cls(dict(sorted(items.items())), left_out)

    def offer(self) -> Offer:
        """
        Count what there is.

        @raise TransferError: something cannot be read, or is too much.
        """
        count = _Count()
        for entry, info, descriptor in self._walk(self.left_out):
            os.close(descriptor)
            if entry.size is None:
                count.folders += 1
                continue
            count.files += 1
            count.size += entry.size
            count.stored += min(entry.size, info.st_blocks * _STORED_UNIT_BYTES)
        if max(count.files, count.folders) > MAX_ENTRIES:
            raise TransferError(f"these are more than {MAX_ENTRIES} files: pack them, or send them in parts")
        names = tuple(self.items)[:MAX_SHOWN_ITEMS]
        return Offer(VERSION, count.files, count.folders, count.size, count.stored, names)

    def entries(self) -> Iterator[Entry | OutgoingFile]:
        """
        Every folder and, open, every file, in the order of their paths.

        @raise TransferError: something cannot be read.
        """
        # what is left out was told when it was counted
        for entry, info, descriptor in self._walk(lambda text: None):
            if entry.size is None:
                os.close(descriptor)
                yield entry
            else:
                yield OutgoingFile(entry, descriptor, info)

    def _walk(self, left_out: Callable[[str], object]) -> Iterator[tuple[Entry, os.stat_result, int]]:
        for name, path in self.items.items():
            found = _open((name,), path, None)
            if found is None:
                raise TransferError(_unwanted(path))
            yield from _below(found, left_out)


_Found = tuple[Entry, os.stat_result, int]


def _below(found: _Found, left_out: Callable[[str], object]) -> Iterator[_Found]:
    entry, _, descriptor = found
    if entry.size is not None:
        yield found
        return
    # its own, since the one that takes the entry closes that
    folder = os.dup(descriptor)
    try:
        yield found
        try:
            names = sorted(map(os.fsencode, os.listdir(folder)))
        except OSError as error:
            raise disk_error(shown(entry.path), error) from None
        for name in names:
            path = (*entry.path, name)
            inner = _open(path, name, folder)
            if inner is None:
                left_out(f"{shown(path)} is left out: it is no file and no folder")
            else:
                try:
                    check_path(path)
                except ProtocolBroken as error:
                    os.close(inner[2])
                    raise TransferError(f"{shown(path)[:100]}: {error}") from None
                yield from _below(inner, left_out)
    finally:
        os.close(folder)


def _open(path: tuple[bytes, ...], name: bytes | Path, folder: int | None) -> _Found | None:
    """Open a file or folder; C{None} if it is something else."""
    try:
        before = os.stat(name, dir_fd=folder, follow_symlinks=False)
        is_folder = stat.S_ISDIR(before.st_mode)
        if not is_folder and not stat.S_ISREG(before.st_mode):
            return None
        descriptor = os.open(name, _FOLDER if is_folder else _FILE, dir_fd=folder)
    except OSError as error:
        raise disk_error(shown(path), error) from None
    info = os.fstat(descriptor)
    # somebody may have put something else there in between
    if not stat.S_ISDIR(info.st_mode) and not stat.S_ISREG(info.st_mode):
        os.close(descriptor)
        return None
    size = None if stat.S_ISDIR(info.st_mode) else info.st_size
    if size is not None and size > MAX_FILE_BYTES:
        os.close(descriptor)
        raise TransferError(f"{shown(path)} is larger than {MAX_FILE_BYTES} bytes")
    return Entry(path, info.st_mode & 0o777, info.st_mtime_ns, size), info, descriptor


def _unwanted(path: Path) -> str:
    name = shown((os.fsencode(path.name),))
    if path.is_symlink():
        return f"{name} is a symbolic link: give what it points to"
    return f"{name} is no file and no folder"
