"""
Files of a state directory: reads that neither block nor fill the memory, and atomic writes.

After a crash, a kill or a full disk, a file holds either the old content or the new.

The new content goes to a temporary file in the same folder, is flushed to the disk, and only then takes
the name; the folder is flushed last, so that the new name survives a power cut as well.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path


def read_bounded(path: Path, most: int) -> bytes:
    """
    Read the first bytes of a file, whatever stands in its place.

    @param most: how many bytes at most.

    @raise FileNotFoundError: it is not there.
    @raise OSError: it cannot be read, or is no plain file.
    """
    # a pipe without a writer would block for ever
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        return file.read(most)


def write_atomically(path: Path, data: bytes, mode: int = 0o600, *, replace: bool = True) -> None:
    """
    Write C{data} to C{path} so that no reader ever sees a part of it.

    @param mode: the permission bits of the new file.
    @param replace: whether an existing file may be replaced.
    @raise FileExistsError: the file exists and C{replace} is false.
    @raise OSError: the disk is full, or the folder cannot be written; the old file is untouched and no
        temporary file is left. Only if the last step fails, the flush of the folder, is the new file already
        in place, and a power cut may restore the old one.
    """
    # Open the folder first: if that fails, it must fail before the file is replaced.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _write(path, data, mode, replace)
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(path: Path, data: bytes, mode: int, replace: bool) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(temporary, path)
        else:
            # os.replace would overwrite a file that appeared meanwhile; os.link fails.
            os.link(temporary, path)
            os.unlink(temporary)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
