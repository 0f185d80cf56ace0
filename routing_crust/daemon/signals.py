"""
Signals: a daemon that is told to end ends in good order, whichever signal says so.

Twisted's reactor handles C{SIGINT} and C{SIGTERM} while it runs. C{SIGTERM} before the reactor runs would end
the process at once: without a Goodbye to its peers, and with the lock and the control socket left behind.

C{SIGHUP} has two meanings. An operator who sends it wants the settings read again. The system sends it when
the terminal is closed that the daemon was started from in the foreground: then the terminal is gone, and the
daemon ends.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from twisted.logger import Logger

HANDLED: Final = (signal.SIGHUP, signal.SIGTERM)
"""The signals that end a process by default. C{SIGINT} raises C{KeyboardInterrupt}."""


class DaemonSignals:
    """
    Made by the daemon at its start, discarded after L{restore}.

    A signal that the process ignores, as under C{nohup}, or handles already, stays as it is.

    @ivar reload: called in the reactor's thread for C{SIGHUP}; until it is set, that signal does nothing.
    """

    log = Logger()

    def __init__(self, reactor: Any, has_terminal: Callable[[], bool] | None = None) -> None:
        """
        @param reactor: is stopped by a signal, as soon as it runs; once.
        @param has_terminal: whether the process has a terminal at this moment; C{None} asks the system.
        """
        self.reload: Callable[[], object] | None = None
        self._reactor = reactor
        self._has_terminal = has_terminal or _has_terminal
        self._had_terminal = self._has_terminal()
        self._stopping = False
        self._hung_up = False
        self._taken = [each for each in HANDLED if signal.getsignal(each) is signal.SIG_DFL]
        self._handler: Callable[[int, FrameType | None], None] = self._received
        for each in self._taken:
            signal.signal(each, self._handler)

    def restore(self) -> None:
        """Have the signals end the process again, unless another has taken them meanwhile. Idempotent."""
        for each in self._taken:
            if signal.getsignal(each) is self._handler:
                signal.signal(each, signal.SIG_DFL)
        self._taken = []

    def _received(self, number: int, frame: FrameType | None) -> None:
        # a closed terminal may send it twice, and a reactor cannot be stopped twice
        if self._stopping:
            return
        if number == signal.SIGHUP and not (self._had_terminal and not self._has_terminal()):
            # a burst of them is one
            if not self._hung_up:
                self._hung_up = True
                self._reactor.callFromThread(self._reload)
            return
        self._stopping = True
        self._reactor.callFromThread(self._log, number)
        # stops it, and has twistd end by this signal when all is closed
        self._reactor.sigTerm(number, frame)

    def _reload(self) -> None:
        self._hung_up = False
        if self.reload is not None:
            self.log.info("received SIGHUP: reading the settings again")
            self.reload()

    def _log(self, number: int) -> None:
        self.log.info("received {signal}", signal=signal.Signals(number).name)


def _has_terminal() -> bool:
    """Whether the process has a controlling terminal, which it loses when that is closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
