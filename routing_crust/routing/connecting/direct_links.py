"""
Direct links: the links that applications, streams and tunnels ask for by name.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ...crust.interfaces import ILink
from ...errors import CloseReason, ExpectedConnectionExpired, NotConnected, PeerUnreachable
from ...limits import UNREACHABLE_SECONDS
from ...names import Name
from ...timing.timers import cancel
from ...wire.messages import LinkUse
from ..absence.absence_watch import AbsenceWatch
from ..links.idle import IdleLinks
from ..links.registry import LinkRegistry
from ..membership.neighbourhood import Neighbourhood
from ..node import Node
from .connector import Connector

WhenBootstrapped = Callable[[], Deferred[None]]
"""What to wait for where we have no network; it fires at once where we have one."""


class DirectLinks:
    """Made with each start of the service, discarded with the run."""

    def __init__(
        self,
        node: Node,
        links: LinkRegistry,
        neighbourhood: Neighbourhood,
        connector: Connector,
        idle: IdleLinks,
        absence: AbsenceWatch,
        is_needed: Callable[[Name], bool],
    ) -> None:
        """
        @param is_needed: whether something uses the link to this peer, even an idle one.
        """
        self._node = node
        self._links = links
        self._neighbourhood = neighbourhood
        self._connector = connector
        self._idle = idle
        self._absence = absence
        self._is_needed = is_needed

    def connect(self, name: Name, when_bootstrapped: WhenBootstrapped | None = None) -> Deferred[ILink]:
        """
        Get a link to a node, the existing one or a new one, and keep it for as long as it lives.

        @param when_bootstrapped: as for L{borrow}.
        @return: fires with the confirmed link. Fails with L{PeerUnreachable} when the peer is found to be
            gone, and after C{UNREACHABLE_SECONDS}; with L{NotConnected} or with L{ServiceStopped}.
        """
        return self._connect(name, when_bootstrapped, False).addCallback(self._keep)

    def borrow(
        self, name: Name, when_bootstrapped: WhenBootstrapped | None = None, patient: bool = False
    ) -> Deferred[ILink]:
        """
        Get a link as L{connect} does, but let it be closed when it has been given back and is idle.

        @param when_bootstrapped: what to wait for before the peer is asked, if we have no network. It is
            waited for only where an address of the peer is known, at which it is looked for meanwhile.
        @param patient: whether to wait for it in any case. The time for that counts, too.
        """
        self._idle.needed(name)
        peer = self._links.peer(name)
        # a client's only link stays anyway; any other attachment is dropped when its node has joined
        if peer is not None and (peer.use >= LinkUse.DIRECT or self._node.is_client or peer.facts.is_client):
            return succeed(peer.link)
        # before it is there: a link that we have asked for takes no place of those that others may have
        self._idle.borrow(name)
        return self._connect(name, when_bootstrapped, patient).addCallbacks(
            self._borrowed, self._not_borrowed, errbackArgs=(name,)
        )

    def drop_idle(self, name: Name) -> None:
        """A borrowed link has been idle: close it, if it serves nothing else."""
        peer = self._links.peer(name)
        if peer is not None and peer.use is LinkUse.DIRECT and not self._is_needed(name):
            self._links.drop(name, CloseReason.NO_LONGER_NEEDED, "it was idle")

    def _borrowed(self, link: ILink) -> ILink:
        # another borrower may have given up meanwhile
        self._idle.borrow(link.peer)
        return link

    def _not_borrowed(self, failure: Failure, name: Name) -> Failure:
        # names are free: a peer that named this one for a tunnel must not have a link that counts as ours
        # later
        if self._links.peer(name) is None and not self._connector.requests.is_under_way(name, LinkUse.DIRECT):
            self._idle.not_made(name)
        return failure

    def _keep(self, link: ILink) -> ILink:
        self._idle.keep(link.peer)
        return link

    def _connect(
        self, name: Name, when_bootstrapped: WhenBootstrapped | None, patient: bool
    ) -> Deferred[ILink]:
        asking = Deferred.fromCoroutine(self._ask(name, when_bootstrapped, patient))
        if asking.called:
            return asking
        began = self._node.clock.seconds()
        problems: list[PeerUnreachable] = []

        def give_up(problem: PeerUnreachable) -> None:
            problems.append(problem)
            asking.cancel()

        def too_late() -> None:
            problem = f"{self._node.brief(name)} was not reached within {UNREACHABLE_SECONDS:g} s"
            give_up(self._absence.unreachable(name, problem, began))

        def ended(result: ILink | Failure) -> ILink | Failure:
            unwatch()
            cancel(timer)
            # what the cancelled request fails with says nothing of the reason
            return Failure(problems[0]) if problems and isinstance(result, Failure) else result

        unwatch = self._absence.watch(name, give_up)
        timer = self._node.clock.callLater(UNREACHABLE_SECONDS, too_late)
        return asking.addBoth(ended)

    async def _ask(self, name: Name, when_bootstrapped: WhenBootstrapped | None, patient: bool) -> ILink:
        # at once where there is a proxy, which carries requests before we are a member
        if when_bootstrapped is not None and (patient or self._absence.may_find(name)):
            await when_bootstrapped()
        # a request may be lost on its way, and the caller has asked for a link, not for one attempt
        while True:
            # a first node to which this peer has just attached asks it over that very link
            if not self._neighbourhood.bootstrapped and self._links.peer(name) is None:
                raise NotConnected("there is no link to the network; wait for when_connected()")
            with suppress(ExpectedConnectionExpired):
                return await self._connector.request_link(name, LinkUse.DIRECT)
