"""
What ends a transfer at one of its ends. The texts are for both operators: no folder of a machine is in them.
"""

from __future__ import annotations

import errno
from typing import Final

from ...plain_errors import RoutingCrustError
from ..text import one_line

_PLAIN: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than the system allows",
    errno.ENAMETOOLONG: "the name is too long for the disk",
    errno.EACCES: "permission denied",
    errno.EROFS: "the disk can only be read",
    errno.EINVAL: "the disk does not take the name",
    errno.EILSEQ: "the disk does not take the name",
}


class TransferError(RoutingCrustError):
    """A transfer cannot go on."""


class AlreadyThere(TransferError):
    """Something else has the name of what comes."""

    def __init__(self, path: tuple[bytes, ...], is_folder: bool) -> None:
        way = "move it away" if is_folder else "move it away, or receive with --overwrite"
        super().__init__(f"{shown(path)} is there already, and is not the same: {way}")


def shown(path: tuple[bytes, ...]) -> str:
    """A path for people: in one line, with escapes for what is no text."""
    return one_line(b"/".join(path).decode("utf-8", "backslashreplace"))


def disk_error(what: str, error: OSError) -> TransferError:
    """
    @param what: what could not be read or written.
    """
    said = _PLAIN.get(error.errno or 0) or (error.strerror or str(error)).lower()
    return TransferError(f"{what}: {said}")
