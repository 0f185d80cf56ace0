"""
The keeper of one port: it has a router map the port, renews the mapping, and makes it again when it is lost.

It is one coroutine. While a port is mapped it asks the router now and then whether it still is, renews the
mapping at half of its lifetime, and makes it again at once when the router has restarted or has another
address. Without a router that maps, it tries again after minutes, or when the network has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random
from typing import Final

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from ...addresses import Kind, kind_of
from ...endpoints import LOWEST_PORT_FROM_STRANGERS, Endpoint
from ...timing.backoff import Backoff
from ...timing.steadyclock import time_left
from ...timing.timers import cancel
from ...timing.waiters import Waiters
from .lease import Gateway, Lease, PortRouter, RouterAccess, RouterProblem, UselessMapping, in_words

FIRST_RETRY_SECONDS: Final = 120.0
"""Until a router is looked for again, in seconds; each wait is twice as long, up to L{MAX_RETRY_SECONDS}."""
MAX_RETRY_SECONDS: Final = 3600.0
MIN_WAIT_SECONDS: Final = 10.0
"""Seconds between two requests, at least, even if a router grants shorter lifetimes."""
SETTLE_SECONDS: Final = 1.0
"""Seconds between a change of the network and the look at what it has become; changes come in bursts."""
STOP_SECONDS: Final = 2.0
"""Seconds: the longest that a stop waits for the router to confirm that the mapping is gone."""


class PortKeeper:
    """
    Keeps one port mapped, from L{start} to L{stop}. Made by
    L{PortMapper<routing_crust.crust.mapping.portmapper.PortMapper>}.

    @ivar listening: where we listen.
    @ivar lease: what the router has promised; C{None} while it is not mapped.
    @ivar problem: why it is not mapped, in words; empty while it is, or before that is known.
    """

    log = Logger()

    def __init__(
        self,
        listening: Endpoint,
        lifetime: int,
        clock: IReactorTime,
        random: Random,
        access: RouterAccess,
        told: Callable[[Lease | None, Lease | None], None],
    ) -> None:
        """
        @param lifetime: what is asked for, in seconds.
        @param access: finds the router, and what asks it.
        @param told: called with the lease that was and the one that is, whenever it becomes another.
        """
        self.listening = listening
        self.lease: Lease | None = None
        self.problem = ""
        self._lifetime = lifetime
        self._clock = clock
        self._random = random
        self._access = access
        self._told = told
        wanted = listening.port
        # peers would not dial a low one; but no port is translated in IPv6
        if wanted < LOWEST_PORT_FROM_STRANGERS and not listening.is_v6:
            wanted = random.randint(LOWEST_PORT_FROM_STRANGERS, 65535)
        self._wanted = wanted
        self._router: PortRouter | None = None
        self._retry = Backoff(FIRST_RETRY_SECONDS, 2.0, MAX_RETRY_SECONDS, 0.1, random)
        self._changed = False
        self._timer: IDelayedCall | None = None
        self._running: Deferred[None] | None = None
        self._waiting: Waiters[None] = Waiters()

    def start(self) -> None:
        """Begin. Called once."""
        self._running = Deferred.fromCoroutine(self._run()).addErrback(self._ended)

    def stop(self) -> Deferred[None]:
        """
        Stop, and have the router remove the mapping.

        @return: fires within L{STOP_SECONDS} seconds, when no delayed call or port is left; never fails.
        """
        return Deferred.fromCoroutine(self._stop())

    def when_asked(self) -> Deferred[None]:
        """
        @return: fires when there is a L{lease} or a L{problem}, or this is stopped; never fails.
        """
        return succeed(None) if self.lease or self.problem else self._waiting.wait()

    def network_changed(self) -> None:
        """The host's addresses or routes have changed: check the mapping soon."""
        self._retry.reset()
        if self._timer is None:
            self._changed = True
        elif time_left(self._timer, self._clock) > SETTLE_SECONDS:
            self._timer.reset(SETTLE_SECONDS)

    async def _stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            # a router is asked one thing at a time, so that must be over before the removal
            running.cancel()
            await running
        router, self._router = self._router, None
        lease, self.lease = self.lease, None
        if router is None:
            return
        problem = await self._removal_problem(router)
        if lease is not None:
            self._say_goodbye(lease, problem)

    async def _removal_problem(self, router: PortRouter) -> str:
        """Have the mapping removed. Returns why that is not confirmed; empty if it is."""
        try:
            await Deferred.fromCoroutine(router.remove()).addTimeout(STOP_SECONDS, self._clock)
        except RouterProblem as error:
            return str(error)
        except TookTooLong:
            return "no answer"
        return ""

    def _say_goodbye(self, lease: Lease, problem: str) -> None:
        if problem:
            self.log.info(
                "the router at {router} does not confirm that {external} is no longer mapped to us "
                "({problem}); it was mapped {term}",
                router=lease.router,
                external=str(lease.external),
                problem=problem,
                term=lease.term,
            )
        else:
            self.log.info(
                "the router at {router} no longer {effect}, as we have requested",
                router=lease.router,
                effect=lease.effect,
            )

    async def _run(self) -> None:
        while True:
            gateway = self._access.find_gateway()
            problem = "this host has no gateway"
            if gateway is not None:
                # asked each time: a laptop may have come home, or have another address from the router
                problem = self._objection(gateway) or await self._map_anyhow(gateway)
            known, self.problem = self.problem, problem
            self._waiting.fire(None)
            if not problem:
                await self._keep(gateway)
            else:
                # the same problem returns with every retry, for days where there is no such router
                self._report(LogLevel.debug if problem == known else LogLevel.info)
                await self._pause(self._retry.next_wait())

    def _objection(self, gateway: Gateway) -> str:
        """Why no mapping is needed or possible; empty if one is."""
        local = Endpoint(gateway.local, self.listening.port)
        if kind_of(local.address) is Kind.GLOBAL and not gateway.is_v6:
            return "this host has a public address itself"
        if not self.listening.address.is_unspecified and self.listening != local:
            return f"it is not at {gateway.local}, our address towards the router"
        return ""

    async def _map_anyhow(self, gateway: Gateway) -> str:
        """Try each way. Returns the problem, if none works."""
        problems = []
        for way in self._access.ways:
            self._router = way(gateway)
            try:
                lease = await self._router.map(self.listening.port, self._wanted, self._lifetime)
            except RouterProblem as problem:
                problems.append(f"{self._router.way}: {problem}")
                if isinstance(problem, UselessMapping):
                    # a stop meanwhile finds this router and removes it, too
                    await self._removal_problem(self._router)
            else:
                self._got(lease)
                return ""
        self._router = None
        return f"the router at {gateway.address} does not ({'; '.join(problems)})"

    async def _keep(self, gateway: Gateway | None) -> None:
        """
        Check and renew the mapping until it is lost.

        @param gateway: the router that has mapped it.
        """
        router, lease = self._router, self.lease
        assert router is not None
        assert lease is not None
        since = now = self._clock.seconds()
        # a renewal at half the lifetime leaves the other half for retries while the router is busy
        half = self._half_of(lease)
        while True:
            left = half - (now - since)
            if left <= 0:  # renewing it has failed
                left = min(lease.lifetime, self._lifetime) - (now - since)
            await self._pause(max(MIN_WAIT_SECONDS, min(left, router.check_every)))
            # another gateway, or another address of ours, makes the old mapping worthless
            if self._access.find_gateway() != gateway:
                self._lost("the network has changed")
                return
            now, held = self._clock.seconds(), True
            try:
                # a clock that was set back must not lengthen a lease
                is_due = not 0 <= now - since < half
                held = is_due or await router.holds(lease)
                if is_due or not held:
                    lease = await router.map(self.listening.port, lease.external.port, self._lifetime)
                    self._got(lease)
                    half = self._half_of(lease)
                if is_due or not held or lease.lifetime == inf:
                    since = now
            except RouterProblem as problem:
                # a permanent mapping is trusted no longer than one with the lifetime that we request
                if not held or now - since >= min(lease.lifetime, self._lifetime):
                    self._lost(f"{router.way}: {problem}")
                    return
                self.log.debug("the router at {router}: {problem}", router=lease.router, problem=str(problem))

    def _half_of(self, lease: Lease) -> float:
        return lease.lifetime / 2 * self._random.uniform(0.9, 1)

    def _ended(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self.log.failure("mapping of port {port} has ended", failure, port=self.listening.port)
        self._waiting.fire(None)

    def _got(self, lease: Lease) -> None:
        old, self.lease = self.lease, lease
        # the same port is asked for next time, so that what others know of us stays true
        self.problem, self._wanted = "", lease.external.port
        self._retry.reset()
        if old is not None and old.external == lease.external:
            self.log.debug("{external} is mapped on, {term}", external=str(lease.external), term=lease.term)
            return
        self.log.info(
            "the router at {router} lets connections to {external} in ({way}), {term}{remark}"
            if lease.is_pinhole
            else "the router at {router} maps {external} to our port {port} ({way}), {term}{remark}",
            router=lease.router,
            external=str(lease.external),
            port=lease.local_port,
            way=lease.way,
            term=lease.term,
            remark=lease.remark and f"; {lease.remark}",
        )
        self._told(old, lease)

    def _lost(self, problem: str) -> None:
        lease, self.lease = self.lease, None
        assert lease is not None
        self.log.info(
            "the router at {router} no longer {effect} ({problem})",
            router=lease.router,
            effect=lease.effect,
            problem=problem,
        )
        self._told(lease, None)

    def _report(self, level: LogLevel) -> None:
        """Say why the port is not mapped."""
        self.log.emit(
            level,
            "no router lets connections to {listening} in: {problem}. This is tried again in {wait}, "
            "or when the network changes"
            if self.listening.is_v6
            else "no router maps our port {port}: {problem}. This is tried again in {wait}, "
            "or when the network changes",
            listening=str(self.listening),
            port=self.listening.port,
            problem=self.problem,
            wait=in_words(self._retry.bound),
        )

    async def _pause(self, seconds: float) -> None:
        """Wait, less if the network changes or has changed meanwhile."""
        if self._changed:
            self._changed = False
            seconds = min(seconds, SETTLE_SECONDS)
        over: Deferred[None] = Deferred()
        timer = self._timer = self._clock.callLater(seconds, over.callback, None)
        try:
            await over
        finally:
            self._timer = None
            cancel(timer)
