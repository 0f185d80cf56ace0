"""
One question to the router over UDP: it is repeated with growing waits, until there is an answer.

Each request has a socket of its own, so that a late reply to an earlier one is not taken for its reply. The
socket is connected to the gateway: datagrams of other hosts do not get in, and a router that does not speak
the protocol says so at once, by ICMP. A link-local gateway of IPv6 is not connected to, since Twisted would
not tell the system its zone; its answers are known by their source.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import if_nametoindex
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import DatagramProtocol

from ...timing.timers import cancel
from .lease import Gateway, RouterProblem

FIRST_WAIT_SECONDS: Final = 0.25
"""Seconds until a request is sent again; each later wait is twice as long (RFC 6886, 3.1)."""

_REFUSED: Final = "the router does not speak it"

T = TypeVar("T")
Address = tuple[str, int, int, int]


class Question(DatagramProtocol, Generic[T]):
    """
    One request and the wait for its answer. Made by L{ask}, which opens and closes its socket.

    @ivar answered: fires with the reply. Fails with L{RouterProblem} when there is none. Cancelling it ends
        the request. Either way no delayed call is left.
    """

    noisy = False
    transport: Any

    def __init__(
        self,
        clock: IReactorTime,
        router: tuple[str, int],
        request: bytes,
        read: Callable[[bytes], T | None],
        attempts: int,
    ) -> None:
        """
        @param router: the address and port that may answer.
        @param read: reads an answer; C{None} if a datagram is none to this request.
        @param attempts: how often the request is sent.
        """
        self.answered: Deferred[T] = Deferred(lambda _: self._end())
        self._clock = clock
        self._router = router
        # the zone is not said of what comes
        self._source = (router[0].partition("%")[0], router[1])
        self._request = request
        self._read = read
        self._attempts = attempts
        self._call: IDelayedCall | None = None
        self._to: Address | None = None  # None if the socket is connected

    def begin(self) -> None:
        """Ask. Called once, when the socket is open."""
        try:
            self._to = _with_scope(*self._router)
            if self._to is None:
                self.transport.connect(*self._router)
        except OSError as error:
            self._fail(f"it cannot be asked ({error.strerror or error})")
        else:
            self._ask(FIRST_WAIT_SECONDS, self._attempts)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        # any host can send a datagram that looks like a reply
        if (addr[0].partition("%")[0], addr[1]) == self._source and not self.answered.called:
            reply = self._read(datagram)
            if reply is not None:
                # no more repetitions, whatever the callback does with the reply
                self._end()
                self.answered.callback(reply)

    def connectionRefused(self) -> None:
        """ICMP says that the port is closed."""
        self._fail(_REFUSED)

    def stopProtocol(self) -> None:
        """The epoll reactor closes the port where others say C{connectionRefused}."""
        self._fail(_REFUSED)

    def _ask(self, wait: float, left: int) -> None:
        self._call = None
        if not left:
            self._fail("no answer")
            return
        self._call = self._clock.callLater(wait, self._ask, 2 * wait, left - 1)
        try:
            self.transport.write(self._request, *(() if self._to is None else (self._to,)))
        except OSError as error:
            self._fail(f"it cannot be asked ({error.strerror or error})")

    def _fail(self, why: str) -> None:
        if not self.answered.called:
            self._end()
            self.answered.errback(RouterProblem(why))

    def _end(self) -> None:
        cancel(self._call)
        self._call = None


def _with_scope(host: str, port: int) -> Address | None:
    """
    The address of a link-local gateway, with the number of its zone; C{None} for any other.

    @raise OSError: there is no such interface any more.
    """
    _, percent, zone = host.partition("%")
    return (host, port, 0, if_nametoindex(zone)) if percent else None


async def ask(
    reactor: Any,
    gateway: Gateway,
    port: int,
    request: bytes,
    read: Callable[[bytes], T | None],
    attempts: int,
) -> T:
    """
    Ask the gateway.

    @param reactor: provides C{IReactorTime} and C{IReactorUDP}.
    @param port: where it listens.
    @param read: as for L{Question}.
    @raise RouterProblem: there is no answer.
    """
    question = Question(reactor, (gateway.address, port), request, read, attempts)
    try:
        socket = reactor.listenUDP(0, question, interface=gateway.local)
    except CannotListenError as error:
        raise RouterProblem(f"it cannot be asked ({error.socketError})") from error
    try:
        question.begin()
        return await question.answered
    finally:
        await maybeDeferred(socket.stopListening)
