"""
Every error that this package raises on purpose, and the reasons for closing a link.

All of them derive from L{RoutingCrustError}, and those that connecting can fail with from Twisted's
C{ConnectError} too. Those that an operator can cause carry a text that says
what to do; those that a limit causes name the limit and the setting that moves it.
"""

from __future__ import annotations

import os
from enum import IntEnum

from twisted.internet.error import ConnectError, ConnectionLost

from .plain_errors import (
    ConfigurationError,
    InvalidCertificate,
    InvalidEndpoint,
    InvalidInvitation,
    InvalidName,
    InvalidPairing,
    KeyFileError,
    NotAuthorized,
    RoutingCrustError,
    TrustFileError,
    number_text,
)

__all__ = [
    "AlreadyRunning",
    "CannotListen",
    "CloseReason",
    "ConfigurationError",
    "ConnectFailed",
    "ConnectingError",
    "ExpectedConnectionExpired",
    "ExpectedConnectionReplaced",
    "InvalidCertificate",
    "InvalidEndpoint",
    "InvalidInvitation",
    "InvalidName",
    "InvalidPairing",
    "JoinFailed",
    "KeyFileError",
    "LimitReached",
    "LinkClosed",
    "NotAuthorized",
    "NotConnected",
    "PeerUnreachable",
    "RefusalReason",
    "RequestRefused",
    "RequestTimedOut",
    "RoutingCrustError",
    "ServiceStopped",
    "TrustFileError",
    "WireError",
]


def problem_text(error: BaseException | None) -> str:
    """An error in words for people, where those of Twisted are about itself."""
    if type(error) is ConnectionLost:
        return "the connection broke"
    if isinstance(error, ConnectError) and error.osError:
        return os.strerror(error.osError)
    return str(error)


class ConnectingError(RoutingCrustError, ConnectError):
    """The base of all errors that connecting can fail with: one of Twisted's C{ConnectError}s as well."""

    def __init__(self, problem: str = "") -> None:
        ConnectError.__init__(self, string=problem)

    def __str__(self) -> str:
        # without the general words that Twisted would put in front
        return str(self.args[0])


class JoinFailed(RoutingCrustError):
    """An invitation could not be redeemed; the error says who was tried, and what to do."""


class WireError(RoutingCrustError):
    """
    The peer violated the protocol, and the link is closed.

    @ivar reason: the reason that the Goodbye gives the peer.
    """

    def __init__(self, problem: str, reason: CloseReason | None = None) -> None:
        super().__init__(problem)
        self.reason = CloseReason.PROTOCOL_ERROR if reason is None else reason


class LimitReached(ConnectingError):
    """
    A limit prevents the operation.

    @ivar setting: the name of the setting that moves the limit; empty if none does.
    """

    def __init__(self, what: str, setting: str, value: float) -> None:
        moved = f"; the setting {setting} moves it" if setting else ""
        super().__init__(f"{what} (the limit is {number_text(value)}{moved})")
        self.setting = setting


class ConnectFailed(ConnectingError):
    """
    No link could be made to any of the endpoints.

    @ivar attempts: each endpoint that was tried, as text, with the outcome.
    """

    def __init__(self, attempts: tuple[tuple[str, str], ...]) -> None:
        tried = "; ".join(f"{where}: {what}" for where, what in attempts)
        super().__init__(f"no link could be made ({tried or 'there was no endpoint to dial'})")
        self.attempts = attempts


class AlreadyRunning(RoutingCrustError):
    """
    A service is started that runs, or that has not stopped yet: wait for the Deferred of C{stopService}.
    """


class CannotListen(RoutingCrustError):
    """A port is taken or not permitted; the text names it and says what to do."""


class LinkClosed(RoutingCrustError):
    """
    A link is gone.

    @ivar reason: the reason, as the wire has it.
    @ivar detail: more about it, for logs; empty if there is no more.
    @ivar by_peer: whether the peer closed it.
    """

    def __init__(self, reason: CloseReason, detail: str = "", by_peer: bool = False) -> None:
        super().__init__(reason.text + (f": {detail}" if detail else ""))
        self.reason = reason
        self.detail = detail
        self.by_peer = by_peer


class ExpectedConnectionExpired(ConnectingError):
    """The expected connection did not come in time."""


class ExpectedConnectionReplaced(ConnectingError):
    """A newer request for the same peer replaced this one."""


class NotConnected(ConnectingError):
    """The service has no link to use."""


class PeerUnreachable(ConnectingError):
    """
    No link to a node could be made, or nothing that was sent to it was acknowledged. The text says what was
    tried, and what an operator can do.

    @ivar tried: each address of it that was dialled, as text, with the outcome.
    @ivar asked: what those say that were asked for it by its name, in words; empty if nobody was.
    """

    def __init__(self, problem: str, tried: tuple[tuple[str, str], ...] = (), asked: str = "") -> None:
        """
        @param problem: who was not reached, and how that was found out.
        """
        found = [f"{where}: {outcome}" for where, outcome in tried]
        if asked:
            found.append(asked)
        super().__init__(problem + (f" ({'; '.join(found)})" if found else ""))
        self.tried = tried
        self.asked = asked


