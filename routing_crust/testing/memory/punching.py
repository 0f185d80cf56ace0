"""
Punching in memory: two nodes behind NATs that dial each other at once, each from its listening port.

What is dialled opens the way at the dialler's own boxes, whether it gets through or not; what does not is
sent again after 1 s, 3 s and so on, as TCP does. The first that gets through to a peer that expects this
rendezvous makes the link; what comes later for the same one comes to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from ...crust.interfaces import ILink, Rendezvous
from ...crust.punch.punch import MAX_TRIES, wait_before
from ...endpoints import Direction, Endpoint, PathKind
from ...errors import ConnectFailed, LimitReached, ServiceStopped
from ...names import Name
from .links import MemoryLink
from .pipes import Timers

if TYPE_CHECKING:
    from .crust import MemoryCrust
    from .internet import Arrival
    from .internetcrust import InternetCrust

FIRST_RESEND = 1.0
"""Seconds after which an unanswered SYN is sent again; then after twice as long each time (RFC 6298)."""


class Meeting:
    """
    One rendezvous at one end: made when a peer is expected or dialled for it, gone when neither is any more.

    @ivar holders: how often it is expected.
    @ivar hosts: the addresses that were dialled for it.
    @ivar punch: what is dialled for it now.
    @ivar link: our end of what has come of it.
    """

    def __init__(self, peer: Name, token: bytes, requester: bool) -> None:
        self.peer = peer
        self.token = token
        self.requester = requester
        self.holders = 0
        self.hosts: dict[str, None] = {}
        self.punch: Punch | None = None
        self.link: MemoryLink | None = None


class Punch:
    """
    All endpoints of a peer, dialled for a rendezvous. Over when nobody waits for it any more.

    @ivar waiters: who has called for it.
    @ivar busy: the endpoints that are being dialled.
    """

    def __init__(
        self,
        crust: InternetCrust,
        meeting: Meeting,
        endpoints: Iterable[Endpoint],
        from_stranger: bool,
        rendezvous: Rendezvous,
    ) -> None:
        self.waiters: list[Deferred[ILink]] = []
        self._crust = crust
        self._meeting = meeting
        self._outcomes: dict[Endpoint, str] = dict.fromkeys(endpoints, "not dialled")
        self._from_stranger = from_stranger
        self._tries: dict[Endpoint, int] = {}
        self.busy: dict[Endpoint, None] = {}
        self._timers = Timers(crust.clock)
        self._timers.start("begin", max(0.0, rendezvous.after), self._begin)

    def wait(self) -> Deferred[ILink]:
        """
        @return: fires with the link, or fails with L{ConnectFailed} or L{ServiceStopped}. When all of
            them are cancelled, it ends.
        """
        waiter: Deferred[ILink] = Deferred(self._cancelled)
        self.waiters.append(waiter)
        return waiter

    def stop(self) -> None:
        """Dial no more; nobody is told."""
        self._timers.cancel_all()

    def fire(self, link: ILink | None) -> None:
        """It is over: tell who waits what has come of it."""
        self.stop()
        if self._meeting.punch is self:
            self._meeting.punch = None
        waiters, self.waiters = self.waiters, []
        for each in waiters:
            if each.called:
                continue
            if link is not None:
                each.callback(link)
            elif self._crust.stopping:
                each.errback(ServiceStopped())
            else:
                each.errback(ConnectFailed(tuple((str(one), why) for one, why in self._outcomes.items())))
        self._crust.look_at_meeting(self._meeting)

    def _cancelled(self, waiter: Deferred[ILink]) -> None:
        self.waiters = [each for each in self.waiters if each is not waiter]
        if not self.waiters:
            self.fire(None)

    def _begin(self) -> None:
        self._timers.start("timeout", self._crust.settings.punch_timeout, lambda: self.fire(None))
        for endpoint in self._outcomes:
            self._dial(endpoint)
        self._look()

    def _look(self) -> None:
        if not self.busy and self._meeting.link is None:
            self.fire(None)

    def _dial(self, endpoint: Endpoint) -> None:
        crust = self._crust
        if not crust.listening or endpoint in crust.endpoints:
            self._outcomes[endpoint] = "not dialled"
            return
        if self._from_stranger:
            try:
                crust.budget.spend(endpoint)
            except LimitReached as limit:
                self._outcomes[endpoint] = str(limit)
                return
        self.busy[endpoint] = None
        self._tries[endpoint] = self._tries.get(endpoint, 0) + 1
        self._meeting.hosts[endpoint.host] = None
        crust.network.dials += 1
        crust.network.trace.note("punch", crust.host, endpoint.host, endpoint.port)
        crust.told_of_dial(endpoint)
        self._send(endpoint, FIRST_RESEND)

    def _send(self, endpoint: Endpoint, resend: float) -> None:
        crust = self._crust
        crust.packet(crust.listening[0], endpoint)
        self._outcomes[endpoint] = "no answer"
        self._timers.start(f"send {endpoint}", resend, partial(self._send, endpoint, 2 * resend))
        self._timers.start(f"arrive {endpoint}", crust.network.delay(), partial(self._arrived, endpoint))

    def _arrived(self, endpoint: Endpoint) -> None:
        """It has come to where it gets to."""
        crust, meeting = self._crust, self._meeting
        arrival = crust.packet(crust.listening[0], endpoint)
        if arrival is None:
            return
        target = crust.network.answer(crust, arrival.endpoint, arrival.source.host)
        if target is None:
            return
        if isinstance(target, str):
            self._refused(endpoint, target)
            return
        theirs = target.meeting_of(crust.identity.name, meeting.token)
        if theirs is None or theirs.requester is meeting.requester:
            self._refused(endpoint, "nobody expects this rendezvous")
        elif theirs.link is None and meeting.link is None:
            self._meet(endpoint, arrival, theirs, target)

    def _refused(self, endpoint: Endpoint, problem: str) -> None:
        wait = self._crust.network.delay()
        self._timers.cancel(f"send {endpoint}")
        self._timers.start(f"arrive {endpoint}", wait, partial(self._failed, endpoint, problem, wait))

    def _failed(self, endpoint: Endpoint, problem: str, took: float) -> None:
        self._outcomes[endpoint] = problem
        tries = self._tries[endpoint]
        if tries >= MAX_TRIES:
            del self.busy[endpoint]
            self._look()
            return
        self._tries[endpoint] = tries + 1
        wait = wait_before(tries, 2 * took, self._crust.network.random)
        self._timers.start(f"send {endpoint}", wait, partial(self._send, endpoint, FIRST_RESEND))

    def _meet(self, endpoint: Endpoint, arrival: Arrival, theirs: Meeting, target: MemoryCrust) -> None:
        crust, mine = self._crust, self._meeting
        link = crust.network.connect(crust, target, endpoint, crust.listening[0], arrival)
        both = endpoint.host in mine.hosts and arrival.source.host in theirs.hosts
        for end, meeting in ((link, mine), (link.other, theirs)):
            end.token = meeting.token
            end.initiator = meeting.requester
            end.path_kind = PathKind.PUNCHED if both else PathKind.DIRECT
            meeting.link = end
        if theirs.punch is not None and arrival.source in theirs.punch.busy:
            link.other.direction = Direction.CONNECTED  # a simultaneous open
        crust.network.joined(link)
        crust.made(link, None)
        target.made(link.other, None)
        # it is the answer to the first packet that tells this end
        link.other.pipe.put(crust.network.delay(), lambda: None)
        crust.network.come_up(link)
