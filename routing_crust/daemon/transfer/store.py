"""
The receiver's folder. Each item that comes, a file or a folder with all that is in it, grows in a temporary
folder beside its place, where only this user can get at it, and takes its name when it is complete.

The temporary folder has its name from the sender and the item, so the next attempt finds what there is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from .errors import AlreadyThere, TransferError, disk_error, shown
from .folders import FOLDER_FLAGS, Folder
from .incoming import IncomingFile
from .messages import Entry, Offer
from .receiving import RESERVED_PREFIX

ITEM: Final = b"item"
"""The name of what comes, in its temporary folder."""
_TEMPORARY_DIGITS: Final = 20
_ITEM_DEPTH: Final = 2
"""The folders that are open when the present one is the item itself."""
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Store:
    """A folder, open, and how things are put there."""

    def __init__(self, folder: Path, *, overwrite: bool = False, preserve: bool = False) -> None:
        """
        @param overwrite: a file may take the place of another.
        @param preserve: give files and folders the times and permissions that they have at the sender.
        @raise TransferError: the folder cannot be used.
        """
        try:
            self.descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise disk_error(shown((os.fsencode(folder),)), error) from None
        self.overwrite = overwrite
        self.preserve = preserve
        # it cannot be read otherwise
        self._umask = os.umask(0o077)
        os.umask(self._umask)

    def close(self) -> None:
        """Close the folder."""
        os.close(self.descriptor)

    def check_room(self, offer: Offer, sender: str) -> None:
        """
        @raise TransferError: the disk has no room for what is offered.
        """
        # of what an earlier attempt left, only its end would tell how much it is
        if any(self._is_there(temporary_name(sender, each)) for each in offer.items):
            return
        disk = os.fstatvfs(self.descriptor)
        free = disk.f_bavail * disk.f_frsize
        if offer.stored > free:
            raise TransferError(f"the disk has {free} bytes left, and these are {offer.stored}")

    def mode(self, entry: Entry) -> int:
        """The permission bits that a file or folder gets."""
        return entry.mode if self.preserve else entry.mode & ~self._umask

    def modified(self, entry: Entry) -> int | None:
        """The time that a file or folder gets; C{None} leaves the present one."""
        return entry.modified if self.preserve else None

    def _is_there(self, name: bytes) -> bool:
        try:
            os.lstat(name, dir_fd=self.descriptor)
        except OSError:
            return False
        return True


class Item:
    """
    One item that comes.

    @ivar fixed: it is in its place already, and is compared only.
    """

    def __init__(self, store: Store, sender: str, entry: Entry) -> None:
        """
        @param sender: its proven name.
        @param entry: the first of the item.
        @raise TransferError: something else is in its place, or the disk does not take it.
        """
        self.name = entry.path[0]
        self._store = store
        self._is_folder = entry.size is None
        self._entry = entry
        self._there: os.stat_result | None = None
        self.fixed = self._decide()
        self._open_files = 0
        self._complete = False
        self._temporary = temporary_name(sender, self.name)
        if self.fixed:
            base = os.dup(store.descriptor)
        else:
            try:
                base = self._make_temporary()
            except OSError as error:
                raise disk_error(shown(entry.path), error) from None
        self._folders = [Folder(base, self.fixed)]

    def enter(self, entry: Entry) -> IncomingFile | None:
        """
        A file or folder of it comes.

        @return: the file, if it is one.
        @raise TransferError: the disk does not take it.
        """
        self._leave(len(entry.path))
        parent = self._folders[-1]
        name = entry.path[-1] if len(entry.path) > 1 or self.fixed else ITEM
        if entry.size is None:
            mode = self._store.mode(entry)
            self._folders.append(parent.folder(name, entry.path, mode, self._store.modified(entry)))
            return None
        descriptor = parent.file(name, entry.path, entry.size)
        self._open_files += 1
        return IncomingFile(entry, descriptor, self.fixed)

    def ended(self, file: IncomingFile, digest: bytes) -> None:
        """
        All of a file has come; it is closed in any case.

        @raise TransferError: it is not what was sent, or the disk does not take it.
        """
        self._open_files -= 1
        try:
            mode = self._store.mode(file.entry)
            file.finish(digest, mode, self._store.modified(file.entry))
            if not self._is_folder:
                file.flush()
        finally:
            file.close()
        self._publish()

    def complete(self) -> None:
        """
        Nothing more of it will be named.

        @raise TransferError: it cannot be put in its place.
        """
        self._leave(1)
        self._complete = True
        self._publish()

    def close(self) -> None:
        """Close what is open. What has come stays for the next attempt."""
        for folder in self._folders:
            folder.close()
        self._folders.clear()

    def _leave(self, depth: int) -> None:
        while len(self._folders) > depth:
            folder = self._folders[-1]
            folder.tidy()
            if len(self._folders) == _ITEM_DEPTH and self._is_folder:
                # a folder that may not be written could not be moved
                return
            folder.settle()
            self._folders.pop().close()

    def _decide(self) -> bool:
        """
        Look at what has the name now.

        @return: whether it may be the same.
        """
        store, entry = self._store, self._entry
        try:
            there = os.lstat(self.name, dir_fd=store.descriptor)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise disk_error(shown(entry.path), error) from None
        # of a link not even its target is overwritten: lstat shows no regular file
        if store.overwrite and not self._is_folder and stat.S_ISREG(there.st_mode):
            self._there = there
            return False
        wanted = stat.S_ISDIR if self._is_folder else stat.S_ISREG
        if not wanted(there.st_mode) or (entry.size is not None and entry.size != there.st_size):
            raise self._already_there()
        return True

    def _make_temporary(self) -> int:
        above = self._store.descriptor
        with suppress(FileExistsError):
            os.mkdir(self._temporary, 0o700, dir_fd=above)
        descriptor = os.open(self._temporary, FOLDER_FLAGS, dir_fd=above)
        try:
            info = os.fstat(descriptor)
            # somebody else may have made it, to reach into it later
            if info.st_uid != os.geteuid() or stat.S_IMODE(info.st_mode) & 0o077:
                raise TransferError(
                    f"{shown((self._temporary,))} is not a folder of this user alone: remove it"
                )
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise TransferError(f"{shown((self.name,))} is being received already") from None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _publish(self) -> None:
        if not self._complete or self._open_files:
            return
        try:
            if not self.fixed:
                self._put_in_place()
        except FileExistsError:
            raise self._already_there() from None
        except OSError as error:
            raise disk_error(shown((self.name,)), error) from None
        finally:
            self.close()

    def _put_in_place(self) -> None:
        here, above = self._folders[0].descriptor, self._store.descriptor
        if self._is_folder:
            # one call instead of one for each file
            os.sync()
            if self._store._is_there(self.name):
                raise FileExistsError
            os.rename(ITEM, self.name, src_dir_fd=here, dst_dir_fd=above)
            # after the move, which the permissions that it gets now may forbid
            self._folders[1].settle()
        elif self._there is not None:
            # no moment without the one or the other
            os.replace(ITEM, self.name, src_dir_fd=here, dst_dir_fd=above)
        else:
            self._link(here, above)
        os.fsync(above)
        os.rmdir(self._temporary, dir_fd=above)

    def _link(self, here: int, above: int) -> None:
        """Give a file its name; os.rename would take it from another that has just got it."""
        try:
            os.link(ITEM, self.name, src_dir_fd=here, dst_dir_fd=above, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if self._store._is_there(self.name):
                raise FileExistsError from None
            os.rename(ITEM, self.name, src_dir_fd=here, dst_dir_fd=above)
        else:
            os.unlink(ITEM, dir_fd=here)

    def _already_there(self) -> AlreadyThere:
        return AlreadyThere((self.name,), self._is_folder)


def temporary_name(sender: str, item: bytes) -> bytes:
    """
    The temporary folder of an item.

    @param sender: its proven name.
    """
    digest = sha256(sender.encode() + b"\0" + item).hexdigest()
    return RESERVED_PREFIX + digest[:_TEMPORARY_DIGITS].encode()
