"""
Dialling back: how nodes help another one to learn whether it can be dialled from outside.

Order of messages: the asker A sends DIAL_BACK to a peer P, with endpoints of its own. P cannot dial A itself
to find out: A may have dialled P, and so opened its NAT's filter for P's address. So P sends DIAL_FOR to
another peer, the helper Q, which dials A (see L{ICrust.dial_back<routing_crust.crust.interfaces.ICrust>}) and
reports with DIALLED. Where Q knows A, success proves nothing, and Q says no more than that it has not tried;
a failure means all the more. A helper that cannot or may not dial says so too, and P asks the next, three at
most. P tells A with DIALLED_BACK.

An attacker gains little by it: P passes on no address but the one at which it sees A; Q dials only outside
its own networks, within C{stranger_dials}, and tells P no more than whether A, which proves its name, has
answered. Each asker and each P has a rate, and all of them share one by the prefixes of their links.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ...crust.interfaces import ILink, account_of
from ...endpoints import Endpoint, PathKind, PrivateDialling, is_local_only
from ...errors import ConnectFailed, RoutingCrustError, WireError
from ...limits import DIAL_TIMEOUT_SECONDS
from ...names import Name
from ...timing.ratelimit import KeyedLimits, TokenBucket
from ...timing.shares import SharedWindow
from ...timing.timers import cancel
from ...wire.codec import MAX_CONTROL_BYTES, decode, encode, from_wire
from ...wire.fields import WireEndpoint
from ...wire.framing import FrameKind
from ...wire.messages import DialBack, DialFor, Dialled, DialOutcome
from ..links.peer import Peer
from ..links.registry import LinkRegistry
from ..node import Node

HELPER_WAIT_SECONDS: Final = 2 * DIAL_TIMEOUT_SECONDS + 5
"""How long a helper is waited for: it may dial two endpoints one after the other."""
MAX_JOBS: Final = 24
"""Askers that are helped at once: as many as may begin in L{ALL_SECONDS}, so shares are kept here, too."""
MAX_HELPERS: Final = 3
"""Helpers that are asked for one asker."""
ASKED_PER_MINUTE: Final = 2.0
"""Requests of one asker; twice as many at once."""
ORDERED_PER_MINUTE: Final = 4.0
"""Dials for others that one peer may order; twice as many at once."""
IN_ALL_PER_MINUTE: Final = 12.0
"""Requests of all askers together, and dials ordered by all peers together."""
ALL_SECONDS: Final = 120.0
"""Within which these are counted."""


class Quota:
    """
    A rate for each peer, and one for all of them together. Names are free, so of the latter no prefix gets
    more than is left for others.
    """

    def __init__(self, each_per_minute: float, all_per_minute: float, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the clock: C{IReactorTime.seconds}.
        """
        self._seconds = seconds
        self._all = SharedWindow(all_per_minute * ALL_SECONDS / 60, ALL_SECONDS, seconds)
        self._peers: KeyedLimits[Name] = KeyedLimits(lambda: self._bucket(each_per_minute))

    def take(self, link: ILink) -> bool:
        """Whether both rates allow the peer of this link one more. If so, it is counted."""
        account = account_of(link)
        if self._peers.wait(link.peer) > 0 or not self._all.may_take(account):
            return False
        self._all.take(account)
        return self._peers.take(link.peer)

    def _bucket(self, per_minute: float) -> TokenBucket:
        return TokenBucket(per_minute / 60, 2 * per_minute, self._seconds)


@dataclass(slots=True, eq=False)
class _Job:
    """
    An asker that we help.

    @ivar asked_id: its own number for this.
    @ivar helpers: the helpers that are still to be asked.
    @ivar helper: the one that was asked last.
    """

    asker: Name
    asked_id: int
    endpoints: tuple[WireEndpoint, ...]
    helpers: list[Name]
    helper: Name | None = None
    timer: IDelayedCall | None = field(default=None)


