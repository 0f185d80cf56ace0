"""
A handshake: its flights, numbered, so that each is used once and in order, however often it comes.

The ends take turns. The flights of the end that began have even numbers, from 0; those of the other end odd
ones. With TLS 1.3 there are three, five where the ends have to agree on a way to exchange keys first. An end
keeps its last flight, and gives it again when the flight that it answers comes again, since it was lost then.

Each flight stands on its own but the last one, which comes sealed with the keys that the handshake gives: so
nobody but who began can have made it, and nothing that a relay makes of it does any harm.
"""

from __future__ import annotations

from typing import NamedTuple

from ...crust.key_agreement import IKeyAgreement, KeyAgreementFailed
from ...wire.end_to_end import MAX_FLIGHTS


class Flight(NamedTuple):
    """What goes to the other end in one envelope."""

    number: int
    body: bytes


class Handshake:
    """
    One end of a handshake. Made by the C{Sessions}, fed with the flights of the other end.

    @ivar last: the latest flight of this end, to be sent again while the next one of the other end does not
        come; C{None} if the other end owes nothing.
    @ivar is_complete: whether this end has the keys.
    """

    __slots__ = ("_agreement", "_expected", "_initiator", "is_complete", "last")

    def __init__(self, agreement: IKeyAgreement, initiator: bool) -> None:
        """
        @param initiator: whether this end begins; then L{last} is the first flight.
        """
        self._agreement: IKeyAgreement | None = agreement
        self._initiator = initiator
        self._expected = 1 if initiator else 0
        self.is_complete = False
        self.last: Flight | None = Flight(0, agreement.advance(b"")) if initiator else None

    def receive(self, flight: Flight) -> Flight | None:
        """
        A flight of the other end came.

        @return: what is to be sent now; C{None} if that is nothing.
        @raise KeyAgreementFailed: it is not that of the node that it must be, or is no flight.
        """
        if flight.number != self._expected:
            # the one before: our answer to it was lost. Any other is older still, or made up.
            return self.last if flight.number == self._expected - 2 else None
        if self._agreement is None or flight.number + 1 >= MAX_FLIGHTS:
            return None
        body = self._agreement.advance(flight.body)
        if self._agreement.is_complete and not self._initiator:
            raise KeyAgreementFailed("the last flight came without a seal")
        self._expected += 2
        self.is_complete = self._agreement.is_complete
        self.last = Flight(flight.number + 1, body) if body else None
        return self.last

    def receive_last(self, body: bytes) -> None:
        """
        The last flight of the end that began came, sealed.

        @raise KeyAgreementFailed: as L{receive} does, or there is more to come.
        """
        self.agreement.advance(body)
        self.is_complete = self.agreement.is_complete
        if not self.is_complete:
            raise KeyAgreementFailed("what came as the last flight is not the last one")

    @property
    def agreement(self) -> IKeyAgreement:
        """
        What the keys come from.

        @raise ValueError: it was let go.
        """
        if self._agreement is None:
            raise ValueError("the keys were taken before")
        return self._agreement

    def let_go(self) -> None:
        """Keep the last flight only."""
        self._agreement = None
