"""
The bootstrapper: the ways into the network that a node knows of, and the attempt that tries them.

It keeps the saved contacts and the beacon from start to stop, and at most one L{BootstrapAttempt} at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ...config import Settings
from ...endpoints import Contact, Endpoint
from ...errors import LinkClosed
from ...history import History
from ...identity import Identity
from ...limits import BOOTSTRAP_TIMEOUT_SECONDS, DIAL_STAGGER_SECONDS
from ..discovery.contacts import ContactBook
from ..discovery.multicast import Place
from ..interfaces import ILink
from ..platform import Platform
from .bootstrap import BootstrapAttempt, order_contacts
from .dialler import Dialler

_FIRST_SAVED: Final = int(BOOTSTRAP_TIMEOUT_SECONDS / 2 / DIAL_STAGGER_SECONDS)
"""Saved contacts that go before the configured ones: half of an attempt's time."""


class BootstrapOwner(Protocol):
    """
    The crust that is to get into the network.

    @ivar settings: its settings.
    @ivar clock: its clock.
    @ivar history: where it is written down who told us of a node.
    """

    settings: Settings
    clock: IReactorTime
    history: History

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Under which endpoints others dial us, which are never dialled."""

    def bootstrap_ended(self, links: int, problem: str) -> None:
        """An attempt is over; C{problem} says what went wrong, if anything did."""


class Bootstrapper:
    """
    Made by a L{CrustService<routing_crust.crust.service.CrustService>}.

    @ivar contacts: the saved contacts.
    """

    def __init__(
        self, owner: BootstrapOwner, identity: Identity, platform: Platform, dialler: Dialler, random: Random
    ) -> None:
        self.contacts: ContactBook = platform.contacts(owner.settings, identity.name)
        self._owner = owner
        self._own_name = identity.name
        self._dialler = dialler
        self._beacon = platform.beacon(identity, owner.settings.network, random, self._found)
        self._attempt: BootstrapAttempt | None = None

    @property
    def active(self) -> bool:
        """Whether an attempt is going on."""
        return self._attempt is not None

    def listen(self, places: Sequence[Place]) -> None:
        """Answer nodes of the local network at these places from now on, and look for them there."""
        self._beacon.listen(places)

    def begin(self) -> None:
        """Begin an attempt, if there is none."""
        owner = self._owner
        contacts = order_contacts(
            self.contacts.contacts(), owner.settings.contacts, self._own_name, owner.endpoints, _FIRST_SAVED
        )
        self._attempt = BootstrapAttempt(
            owner.clock, contacts, self._beacon.active, self._dialler.dial_contact, self._finished
        )
        self._beacon.seek()
        self._attempt.start()

    def end(self, winner: ILink | None) -> None:
        """End the attempt, if there is one, and close its links but the winner."""
        if self._attempt is not None:
            self._attempt.end(winner)

    def link_up(self, link: ILink) -> None:
        """A link is up that we dialled."""
        if link.bootstrap and self._attempt is not None:
            self._attempt.link_up(link)

    def link_lost(self, link: ILink, reason: LinkClosed) -> None:
        """A link is gone, of the attempt or not."""
        if self._attempt is not None:
            self._attempt.link_lost(link, reason)

    def stop(self) -> Deferred[None]:
        """Close what listens for nodes of the local network, and save the contacts; fires when it is done."""
        closed = self._beacon.stop()
        self.contacts.flush()
        return closed

    def _found(self, contact: Contact) -> None:
        if self._attempt is not None and contact.endpoint not in self._owner.endpoints:
            self._owner.history.told(contact.name, (contact.endpoint,), "its beacon on the local network")
            self._attempt.found(contact)

    def _finished(self, links: int, problem: str) -> None:
        self._attempt = None
        self._beacon.stop_seeking()
        self._owner.bootstrap_ended(links, problem)
