"""
The console script's end of the control socket. It is plain blocking code, since the script does one thing at
a time.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import BinaryIO, Final, NoReturn, TypeVar

from ...plain_errors import RoutingCrustError
from ..state_directory import key_path
from .messages import MAX_REPLY_BYTES, Command, FailedReply, Reply, decode_reply, encode, kind_of

TELL_SECONDS: Final = 1.0
"""Between two reports to the program that waits."""
_Reply = TypeVar("_Reply")
_CREDENTIALS: Final = struct.Struct("3i")
"""C{struct ucred} of Linux, unix(7): process, user, group."""


class ClientError(RoutingCrustError):
    """
    The daemon refused a command, or cannot be reached. The text is for the operator.

    @ivar kind: the class of the error in the daemon; empty if it did not refuse.
    """

    kind = ""


class NoDaemon(ClientError):
    """Nothing listens on the control socket."""


class ControlClient:
    """One connection to a daemon; a context manager that closes it."""

    def __init__(self, path: Path, how_to_start: str) -> None:
        """
        @param path: the control socket.
        @param how_to_start: the command that starts the daemon, for the error.
        @raise ClientError: no daemon listens there, or we may not talk to it.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            self._socket.close()
            raise NoDaemon(
                f"no daemon runs with the state directory {path.parent}{_first_steps(path.parent)} start one "
                f"with '{how_to_start}', or say where it is with --state-dir, --network or --config"
            ) from None
        # the folder lets nobody else in, so another user's script fails here
        except PermissionError:
            self._socket.close()
            raise ClientError(
                f"permission denied on {path}: run this as the user that the daemon runs as"
            ) from None
        except OSError as error:
            self._socket.close()
            raise ClientError(
                f"the control socket {path} cannot be used: {error.strerror or error}"
            ) from None
        self._file: BinaryIO = self._socket.makefile("rb")

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # a thread that reads would keep the file from being closed
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self._socket.close()

    @property
    def process(self) -> int | None:
        """
        The number that the daemon has among our processes; 0 if it is not among them, as in a container;
        C{None} where the system does not tell.
        """
        option = getattr(socket, "SO_PEERCRED", None)
        if option is None:
            return None
        told = self._socket.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
        number: int = _CREDENTIALS.unpack(told)[0]
        return number

    def ask(
        self,
        command: Command,
        expected: type[_Reply],
        timeout: float,
        waiting: Callable[[float], object] | None = None,
    ) -> _Reply:
        """
        Send a command and wait for its reply.

        @param timeout: how long each step may take, in seconds.
        @param waiting: is told each second how many have gone by.
        @raise ClientError: the daemon refuses it, is gone, or does not answer in time.
        """
        self._socket.settimeout(timeout)
        self._write(command)
        try:
            if waiting is not None:
                self._wait(timeout, waiting)
            reply = self._read()
        except TimeoutError:
            raise ClientError(f"no answer within {timeout:g} s") from None
        if not isinstance(reply, expected):
            raise ClientError(f"the daemon answered with {kind_of(reply)!r}: is it of another version?")
        return reply

    def replies(self) -> Iterator[Reply]:
        """
        Iterate over what else the daemon says.

        @raise ClientError: the daemon has stopped.
        """
        self._socket.settimeout(None)
        while True:
            yield self._read()

    def wait_for_the_end(self, said: Callable[[Reply], object]) -> NoReturn:
        """
        Pass on what else the daemon says.

        @raise ClientError: the daemon has stopped.
        """
        self._socket.settimeout(None)
        while True:
            said(self._read())

    def tell(self, command: Command) -> None:
        """Send a command that is not replied to."""
        self._write(command)

    def becomes_a_stream(self) -> tuple[socket.socket, BinaryIO]:
        """
        The connection after the reply to an C{open}: from now on it carries chunks only.

        @return: where to write them, and where to read them, with what came already.
        """
        self._socket.settimeout(None)
        return self._socket, self._file

    def _wait(self, timeout: float, waiting: Callable[[float], object]) -> None:
        began = monotonic()
        # not select(), which knows no descriptor above 1,023: the program that starts us may have left many
        # open
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while not poll.poll(1000 * min(TELL_SECONDS, timeout)):
            gone = monotonic() - began
            if gone >= timeout:
                raise TimeoutError
            waiting(gone)

    def _write(self, command: Command) -> None:
        # If the daemon hangs up while we write, it has said why: read that instead of failing here.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(encode(command) + b"\n")

    def _read(self) -> Reply:
        try:
            line = self._file.readline(MAX_REPLY_BYTES)
        except ConnectionResetError:
            line = b""
        # the end of the file, or a line that is longer than any reply
        if not line.endswith(b"\n"):
            raise ClientError("the daemon has stopped")
        reply = decode_reply(line)
        if isinstance(reply, FailedReply):
            error = ClientError(reply.text)
            error.kind = reply.kind
            raise error
        return reply


def _first_steps(state_dir: Path) -> str:
    """What comes before the advice to start a daemon: where no key is, none was ever started there."""
    if key_path(state_dir).exists():
        return ":"
    return (
        ", and there is no key in it: found a network with 'routing-crust init --start NAME', join one with "
        "'routing-crust join --start LINE',"
    )
