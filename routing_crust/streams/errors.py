"""
The errors that a stream ends with. They are Twisted's errors too, so that protocols and callers of C{connect}
understand them.
"""

from __future__ import annotations

from twisted.internet.error import ConnectError, ConnectionLost

from ..errors import LinkClosed, RoutingCrustError
from .frames import Ended, StreamReason

_HERE = {
    Ended.NONE: "it was not kept",
    Ended.EXPIRED: "no other link came in time",
    Ended.NO_ROOM: "other suspended streams needed the room",
    Ended.REFUSED: "the peer's numbers do not agree with ours",
    Ended.CLOSED: "it was closed",
}
_BY_PEER = {
    Ended.NONE: "the peer knows nothing of it any more: it has restarted, or has forgotten it",
    Ended.EXPIRED: "the peer has waited for another link for as long as it may",
    Ended.NO_ROOM: "the peer had no room for suspended streams any more",
    Ended.REFUSED: "our numbers do not agree with the peer's",
    Ended.CLOSED: "the peer has closed it",
}


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

    # twisted's text would begin with that of any ConnectError
    def __str__(self) -> str:
        return _text(self.reason, self.detail)


class StreamReset(RoutingCrustError, ConnectionLost):
    """
    One end has given the stream up, and data on its way may be lost. The reason for C{connectionLost}.

    @ivar reason: why, as a number that both ends know.
    @ivar detail: more, in words; may be empty.
    """

    def __init__(self, reason: StreamReason, detail: str = "") -> None:
        super().__init__(_text(reason, detail))
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return _text(self.reason, self.detail)


class SessionEnded(RoutingCrustError):
    """
    Suspended streams will not be resumed.

    @ivar why: the cause, as a number that both ends know.
    @ivar by_peer: whether it is the peer that has no place to resume them.
    @ivar link_lost: why the link was lost before that; C{None} if it was not.
    """

    def __init__(self, why: Ended, link_lost: LinkClosed | None = None, by_peer: bool = False) -> None:
        text = (_BY_PEER if by_peer else _HERE)[why]
        super().__init__(text + (f"; the last one: {link_lost}" if link_lost is not None else ""))
        self.why = why
        self.by_peer = by_peer
        self.link_lost = link_lost


class StreamLinkLost(RoutingCrustError, ConnectionLost):
    """
    The link to the peer is gone, and no other has come in time. The reason for C{connectionLost}.

    @ivar problem: why: the L{LinkClosed} of the link, or a L{SessionEnded} if the stream was suspended first.
    """

    def __init__(self, problem: LinkClosed | Exception) -> None:
        super().__init__(str(problem))
        self.problem = problem

    def __str__(self) -> str:
        return f"the link to the peer is gone: {self.problem}"


def _text(reason: StreamReason, detail: str) -> str:
    return f"{reason.text}: {detail}" if detail else reason.text