class RefusalReason(IntEnum):
    """Why a request was refused. The number goes to the requester, so numbers are never reused."""

    UNKNOWN = 0
    NO_HANDLER = 1
    BY_HANDLER = 2
    HANDLER_FAILED = 3
    BAD_ANSWER = 4
    FORGOTTEN = 5
    HANDLER_TIMED_OUT = 6

    @property
    def text(self) -> str:
        """The reason in words, for logs and errors."""
        return _REFUSAL_TEXTS[self]


_REFUSAL_TEXTS = {
    RefusalReason.UNKNOWN: "for a reason that this version does not know",
    RefusalReason.NO_HANDLER: "it has no request handler",
    RefusalReason.BY_HANDLER: "its handler refused the request",
    RefusalReason.HANDLER_FAILED: "its handler failed",
    RefusalReason.BAD_ANSWER: "what its handler returned is no answer, or larger than its max_message",
    RefusalReason.FORGOTTEN: "it has handled the request, and has forgotten the answer",
    RefusalReason.HANDLER_TIMED_OUT: "its handler took too long",
}


class RequestRefused(RoutingCrustError):
    """
    The peer got the request and answered that it cannot handle it. A request handler raises it to refuse on
    purpose, with what the requester may know.

    @ivar reason: which of the reasons it was.
    @ivar detail: what the handler gave as the reason; empty if it gave none, and for all other reasons.
    """

    def __init__(
        self, detail: str = "", reason: RefusalReason = RefusalReason.BY_HANDLER, who: str = "the peer"
    ) -> None:
        """
        @param detail: for the requester, up to C{MAX_DETAIL_CHARACTERS}; the rest is cut off.
        @param who: who refused, for the text of the error.
        """
        # what the handler says is reason enough
        because = detail if detail and reason is RefusalReason.BY_HANDLER else reason.text
        super().__init__(f"{who} refused the request: {because}")
        self.reason = reason
        self.detail = detail


class RequestTimedOut(RoutingCrustError, TimeoutError):
    """No answer came within the time that the requester gave."""


class ServiceStopped(ConnectingError):
    """The service was stopped before the operation was complete."""


class CloseReason(IntEnum):
    """
    Why a link is closed. The number goes to the peer in a Goodbye, so numbers are never reused.
    """

    UNKNOWN = 0
    STOPPING = 1
    PROTOCOL_ERROR = 2
    UNSUPPORTED_VERSION = 3
    WRONG_NETWORK = 4
    NOT_WANTED = 5
    NOT_ALLOWED = 6
    TOO_MANY_LINKS = 7
    SUPERSEDED = 8
    RESTARTED = 9
    STALE = 10
    HELLO_TIMEOUT = 11
    INACTIVE = 12
    SEND_QUEUE_FULL = 13
    STALLED = 14
    NO_LONGER_NEEDED = 15
    BOOTSTRAPPING = 16
    CONNECTION_LOST = 17
    TLS_REFUSED = 18
    SELF = 19
    TUNNEL_ENDED = 20
    NO_CERTIFICATE = 21
    BAD_CERTIFICATE = 22
    CERTIFICATE_EXPIRED = 23
    CERTIFICATE_TOO_EARLY = 24
    BANNED = 25
    ROLE_NOT_GRANTED = 26
    NICKNAME_TAKEN = 27

    @property
    def text(self) -> str:
        """The reason in words, for logs and errors."""
        return _REASON_TEXTS[self]


_REASON_TEXTS = {
    CloseReason.UNKNOWN: "no reason was given",
    CloseReason.STOPPING: "the service is stopping",
    CloseReason.PROTOCOL_ERROR: "the peer broke the protocol",
    CloseReason.UNSUPPORTED_VERSION: "no protocol version in common",
    CloseReason.WRONG_NETWORK: "the peer is of another network",
    CloseReason.NOT_WANTED: "the link is not wanted",
    CloseReason.NOT_ALLOWED: "the allow and deny lists do not let this peer in",
    CloseReason.TOO_MANY_LINKS: "there are too many links",
    CloseReason.SUPERSEDED: "another link to the same peer is kept",
    CloseReason.RESTARTED: "the peer has restarted",
    CloseReason.STALE: "the peer has a newer incarnation",
    CloseReason.HELLO_TIMEOUT: "no verified Hello came in time",
    CloseReason.INACTIVE: "nothing was heard for too long",
    CloseReason.SEND_QUEUE_FULL: "the peer reads too slowly and the send queue is full",
    CloseReason.STALLED: "the peer has stopped reading",
    CloseReason.NO_LONGER_NEEDED: "the link is no longer needed",
    CloseReason.BOOTSTRAPPING: "the peer is not in the network yet",
    CloseReason.CONNECTION_LOST: "the connection was lost",
    CloseReason.TLS_REFUSED: "the TLS handshake failed",
    CloseReason.SELF: "the link leads to this node itself",
    CloseReason.TUNNEL_ENDED: "the tunnel that the link went through has ended",
    CloseReason.NO_CERTIFICATE: "no certificate of this private network was shown",
    CloseReason.BAD_CERTIFICATE: "the member's certificate does not hold",
    CloseReason.CERTIFICATE_EXPIRED: "the member's certificate has expired",
    CloseReason.CERTIFICATE_TOO_EARLY: "the member's certificate is not valid yet",
    CloseReason.BANNED: "the member is banned",
    CloseReason.ROLE_NOT_GRANTED: "the member's certificate does not give it this role",
    CloseReason.NICKNAME_TAKEN: "another member has this member's nickname",
}
