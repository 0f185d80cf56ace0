"""
The errors that a stream ends with. They are Twisted's errors too, so that protocols and callers of C{connect}
understand them.
"""

from __future__ import annotations

from twisted.internet.error import ConnectError, ConnectionLost

from ..errors import LinkClosed, RoutingCrustError
from .frames import StreamReason


class StreamRefused(RoutingCrustError, ConnectError):
    """
    The peer does not accept a stream.

    @ivar reason: why, as a number that both ends know.
    @ivar detail: more, in the peer's words; may be empty.
    """

    def __init__(self, reason: StreamReason, detail: str = "") -> None:
        ConnectError.__init__(self, string=_text(reason, detail))
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return _text(self.reason, self.detail)


class StreamReset(RoutingCrustError, ConnectionLost):
    """
    One end has given the stream up, and data on its way is lost. The reason for C{connectionLost}.

    @ivar reason: why, as a number that both ends know.
    @ivar detail: more, in words; may be empty.
    """

    def __init__(self, reason: StreamReason, detail: str = "") -> None:
        super().__init__(_text(reason, detail))
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return _text(self.reason, self.detail)


class StreamLinkLost(RoutingCrustError, ConnectionLost):
    """
    The link to the peer is gone, and all streams with it. The reason for C{connectionLost}.

    @ivar problem: why the link is gone.
    """

    def __init__(self, problem: LinkClosed | Exception) -> None:
        super().__init__(str(problem))
        self.problem = problem

    def __str__(self) -> str:
        return f"the link to the peer is gone: {self.problem}"


def _text(reason: StreamReason, detail: str) -> str:
    return f"{reason.text}: {detail}" if detail else reason.text
