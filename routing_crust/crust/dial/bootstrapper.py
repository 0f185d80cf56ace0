"""
The bootstrapper: the ways into the network that a node knows of, and the attempt that tries them.

It keeps the saved contacts and the beacon from start to stop, and at most one L{BootstrapAttempt} at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from random import Random
from typing import Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ...bounded_dict import BoundedDict
from ...config import Settings
from ...endpoints import Contact, Endpoint
from ...errors import LinkClosed, ServiceStopped
from ...history import History
from ...hosts.contacts import NamedContact
from ...identity import Identity
from ...limits import BOOTSTRAP_TIMEOUT_SECONDS, DIAL_STAGGER_SECONDS
from ...names import Name
from ..discovery.contacts import ContactBook
from ..discovery.multicast import Place
from ..ending import Ending
from ..interfaces import ILink
from ..platform import Platform
from ..resolving.contact_resolver import ContactResolver
from ..resolving.name_servers import NotResolved
from .bootstrap import BootstrapAttempt, order_contacts
from .dialler import Dialler
from .race import DialFailed

FIRST_SAVED_CONTACTS: Final = int(BOOTSTRAP_TIMEOUT_SECONDS / 2 / DIAL_STAGGER_SECONDS)
"""Saved contacts that go before the configured ones: half of an attempt's time."""
MAX_LED_NOWHERE: Final = 512
"""Names, endpoints and hosts of contacts that are remembered as having led nowhere."""


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
        self,
        owner: BootstrapOwner,
        identity: Identity,
        platform: Platform,
        dialler: Dialler,
        random: Random,
        resolver: ContactResolver,
    ) -> None:
        self.contacts: ContactBook = platform.contacts(owner.settings, identity.name)
        self._owner = owner
        self._own_name = identity.name
        self._dialler = dialler
        self._resolver = resolver
        self._resolving: dict[NamedContact, Deferred[None]] = {}
        self._without: Collection[Name] = ()
        self._beacon = platform.beacon(identity, owner.settings.network, random, self._found)
        self._attempt: BootstrapAttempt | None = None
        self._tried: set[Endpoint] = set()
        self._failed: list[Contact] = []
        self._let_in = False
        self._led_nowhere: BoundedDict[Endpoint | Name | str, None] = BoundedDict(MAX_LED_NOWHERE)

    @property
    def active(self) -> bool:
        """Whether an attempt is going on."""
        return self._attempt is not None

    def listen(self, places: Sequence[Place]) -> None:
        """Answer nodes of the local network at these places from now on, and look for them there."""
        self._beacon.listen(places)

    def begin(self, without: Collection[Name]) -> None:
        """
        Begin an attempt, if there is none.

        @param without: nodes that are not to be dialled.
        """
        owner = self._owner
        saved = self.contacts.contacts()
        # each has had its turn since the last way in: begin again with the best
        if all(each.endpoint in self._tried for each in saved):
            self._tried.clear()
        ordered = order_contacts(
            saved,
            [each for each in owner.settings.contacts if isinstance(each, Contact)],
            min(FIRST_SAVED_CONTACTS, len(self.contacts.proven)),
            self._tried,
            self._is_last,
        )
        self._without = {self._own_name, *without}
        contacts = self._wanted(ordered)
        self._failed.clear()
        self._let_in = False
        self._attempt = attempt = BootstrapAttempt(
            owner.clock, contacts, self._beacon.active, self._dial, self._finished
        )
        self._beacon.seek()
        named = [each for each in self._named() if each.name not in self._without]
        attempt.expect(len(named))
        for each in named:
            self._resolve(each, attempt)
        attempt.start()

    def widen(self, without: Collection[Name]) -> None:
        """
        Have the present attempt dial those, too, whose links were there when it began and are gone by now.

        @param without: as for L{begin}.
        """
        assert self._attempt is not None
        lost = set(self._without).difference((self._own_name, *without))
        self._without = {self._own_name, *without}
        named = [each for each in self._named() if each.name in lost]
        self._attempt.expect(len(named))
        for each in named:
            self._resolve(each, self._attempt)
        configured = [each for each in self._owner.settings.contacts if isinstance(each, Contact)]
        known = (*self.contacts.contacts(), *configured)
        # in turn with the others, so without those that have led nowhere: these come last, in an attempt
        again = (each for each in known if each.name in lost and not self._is_last(each))
        self._attempt.resolved(self._wanted(again))

    def resolve(self) -> None:
        """Find out the addresses of contacts by name, without dialling them."""
        for each in self._named():
            self._resolve(each, None)

    def configured(self) -> tuple[Contact, ...]:
        """The contacts of the settings, those by name with the addresses that are known of them."""
        return self._resolver.addresses(self._owner.settings.contacts)

    def problem_with(self, contact: NamedContact) -> str:
        """Why a contact by name has no address; empty if it has one, or if that is not known yet."""
        return self._resolver.problem_with(contact)

    def look_up(self, host: NamedContact, found: Callable[[tuple[Contact, ...]], object]) -> Deferred[None]:
        """Find out the addresses of a host name; fails with L{NotResolved} if there are none."""
        return self._resolver.resolve(host, found)

    def _named(self) -> tuple[NamedContact, ...]:
        """The contacts by name: configured ones, then saved ones for other hosts."""
        configured = [each for each in self._owner.settings.contacts if isinstance(each, NamedContact)]
        there = {each.where for each in configured}
        return (*configured, *(each for each in self.contacts.named if each.where not in there))

    def _wanted(self, contacts: Iterable[Contact]) -> tuple[Contact, ...]:
        own = self._owner.endpoints
        return tuple(each for each in contacts if each.name not in self._without and each.endpoint not in own)

    def _resolve(self, contact: NamedContact, attempt: BootstrapAttempt | None) -> None:
        if contact in self._resolving:
            if attempt is None:
                return
            # it was for an attempt that is over, or for none
            self._resolving.pop(contact).cancel()

        def found(contacts: tuple[Contact, ...]) -> None:
            for each in contacts:
                source = f"{contact.where}, by {self._resolver.told_by(each.endpoint)}"
                self._owner.history.told(each.name, (each.endpoint,), source)
            if attempt is not None:
                attempt.resolved(self._wanted(contacts))

        def done(outcome: Failure | None) -> None:
            if self._resolving.get(contact) is asked:
                del self._resolving[contact]
            if outcome is not None:
                outcome.trap(NotResolved, CancelledError)
            if attempt is not None:
                attempt.resolved_all("" if outcome is None else outcome.getErrorMessage())

        asked = self._resolving[contact] = self._resolver.resolve(contact, found)
        asked.addBoth(done)

    def remember(self, contact: Contact, proven: bool) -> None:
        """Keep a contact for later attempts; a proven one is among the first of them again."""
        self.contacts.remember(contact, proven, self._resolver.came_by(contact.endpoint))
        if proven:
            self._led_nowhere.pop(contact.endpoint, None)
            self._led_nowhere.pop(contact.endpoint.host, None)
            if contact.name is not None:
                self._led_nowhere.pop(contact.name, None)

    def demote(self, contact: Contact) -> None:
        """A contact has led to no network: it is dialled after all others."""
        self.contacts.demote(contact)
        self._led_nowhere.put(contact.endpoint, None)
        self._led_nowhere.put(contact.endpoint.host, None)
        if contact.name is not None:
            self._led_nowhere.put(contact.name, None)

    def _is_last(self, contact: Contact) -> bool:
        return contact.endpoint in self._led_nowhere or contact.name in self._led_nowhere

    def _dial(self, contact: Contact) -> Deferred[ILink]:
        dial = self._dialler.dial_contact(contact)
        self._tried.add(contact.endpoint)
        return dial.addCallbacks(self._dialled, self._not_dialled, errbackArgs=(contact,))

    def _dialled(self, link: ILink) -> ILink:
        self._let_in = True
        return link

    def _not_dialled(self, failure: Failure, contact: Contact) -> Failure:
        # a dial that is called off says nothing of its contact
        if failure.check(DialFailed):
            self._failed.append(contact)
        return failure

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
            # new keys and ports cost a host nothing
            last = contact.endpoint.host in self._led_nowhere or self._is_last(contact)
            self._attempt.found(contact, last)

    def _finished(self, links: int, problem: str) -> None:
        self._attempt = None
        if links:
            self._tried.clear()
        # while nothing at all can be reached, a failure says nothing of its contact
        if self._let_in:
            for each in self._failed:
                self.contacts.demote(each)
        self._beacon.stop_seeking()
        self._owner.bootstrap_ended(links, problem)