class DialBackHelper:
    """
    Made by the reachability checks, fed with frames of confirmed links, discarded after L{stop}.
    """

    def __init__(self, node: Node, links: LinkRegistry) -> None:
        self._node = node
        self._links = links
        seconds = node.clock.seconds
        self._asked = Quota(ASKED_PER_MINUTE, IN_ALL_PER_MINUTE, seconds)
        self._ordered = Quota(ORDERED_PER_MINUTE, IN_ALL_PER_MINUTE, seconds)
        self._jobs: dict[int, _Job] = {}
        self._last_id = 0
        self._dials: dict[Deferred[Endpoint], None] = {}

    def dial_back(self, link: ILink, payload: bytes) -> None:
        """
        An asker wants to be dialled. What goes beyond the limits is ignored.

        @raise WireError: it is no such message, or names addresses that are not the asker's.
        """
        message = decode(DialBack, payload, MAX_CONTROL_BYTES)
        peer = self._peer(link)
        if peer is None:
            return
        at = peer.link.connection.peer
        if any(from_wire(each).host != at.host for each in message.endpoints):
            raise WireError("it asked to have an address dialled that is not its own")
        helped = any(job.asker == peer.name for job in self._jobs.values())
        if helped or len(self._jobs) >= MAX_JOBS or not self._asked.take(link):
            return
        # we number the jobs ourselves, since the numbers of several askers may be equal
        self._last_id += 1
        job = _Job(peer.name, message.id, message.endpoints, self._helpers_for(peer))
        self._jobs[self._last_id] = job
        self._next_helper(self._last_id)

    def dial_for(self, link: ILink, payload: bytes) -> None:
        """
        A peer asks us to dial an asker for it.

        @raise WireError: it is no such message.
        """
        message = decode(DialFor, payload, MAX_CONTROL_BYTES)
        if self._peer(link) is None:
            return
        endpoints = tuple(from_wire(each) for each in message.endpoints)
        name = Name(message.name)
        # a dial is over long before ALL_SECONDS are, so this bounds those at once as well, with its shares
        if name == self._node.name or not self._ordered.take(link):
            link.send(FrameKind.DIALLED, encode(Dialled(message.id, DialOutcome.NOT_TRIED)))
            return
        knows = self._knows(name, endpoints)
        dial = self._node.crust.dial_back(endpoints, name, account_of(link))
        self._dials[dial] = None
        dial.addBoth(self._dialled, dial, link, message.id, knows)

    def dialled(self, link: ILink, payload: bytes) -> None:
        """
        A helper reports.

        @raise WireError: it is no such message.
        """
        message = decode(Dialled, payload, MAX_CONTROL_BYTES)
        job = self._jobs.get(message.id)
        # a helper that was too slow has been replaced: its late report must not settle the job
        if job is None or job.helper != link.peer:
            return
        if message.outcome is DialOutcome.NOT_TRIED:
            self._next_helper(message.id)
        else:
            self._settle(message.id, message.outcome)

    def forget(self, name: Name) -> None:
        """A peer is gone."""
        # its rates stay, since a new link must bring no new ones; and a copy, since jobs are removed here
        for number, job in list(self._jobs.items()):
            if job.asker == name:
                cancel(self._jobs.pop(number).timer)
            elif job.helper == name:
                self._next_helper(number)

    def stop(self) -> None:
        """Stop helping."""
        jobs, self._jobs = self._jobs, {}
        for job in jobs.values():
            cancel(job.timer)
        for dial in list(self._dials):
            dial.cancel()

    def _peer(self, link: ILink) -> Peer | None:
        """The peer of this link, if both ends are nodes and the link has their own addresses."""
        peer = self._links.peer(link.peer)
        if peer is None or peer.link is not link or peer.facts.is_client or link.path_kind is PathKind.TUNNEL:
            return None
        return None if self._node.is_client else peer

    def _helpers_for(self, asker: Peer) -> list[Name]:
        everywhere = self._node.settings.private_dialling is PrivateDialling.ALWAYS
        names = [
            each.name
            for each in self._links.peers
            if self._peer(each.link) is each
            and each.endpoint is not None
            and asker.endpoint is not None
            and each.endpoint.host != asker.endpoint.host
            # a helper in our own network would dial from our external address, which A's NAT may let in
            and (everywhere or not is_local_only(each.endpoint))
        ]
        return self._node.random.sample(names, min(MAX_HELPERS, len(names)))

    def _knows(self, name: Name, endpoints: tuple[Endpoint, ...]) -> bool:
        """Whether the asker may have opened its filter for us."""
        links = self._links
        hosts = {each.host for each in endpoints}
        return links.peer(name) is not None or any(
            each.link.connection.peer.host in hosts for each in links.peers
        )

    def _next_helper(self, number: int) -> None:
        job = self._jobs[number]
        cancel(job.timer)
        while job.helpers:
            job.helper = job.helpers.pop()
            link = self._links.link_to(job.helper)
            if link is not None:
                link.send(FrameKind.DIAL_FOR, encode(DialFor(number, job.asker.raw, job.endpoints)))
                wait = HELPER_WAIT_SECONDS
                job.timer = self._node.clock.callLater(wait, self._next_helper, number)
                return
        self._settle(number, DialOutcome.NOT_TRIED)

    def _settle(self, number: int, outcome: DialOutcome) -> None:
        job = self._jobs.pop(number)
        cancel(job.timer)
        link = self._links.link_to(job.asker)
        if link is not None:
            link.send(FrameKind.DIALLED_BACK, encode(Dialled(job.asked_id, outcome)))

    def _dialled(
        self, result: Endpoint | Failure, dial: Deferred[Endpoint], link: ILink, number: int, knows: bool
    ) -> None:
        self._dials.pop(dial, None)
        # what keeps out even those that it has dialled keeps out everybody; the contrary does not follow
        outcome = DialOutcome.NOT_TRIED if knows else DialOutcome.REACHED
        if isinstance(result, Failure):
            result.trap(RoutingCrustError, CancelledError)
            # a dial that a limit of ours forbade, or that we cancelled, says nothing about the asker
            failed = result.check(ConnectFailed) is not None
            outcome = DialOutcome.NOT_REACHED if failed else DialOutcome.NOT_TRIED
        link.send(FrameKind.DIALLED, encode(Dialled(number, outcome)))
