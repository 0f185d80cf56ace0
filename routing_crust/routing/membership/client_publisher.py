"""
Publishing: how a client is found by its name.

A client is in no routing table, so it sends the close group of its own name a signed record that names its
proxy. It repeats this at intervals, since groups change and records expire; each lookup tries the proxy, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...errors import RoutingCrustError
from ...limits import REFRESH_INTERVAL_SECONDS
from ...names import Name
from ...timing.timers import cancel
from ...wire.messages import ClientRecord, EnvelopeKind
from ..control import SendControl
from ..envelopes import RECORD_LABEL, sign_body
from ..node import Node
from .close_group_lookup import CloseGroupLookup
from .proxy_trial import ProxyTrial

RECORD_REFRESH_INTERVALS: Final = 4
"""A record lives for this many refresh intervals."""


class Publisher:
    """
    Made with each start of the service, told of each new proxy, discarded after L{stop}.
    """

    log = Logger()

    def __init__(
        self, node: Node, lookup: CloseGroupLookup, send: SendControl, trial: ProxyTrial | None
    ) -> None:
        """
        @param trial: told of each lookup, and of its answer; C{None} if we are no client.
        """
        self._settings = node.settings
        self._identity = node.identity
        self._clock = node.clock
        self._random = node.random
        self._network_now = node.network_now
        self._lookup = lookup
        self._send = send
        self._trial = trial
        self._proxy: Name | None = None
        self._group: tuple[Name, ...] = ()  # as the last answer by this proxy named it
        self._timer: IDelayedCall | None = None
        self._round: Deferred[None] | None = None

    def proxy_changed(self, proxy: Name | None) -> None:
        """Publish this proxy from now on; nothing with C{None}."""
        self.stop()
        self._proxy, self._group = proxy, ()
        if proxy is not None:
            self._start()

    def stop(self) -> None:
        """Publish nothing more until the proxy changes."""
        # first: the round that is cancelled below would set the timer again
        self._proxy = None
        cancel(self._timer)
        self._timer = None
        if self._round is not None:
            self._round.cancel()

    def _start(self) -> None:
        self._timer = None
        self._round = Deferred.fromCoroutine(self._publish())
        self._round.addBoth(self._done)

    async def _publish(self) -> None:
        trial = self._trial
        if trial is not None:
            trial.group_asked()
        # with the lookup and not behind it: the two leave in one write, and wake our proxy once
        before = self._group
        self._send_record(before)
        group = await self._lookup.look_up(self._identity.name)
        if self._proxy is None:
            return
        if trial is not None:
            trial.group_answered()
        self._group = group.members
        self._send_record([name for name in group.members if name not in before])

    def _send_record(self, names: Sequence[Name]) -> None:
        if self._proxy is None or not names:
            return
        now = self._network_now()
        expiry = now + RECORD_REFRESH_INTERVALS * REFRESH_INTERVAL_SECONDS
        message = ClientRecord(self._proxy.raw, now, expiry)
        record = sign_body(self._identity, self._settings.network, RECORD_LABEL, message)
        # not acknowledged: the next round makes up for what is lost
        for name in names:
            self._send(EnvelopeKind.CLIENT_RECORD, name, record)

    def _done(self, result: object) -> None:
        self._round = None
        if isinstance(result, Failure):
            result.trap(RoutingCrustError, CancelledError)
            self.log.debug("no node to publish to: {reason}", reason=result.getErrorMessage())
        if self._proxy is not None:
            # jitter, since all clients of a proxy that was lost publish at the same moment
            wait = REFRESH_INTERVAL_SECONDS * self._random.uniform(0.75, 1.25)
            self._timer = self._clock.callLater(wait, self._start)
