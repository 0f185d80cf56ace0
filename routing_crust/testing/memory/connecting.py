"""
Connecting in memory: what a TCP connection goes through until it is there.

A SYN takes one latency, as the answer does. What gets no answer is sent again after 1 s, 3 s and so on, which
keeps the way through the dialler's own NAT open. If both ends dial each other from the ports that the other
dials, they get one connection, which both have made (a simultaneous open; RFC 9293, section 3.5).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import (
    ConnectError,
    ConnectionLost,
    ConnectionRefusedError,
    NoRouteError,
    UserError,
)
from twisted.internet.interfaces import IConnector, IDelayedCall
from twisted.python.failure import Failure
from zope.interface import implementer

from ...endpoints import Endpoint
from .internet import Arrival
from .transport import Host, MemoryTransport, address_of

FIRST_RESEND_SECONDS: Final = 1.0
"""Seconds after which an unanswered SYN is sent again; then after twice as long each time (RFC 6298)."""


class DialRefused(Exception):
    """A SYN is refused: what the dialler's system makes of the answer is C{error}."""

    def __init__(self, error: ConnectError) -> None:
        super().__init__(str(error))
        self.error = error


class Listener(Protocol):
    """A port that takes connections."""

    @property
    def host(self) -> Host:
        """The host that has the port."""

    def accept(self, end: MemoryTransport) -> None:
        """A peer has connected: this is our end."""


class Exchange(Protocol):
    """The network, as far as a host that dials knows it."""

    def delay(self, here: str, there: str) -> float:
        """How long something takes from one host to another, this time."""

    def begins(self, connector: MemoryConnector) -> bool:
        """A dial begins. Returns whether anything will ever come back."""

    def open_way(self, source: Endpoint, remote: Endpoint) -> None:
        """A packet leaves a host, and opens the way for answers through its own NATs."""

    def answer(self, connector: MemoryConnector) -> tuple[Listener | MemoryConnector, Arrival] | None:
        """
        A SYN comes to where it gets to.

        @return: who takes it; C{None} if nothing comes back.
        @raise DialRefused: it is refused.
        """

    def join(self, connector: MemoryConnector, other: Host, arrival: Arrival) -> MemoryTransport:
        """Make both ends of a connection. Returns the end that has dialled."""

    def given_up(self, connector: MemoryConnector) -> None:
        """A dial has ended, with a connection or without."""

    def is_taken(self, local: Endpoint, remote: Endpoint) -> bool:
        """Whether there is a connection between these two ends, or one is being made."""


@implementer(IConnector)
class MemoryConnector:
    """
    One connection that is being made, and then its owner: the connector of one dial.

    @ivar host: who dials.
    @ivar local: from where.
    @ivar remote: what is dialled.
    @ivar is_guess: whether it is one of many dials that guess or open ports.
    """

    def __init__(
        self, exchange: Exchange, host: Host, local: Endpoint, remote: Endpoint, factory: Any
    ) -> None:
        """
        @param factory: a C{ClientFactory}.
        """
        self.host = host
        self.local = local
        self.remote = remote
        self.is_guess = bool(getattr(factory, "is_guess", False))
        self._exchange = exchange
        self._factory = factory
        self._end: MemoryTransport | None = None
        self._connecting = False
        self._calls: dict[int, IDelayedCall] = {}
        self._number = 0

    def connect(self) -> None:
        """Begin. Called once."""
        self._connecting = True
        self._factory.doStart()
        if self._exchange.is_taken(self.local, self.remote):
            problem = ConnectError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
            # in a later turn, as Twisted's connectors report it
            self._later(0, self._fail, problem)
        elif self._exchange.begins(self):
            self._send(FIRST_RESEND_SECONDS)
        self._factory.startedConnecting(self)

    def disconnect(self) -> None:
        if self._connecting:
            self.stopConnecting()
        elif self._end is not None:
            self._end.loseConnection()

    def stopConnecting(self) -> None:
        self._fail(UserError())

    def getDestination(self) -> IPv4Address | IPv6Address:
        return address_of(self.remote)

    def vanish(self) -> None:
        """The process that dials is killed."""
        self._connecting = False
        self._stop()

    # The outcome.

    def joined(self, end: MemoryTransport) -> None:
        """The peer has taken it, which is known here when its answer comes."""
        self._end = end
        end.lost = self._lost
        self._cancel()
        end.other.pipe.put(self._delay(), self.connected)

    def meets(self, end: MemoryTransport) -> None:
        """Both have dialled each other, and the peer's SYN has come."""
        self._end = end
        end.lost = self._lost
        self._cancel()
        self.connected()

    def connected(self) -> None:
        """It is there."""
        end = self._end
        assert end is not None
        if end.gone or not self._connecting:  # called off meanwhile, or cut
            end.lost = None
            end.abortConnection()
            return
        self._connecting = False
        self._stop()
        end.connect(self._factory.buildProtocol(address_of(self.remote)))

    def _lost(self, reason: Failure) -> None:
        if self._connecting:
            self._fail(ConnectionLost())
            return
        self._factory.clientConnectionLost(self, reason)
        self._factory.doStop()

    def _fail(self, problem: BaseException) -> None:
        if not self._connecting:
            return
        self._connecting = False
        self._stop()
        if self._end is not None:  # the peer has taken it already
            self._end.lost = None
            self._end.abortConnection()
        self._factory.clientConnectionFailed(self, Failure(problem))
        self._factory.doStop()

    # The SYN.

    def _send(self, resend: float) -> None:
        exchange = self._exchange
        exchange.open_way(self.local, self.remote)
        # whatever answers cancels this
        self._later(resend, self._send, 2 * resend)
        self._later(self._delay(), self._arrive)

    def _delay(self) -> float:
        return self._exchange.delay(self.host.host, self.remote.host)

    def _arrive(self) -> None:
        try:
            answer = self._exchange.answer(self)
        except DialRefused as refused:
            self._cancel()
            self._later(self._delay(), self._fail, refused.error)
            return
        if answer is None:
            return
        taker, arrival = answer
        end = self._exchange.join(self, taker.host, arrival)
        self.joined(end)
        if isinstance(taker, MemoryConnector):
            taker.meets(end.other)
        else:
            taker.accept(end.other)

    def _later(self, delay: float, call: Callable[..., None], *arguments: Any) -> None:
        self._number += 1
        self._calls[self._number] = self.host.clock.callLater(delay, self._run, self._number, call, arguments)

    def _run(self, number: int, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        del self._calls[number]
        call(*arguments)

    def _cancel(self) -> None:
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if call.active():  # else its host has lost its power
                call.cancel()

    def _stop(self) -> None:
        self._cancel()
        self._exchange.given_up(self)


NO_ROUTE: Final = NoRouteError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
REFUSED: Final = ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
