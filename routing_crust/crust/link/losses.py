"""
The reasons of lost connections that neither end has closed with a Goodbye, as L{LinkClosed}.
"""

from __future__ import annotations

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from ...errors import CloseReason, LinkClosed
from .certificates import PeerRefused


def reason_of_loss(failure: Failure, up: bool, judged: bool) -> LinkClosed:
    """
    Translate what C{connectionLost} was given.

    @param up: whether the TLS handshake was done on this side.
    @param judged: whether the peer is known to have accepted us.
    """
    error = failure.value
    if isinstance(error, PeerRefused):
        return LinkClosed(error.reason, error.detail)
    if isinstance(error, SSL.Error):
        text = describe(error)
        # in TLS 1.3 a server's refusal comes after the client's handshake is done
        reason = CloseReason.CONNECTION_LOST if judged else CloseReason.TLS_REFUSED
        return LinkClosed(reason, text, by_peer="alert" in text)
    if isinstance(error, ConnectionDone):
        return LinkClosed(CloseReason.CONNECTION_LOST, "the peer closed without a Goodbye", by_peer=True)
    during = "" if up else " before the TLS handshake was done"
    return LinkClosed(CloseReason.CONNECTION_LOST, f"{failure.getErrorMessage()}{during}")


def describe(error: SSL.Error) -> str:
    """The texts of the errors in OpenSSL's queue."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(entry[-1] for entry in queue) or type(error).__name__
