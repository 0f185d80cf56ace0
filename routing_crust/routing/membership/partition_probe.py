"""
Probing: how the parts of a network find each other again.

After a long partition each part is a healthy network, and nothing inside it shows that another exists. So a
connected node now and then dials a saved contact that it has no link with, looks up its own name there, and
asks the nodes that it finds for connections, through that link. It closes the link a little later. So saved
contacts are checked as well: one that answers has proven itself, and one that fails comes last.

A node that has dialled us is asked by the link that there is. Else a node that few others probe again and
again would never choose one of them itself, and would have nobody to learn the time from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...crust.interfaces import ILink
from ...endpoints import Contact, Direction
from ...errors import CloseReason, ConnectFailed, RoutingCrustError
from ...limits import REQUEST_INTERVAL_SECONDS
from ...names import Name
from ...timing.shares import OURSELVES
from ...timing.steadyclock import time_left
from ...timing.timers import cancel
from ...wire.messages import LinkUse
from ..links.peer import Peer
from ..links.registry import LinkRegistry
from ..node import Node
from .close_group_lookup import CloseGroupLookup, Group
from .network_time import NetworkTime

PROBE_INTERVAL_SECONDS: Final = 30.0
"""How often a saved contact without a link is dialled, on average."""
HURRIED_PROBE_SECONDS: Final = 5.0
"""The same once voices on the network's time are divided: a wrong time keeps us from all new members."""


class Prober:
    """
    Made at each start of the service, started when the node is connected, told of each link that a probe has
    made, discarded after L{stop}.
    """

    log = Logger()

    def __init__(
        self,
        node: Node,
        lookup: CloseGroupLookup,
        time: NetworkTime,
        links: LinkRegistry,
        found: Callable[[Group, ILink], None],
    ) -> None:
        """
        @param found: called with the nodes that a probe has found, and the link by which they can be asked.
        """
        self._own = node.name
        self._clock = node.clock
        self._random = node.random
        self._crust = node.crust
        self._lookup = lookup
        self._time = time
        self._links = links
        self._found = found
        self._timer: IDelayedCall | None = None
        self._dial: Deferred[ILink] | None = None
        self._dialled: Name | None = None
        self._leases: dict[ILink, IDelayedCall] = {}

    def start(self) -> None:
        """Probe from now on. Without effect if it is running."""
        if self._timer is None:
            self._schedule(PROBE_INTERVAL_SECONDS)

    def hurry(self) -> None:
        """Probe soon. Without effect if it is not running."""
        # a new wait is at most one and a half times as long
        if self._timer is not None and time_left(self._timer, self._clock) > 1.5 * HURRIED_PROBE_SECONDS:
            cancel(self._timer)
            self._schedule(HURRIED_PROBE_SECONDS)

    def stop(self) -> None:
        """Stop probing. It may be started again."""
        cancel(self._timer)
        self._timer = None
        if self._dial is not None:
            self._dial.cancel()
        for link in list(self._leases):
            self._let_go(link)

    def established(self, link: ILink) -> bool:
        """
        A link that we dialled was confirmed as an attachment.

        @return: whether a probe made it; the prober closes it then.
        """
        if link.peer != self._dialled:
            return False
        self._dialled = None
        # the requests that go through this link are given up after about the same time
        self._leases[link] = self._clock.callLater(REQUEST_INTERVAL_SECONDS, self._let_go, link)
        self._lookup.look_up(self._own, link).addCallbacks(self._answered, self._not_answered, (link,))
        return True

    def _schedule(self, seconds: float) -> None:
        # jitter: nodes that were started together must not dial the same contact together
        self._timer = self._clock.callLater(seconds * self._random.uniform(0.5, 1.5), self._probe)

    def _probe(self) -> None:
        self._schedule(PROBE_INTERVAL_SECONDS)
        # for the next time: a host name may have another address by then
        self._crust.resolve_contacts()
        chosen = self._choose()
        if chosen is None or self._dial is not None:
            return
        if isinstance(chosen, Peer):
            self._time.chosen(chosen)
            asked = self._lookup.look_up(self._own, chosen.link, of=chosen.name)
            asked.addCallbacks(self._found, self._not_answered, (chosen.link,))
            return
        self._dialled = chosen.name
        self._dial = self._crust.connect((chosen.endpoint,), chosen.name, b"", OURSELVES)
        self._dial.addErrback(self._not_dialled, chosen)
        self._dial.addBoth(self._dial_done)

    def _choose(self) -> Contact | Peer | None:
        """A contact to dial, or a peer that has dialled us."""
        known = (*self._crust.configured_contacts(), *self._crust.saved_contacts())
        linked = {self._own, *(peer.name for peer in self._links.peers)}
        strangers = [each for each in known if each.name is not None and each.name not in linked]
        callers = [
            each
            for each in self._links.peers
            if each.use is LinkUse.ATTACHED
            and each.link.direction is Direction.ACCEPTED
            and not each.facts.is_client
        ]
        # However many callers there are, they take half of the turns. At random: those that were proven last
        # are most likely in our own part of the network.
        kinds: list[Sequence[Contact | Peer]] = [kind for kind in (strangers, callers) if kind]
        return self._random.choice(self._random.choice(kinds)) if kinds else None

    def _let_go(self, link: ILink) -> None:
        cancel(self._leases.pop(link))
        self._links.close_attached(link, CloseReason.NO_LONGER_NEEDED)

    def _answered(self, group: Group, link: ILink) -> None:
        self._crust.remember(Contact(link.connection.peer, link.peer))
        self._found(group, link)

    def _not_dialled(self, failure: Failure, contact: Contact) -> None:
        if failure.check(ConnectFailed):
            self._crust.demote(contact)
        self._not_answered(failure)

    def _dial_done(self, _: object) -> None:
        self._dial = None

    def _not_answered(self, failure: Failure) -> None:
        failure.trap(RoutingCrustError, CancelledError)
        self.log.debug("a probe found nothing: {reason}", reason=failure.getErrorMessage())
