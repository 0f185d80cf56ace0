"""
Offers: handshakes that others have begun with us and that are not complete.

Beginning one takes no more than a name, which is free. So their places are shared out among the links that
they came by, and the link that holds most gives up its oldest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ...crust.interfaces import ILink
from ...names import Name
from ...timing.deadlines import Deadlines
from ...timing.shares import Account, Amounts
from ...wire.messages import Envelope
from .handshake import Handshake
from .session import Session

MAX_OFFERS: Final = 128
"""Handshakes of others at once. Each keeps a TLS session, of some 50 KB."""
OFFER_SECONDS: Final = 30.0
"""How long an offer may take from its first flight to its last."""
MAX_EARLY_BYTES: Final = 64 * 1024
"""Memory of each offer for packets that came before its last flight."""


@dataclass(slots=True)
class HandshakeOffer:
    """
    A handshake that a peer has begun.

    @ivar number: that of the session that it is to give.
    @ivar account: the link that it came by.
    @ivar session: opens its packets, though the peer is not verified yet; C{None} until one came.
    @ivar early: what packets held that came before its last flight.
    """

    peer: Name
    number: int
    account: Account
    handshake: Handshake
    session: Session | None = None
    early: list[tuple[Envelope, ILink | None, bytes]] = field(default_factory=list)
    early_bytes: int = 0

    def keep(self, envelope: Envelope, link: ILink | None, plaintext: bytes) -> None:
        """Keep what a packet held until the peer is verified, if there is room."""
        size = len(envelope.body) + len(plaintext)
        # what is too much is lost, and sent again, as nothing of it is acknowledged
        if self.early_bytes + size <= MAX_EARLY_BYTES:
            self.early_bytes += size
            self.early.append((envelope, link, plaintext))


class HandshakeOffers:
    """Made by the C{Sessions}, discarded after L{stop}. There is at most one offer of each peer."""

    def __init__(self, clock: IReactorTime) -> None:
        self._offers: dict[Name, HandshakeOffer] = {}
        self._of_account: dict[Account, dict[Name, None]] = {}
        self._amounts = Amounts()
        self._deadlines: Deadlines[Name] = Deadlines(clock, OFFER_SECONDS, self.remove)

    def __len__(self) -> int:
        return len(self._offers)

    def __contains__(self, peer: Name) -> bool:
        return peer in self._offers

    def find(self, peer: Name) -> HandshakeOffer | None:
        """The offer of this peer."""
        return self._offers.get(peer)

    def add(self, offer: HandshakeOffer) -> None:
        """Keep an offer, instead of an earlier one of the same peer."""
        self.remove(offer.peer)
        self._offers[offer.peer] = offer
        self._of_account.setdefault(offer.account, {})[offer.peer] = None
        self._amounts.add(offer.account, 1)
        self._deadlines.add(offer.peer)
        # once the new one is counted: the link that it came by may be the one that holds most
        if len(self._offers) > MAX_OFFERS:
            self.remove(next(iter(self._of_account[self._amounts.fullest()])))

    def remove(self, peer: Name) -> None:
        """Forget the offer of this peer, if there is one."""
        offer = self._offers.pop(peer, None)
        if offer is None:
            return
        self._deadlines.cancel(peer)
        self._amounts.add(offer.account, -1)
        of_account = self._of_account[offer.account]
        del of_account[peer]
        if not of_account:
            del self._of_account[offer.account]

    def stop(self) -> None:
        """Forget all, for good."""
        self._deadlines.stop()
        self._offers.clear()
        self._of_account.clear()
        self._amounts.clear()
