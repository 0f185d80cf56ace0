"""
One dial: one TCP connection and the TLS handshake over it, within C{DIAL_TIMEOUT_SECONDS}.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConnector, IDelayedCall
from twisted.python.failure import Failure

from ...endpoints import Endpoint
from ...errors import CloseReason, LinkClosed
from ...limits import DIAL_TIMEOUT_SECONDS
from ...timing.shares import OURSELVES, Account
from ...timing.timers import cancel
from ..interfaces import ILink
from ..link.factories import LinkConnectFactory
from ..link.link import Link
from ..link.plan import LinkPlan
from ..netstate.paths import DialPath
from ..reachability import Presence
from .environment import DialEnvironment
from .local_port import is_local
from .race import DialFailed


class OneDial(LinkConnectFactory):
    """
    Makes one link, and knows when nothing is left of it. Made by
    L{Dialler<routing_crust.crust.dial.dialler.Dialler>} for one endpoint.

    @ivar endpoint: what is dialled.
    @ivar peer: who must answer; C{None} accepts anyone.
    @ivar asked_by: on whose account it is made.
    @ivar outcome: fires with the link once it is up and reported; fails with L{DialFailed}, within
        C{DIAL_TIMEOUT_SECONDS}. Cancelling it ends the dial, unless the link is up already.
    """

    def __init__(
        self,
        environment: DialEnvironment,
        plan: LinkPlan,
        endpoint: Endpoint,
        gone: Callable[[OneDial], None],
        origin: Endpoint | None = None,
        path: DialPath | None = None,
    ) -> None:
        """
        @param gone: called once, when the connection has failed or is closed and nothing is left of it.
        @param origin: where to dial from. If that cannot be, it is dialled from any port.
        @param path: the path of its packets; C{None} is the one that is known to work.
        """
        super().__init__(environment.owner, environment.tls, plan)
        self.endpoint = endpoint
        self.peer = plan.expected
        self.asked_by: Account = OURSELVES
        self.outcome: Deferred[ILink] = Deferred(lambda _: self._call_off())
        self._environment = environment
        self._gone = gone
        self._origin = origin
        self._path = environment.paths.first(endpoint) if path is None else path
        self._connector: Any = None
        self._timer: IDelayedCall | None = None
        self._abandoned = False
        self.link.addCallbacks(self._succeeded, self._failed)

    @property
    def is_connected(self) -> bool:
        """Whether the TCP connection was made."""
        return self._built is not None

    def dial(self, timeout: float = DIAL_TIMEOUT_SECONDS) -> None:
        """
        Begin.

        @param timeout: until the end of the TLS handshake, in seconds.
        """
        self._timer = self.owner.clock.callLater(timeout, self._too_late, timeout)
        # No timeout of the reactor's: ours lasts until the end of the TLS handshake.
        self._begin = partial(self._environment.connect, self.endpoint, self.over_tls(), path=self._path)
        self._connector = self._begin(self._origin)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        if self.link.called:
            return
        # that the peer sees our listening port is welcome, but a link is worth more
        if self._origin is not None and is_local(reason.value):
            self._origin = None
            self._connector = self._begin(None)
            return
        self.link.errback(_failed_by(reason.value))

    def stopFactory(self) -> None:
        """Called by Twisted when the one connection is over."""
        self._gone(self)

    def _too_late(self, timeout: float) -> None:
        self._timer = None
        connected = "it answered, but its TLS handshake was not done" if self._built else "no answer"
        self._abandon(DialFailed(f"{connected} within {timeout:g} s"))

    def _call_off(self) -> None:
        if not self.link.called:
            self._abandon(None)

    def _abandon(self, problem: DialFailed | None) -> None:
        self._abandoned = True
        self._disarm()
        if problem is not None:
            self._tell(problem)
        self.link.cancel()
        # cancelling ends a link that was built; a connection that is still being made has none
        if self._built is None and self._connector is not None:
            self._connector.disconnect()

    def _disarm(self) -> None:
        cancel(self._timer)
        self._timer = None

    def _succeeded(self, link: Link) -> None:
        self._disarm()
        refusal = self._environment.refusal_of(link)
        if refusal is not None:
            self._tell(DialFailed(in_words(refusal)))
        elif not self.outcome.called:
            self.outcome.callback(link)

    def _failed(self, failure: Failure) -> None:
        self._disarm()
        # A dial that was called off, or took too long, has an outcome already, or is about to.
        if not self._abandoned:
            problem = failure.value
            self._tell(problem if isinstance(problem, DialFailed) else _failed_by(problem))

    def _tell(self, problem: DialFailed) -> None:
        if not self.outcome.called:
            self.outcome.errback(problem)


def _failed_by(problem: BaseException | None) -> DialFailed:
    return DialFailed(in_words(problem), presence_in(problem))


def presence_in(problem: BaseException | None) -> Presence:
    """What the failure of a dial says about the peer."""
    if isinstance(problem, LinkClosed):
        # what answers there could not prove to be the peer
        proven_other = problem.reason in (CloseReason.TLS_REFUSED, CloseReason.SELF) and not problem.by_peer
        return Presence.GONE if proven_other else Presence.UNKNOWN
    if isinstance(problem, error.NoRouteError):
        return Presence.NO_WAY
    number = getattr(problem, "osError", None)
    refused = isinstance(problem, error.ConnectionRefusedError) or number == errno.EHOSTUNREACH
    return Presence.GONE if refused else Presence.UNKNOWN


def in_words(problem: BaseException | None) -> str:
    """Why a dial has failed, in plain words."""
    if isinstance(problem, LinkClosed):
        if problem.reason is CloseReason.TLS_REFUSED and problem.by_peer:
            return f"the peer refused us ({problem.detail})"
        if problem.reason is CloseReason.CONNECTION_LOST:
            return "the connection was lost before the TLS handshake was done"
        return problem.detail or problem.reason.text
    if isinstance(problem, error.ConnectionRefusedError):
        return "connection refused"
    if isinstance(problem, error.NoRouteError):
        return "no route to this address"
    if isinstance(problem, error.DNSLookupError):
        return "no address is known for its name"
    if isinstance(problem, (error.TimeoutError, error.TCPTimedOutError)):
        return "no answer"
    number = getattr(problem, "osError", None)
    if type(problem) is error.ConnectError and number is None:
        return "an ICMP error came back (the system does not say which)"
    return os.strerror(number).lower() if isinstance(number, int) else str(problem)
