"""
The reasons of lost connections that neither end has closed with a Goodbye, as L{LinkClosed}.
"""

from __future__ import annotations

from typing import Final

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from ...errors import CloseReason, LinkClosed
from .certificates import PeerRefused
from .tls import ALPN

_NO_PROTOCOL: Final = "no application protocol"
"""In OpenSSL's text for the alert of a server that speaks none of the offered protocols (RFC 7301)."""


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
        if _NO_PROTOCOL in text:
            problem = f"the peer does not speak {ALPN.decode()}: if it is a node, update the older of the two"
            return LinkClosed(CloseReason.UNSUPPORTED_VERSION, problem, by_peer=True)
        # in TLS 1.3 a server's refusal comes after the client's handshake is done
        reason = CloseReason.CONNECTION_LOST if judged else CloseReason.TLS_REFUSED
        return LinkClosed(reason, text, by_peer="alert" in text)
    if isinstance(error, ConnectionDone):
        return LinkClosed(CloseReason.CONNECTION_LOST, "the peer closed without a Goodbye", by_peer=True)
    # Twisted's own text, and what it gives as the reason itself, only repeat that it was lost
    if isinstance(error, ConnectionLost):
        why = ": ".join(map(str, error.args)).removeprefix("Connection lost")
    else:
        why = str(error)
    during = "" if up else "before the TLS handshake was done"
    return LinkClosed(CloseReason.CONNECTION_LOST, " ".join(filter(None, (why, during))))


def describe(error: SSL.Error) -> str:
    """The texts of the errors in OpenSSL's queue."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(entry[-1] for entry in queue) or type(error).__name__
