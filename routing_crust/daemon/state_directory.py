"""
The state directory: where a daemon keeps its key, its saved contacts and its control socket, with a lock that
keeps a second daemon out.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ..plain_errors import ConfigurationError

DIRECTORY_MODE: Final = 0o700
DEFAULT_NETWORK: Final = "default"
MAX_SOCKET_PATH_BYTES: Final = 107
"""The system's field for the path of a UNIX socket has 108 bytes, the last of them zero."""


def default_state_dir(network: str) -> Path:
    """
    The default state directory of this user's daemon for a network:
    C{/var/lib/routing-crust/<network>} for root, else C{routing-crust/<network>} in C{$XDG_STATE_HOME},
    which is C{~/.local/state} by default (XDG Base Directory Specification 0.8).
    """
    # an id may hold any characters, and ".." must not lead out of the folder
    folder = quote(network, safe="").replace(".", "%2E")
    if os.geteuid() == 0:
        return Path("/var/lib/routing-crust") / folder
    base = os.environ.get("XDG_STATE_HOME", "")
    # the specification says to ignore a relative path
    home = Path(base) if os.path.isabs(base) else Path("~/.local/state").expanduser()
    return home / "routing-crust" / folder


def prepare_state_dir(path: Path) -> None:
    """
    Make the folder with mode 0700, or check the one that is there.

    @raise ConfigurationError: it cannot be made or used, is somebody else's, or others may enter it.
    """
    try:
        path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        status = path.stat()
    except FileExistsError:
        raise _problem(f"{path} is not a folder: give another path") from None
    except OSError as error:
        raise _problem(f"the folder {path} cannot be made: {error.strerror}") from None
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid():
        raise _problem(
            f"the folder {path} belongs to the user with id {status.st_uid}, and this process runs as "
            f"{os.geteuid()}: run it as that user, or give another folder"
        )
    if mode & 0o077:
        raise _problem(
            f"the folder {path} has mode {mode:04o}, so others may look into it: run 'chmod 700 {path}'"
        )
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise _problem(f"the folder {path} has mode {mode:04o}, so it is of no use: run 'chmod 700 {path}'")


def key_path(state_dir: Path) -> Path:
    """The path of the node's key."""
    return state_dir / "key.pem"


def socket_path(state_dir: Path) -> Path:
    """
    The path of the control socket.

    @raise ConfigurationError: the path is too long for a UNIX socket.
    """
    path = state_dir / "control.sock"
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH_BYTES:
        raise _problem(
            f"the control socket {path} would have a path of {length} bytes, and the system allows "
            f"{MAX_SOCKET_PATH_BYTES}: give a shorter folder"
        )
    return path


class StateLock:
    """
    The exclusive use of a state directory, until it is released or the process ends. The file C{lock} holds
    the id of the process; one that a killed process has left behind does no harm.
    """

    def __init__(self, state_dir: Path) -> None:
        """
        Take the lock.

        @raise ConfigurationError: another process, which the error names, has it; or locking fails.
        """
        self.path = state_dir / "lock"
        try:
            self._descriptor = self._take()
        except BlockingIOError:
            raise _problem(
                f"another daemon, the process {self._holder()}, uses {state_dir}: stop it first, or give "
                "this one another folder"
            ) from None
        except OSError as error:
            raise _problem(f"{self.path} cannot be locked: {error.strerror}") from None

    def release(self) -> None:
        """Remove the file and let others in. Idempotent."""
        if self._descriptor >= 0:
            # while it is still locked, so that it cannot be another process's file
            self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def _take(self) -> int:
        while True:
            # not inherited: a program that we start would hold the lock beyond our end
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # its holder may have removed it just before we locked it; then the name is free again
                if self._is_there(descriptor):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _is_there(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def _holder(self) -> str:
        try:
            text = self.path.read_bytes()[:20].decode("ascii").strip()
        except (OSError, UnicodeDecodeError):
            text = ""
        return text if text.isdigit() else "of an unknown id"


def _problem(text: str) -> ConfigurationError:
    return ConfigurationError("state_dir", text)
