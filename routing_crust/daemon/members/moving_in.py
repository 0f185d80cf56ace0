"""
Fills a state directory that stays where it is, such as a volume that is mounted, whole or not at all.

What is written goes into a folder inside of it, the crate, and moves up file by file. Before the first move
the crate gets a list of them. While the list and a file are in the crate, the state is unfinished, and who
finds it so removes what has moved. Any other state directory is replaced by a folder that was filled beside
it; what a program that was killed has left of such a folder is removed as well.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ...files import write_atomically
from ...plain_errors import ConfigurationError
from ..state_directory import DIRECTORY_MODE, prepare_state_dir

CRATE_NAME: Final = ".unfinished"
"""The name of the crate, and a part of that of a folder that is to replace the state directory."""
OF_THE_SYSTEM: Final = frozenset({"lost+found"})
"""What a new file system has in it."""
_LIST_NAME: Final = ".list"
_MOUNTS: Final = Path("/proc/self/mountinfo")
_MOUNT_POINT: Final = 4


def stays(state_dir: Path) -> bool:
    """Whether no other folder can take the place of this one: it is mounted, or the one above is not ours."""
    if not state_dir.is_dir():
        return False
    real = state_dir.resolve()
    return (
        os.path.ismount(real) or str(real) in _mount_points() or not os.access(real.parent, os.W_OK | os.X_OK)
    )


def discard_unfinished(state_dir: Path) -> None:
    """
    Remove what a program has left that ended, by a power cut for instance, while it filled the folder.

    @raise ConfigurationError: one is filling it at this moment.
    """
    try:
        crate = _locked(state_dir)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        _clear(state_dir)
    finally:
        os.close(crate)


@contextmanager
def filling(state_dir: Path, last: str) -> Iterator[Path]:
    """
    What is written into the folder that this gives is in C{state_dir}, which is there and empty, when the
    block has ended well; else nothing of it is.

    @param last: the file that moves last: without it the others are of no use.
    @raise OSError: it cannot be written.
    @raise ConfigurationError: the daemon could not use it, or another program fills it.
    """
    if state_dir.stat().st_uid == os.geteuid():
        # a new volume may let others in
        state_dir.chmod(DIRECTORY_MODE)
    prepare_state_dir(state_dir)
    (state_dir / CRATE_NAME).mkdir(mode=DIRECTORY_MODE)
    crate = _locked(state_dir)
    try:
        yield state_dir / CRATE_NAME
        _move(state_dir, last)
    finally:
        _clear(state_dir)
        os.close(crate)


def _move(state_dir: Path, last: str) -> None:
    crate = state_dir / CRATE_NAME
    # a power cut must not leave settings behind that name files which are not there yet
    names = sorted(os.listdir(crate), key=lambda name: (name == last, name))
    foreign = set(os.listdir(state_dir)) - OF_THE_SYSTEM - {CRATE_NAME}
    if foreign:
        raise FileExistsError(errno.EEXIST, f"{min(foreign)} has come meanwhile")
    write_atomically(crate / _LIST_NAME, "\n".join(names).encode())
    for name in names:
        os.rename(crate / name, state_dir / name)
    flush_folder(state_dir)


def _clear(state_dir: Path) -> None:
    """Remove the crate, and if the state is unfinished what has moved out of it."""
    crate = state_dir / CRATE_NAME
    try:
        names = (crate / _LIST_NAME).read_text("utf-8").split("\n")
    except FileNotFoundError:
        names = []
    moved = [name for name in names if not (crate / name).exists()]
    if len(moved) < len(names):
        for name in moved:
            (state_dir / name).unlink(missing_ok=True)
    flush_folder(state_dir)
    shutil.rmtree(crate)
    flush_folder(state_dir)


def _locked(state_dir: Path) -> int:
    """
    The descriptor of the crate, which nobody else has while it is open.
    """
    crate = os.open(state_dir / CRATE_NAME, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(crate, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(crate)
        raise ConfigurationError(
            "state_dir", f"another program is filling {state_dir} at this moment: wait until it is done"
        ) from None
    return crate


def making_beside(state_dir: Path) -> tuple[Path, int]:
    """
    Make a folder that is to take the place of a state directory.

    @return: the folder, and a descriptor that keeps others from removing it as long as it is open.
    @raise OSError: it cannot be made.
    """
    # beside it, since a folder is renamed within one file system only; mkdtemp gives it mode 0700
    making = Path(tempfile.mkdtemp(prefix=_prefix(state_dir), dir=state_dir.parent))
    lock = os.open(making, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return making, lock


def discard_abandoned(state_dir: Path) -> None:
    """Remove the folders of L{making_beside} that programs have left which were killed: a key is in them."""
    try:
        left = [each for each in os.listdir(state_dir.parent) if each.startswith(_prefix(state_dir))]
    except OSError:
        return
    for name in left:
        with suppress(OSError):
            lock = os.open(state_dir.parent / name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(state_dir.parent / name, ignore_errors=True)
            finally:
                os.close(lock)


def _prefix(state_dir: Path) -> str:
    return f".{state_dir.name}{CRATE_NAME}."


def flush_folder(folder: Path) -> None:
    """Have the names in a folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mount_points() -> set[str]:
    """Where something is mounted, by what the system says: a folder of the same file system, too."""
    try:
        lines = _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return set()
    # a space in a path is written as \040
    return {line.split(" ")[_MOUNT_POINT].replace("\\040", " ") for line in lines}
