"""
The redeemer: the end that has an invitation, and wants to become a member.

It dials the places that the invitation names, all of them together; the node that answers first is asked, the
inviter or a member that passes the try on. An answer counts when it proves the invitation's secret. One that
does not is no more than what happened at that place, and the others are asked. Meanwhile it listens: an
inviter that nobody can dial may have been told where we are, and dials us.

Host names are resolved again in each round, and their addresses dialled as they come, beside the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from ...crust.interfaces import ICrust, ICrustEvents, ILink
from ...crust.reachability import Reachability
from ...endpoints import Contact, Direction, Endpoint
from ...errors import ConnectFailed, JoinFailed, LinkClosed, RoutingCrustError, WireError
from ...hosts.contacts import AnyContact, NamedContact
from ...identity import PROTOCOL_VERSION
from ...names import Name
from ...timing.shares import OURSELVES
from ...timing.timers import cancel
from ...trust.redeeming import (
    RedeemAnswer,
    RedeemRefusal,
    Redemption,
    Welcome,
    decode_answer,
    decode_welcome,
    encode,
)
from ...wire.framing import FrameKind

PATIENCE_SECONDS: Final = 20.0
"""From the first dial on, when nobody lets us in."""
ROUND_SECONDS: Final = 3.0
"""Between two rounds of dials."""
SILENT_SECONDS: Final = 6.0
"""After which no further round begins: an inviter that was told where we are has dialled us by then."""


@implementer(ICrustEvents)
class Redeemer:
    """
    Made for one invitation; owns its crust, which it starts and stops. Discarded when L{redeem} has fired.

    @ivar outcomes: what has happened at each place, in words.
    """

    def __init__(
        self,
        crust: ICrust,
        clock: IReactorTime,
        attempt: Callable[[Name, bytes], Redemption],
        endpoints: Sequence[Endpoint],
        nickname: str,
        hosts: Sequence[NamedContact] = (),
    ) -> None:
        """
        @param attempt: the try that is made on a link, by the name at its other end and its exporter value.
        @param endpoints: where the inviter, or members, may be dialled.
        @param nickname: what we would be called, if the invitation leaves it open.
        @param hosts: the same, by host names.
        """
        self._crust = crust
        self._clock = clock
        self._attempt = attempt
        self._endpoints = tuple(endpoints)
        self._nickname = nickname
        self._hosts = tuple(hosts)
        self._left: list[Endpoint] = []
        self._came_by: dict[Endpoint, NamedContact] = {}
        self._sought: dict[NamedContact, Deferred[None] | None] = {}
        self._asked: dict[ILink, Redemption] = {}
        self._dials: dict[Deferred[ILink], list[Endpoint]] = {}
        self._timers: list[IDelayedCall] = []
        self._done: Deferred[tuple[Welcome, AnyContact | None]] = Deferred()
        self._began = clock.seconds()
        self._has_answered = False
        self.outcomes: dict[str, str] = {}

    def redeem(self) -> Deferred[tuple[Welcome, AnyContact | None]]:
        """
        Redeem the invitation, once.

        @return: fires with the welcome, and with where we have dialled a member for it, if we have, by its
            host name if it was found by one; when crust has stopped. Fails with L{JoinFailed}, whose text
            says who was tried and what to do.
        """
        return Deferred.fromCoroutine(self._redeem())

    async def _redeem(self) -> tuple[Welcome, AnyContact | None]:
        self._crust.start(self)
        self._timers.append(self._clock.callLater(PATIENCE_SECONDS, self._give_up))
        self._round()
        try:
            return await self._done
        finally:
            for timer in self._timers:
                cancel(timer)
            running: list[Deferred[Any]] = [*self._dials, *filter(None, self._sought.values())]
            for begun in running:
                begun.addErrback(lambda _: None)
                begun.cancel()
            await self._crust.stop()

    def _round(self) -> None:
        self._left = list(self._endpoints)
        # all of them first: the round must not end when the first one fails at once
        self._sought = dict.fromkeys(self._hosts)
        self._next()
        for host in self._hosts:
            asked = self._sought[host] = self._crust.resolve(host, partial(self._found, host))
            asked.addCallbacks(self._resolved, self._not_resolved, (host,), errbackArgs=(host,))

    def _found(self, host: NamedContact, contacts: tuple[Contact, ...]) -> None:
        for each in contacts:
            self._came_by[each.endpoint] = host
            if each.endpoint not in self._left:
                self._left.append(each.endpoint)
        self._next()

    def _resolved(self, _: None, host: NamedContact) -> None:
        self.outcomes.pop(host.where, None)
        del self._sought[host]
        self._next()

    def _not_resolved(self, failure: Failure, host: NamedContact) -> None:
        del self._sought[host]
        if failure.check(CancelledError) or self._done.called:
            return
        if failure.check(RoutingCrustError):
            self.outcomes[host.where] = str(failure.value)
        else:
            self._done.errback(failure)
        self._next()

    def _next(self) -> None:
        # one that has answered the dial is asked alone
        if self._done.called or any(each.direction is Direction.CONNECTED for each in self._asked):
            return
        dialled = [endpoint for each in self._dials.values() for endpoint in each]
        fresh = [each for each in self._left if each not in dialled]
        if fresh:
            # the token is not empty, so that an address that has failed is dialled again
            dial = self._crust.connect(fresh, None, b"redeem", OURSELVES)
            self._dials[dial] = fresh
            dial.addCallbacks(self._connected, self._not_connected, (dial,), errbackArgs=(dial,))
        elif not self._dials and not self._sought:
            # where a member has answered, or each place has refused for long enough, more of it is of no use
            if self._has_answered or self._clock.seconds() - self._began >= SILENT_SECONDS:
                self._give_up()
            else:
                self._timers.append(self._clock.callLater(ROUND_SECONDS, self._round))

    def _connected(self, link: ILink, dial: Deferred[ILink]) -> None:
        del self._dials[dial]
        endpoint = link.connection.peer
        # by place, not by position: which of them has won the race is not known before
        self._left = [each for each in self._left if each != endpoint]
        self._ask(link)

    def _not_connected(self, failure: Failure, dial: Deferred[ILink]) -> None:
        endpoints = self._dials.pop(dial)
        self._left = [each for each in self._left if each not in endpoints]
        if failure.check(CancelledError) or self._done.called:
            return
        error = failure.value
        if isinstance(error, ConnectFailed):
            self.outcomes.update(error.attempts)
        elif isinstance(error, RoutingCrustError):
            self.outcomes.update(dict.fromkeys(map(str, endpoints), str(error)))
        else:
            self._done.errback(failure)
        self._next()

    def _ask(self, link: ILink) -> None:
        attempt = self._asked[link] = self._attempt(link.peer, link.binding)
        link.send(FrameKind.REDEEM, encode(attempt.ask((PROTOCOL_VERSION,), self._nickname)))

    def _give_up(self) -> None:
        if not self._done.called:
            tried = "; ".join(f"{where}: {what}" for where, what in self.outcomes.items())
            self._done.errback(
                JoinFailed(
                    f"nobody has let this machine in ({tried or 'nobody answered'}). See that the node that "
                    "has made the invitation runs, and that one of these addresses can be reached from here"
                )
            )

    def _answer(self, link: ILink, attempt: Redemption, answer: RedeemAnswer) -> None:
        if not attempt.is_answered_by(answer):
            self._has_answered = True
            self._failed(link, answer.refusal.text if answer.refusal else "its answer is not proven")
        elif answer.refusal is not RedeemRefusal.NONE:
            self._done.errback(JoinFailed(f"the invitation is not accepted: {answer.refusal.text}"))
        else:
            contact = self._contact_of(link) if link.direction is Direction.CONNECTED else None
            self._done.callback((decode_welcome(answer.body), contact))

    def _contact_of(self, link: ILink) -> AnyContact:
        # an address that came by a host name may be another one tomorrow
        host = self._came_by.get(link.connection.peer)
        if host is None:
            return Contact(link.connection.peer, link.peer)
        return NamedContact(host.host, host.port, link.peer)

    def _failed(self, link: ILink, outcome: str) -> None:
        self.outcomes[str(link.connection.peer)] = outcome
        if link.direction is Direction.CONNECTED:
            self._next()

    # Crust's events.

    def on_connect(self, link: ILink) -> None:
        """Followed by the Deferred of the dial."""

    def on_accept(self, link: ILink) -> None:
        """Its dialler speaks first."""

    def new_message(self, link: ILink, kind: int, payload: bytes) -> None:
        """A frame came."""
        if self._done.called:
            return
        if kind == FrameKind.HELLO and link.direction is Direction.ACCEPTED and link not in self._asked:
            # a node that dials us may be the inviter; to anybody else the proof is of no use
            self._ask(link)
        elif kind == FrameKind.REDEEMED and link in self._asked:
            try:
                self._answer(link, self._asked.pop(link), decode_answer(payload))
            except WireError as error:
                self._failed(link, str(error))

    def lost_connection(self, link: ILink, reason: LinkClosed) -> None:
        """A link is gone."""
        if self._asked.pop(link, None) is not None and not self._done.called:
            self._failed(link, str(reason))

    def link_doubted(self, link: ILink) -> None:
        """Its time is bounded anyway."""

    def bootstrap_finished(self, links: int, problem: str) -> None:
        """There is no bootstrap."""

    def external_endpoints(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Nobody is told."""

    def reachability_changed(self, reachability: Reachability) -> None:
        """Nobody is told."""

    def network_changed(self) -> None:
        """The next round dials again."""
