"""
Signals: a daemon that is told to end ends in good order, whichever signal says so.

Twisted's reactor handles C{SIGINT} and C{SIGTERM} while it runs. C{SIGHUP}, which a terminal sends when it is
closed, and C{SIGTERM} before the reactor runs, would end the process at once: without a Goodbye to its peers,
and with the lock and the control socket left behind.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from twisted.logger import Logger

ENDING: Final = (signal.SIGHUP, signal.SIGTERM)
"""Those that end a process by default. C{SIGINT} raises C{KeyboardInterrupt}."""


class StopOnSignals:
    """
    Made by the daemon at its start, discarded after L{restore}.

    A signal that the process ignores, as under C{nohup}, or handles already, stays as it is.
    """

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        """
        @param reactor: is stopped by a signal, as soon as it runs; once.
        """
        self._reactor = reactor
        self._stopping = False
        self._taken = [each for each in ENDING if signal.getsignal(each) is signal.SIG_DFL]
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
        self._stopping = True
        self._reactor.callFromThread(self._log, number)
        # stops it, and has twistd end by this signal when all is closed
        self._reactor.sigTerm(number, frame)

    def _log(self, number: int) -> None:
        self.log.info("received {signal}", signal=signal.Signals(number).name)
