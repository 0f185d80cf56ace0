"""
The limits on dialling: which peers, how many at once, and how often on behalf of strangers. One set of them
holds for all dials of a node, plain and punching.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ...bounded_dict import BoundedDict
from ...config import Settings
from ...endpoints import Contact, Endpoint
from ...errors import LimitReached
from ...names import Name
from ...timing.shares import OURSELVES, Account, Held
from ..admission import Rules, StrangerBudget
from ..reachability import Presence
from .race import DialFailed

MAX_DIALS_PER_PEER: Final = 8
"""Dials of one peer at once."""
MAX_PROVEN: Final = 4096
"""Addresses at which a peer has answered that are remembered."""


class DialLimits:
    """Asked before each dial, and told of its beginning and end."""

    def __init__(
        self,
        settings: Settings,
        rules: Rules,
        seconds: Callable[[], float],
        dialled: Callable[[Endpoint], None] = lambda endpoint: None,
        configured: Callable[[], Iterable[Contact]] = tuple,
    ) -> None:
        """
        @param seconds: the clock: C{IReactorTime.seconds}.
        @param dialled: told of each endpoint that is dialled.
        @param configured: the contacts of the settings, with the addresses of those by name.
        """
        self._dialled = dialled
        self._configured = configured
        self._settings = settings
        self._rules = rules
        self._budget = StrangerBudget(settings, seconds)
        self._dials = 0
        self._asked = Held()
        self._per_peer: dict[Name, int] = {}
        self._proven: BoundedDict[tuple[Endpoint, Name], None] = BoundedDict(MAX_PROVEN)

    def check(self, endpoint: Endpoint, peer: Name | None, asked_by: Account = OURSELVES) -> None:
        """
        Check whether one more dial may be.

        @param asked_by: on whose account.
        @raise DialFailed: the allow and deny lists forbid the dial.
        @raise LimitReached: too many dials are going on.
        """
        if peer is None:
            refusal = self._rules.refusal_of_address(endpoint)
        else:
            refusal = self._rules.refusal_of_peer(peer, endpoint)
        if refusal is not None:
            raise DialFailed(f"not dialled: {refusal}", Presence.NO_WAY)
        settings = self._settings
        if self._dials >= settings.max_dials:
            raise LimitReached("too many dials are going on", "max_dials", settings.max_dials)
        # the other half is reserved for dials of our own
        limit = max(1, settings.max_dials // 2)
        if asked_by and not self._asked.may_take(asked_by, limit):
            raise LimitReached("too many dials that others ask for are going on", "max_dials", limit)
        if peer is not None and self._per_peer.get(peer, 0) >= MAX_DIALS_PER_PEER:
            raise LimitReached(f"too many dials to {peer} are going on", "", MAX_DIALS_PER_PEER)

    def spend(self, endpoint: Endpoint, asked_by: Account, peer: Name | None = None) -> None:
        """
        Count a dial to an address that a stranger gave.

        @param asked_by: on whose account.
        @param peer: who was asked for; an address at which this very peer is known is not counted.
        @raise LimitReached: it may not be; nothing was counted.
        """
        if peer is None or not self.is_known(endpoint, peer):
            self._budget.spend(endpoint, asked_by)

    def is_known(self, endpoint: Endpoint, peer: Name) -> bool:
        """Whether an operator has configured this peer at this address, or it answered there last."""
        if (endpoint, peer) in self._proven:
            return True
        # a contact without a name is good for every peer that is found there
        at = (each.name for each in self._configured() if each.endpoint == endpoint)
        return any(name in (peer, None) for name in at)

    def answered(self, endpoint: Endpoint, peer: Name) -> None:
        """A dial has found this peer there, as its certificate proves."""
        self._proven.put((endpoint, peer), None)

    def failed(self, endpoint: Endpoint, peer: Name | None) -> None:
        """A dial has not found this peer there: the address counts again, since it may be another's now."""
        if peer is not None:
            self._proven.pop((endpoint, peer), None)

    def began(self, peer: Name | None, endpoint: Endpoint, asked_by: Account = OURSELVES) -> None:
        """A dial has begun."""
        self._dialled(endpoint)
        if asked_by:
            self._asked.add(asked_by)
        self._dials += 1
        if peer is not None:
            self._per_peer[peer] = self._per_peer.get(peer, 0) + 1

    def ended(self, peer: Name | None, asked_by: Account = OURSELVES) -> None:
        """It has an outcome."""
        if asked_by:
            self._asked.remove(asked_by)
        self._dials -= 1
        if peer is not None:
            left = self._per_peer.pop(peer) - 1
            if left:
                self._per_peer[peer] = left
