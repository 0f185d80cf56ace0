"""
One dial of one endpoint from the listening port, for a rendezvous: one TCP connection, up to the end of TLS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IConnector
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from ...endpoints import Endpoint
from ...errors import CloseReason, LinkClosed
from ...timing.shares import OURSELVES, Account
from ..link.factories import link_of
from ..link.link import Link
from ..link.negotiation import Negotiation
from ..link.owner import LinkOwner
from .meeting import Meeting


class DialWatcher(Protocol):
    """Hears of a dial; a L{HolePunch<routing_crust.crust.punch.punch.HolePunch>}, or who guesses ports."""

    def failed(self, endpoint: Endpoint, problem: BaseException | None) -> None:
        """It has failed before the prefaces were exchanged."""

    def refused(self, endpoint: Endpoint, reason: LinkClosed) -> None:
        """It has failed after that."""


class PunchDial(ClientFactory):
    """
    Made by L{Puncher<routing_crust.crust.punch.puncher.Puncher>} for a L{DialWatcher}, which hears of a
    failure; a connection on which the prefaces match goes to the meeting.

    @ivar connector: the reactor's.
    @ivar meeting: which rendezvous it is for.
    @ivar asked_by: on whose account it is made.
    @ivar is_guess: whether it is one of many that guess or open ports.
    """

    noisy = False
    connector: IConnector

    def __init__(
        self,
        owner: LinkOwner,
        meeting: Meeting,
        punch: DialWatcher,
        endpoint: Endpoint,
        meeting_for: Callable[[bytes], Meeting | None],
        ended: Callable[[PunchDial, bool], None],
    ) -> None:
        """
        @param meeting_for: finds the rendezvous that a proof belongs to, if it is expected.
        @param ended: called once with C{False} when the dial has an outcome, and once with C{True} when
            nothing is left of the connection.
        """
        self._owner = owner
        self._punch = punch
        self._endpoint = endpoint
        self._meeting_for = meeting_for
        self._ended = ended
        self._negotiation: Negotiation | None = None
        self._called_off = self._has_outcome = self._has_met = False
        self.meeting = meeting
        self.asked_by: Account = OURSELVES
        self.is_guess = False

    def call_off(self) -> None:
        """Dial no more. What has begun TLS is left to the meeting."""
        self._called_off = True
        if self._negotiation is None:
            self.connector.disconnect()
        elif not self._negotiation.has_begun_tls:
            self._negotiation.abort(CloseReason.NO_LONGER_NEEDED)

    @property
    def is_connected(self) -> bool:
        """Whether the TCP connection was made."""
        return self._negotiation is not None

    def buildProtocol(self, addr: object) -> Negotiation | None:
        """Declines when it is called off."""
        # the connection may have been made in the very turn in which it was called off
        if self._called_off:
            return None
        mine = self.meeting.preface_for(self._endpoint.host)
        link = link_of(self._owner)
        self._negotiation = Negotiation(self._owner, link, self._preface_came, mine)
        link.addCallbacks(self._link_up, self._failed)
        return self._negotiation

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """There was never a connection."""
        self._note_outcome()
        if not self._called_off:
            self._punch.failed(self._endpoint, reason.value)

    def stopFactory(self) -> None:
        """The one connection is over."""
        self._note_outcome()
        self._ended(self, True)

    def _note_outcome(self) -> None:
        if not self._has_outcome:
            self._has_outcome = True
            self._ended(self, False)

    def _preface_came(self, negotiation: Negotiation, first: bytes) -> None:
        assert negotiation.preface is not None
        proof = negotiation.preface.proof
        if proof == self.meeting.theirs:
            self._has_met = True
            self.meeting.came(negotiation, first)
        elif self._meeting_for(proof) is not None:
            # the two ends have requested each other, and dialled for both requests between the same ports
            negotiation.abort(CloseReason.NOT_WANTED, "the peer has dialled it for another request")
        else:
            negotiation.abort(CloseReason.PROTOCOL_ERROR, "the peer does not know the rendezvous")

    def _link_up(self, link: Link) -> Link:
        self._note_outcome()
        return link

    def _failed(self, failure: Failure) -> None:
        self._note_outcome()
        if self._called_off:
            return
        reason = failure.value
        assert isinstance(reason, LinkClosed)
        # after the prefaces the peer is there, so dialling it again would end the same way
        if self._has_met:
            self._punch.refused(self._endpoint, reason)
        else:
            self._punch.failed(self._endpoint, reason)
