"""
The dialler: all dials of one node, with what limits them.

Callers that ask for the same peer with the same token share one race. A caller that cancels leaves it; when
the last one has, the race is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ...endpoints import Contact, Direction, Endpoint
from ...errors import LimitReached, ServiceStopped
from ...history import Way
from ...limits import DIAL_STAGGER_SECONDS
from ...names import Name
from ...timing.shares import OURSELVES, Account
from ...timing.waiters import Waiters
from ..interfaces import ILink
from ..link.plan import LinkPlan
from ..netstate.paths import DialPath
from .address_backoff import FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS, AddressBackoff
from .dial import OneDial
from .endpoint_dial import EndpointDial
from .environment import DialEnvironment
from .local_port import origin_for
from .race import DialFailed, Race
from .ranking import rank


class _SharedRace:
    """
    A race with those who wait for it.

    @ivar asked_by: on whose account each endpoint is dialled.
    """

    def __init__(self, left: Callable[[_SharedRace], object]) -> None:
        """
        @param left: called with this whenever a waiter gives up.
        """
        self.waiters: Waiters[ILink] = Waiters(lambda: left(self))
        self.asked_by: dict[Endpoint, Account] = {}
        self.race: Race


_Key = tuple[Name | None, bytes, tuple[Endpoint, ...]]


class Dialler:
    """
    Makes all dials of a L{CrustService<routing_crust.crust.service.CrustService>}.
    """

    def __init__(self, environment: DialEnvironment) -> None:
        clock = environment.owner.clock
        self._environment = environment
        self._clock: IReactorTime = clock
        self._limits = environment.limits
        self._history = environment.history
        self._backoff = AddressBackoff(FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS, clock.seconds)
        self._races: dict[_Key, _SharedRace] = {}
        self._dials: dict[EndpointDial, None] = {}
        self._open: dict[OneDial, None] = {}

    @property
    def idle(self) -> bool:
        """Whether nothing is left of all connections that were dialled."""
        return not self._open

    def connect(
        self,
        endpoints: Sequence[Endpoint],
        peer: Name | None,
        token: bytes,
        asked_by: Account,
        on_link: Sequence[str] = (),
    ) -> Deferred[ILink]:
        """
        Dial a peer, or join the dials for it that are under way: the work of
        L{ICrust.connect<routing_crust.crust.interfaces.ICrust.connect>}, which explains the arguments.

        @param on_link: the networks of our own interfaces.
        """
        ranked = rank(endpoints, on_link)
        # Without a name nothing but the endpoints tells one peer from another.
        key = (peer, token, () if peer is not None else ranked)
        shared = self._races.get(key)
        joined = shared is not None
        if shared is None:
            shared = self._races[key] = _SharedRace(partial(self._left, key))
            shared.race = self._race(shared, peer, token)
        waiter = shared.waiters.wait()
        for endpoint in ranked:
            # one caller that knows the endpoint from elsewhere is enough to take it off the strangers' budget
            shared.asked_by[endpoint] = asked_by and shared.asked_by.get(endpoint, asked_by)
        shared.race.add(ranked)
        if not joined:
            shared.race.link.addBoth(self._raced, key, shared)
            shared.race.start()
        return waiter

    def dial_contact(self, contact: Contact) -> Deferred[ILink]:
        """
        Dial one contact for a bootstrap, now: L{AddressBackoff} does not apply.

        @return: fires with the link, or fails with L{DialFailed}; can be cancelled.
        @raise LimitReached: there are too many dials already.
        @raise DialFailed: it may not be dialled.
        """
        return self._dial(contact.endpoint, contact.name, b"", bootstrap=True)

    def wait(self, endpoint: Endpoint, peer: Name) -> float:
        """Seconds for which this endpoint is left alone, unless a peer tells us to dial it."""
        return self._backoff.wait(endpoint, peer)

    def network_changed(self) -> None:
        """Where dials have failed, others may be made at once."""
        self._backoff.forget()

    def stop(self) -> None:
        """Call off all dials; every Deferred that is waiting fails with L{ServiceStopped}."""
        # taken away first: a race that is cancelled here must not settle its waiters itself
        races, self._races = self._races, {}
        for shared in races.values():
            shared.race.link.cancel()
            shared.waiters.fail(ServiceStopped("crust has been stopped"))
        for dial in list(self._dials):
            dial.outcome.cancel()

    def _race(self, shared: _SharedRace, peer: Name | None, token: bytes) -> Race:
        def dial(endpoint: Endpoint) -> Deferred[ILink]:
            # a peer that has just told us to dial is there, whatever happened before
            wait = 0.0 if token else self._backoff.wait(endpoint, peer)
            if wait > 0:
                raise DialFailed(f"it failed recently and is left alone for {wait:.1f} s more")
            return self._dial(endpoint, peer, token, asked_by=shared.asked_by[endpoint])

        return Race(self._clock, DIAL_STAGGER_SECONDS, dial)

    def _dial(
        self,
        endpoint: Endpoint,
        peer: Name | None,
        token: bytes,
        *,
        bootstrap: bool = False,
        asked_by: Account = OURSELVES,
    ) -> Deferred[ILink]:
        way = Way.BOOTSTRAP if bootstrap else Way.DIAL
        try:
            self._limits.check(endpoint, peer, asked_by)
            if asked_by:
                self._limits.spend(endpoint, asked_by, peer)
        except (DialFailed, LimitReached) as problem:
            self._history.tried(peer, way, endpoint, str(problem))
            raise
        plan = LinkPlan(Direction.CONNECTED, initiator=True, expected=peer, bootstrap=bootstrap, token=token)

        def make(path: DialPath) -> OneDial:
            environment = self._environment
            # a requested peer may have to be punched later, between the same two ports, which must be free
            origin = None if token else origin_for(environment.listening(), endpoint)
            made = OneDial(environment, plan, endpoint, self._closed, origin, path)
            self._open[made] = None
            return made

        def may_repeat() -> None:
            self._limits.check(endpoint, peer, asked_by)
            if asked_by:
                self._limits.spend(endpoint, asked_by, peer)

        dial = EndpointDial(self._clock, self._environment.paths, endpoint, make, may_repeat)
        self._dials[dial] = None
        self._limits.began(peer, endpoint, asked_by)
        dial.outcome.addBoth(self._dialled, dial, plan, asked_by)
        dial.start()
        return dial.outcome

    def _dialled(
        self, outcome: ILink | Failure, dial: EndpointDial, plan: LinkPlan, asked_by: Account
    ) -> ILink | Failure:
        del self._dials[dial]
        peer, way = plan.expected, Way.BOOTSTRAP if plan.bootstrap else Way.DIAL
        self._limits.ended(peer, asked_by)
        if not isinstance(outcome, Failure):
            self._backoff.succeeded(dial.endpoint, peer)
            self._limits.answered(dial.endpoint, outcome.peer)
            proxy = self._environment.proxied(dial.endpoint)
            answered = f"it answered through the proxy {proxy}" if proxy else "it answered"
            text = f"{answered}, {dial.remark}" if dial.remark else answered
            self._history.tried(outcome.peer, way, dial.endpoint, text, good=True)
        elif outcome.check(DialFailed):
            self._backoff.failed(dial.endpoint, peer)
            self._limits.failed(dial.endpoint, peer)
            self._history.tried(peer, way, dial.endpoint, outcome.getErrorMessage())
        else:
            self._history.tried(peer, way, dial.endpoint, "called off")
        return outcome

    def _closed(self, dial: OneDial) -> None:
        del self._open[dial]
        self._environment.gone()

    def _raced(self, outcome: ILink | Failure, key: _Key, shared: _SharedRace) -> None:
        if self._races.get(key) is not shared:  # everybody has left, or we stop
            return
        del self._races[key]
        shared.waiters.fire(outcome)

    def _left(self, key: _Key, shared: _SharedRace) -> None:
        if not shared.waiters and self._races.get(key) is shared:
            del self._races[key]
            shared.race.link.cancel()
