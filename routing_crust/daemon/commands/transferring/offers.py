"""The peers that want to send something, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Final

from ....limits import MIB
from ....plain_errors import RoutingCrustError
from ...control.client import ControlClient
from ...control.session_messages import IncomingStreamReply, RefuseCommand
from ...transfer.errors import TransferError
from ...transfer.sums import Sums

BUSY: Final = "it receives something else just now: try again later"
KEPT_WAITING_SECONDS: Final = 120.0
"""How long a sender may keep us waiting, while others want to send, for each L{LEAST_BYTES}."""
LEAST_BYTES: Final = MIB


class HeldUp(TransferError):
    """The sender sends hardly anything, and others wait."""


class IncomingOffers:
    """
    Reads the control connection on which the protocol is offered, in a thread: a peer that comes while
    another is served is refused at once, instead of waiting for nothing.
    """

    def __init__(self, client: ControlClient) -> None:
        self._client = client
        self._queue: SimpleQueue[IncomingStreamReply | RoutingCrustError] = SimpleQueue()
        self._lock = Lock()
        self._busy = False
        self._turned_away = 0
        Thread(target=self._read, daemon=True).start()

    def next(self) -> IncomingStreamReply:
        """
        Wait for the next peer.

        @raise RoutingCrustError: the daemon has stopped.
        """
        asked = self._queue.get()
        if isinstance(asked, RoutingCrustError):
            raise asked
        return asked

    def turn(self, sums: Sums) -> Callable[[], None]:
        """
        Begin the turn of a sender.

        @return: to be called each time that it has kept us waiting for L{KEPT_WAITING_SECONDS}. It raises
            L{HeldUp} if hardly anything has come and somebody was turned away meanwhile.
        """
        moved, turned_away = sums.moved, self._turned_away

        def look() -> None:
            nonlocal moved, turned_away
            is_slow, others_wait = sums.moved - moved < LEAST_BYTES, self._turned_away > turned_away
            moved, turned_away = sums.moved, self._turned_away
            if is_slow and others_wait:
                raise HeldUp("it took too long, and others want to send something: try again later")

        return look

    def free(self) -> None:
        """The last one is served."""
        with self._lock:
            self._busy = False

    def _read(self) -> None:
        try:
            for reply in self._client.replies():
                if isinstance(reply, IncomingStreamReply):
                    self._asked(reply)
        except RoutingCrustError as error:
            self._queue.put(error)
        except (OSError, ValueError):
            # the command has ended, and closed the connection
            return

    def _asked(self, reply: IncomingStreamReply) -> None:
        with self._lock:
            # a second thread frees it: a peer must be either queued or refused
            busy, self._busy = self._busy, True
            self._turned_away += busy
        if busy:
            self._client.tell(RefuseCommand(stream=reply.stream, text=BUSY))
        else:
            self._queue.put(reply)
