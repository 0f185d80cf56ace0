"""
Small files of text in a state directory, read within a bound and written whole or not at all.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..errors import TrustFileError
from ..files import write_atomically


def read_text(path: Path, limit: int, what: str) -> str | None:
    """
    The text of a file; C{None} if there is no file.

    @param what: what the errors call it.
    @raise TrustFileError: it cannot be read, or cannot be one of ours.
    """
    try:
        # a pipe without a writer would block the start for ever
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            data = file.read(limit + 1) if is_file else b""
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrustFileError(f"the {what} {path} cannot be read: {error.strerror}") from None
    if not is_file or len(data) > limit:
        raise TrustFileError(f"the {what} {path} is no plain file, or too long: move it away")
    # what is no ASCII is damage, which the reader of the text finds
    return data.decode("ascii", "replace")


def write_text(path: Path, text: str) -> None:
    """
    Write a file whole, for its owner alone.

    @raise OSError: it cannot be written; the old one is still there.
    """
    write_atomically(path, text.encode("ascii"))
