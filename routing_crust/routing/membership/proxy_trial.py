"""
The trial of our proxy: whether it leads anywhere, and what is done if it does not.

Anybody can let us in and forward nothing. So a proxy is believed for what comes of it: for a node a member of
its table, for a client an answer that the proxy cannot have made itself, by a contact whose name we know.
Until then other contacts are tried beside it, less and less often; the first that lets us in becomes the
proxy, and the former one is tried last from then on. So is one that lets us in and lets us go soon after, or
it would be dialled first each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...endpoints import Contact
from ...errors import RoutingCrustError
from ...names import Name
from ...timing.backoff import Backoff
from ...timing.timers import cancel, is_pending
from ..links.registry import LinkRegistry
from ..node import Node
from .close_group_lookup import CloseGroupLookup, Group
from .neighbourhood import Neighbourhood

FIRST_PATIENCE_SECONDS: Final = 2.5
"""How long a proxy has, from its confirmation, until others are tried beside it."""
MAX_PATIENCE_SECONDS: Final = 60.0
WITNESSES: Final = 3
"""Contacts that a client asks through its proxy at a time."""
LEAST_STAY_SECONDS: Final = 60.0
"""How long a way in has to last, from its confirmation, for its contact to keep its place."""
MAX_HOSTS_LEFT: Final = 32
"""Hosts that are remembered to have let us go too soon: ports and keys cost a host nothing."""


class ProxyTrial:
    """
    Made with each start of the service, told of each proxy and of what has come of it, discarded after
    L{stop}.

    @ivar seeking: whether another proxy is welcome.
    """

    log = Logger()

    def __init__(
        self, node: Node, neighbourhood: Neighbourhood, links: LinkRegistry, lookup: CloseGroupLookup
    ) -> None:
        self._node = node
        self._neighbourhood = neighbourhood
        self._links = links
        self._lookup = lookup
        self._backoff = Backoff(FIRST_PATIENCE_SECONDS, 2.0, MAX_PATIENCE_SECONDS)
        self._timer: IDelayedCall | None = None
        self._queries: list[Deferred[None]] = []
        self._tried: set[Name] = set()
        self._way_in = _WayIn(node)
        self.seeking = False

    def proxy_changed(self, proxy: Name | None) -> None:
        """Try this proxy from now on; with C{None} there is none to try."""
        self._end_round()
        self.seeking = False
        if proxy is None:
            self._tried.clear()
        # one that has had its time already shall not be changed for another too soon
        if proxy not in self._tried:
            self._backoff.reset()
        if proxy is not None:
            self._tried.add(proxy)
            self._way_in.changed(self._contact_of(proxy))
            # a client's begins when it looks its group up, which is now as well
            if not self._node.is_client:
                self._begin_round()

    def group_asked(self) -> None:
        """We are a client, and look our group up through the proxy: see whether it leads anywhere."""
        if not is_pending(self._timer):
            self._begin_round()

    def group_answered(self) -> None:
        """An answer has come. It counts where we know nobody to ask but the proxy, which may have made it."""
        if is_pending(self._timer) and not self._queries:
            self.passed()

    def passed(self, member: Name | None = None) -> None:
        """
        Our proxy has led us somewhere: no other one is needed for now.

        @param member: the node that has become a member of the table; C{None} if it was proven otherwise.
        """
        proxy = self._neighbourhood.proxy
        if member != proxy:
            self._way_in.led_on()
        self._end_round()
        self._tried.clear()
        self._backoff.reset()
        self.seeking = False
        if proxy is None:
            return
        self._tried.add(proxy)
        self._tell_crust(proxy, self._node.crust.remember)

    def failed(self, proxy: Name) -> None:
        """This proxy has led nowhere, and another one has taken its place, or it is given up."""
        self._tell_crust(proxy, self._node.crust.demote)

    def cut_off(self) -> bool:
        """
        All that made us part of the network is lost.

        @return: whether other contacts are to be tried at once.
        """
        return self._way_in.cut_off()

    def stop(self) -> None:
        """Try nothing more."""
        self.seeking = False
        self._end_round()

    def _tell_crust(self, proxy: Name, what: Callable[[Contact], None]) -> None:
        contact = self._contact_of(proxy)
        if contact is not None:
            what(contact)

    def _contact_of(self, proxy: Name) -> Contact | None:
        endpoint = self._links.dialled_at(proxy)
        return None if endpoint is None else Contact(endpoint, proxy)

    def _begin_round(self) -> None:
        self._timer = self._node.clock.callLater(self._backoff.next_wait(), self._lost_patience)
        if self._node.is_client:
            self._ask_witnesses()

    def _end_round(self) -> None:
        cancel(self._timer)
        queries, self._queries = self._queries, []
        for each in queries:
            each.cancel()

    def _ask_witnesses(self) -> None:
        """A client has no members: it asks nodes of which it knows the names for anything at all."""
        own = self._node.name
        known = (*self._node.settings.contacts, *self._node.crust.saved_contacts())
        names = {each.name for each in known if each.name not in (None, own, self._neighbourhood.proxy)}
        # over a link of our own an answer says nothing of the proxy, and the question keeps the link in use
        witnesses = sorted(each for each in names if each is not None and self._links.link_to(each) is None)
        chosen = self._node.random.sample(witnesses, min(WITNESSES, len(witnesses)))
        asked = [self._lookup.look_up(own, of=name) for name in chosen]
        self._queries = [each.addCallbacks(self._answered, self._not_answered) for each in asked]

    def _answered(self, _: Group) -> None:
        self.passed()

    def _not_answered(self, failure: Failure) -> None:
        failure.trap(RoutingCrustError, CancelledError)

    def _lost_patience(self) -> None:
        if not self.seeking:
            self.log.debug("{proxy} has led nowhere yet: trying others", proxy=self._neighbourhood.proxy)
        self.seeking = True
        self._end_round()
        self._node.crust.bootstrap()
        self._begin_round()


class _WayIn:
    """
    The contact by which we came into the network, and what is held against it if we are out again soon.
    """

    def __init__(self, node: Node) -> None:
        self._seconds = node.clock.seconds
        self._demote = node.crust.demote
        self._contact: Contact | None = None
        self._since = 0.0
        self._has_led_on = False
        self._left_by: set[str] = set()

    def changed(self, contact: Contact | None) -> None:
        """We have come in by this one; with C{None} by a node that we have not dialled."""
        self._contact, self._since, self._has_led_on = contact, self._seconds(), False

    def led_on(self) -> None:
        """We have more than this contact by now."""
        self._has_led_on = True

    def cut_off(self) -> bool:
        """
        We are out again. If we came in only lately, the contact is tried last from now on: at once if it was
        all that we had, else from the second time on.

        @return: whether other contacts are to be tried at once.
        """
        contact, self._contact = self._contact, None
        if contact is None:
            return False
        if self._seconds() - self._since >= LEAST_STAY_SECONDS:
            self._left_by.clear()
            return False
        host = contact.endpoint.host
        is_first = host not in self._left_by and len(self._left_by) < MAX_HOSTS_LEFT
        if is_first:
            self._left_by.add(host)
            # with other members it is likely that our own path has failed, and no fault of the contact's
            if self._has_led_on:
                return False
        self._demote(contact)
        return is_first
