"""
A request of ours for a connection, from when it sets out until it is settled: by which ways it goes, and who
waits for what comes of it.
"""

from __future__ import annotations

from random import Random
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ...crust.interfaces import ILink
from ...names import Name
from ...timing.timers import cancel
from ...wire.codec import encode
from ...wire.messages import ConnectGo, EnvelopeKind, LinkUse
from ..messaging.outbox import LATEST_RETRY, SOONEST_RETRY


class SendControl(Protocol):
    """How a control message is sent by name."""

    def __call__(
        self,
        kind: EnvelopeKind,
        destination: Name,
        body: bytes,
        proxy: Name | None,
        via: ILink | None,
        attempt: int = 0,
    ) -> int | None:
        """
        @param proxy: the node that speaks for the destination, if it is known.
        @param via: the link to send by, whose peer then speaks for us; C{None} leaves it to the table.
        @param attempt: so many of the best first hops are passed over.
        @return: the id of the envelope; C{None} if there was no first hop.
        """


class OutgoingRequest:
    """
    Made by the C{Connector}, which forgets it before L{settle} or L{stop}.

    @ivar name: who is asked.
    @ivar use: for what.
    @ivar nonce: of the request.
    @ivar token: the request, signed.
    @ivar sent: when it set out, in seconds.
    @ivar timer: the delayed call that gives it up.
    @ivar answered: whether a response has come.
    @ivar waiting: whoever waits for the link.
    """

    __slots__ = (
        "_again", "_clock", "_envelopes", "_most_attempts", "_random", "_send", "_way",
        "answered", "name", "nonce", "sent", "timer", "token", "use", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        name: Name,
        use: LinkUse,
        nonce: bytes,
        token: bytes,
        timer: IDelayedCall,
        clock: IReactorTime,
        random: Random,
        send: SendControl,
        most_attempts: int,
    ) -> None:
        """
        @param most_attempts: how often it is sent, by one way or another.
        """
        self.name = name
        self.use = use
        self.nonce = nonce
        self.token = token
        self.timer = timer
        self.sent = clock.seconds()
        self.answered = False
        self.waiting: list[Deferred[ILink]] = []
        self._clock = clock
        self._random = random
        self._send = send
        self._most_attempts = most_attempts
        self._way: tuple[Name | None, ILink | None, int] = (None, None, 0)
        self._envelopes: set[int | None] = set()
        self._again: IDelayedCall | None = None

    def set_out(self, proxy: Name | None, via: ILink | None, attempt: int = 0) -> None:
        """Go by this way; see L{SendControl}."""
        self._way = proxy, via, attempt
        self._envelopes.add(self._send(EnvelopeKind.CONNECT_REQUEST, self.name, self.token, *self._way))

    def is_in(self, envelope_id: int) -> bool:
        """Whether this envelope of ours holds it."""
        return envelope_id in self._envelopes

    def no_way_on(self) -> None:
        """A hint came that one of its envelopes found no way on: it takes another way soon."""
        if self.answered or self._again is not None or len(self._envelopes) >= self._most_attempts:
            return
        wait = self._random.uniform(SOONEST_RETRY, LATEST_RETRY)
        self._again = self._clock.callLater(wait, self._set_out_again)

    def _set_out_again(self) -> None:
        self._again = None
        proxy, via, attempt = self._way
        self.set_out(None, None, attempt + 1 if proxy is None and via is None else 0)

    def go(self) -> None:
        """Say that we begin to punch, by the way that the request went last."""
        self._send(EnvelopeKind.CONNECT_GO, self.name, encode(ConnectGo(self.nonce)), *self._way)

    def settle(self, result: ILink | Failure) -> None:
        """It is over: tell whoever waits."""
        self.stop()
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.callback(result)  # a Failure goes to the errbacks

    def stop(self) -> None:
        """Send nothing more, and do not give it up later."""
        cancel(self.timer)
        cancel(self._again)