class ContactsOfCrust:
    """
    The part of L{ICrust<routing_crust.crust.interfaces.ICrust>} that changes and shows the saved contacts; a
    base class of its implementations.
    """

    _bootstrapper: Bootstrapper
    _ending: Ending

    def remember(self, contact: Contact, proven: bool = True) -> None:
        if self._ending.running:
            self._bootstrapper.remember(contact, proven)

    def demote(self, contact: Contact) -> None:
        if self._ending.running:
            self._bootstrapper.demote(contact)

    def forget(self, name: Name) -> None:
        if self._ending.running:
            self._bootstrapper.contacts.forget(name)

    def saved_contacts(self) -> tuple[Contact, ...]:
        return self._bootstrapper.contacts.contacts()

    def configured_contacts(self) -> tuple[Contact, ...]:
        return self._bootstrapper.configured()

    def problem_with(self, contact: NamedContact) -> str:
        return self._bootstrapper.problem_with(contact)

    def resolve(self, host: NamedContact, found: Callable[[tuple[Contact, ...]], object]) -> Deferred[None]:
        if not self._ending.running:
            return fail(ServiceStopped("crust is not running"))
        return self._bootstrapper.look_up(host, found)

    def resolve_contacts(self) -> None:
        if self._ending.running:
            self._bootstrapper.resolve()
