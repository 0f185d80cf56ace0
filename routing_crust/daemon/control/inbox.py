"""
The inbox of a daemon: hands the messages and requests that come for its node to the programs that listen on
the control socket.

Nothing is kept: a message that comes while no program listens is acknowledged and lost. A request is refused
unless a listener has set an answer; but C{ping} is always answered with C{pong}, so that
C{routing-crust request NAME ping} shows whether a node is alive.
"""

from __future__ import annotations

from typing import Final, Protocol

from ...errors import RequestRefused
from ...routing.events import Message

PING: Final = b"ping"
PONG: Final = b"pong"


class InboxListener(Protocol):
    """
    A program that listens.

    @ivar answer: what requests are answered with; C{None} leaves them to other listeners.
    """

    answer: bytes | None

    def deliver(self, message: Message, is_request: bool) -> None:
        """Report a message to the program."""


class DaemonInbox:
    """Made with the daemon. Its two handlers are set as those of the L{RoutingService}."""

    def __init__(self) -> None:
        self._listeners: list[InboxListener] = []

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, listener: InboxListener) -> None:
        """Deliver to this listener from now on."""
        self._listeners.append(listener)

    def remove(self, listener: InboxListener) -> None:
        """Deliver to this listener no more. One that was never added is no error."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def message_received(self, message: Message) -> None:
        """Hand a message to every listener."""
        # a copy: a listener may be removed from within the call
        for listener in list(self._listeners):
            listener.deliver(message, False)

    def request_received(self, message: Message) -> bytes:
        """
        Answer a request, with the answer of the oldest listener that has one.

        @raise RequestRefused: no listener has one.
        """
        # before the listeners: it tests the node, not them
        if message.body == PING:
            return PONG
        for listener in self._listeners:
            # one alone hears of it, or several would believe that theirs was the answer
            if listener.answer is not None:
                listener.deliver(message, True)
                return listener.answer
        raise RequestRefused("nobody here answers requests")
