"""
Dialling in memory: endpoints raced for one link, and contacts tried for a way into the network.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from ...crust.interfaces import ILink
from ...endpoints import Contact, Endpoint
from ...errors import CloseReason, ConnectFailed, ServiceStopped
from ...names import Name
from .internet import Arrival
from .links import MemoryLink
from .pipes import Timers

if TYPE_CHECKING:
    from .crust import MemoryCrust


class Attempt:
    """
    One endpoint being dialled: two latencies until the handshake is done, if anybody answers.

    @ivar link: our end of the connection, from the handshake on; not reported until it comes up.
    @ivar origin: the port that it is dialled from; C{None} leaves that to the network.
    @ivar arrival: where it has come to, if there are NATs.
    """

    origin: Endpoint | None = None
    arrival: Arrival | None = None

    def __init__(self, dial: Dial, endpoint: Endpoint) -> None:
        self.dial = dial
        self.endpoint = endpoint
        self.link: MemoryLink | None = None
        crust = dial.crust
        self._timers = Timers(crust.clock)
        crust.network.dials += 1
        crust.network.trace.note("dial", crust.host, endpoint.host, endpoint.port)
        crust.dialling(self)
        self._timers.start("timeout", crust.settings.dial_timeout, lambda: self.fail("timed out"))
        self._timers.start("answer", crust.network.delay() + crust.network.delay(), self._answered)

    def _answered(self) -> None:
        crust, peer = self.dial.crust, self.dial.peer
        target = crust.answer(self)
        if target is None:
            return  # nothing came back, and the timeout will say so
        if isinstance(target, str):
            self.fail(target)
        elif peer is not None and target.identity.name != peer:
            self.fail(f"it is another node that answers there, {target.identity.name.short}")
        else:
            self.link = crust.network.join(self, target)

    def fail(self, why: str) -> None:
        """Nothing comes of it."""
        self.cancel()
        self.dial.attempt_failed(self, why)

    def cancel(self) -> None:
        """Dial no more. A link that has come up stays."""
        self._timers.cancel_all()
        if self.link is not None and not self.link.up:
            self.dial.crust.forget_attempt(self.link)
            self.link.abort(CloseReason.NO_LONGER_NEEDED)


class Dial:
    """
    The endpoints of one peer, raced: each starts C{dial_stagger} after the one before, or as soon as that
    has failed, and the first link that is up ends it.

    @ivar failures: each endpoint that was tried in vain, as text, with what happened there.
    @ivar link: what came of it.
    @ivar waiters: who has called for it.
    """

    def __init__(
        self,
        crust: MemoryCrust,
        endpoints: Sequence[Endpoint],
        peer: Name | None,
        token: bytes,
        bootstrap: bool,
        settled: Callable[[Dial], object],
    ) -> None:
        """
        @param settled: called once it is over, with L{link} set or not, unless it was stopped.
        """
        self.crust = crust
        self.peer = peer
        self.token = token
        self.bootstrap = bootstrap
        self.failures: list[tuple[str, str]] = []
        self.link: MemoryLink | None = None
        self.waiters: list[Deferred[ILink]] = []
        self._settled = settled
        self._left = deque(endpoints)
        self._attempts: list[Attempt] = []
        self._timers = Timers(crust.clock)
        self._timers.start("next", 0, self._dial_next)

    def _dial_next(self) -> None:
        if self._left:
            self._attempts.append(Attempt(self, self._left.popleft()))
            if self._left:
                self._timers.start("next", self.crust.settings.dial_stagger, self._dial_next)
        elif not self._attempts:
            self._settled(self)

    def attempt_failed(self, attempt: Attempt, why: str) -> None:
        """No link came of one of the endpoints."""
        self._attempts.remove(attempt)
        self.failures.append((str(attempt.endpoint), why))
        self._timers.cancel("next")
        self._dial_next()

    def won(self, attempt: Attempt) -> None:
        """A link is up: stop the others. L{fire} follows when it has been reported."""
        self.link = attempt.link
        self.stop()
        self._settled(self)

    def wait(self) -> Deferred[ILink]:
        """
        @return: fires with the link, or fails with L{ConnectFailed} or L{ServiceStopped}. When all of
            them are cancelled, the dial stops.
        """
        waiter: Deferred[ILink] = Deferred(self._cancelled)
        self.waiters.append(waiter)
        return waiter

    def _cancelled(self, waiter: Deferred[ILink]) -> None:
        self.waiters = [each for each in self.waiters if each is not waiter]
        if not self.waiters and self.link is None:
            self.stop()
            self.crust.forget_dial(self)

    def fire(self) -> None:
        """Tell who waits what came of it."""
        waiters, self.waiters = self.waiters, []
        for each in waiters:
            if self.link is not None:
                each.callback(self.link)
            else:
                each.errback(ServiceStopped() if self.crust.stopping else ConnectFailed(tuple(self.failures)))

    def stop(self) -> None:
        """Dial no more; nobody is told."""
        self._left.clear()
        self._timers.cancel_all()
        for attempt in self._attempts:
            attempt.cancel()
        self._attempts.clear()


class Bootstrap:
    """
    One attempt to bootstrap, from L{ICrust.bootstrap} to C{bootstrap_finished}; see there.

    @ivar links: its links that have come up and are not lost.
    """

    def __init__(self, crust: MemoryCrust, contacts: Sequence[Contact]) -> None:
        self.links: list[MemoryLink] = []
        self._crust = crust
        self._left = deque(contacts)
        self._dials: list[Dial] = []
        self._over = False
        self._problem = "" if contacts else "there is no contact to dial"
        self._timers = Timers(crust.clock)
        self._timers.start("next", 0, self._dial_next)
        timeout = crust.settings.bootstrap_timeout
        self._timers.start(
            "timeout", timeout, lambda: self.finish(f"bootstrap_timeout ({timeout:g} s) is over")
        )

    def _dial_next(self) -> None:
        if self._left:
            contact = self._left.popleft()
            self._dials.append(Dial(self._crust, [contact.endpoint], contact.name, b"", True, self._settled))
            self._timers.start("next", self._crust.settings.dial_stagger, self._dial_next)
        else:
            self._look()

    def _settled(self, dial: Dial) -> None:
        self._dials.remove(dial)
        if dial.link is not None:
            self.links.append(dial.link)
        else:
            self._problem = str(ConnectFailed(tuple(dial.failures)))
        self._look()

    def link_lost(self, link: MemoryLink, problem: str) -> None:
        """A link of this attempt, or another one, is gone."""
        if link in self.links:
            self.links.remove(link)
            self._problem = problem
            self._look()

    def _look(self) -> None:
        if not self._left and not self._dials and not self.links:
            self.finish(self._problem)

    def end(self, winner: ILink | None) -> None:
        """See L{ICrust.end_bootstrap}."""
        if not self._over:
            self.finish("")
            for link in self.links:
                if link is not winner:
                    link.close(CloseReason.NO_LONGER_NEEDED)

    def finish(self, problem: str) -> None:
        """The attempt is over, which is reported with what is alive then."""
        if not self._over:
            self._over = True
            self._problem = problem
            self._left.clear()
            self.cancel()
            self._crust.soon(self._report)

    def cancel(self) -> None:
        """Dial no more; nobody is told."""
        self._timers.cancel_all()
        for dial in self._dials:
            dial.stop()
        self._dials.clear()

    def _report(self) -> None:
        self._crust.report_bootstrap(sum(link.over is None for link in self.links), self._problem)
