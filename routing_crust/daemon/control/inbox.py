"""
The inbox of a daemon: messages and requests that come for its node, handed to whoever listens on the control
socket at the moment.

Nothing is kept: a message that comes while nobody listens is acknowledged and gone. A request is refused
unless a listener has said what to answer; but C{ping} is always answered C{pong}, so that
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
    Somebody who listens.

    @ivar answer: what requests are answered with; C{None} leaves them to others.
    """

    answer: bytes | None

    def deliver(self, message: Message, is_request: bool) -> None:
        """Take note of a message."""


class DaemonInbox:
    """Made with the daemon; its two handlers are those of the L{RoutingService}."""

    def __init__(self) -> None:
        self._listeners: list[InboxListener] = []

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, listener: InboxListener) -> None:
        """Deliver to this listener from now on."""
        self._listeners.append(listener)

    def remove(self, listener: InboxListener) -> None:
        """Deliver to it no more. One that is not known is no error."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def message_received(self, message: Message) -> None:
        """Hand a message to everyone who listens."""
        for listener in list(self._listeners):
            listener.deliver(message, False)

    def request_received(self, message: Message) -> bytes:
        """
        Answer a request, or have the listener who came first among those that answer do so.

        @raise RequestRefused: nobody answers.
        """
        if message.body == PING:
            return PONG
        for listener in self._listeners:
            if listener.answer is not None:
                listener.deliver(message, True)
                return listener.answer
        raise RequestRefused("nobody here answers requests")
