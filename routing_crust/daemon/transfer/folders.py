"""
Folders on the receiver's disk, opened one below the other by descriptor: no symbolic link on the way is
followed, no matter who puts it there, and when.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import Final

from .errors import AlreadyThere, TransferError, disk_error, shown

FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PRIVATE_FOLDER: Final = 0o700
_PRIVATE_FILE: Final = 0o600


class Folder:
    """
    A folder that is received.

    @ivar descriptor: of it.
    @ivar fixed: it is in its place already, and must be the same.
    """

    def __init__(
        self, descriptor: int, fixed: bool, mode: int = _PRIVATE_FOLDER, modified: int | None = None
    ) -> None:
        """
        @param mode: the permission bits that it gets in the end.
        @param modified: when it shall have been changed last, in nanoseconds; C{None} leaves that.
        """
        self.descriptor = descriptor
        self.fixed = fixed
        self._mode = mode
        self._modified = modified
        self._came: set[int] = set()

    def folder(self, name: bytes, path: tuple[bytes, ...], mode: int, modified: int | None) -> Folder:
        """
        Enter a folder in this one; it is made where there is none.

        @raise TransferError: it cannot be.
        """
        try:
            descriptor = self._fixed_folder(name, path) if self.fixed else self._new_folder(name)
            self._once(os.fstat(descriptor), path, descriptor)
            if not self.fixed:
                # one that was left by an earlier attempt may be as it shall be in the end
                os.fchmod(descriptor, _PRIVATE_FOLDER)
        except OSError as error:
            raise disk_error(shown(path), error) from None
        return Folder(descriptor, self.fixed, mode, modified)

    def file(self, name: bytes, path: tuple[bytes, ...], size: int) -> int:
        """
        Open a file in this folder; it is made where there is none.

        @return: its descriptor.
        @raise TransferError: it cannot be.
        """
        try:
            descriptor = self._fixed_file(name, path, size) if self.fixed else self._new_file(name)
            self._once(os.fstat(descriptor), path, descriptor)
        except OSError as error:
            raise disk_error(shown(path), error) from None
        return descriptor

    def tidy(self) -> None:
        """
        Everything of it has been named: throw away what an earlier attempt left and is sent no more.

        @raise TransferError: it cannot be.
        """
        if self.fixed:
            return
        try:
            for name in map(os.fsencode, os.listdir(self.descriptor)):
                if os.lstat(name, dir_fd=self.descriptor).st_ino not in self._came:
                    remove(name, self.descriptor)
        except OSError as error:
            raise disk_error("what an earlier attempt left", error) from None

    def settle(self) -> None:
        """
        Give it the permissions and the time that it shall have in the end.

        @raise TransferError: it cannot be.
        """
        if self.fixed:
            return
        try:
            if self._modified is not None:
                os.utime(self.descriptor, ns=(self._modified, self._modified))
            os.fchmod(self.descriptor, self._mode)
        except OSError as error:
            raise disk_error("the permissions of a folder", error) from None

    def close(self) -> None:
        """Close the folder."""
        os.close(self.descriptor)

    def _once(self, info: os.stat_result, path: tuple[bytes, ...], descriptor: int) -> None:
        # as on a disk that does not tell A from a
        if info.st_ino in self._came:
            os.close(descriptor)
            raise TransferError(f"{shown(path)} has a name that this disk takes for that of another")
        self._came.add(info.st_ino)

    def _new_folder(self, name: bytes) -> int:
        try:
            return self._made_folder(name)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
        # a file of an earlier attempt
        remove(name, self.descriptor)
        return self._made_folder(name)

    def _made_folder(self, name: bytes) -> int:
        with suppress(FileExistsError):
            os.mkdir(name, _PRIVATE_FOLDER, dir_fd=self.descriptor)
        return os.open(name, FOLDER_FLAGS, dir_fd=self.descriptor)

    def _new_file(self, name: bytes) -> int:
        flags = os.O_RDWR | os.O_CREAT | _FILE_FLAGS
        try:
            descriptor = os.open(name, flags, _PRIVATE_FILE, dir_fd=self.descriptor)
        except PermissionError:
            descriptor = self._opened_for_writing(name)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                raise
            return self._replaced(name)
        if _is_plain(descriptor):
            return descriptor
        os.close(descriptor)
        return self._replaced(name)

    def _opened_for_writing(self, name: bytes) -> int:
        """Open a file that an earlier attempt has finished, and nobody may write."""
        reading = os.open(name, os.O_RDONLY | _FILE_FLAGS, dir_fd=self.descriptor)
        try:
            os.fchmod(reading, _PRIVATE_FILE)
        finally:
            os.close(reading)
        return os.open(name, os.O_RDWR | _FILE_FLAGS, dir_fd=self.descriptor)

    def _replaced(self, name: bytes) -> int:
        remove(name, self.descriptor)
        # exclusive: what somebody puts there after the removal is not written to
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _FILE_FLAGS
        return os.open(name, flags, _PRIVATE_FILE, dir_fd=self.descriptor)

    def _fixed_folder(self, name: bytes, path: tuple[bytes, ...]) -> int:
        try:
            return os.open(name, FOLDER_FLAGS, dir_fd=self.descriptor)
        except OSError as error:
            raise AlreadyThere(path[:1], True) from error

    def _fixed_file(self, name: bytes, path: tuple[bytes, ...], size: int) -> int:
        try:
            descriptor = os.open(name, os.O_RDONLY | _FILE_FLAGS, dir_fd=self.descriptor)
        except OSError as error:
            raise AlreadyThere(path[:1], len(path) > 1) from error
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_size != size:
            os.close(descriptor)
            raise AlreadyThere(path[:1], len(path) > 1)
        return descriptor


def _is_plain(descriptor: int) -> bool:
    """A file with one name: another name could be somewhere else."""
    info = os.fstat(descriptor)
    return stat.S_ISREG(info.st_mode) and info.st_nlink == 1


def remove(name: bytes, folder: int) -> None:
    """
    Remove a file, or a folder with all that is in it.

    @raise OSError: it cannot be removed.
    """
    try:
        os.unlink(name, dir_fd=folder)
    except (IsADirectoryError, PermissionError):
        inner = os.open(name, FOLDER_FLAGS, dir_fd=folder)
        try:
            os.fchmod(inner, _PRIVATE_FOLDER)
            for each in map(os.fsencode, os.listdir(inner)):
                remove(each, inner)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=folder)
