"""The peers that want to send something, one after the other."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Lock, Thread
from typing import Final

from ....plain_errors import RoutingCrustError
from ...control.client import ControlClient
from ...control.session_messages import IncomingStreamReply, RefuseCommand

BUSY: Final = "it receives something else just now: try again later"


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
        if busy:
            self._client.tell(RefuseCommand(stream=reply.stream, text=BUSY))
        else:
            self._queue.put(reply)
