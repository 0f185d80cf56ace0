"""
The client of NAT-PMP: it repeats a request to the gateway with growing waits, until there is a reply.

Each request has a socket of its own, so that a late reply to an earlier one is not taken for its reply. The
socket is connected to the gateway: datagrams of other hosts do not get in, and a router that does not speak
the protocol says so at once, by ICMP.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import DatagramProtocol

from ...endpoints import Endpoint
from ...timing.timers import cancel
from .lease import Gateway, Lease, RouterProblem
from .natpmp import (
    PORT,
    AddressReply,
    MappingRefusal,
    MappingReply,
    Reply,
    address_request,
    answers,
    has_forgotten,
    mapping_request,
    read_reply,
)

FIRST_WAIT_SECONDS: Final = 0.25
"""Seconds until a request is sent again; each later wait is twice as long (RFC 6886, 3.1)."""
MAX_ATTEMPTS: Final = 5
"""How often a request is sent. The RFC has nine, which take two minutes; here UPnP waits for its turn."""

_REFUSED: Final = "the router does not speak it"


class Question(DatagramProtocol):
    """
    One request and the wait for its answer. Made by L{NatPmpRouter}, which opens and closes its socket.

    @ivar answered: fires with the reply. Fails with L{RouterProblem} when there is none. Cancelling it ends
        the request. Either way no delayed call is left.
    """

    noisy = False
    transport: Any

    def __init__(self, clock: IReactorTime, router: tuple[str, int], request: bytes) -> None:
        """
        @param router: the address and port that may answer.
        """
        self.answered: Deferred[Reply] = Deferred(lambda _: self._end())
        self._clock = clock
        self._router = router
        self._request = request
        self._call: IDelayedCall | None = None

    def begin(self) -> None:
        """Ask. Called once, when the socket is open."""
        try:
            self.transport.connect(*self._router)
        except OSError as error:
            self._fail(f"it cannot be asked ({error.strerror or error})")
        else:
            self._ask(FIRST_WAIT_SECONDS, MAX_ATTEMPTS)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        # any host can send a datagram that looks like a reply
        if addr[:2] == self._router and not self.answered.called:
            reply = read_reply(datagram)
            if reply is not None and answers(reply, self._request):
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
            self.transport.write(self._request)
        except OSError as error:
            self._fail(f"it cannot be asked ({error.strerror or error})")

    def _fail(self, why: str) -> None:
        if not self.answered.called:
            self._end()
            self.answered.errback(RouterProblem(why))

    def _end(self) -> None:
        cancel(self._call)
        self._call = None


class NatPmpRouter:
    """
    A gateway that speaks NAT-PMP, for one port of ours.
    """

    way = "NAT-PMP"
    check_every = 60.0

    def __init__(self, reactor: Any, gateway: Gateway, port: int = PORT) -> None:
        """
        @param reactor: provides C{IReactorTime} and C{IReactorUDP}.
        @param port: where the gateway listens.
        """
        self._reactor = reactor
        self._clock: IReactorTime = reactor
        self._gateway = gateway
        self._port = port
        self._epoch: tuple[int, float] | None = None  # what the router told last, and when
        self._forgotten = False
        self._asked_for: int | None = None
        self._lifetime = 0  # what was asked for last, in seconds

    async def map(self, local_port: int, external_port: int, lifetime: int) -> Lease:
        # asked first: a router without a public address would map a port of no use
        address = await self._external_address()
        # noted before the request, which may take effect although it is cancelled
        self._asked_for, self._lifetime = local_port, lifetime
        reply = await self._ask(mapping_request(local_port, external_port, lifetime))
        assert isinstance(reply, MappingReply)
        if not reply.external_port or not reply.lifetime:
            raise RouterProblem("the router maps no port, and gives no reason")
        self._forgotten = False
        external = Endpoint(address, reply.external_port)
        return Lease(self.way, self._gateway.address, external, local_port, reply.lifetime)

    async def holds(self, lease: Lease) -> bool:
        address = await self._external_address()
        if address != lease.external.host or self._forgotten:
            return False
        # The protocol has no question for this. A renewal is answered with another port if ours has gone to
        # another host, and brings back a mapping that the router has lost although its epoch went on.
        reply = await self._ask(mapping_request(lease.local_port, lease.external.port, self._lifetime))
        assert isinstance(reply, MappingReply)
        return bool(reply.lifetime) and reply.external_port == lease.external.port

    async def remove(self) -> None:
        if self._asked_for is not None:
            # to end a mapping both the external port and the lifetime must be 0 (RFC 6886, 3.4)
            await self._ask(mapping_request(self._asked_for, 0, 0))
            self._asked_for = None

    async def _external_address(self) -> str:
        reply = await self._ask(address_request())
        assert isinstance(reply, AddressReply)
        if reply.address.is_unspecified:
            raise RouterProblem("the router has no address itself")
        return str(reply.address)

    async def _ask(self, request: bytes) -> AddressReply | MappingReply:
        """
        @raise RouterProblem: no answer, or a refusal.
        """
        # a socket for each request, so that a late reply to an earlier one finds it closed
        question = Question(self._clock, (self._gateway.address, self._port), request)
        try:
            port = self._reactor.listenUDP(0, question, interface=self._gateway.local)
        except CannotListenError as error:
            raise RouterProblem(f"it cannot be asked ({error.socketError})") from error
        try:
            question.begin()
            reply = await question.answered
        finally:
            await maybeDeferred(port.stopListening)
        if isinstance(reply, MappingRefusal):
            raise RouterProblem(reply.text)
        self._look_at_the_epoch(reply.epoch)
        return reply

    def _look_at_the_epoch(self, epoch: int) -> None:
        now = self._clock.seconds()
        if self._epoch is not None:
            before, when = self._epoch
            self._forgotten = self._forgotten or has_forgotten(before, now - when, epoch)
        self._epoch = (epoch, now)
