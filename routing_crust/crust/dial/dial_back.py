"""
Dials that yield no link: to find out for a peer whether one of its endpoints can be dialled, or on our own
account whether a peer is still there.

Each is a dial like any other, up to the end of TLS, which proves who answers; then it is closed. It goes out
from a port of the system's choice, and the layers above never hear of it. What a peer has dialled back are a
stranger's endpoints, so they are bounded like all of these, and only addresses outside our own networks
are dialled: no peer learns from us what there is inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IReactorTime

from ...config import Settings
from ...endpoints import Direction, Endpoint, refusal_to_dial
from ...errors import CloseReason, ConnectFailed, LimitReached, LinkClosed, ServiceStopped
from ...names import Name
from ...timing.shares import OURSELVES, Account
from ..ending import Ending
from ..interfaces import ILink
from ..link.plan import LinkPlan
from ..link.reading import ReadingTurns
from ..netstate.external_addresses import ExternalAddresses
from ..reachability import Knock, Presence
from .dial import OneDial
from .environment import DialEnvironment
from .race import DialFailed


class DialBacks:
    """
    All dials of this kind of one L{CrustService<routing_crust.crust.service.CrustService>}. It is the owner
    of the links that they begin with.
    """

    def __init__(self, environment: DialEnvironment, outside: ExternalAddresses) -> None:
        self.clock: IReactorTime = environment.owner.clock
        self.settings: Settings = environment.owner.settings
        self.reading: ReadingTurns = environment.owner.reading
        # it owns these links itself, and no gate has to judge what is closed at once
        self._environment = replace(environment, owner=self, refusal_of=lambda link: None)
        self._limits = environment.limits
        self._outside = outside
        self._stopping = False
        self._dials: dict[OneDial, None] = {}
        self._open: dict[OneDial, None] = {}

    @property
    def idle(self) -> bool:
        """Whether nothing is left of all connections that were dialled."""
        return not self._open

    def knock(self, endpoints: Sequence[Endpoint], peer: Name) -> tuple[Deferred[Knock], ...]:
        """One Deferred for each place, which fires with what was found there: L{Knock}."""
        return tuple(Deferred.fromCoroutine(self._knock(each, peer)) for each in endpoints)

    async def _knock(self, endpoint: Endpoint, peer: Name) -> Knock:
        try:
            self._limits.check(endpoint, peer)
            await self._begin(endpoint, peer, OURSELVES)
        except DialFailed as problem:
            return Knock(endpoint, problem.presence, str(problem))
        except LimitReached as problem:
            return Knock(endpoint, Presence.UNKNOWN, str(problem))
        except CancelledError:
            if self._stopping:
                raise ServiceStopped("crust has been stopped") from None
            raise
        return Knock(endpoint, Presence.THERE, "it answered")

    def dial(self, endpoints: Sequence[Endpoint], peer: Name, asked_by: Account) -> Deferred[Endpoint]:
        return Deferred.fromCoroutine(self._dial(endpoints, peer, asked_by))

    def stop(self) -> None:
        """Call off all dials."""
        # so that a dial that is cancelled here fails as a stop, not as its caller's wish
        self._stopping = True
        for dial in list(self._dials):
            dial.outcome.cancel()
        self._stopping = False

    async def _dial(self, endpoints: Sequence[Endpoint], peer: Name, asked_by: Account) -> Endpoint:
        problems: list[tuple[str, str]] = []
        for endpoint in endpoints:
            problem = await self._problem_with(endpoint, peer, asked_by)
            if problem is None:
                return endpoint
            problems.append((str(endpoint), problem))
        raise ConnectFailed(tuple(problems))

    async def _problem_with(self, endpoint: Endpoint, peer: Name, asked_by: Account) -> str | None:
        try:
            await self._one(endpoint, peer, asked_by)
        except DialFailed as problem:
            return str(problem)
        except CancelledError:
            if self._stopping:
                raise ServiceStopped("crust has been stopped") from None
            raise
        return None

    def _one(self, endpoint: Endpoint, peer: Name, asked_by: Account) -> Deferred[ILink]:
        own, private = self._outside.candidates.endpoints, self.settings.private_dialling
        refusal = refusal_to_dial(endpoint, private, own, self._outside.on_link, self._outside.own_hosts)
        if refusal is None and not self._outside.is_outside(endpoint):
            refusal = "it is in a network of ours"
        if refusal is not None:
            # a limit, not a failure: it says nothing about whether the endpoint can be dialled
            raise LimitReached(f"{endpoint} is not dialled: {refusal}", "private_dialling", 0)
        try:
            self._limits.check(endpoint, peer, asked_by)
        except DialFailed as problem:
            raise LimitReached(str(problem), "deny", 0) from None
        # always counted: a peer that was there once must not have its address dialled at will
        self._limits.spend(endpoint, asked_by)
        return self._begin(endpoint, peer, asked_by)

    def _begin(self, endpoint: Endpoint, peer: Name, asked_by: Account) -> Deferred[ILink]:
        plan = LinkPlan(Direction.CONNECTED, initiator=True, expected=peer)
        dial = OneDial(self._environment, plan, endpoint, self._ended)
        self._dials[dial] = self._open[dial] = None
        dial.asked_by = asked_by
        self._limits.began(peer, endpoint, asked_by)
        dial.outcome.addBoth(self._dialled, dial)
        dial.dial()
        return dial.outcome

    def _dialled(self, outcome: Any, dial: OneDial) -> Any:
        del self._dials[dial]
        self._limits.ended(dial.peer, dial.asked_by)
        return outcome

    def _ended(self, dial: OneDial) -> None:
        del self._open[dial]
        self._environment.gone()

    # What links tell: see L{routing_crust.crust.link.owner.LinkOwner}.

    def link_up(self, link: ILink) -> None:
        """The peer is there, and no more was asked."""
        link.close(CloseReason.NO_LONGER_NEEDED)

    probe_key = b""
    """These links are closed before a probe is due."""

    def heartbeat_after(self, network: str) -> float:
        """A third of C{inactivity_timeout}."""
        return self.settings.inactivity_timeout / 3

    def link_silent(self, link: ILink) -> None:
        """It is closed before that could be."""

    def link_doubted(self, link: ILink) -> None:
        """It is closed before that could be."""

    def link_lost(self, link: ILink, reason: LinkClosed) -> None:
        """It is closed."""

    def link_frame(self, link: ILink, kind: int, payload: bytes) -> None:
        """What is closed delivers nothing."""


class DialBacksOfCrust:
    """
    The part of L{ICrust<routing_crust.crust.interfaces.ICrust>} that L{DialBacks} provides; a base class of
    its implementations.
    """

    _dial_backs: DialBacks
    _ending: Ending

    def dial_back(self, endpoints: Sequence[Endpoint], peer: Name, asked_by: Account) -> Deferred[Endpoint]:
        if not self._ending.running:
            return fail(ServiceStopped("crust is not running"))
        return self._dial_backs.dial(endpoints, peer, asked_by)

    def knock(self, endpoints: Sequence[Endpoint], peer: Name) -> tuple[Deferred[Knock], ...]:
        if not self._ending.running:
            return tuple(fail(ServiceStopped("crust is not running")) for _ in endpoints)
        return self._dial_backs.knock(endpoints, peer)
