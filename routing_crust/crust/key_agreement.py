"""
Key agreement: two nodes that need not be linked agree on keys, by the handshake of links.
"""

from __future__ import annotations

from typing import Protocol

from zope.interface import Attribute, Interface

from ..names import Name


class KeyAgreementFailed(Exception):
    """The other end is not the node that it must be, or does not keep to the protocol."""


class IKeyAgreement(Interface):
    """One end of a handshake, without a transport. Made by crust."""

    is_complete: bool = Attribute("Whether the other end is verified.")

    def advance(flight: bytes) -> bytes:
        """
        Go on with what the other end has sent.

        @param flight: empty to begin.
        @return: what the other end is to be sent; empty if nothing.
        @raise KeyAgreementFailed: as its text says. It is of no use any more.
        """

    def export(label: bytes, context: bytes, size: int) -> bytes:
        """
        Bytes that only the two ends of this handshake know, others for each label and context. The end that
        did not begin has them once it has sent its keys: before it knows who the other end is.

        @raise KeyAgreementFailed: there are none yet.
        """


class KeyAgreements(Protocol):
    """Makes the ends of handshakes for one node."""

    def agree(self, peer: Name, initiator: bool) -> IKeyAgreement:
        """
        @param peer: who must be at the other end.
        @param initiator: whether this end begins.
        """
