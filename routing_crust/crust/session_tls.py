"""
TLS without a connection: the handshake by which two nodes that need not be linked agree on keys.

Certificates and checks are those of links (L{routing_crust.crust.link.tls}); the application protocol is
another, so that no handshake for the one is good for the other. What TLS would send after the handshake is
left out: the TLS session only makes keys, and is let go then.
"""

from __future__ import annotations

from typing import Final

from OpenSSL import SSL
from zope.interface import implementer

from ..config import KeyExchange
from ..identity import PROTOCOL_VERSION, Identity
from ..names import Name
from .key_agreement import IKeyAgreement, KeyAgreementFailed
from .link.certificates import PeerRefused
from .link.tls import LinkTls

SESSION_ALPN: Final = b"routing-crust-session/%d" % PROTOCOL_VERSION
_READ_BYTES: Final = 64 * 1024


@implementer(IKeyAgreement)
class TlsKeyAgreement:
    """One end of a TLS handshake in memory."""

    __slots__ = ("_connection", "_initiator", "_tls", "is_complete")

    def __init__(self, tls: SessionTls, peer: Name, initiator: bool) -> None:
        self._tls = tls
        self._initiator = initiator
        self._connection = tls.session(initiator, peer)
        if initiator:
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()
        self.is_complete = False

    def advance(self, flight: bytes) -> bytes:
        """Go on with what the other end has sent."""
        connection = self._connection
        try:
            if flight:
                connection.bio_write(flight)
            try:
                connection.do_handshake()
            except SSL.WantReadError:
                return self._output()
            self._tls.check_peer(connection, self._initiator)
        except PeerRefused as refused:
            raise KeyAgreementFailed(refused.detail) from None
        except SSL.Error as error:
            raise KeyAgreementFailed(f"the handshake failed: {_reason(error)}") from None
        self.is_complete = True
        # the server would go on with tickets, which nobody wants
        return self._output() if self._initiator else b""

    def export(self, label: bytes, context: bytes, size: int) -> bytes:
        """Bytes that only the two ends of this handshake know."""
        try:
            return self._connection.export_keying_material(label, size, context)
        except SSL.Error:
            raise KeyAgreementFailed("the ends have agreed on nothing yet") from None

    def _output(self) -> bytes:
        try:
            return self._connection.bio_read(_READ_BYTES)
        except SSL.WantReadError:
            return b""


class SessionTls(LinkTls):
    """Makes the handshakes of one node, of either role."""

    def __init__(self, identity: Identity, key_exchange: KeyExchange = KeyExchange.HYBRID) -> None:
        super().__init__(identity, key_exchange, SESSION_ALPN)

    def agree(self, peer: Name, initiator: bool) -> IKeyAgreement:
        """One end of a handshake, with this peer at the other."""
        return TlsKeyAgreement(self, peer, initiator)


def _reason(error: SSL.Error) -> str:
    """What OpenSSL says, in words."""
    queue = error.args[0] if error.args else ()
    return str(queue[-1][-1]) if queue else type(error).__name__
