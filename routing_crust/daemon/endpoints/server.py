"""
Offers a protocol of a Twisted program to peers, through the daemon on this machine: the program's end of
C{offer} in L{routing_crust.daemon.control.messages}.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import CannotListenError, ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ...errors import RoutingCrustError
from ...forwarding_rules import EVERYONE
from ...names import Name
from ...streams import IStreamAcceptor, NodeAddress
from ...streams.frames import check_protocol
from ...timing.timers import cancel
from ..control.client import ClientError
from ..control.messages import Reply
from ..control.session_messages import (
    AcceptCommand,
    IncomingStreamReply,
    OfferCommand,
    OfferingReply,
    OpenedReply,
    RefuseCommand,
)
from .client import DaemonAbsent, DaemonConnection, LocalDaemon

RETRY_FIRST_SECONDS: Final = 0.5
RETRY_MAX_SECONDS: Final = 5.0
"""The first and the longest wait for a daemon that is not there. To look for its socket costs little."""


@implementer(IStreamServerEndpoint)
class DaemonServerEndpoint:
    """Offers a protocol to peers, through the daemon."""

    def __init__(
        self,
        daemon: LocalDaemon,
        protocol: str,
        allow: Iterable[str] = (EVERYONE,),
        own_name: Name | None = None,
        keep: float | None = None,
    ) -> None:
        """
        @param allow: the peers that may have it, as names, nicknames that the daemon knows, or C{*}.
        @param own_name: the name that the daemon's node must have, if it matters.
        @param keep: for how many seconds streams may wait for another link at most; C{None} leaves it to the
            peers.
        @raise ValueError: this cannot be the name of a protocol.
        """
        self._daemon = daemon
        self._command = OfferCommand(protocol=check_protocol(protocol), allow=tuple(allow), keep=keep)
        self._own_name = own_name

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Offer the protocol until the port is stopped: as soon as the daemon is there, and if it goes, again as
        soon as it is back.

        @return: fires with the L{OfferedPort} when the protocol is offered; fails with C{CannotListenError}
            when the daemon refuses it. Cancelling it gives up.
        """
        return Deferred.fromCoroutine(self._listen(protocolFactory))

    async def _listen(self, factory: Any) -> IListeningPort:
        port = OfferedPort(self._daemon, self._command, factory, self._own_name)
        await port.begin_when_there()
        return port


@implementer(IListeningPort)
class OfferedPort:
    """
    An offered protocol. Made by L{DaemonServerEndpoint.listen}.
    """

    log = Logger()

    def __init__(
        self, daemon: LocalDaemon, command: OfferCommand, factory: Any, own_name: Name | None
    ) -> None:
        self._daemon = daemon
        self._command = command
        self._factory = factory
        self._own_name = own_name
        self._host: NodeAddress | None = None
        self._call: DaemonConnection | None = None
        self._beginning: Deferred[None] | None = None
        self._gone: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None
        self._wait = RETRY_FIRST_SECONDS
        self._problem = ""
        self._stopped = True

    def startListening(self) -> None:
        """Offer the protocol again, after L{stopListening}; later if the daemon is not there."""
        if self._stopped:
            self._try_again()

    async def begin_when_there(self) -> None:
        """
        Offer the protocol, as soon as the daemon is there.

        @raise CannotListenError: the daemon refuses it, or may not be talked to.
        """
        protocol, waits = self._command.protocol, False
        while True:
            try:
                await self.begin()
            except DaemonAbsent as error:
                if not waits:
                    said = "{protocol} waits for its daemon: {problem}"
                    self.log.info(said, protocol=protocol, problem=error)
                waits = True
            except CannotListenError as error:
                # the caller may show it only where nobody looks
                self.log.error(
                    "{protocol} is not offered, and not tried again: {problem}",
                    protocol=protocol,
                    problem=error.socketError,
                )
                raise
            except ConnectingCancelledError:
                # what Twisted's services expect
                raise CancelledError from None
            else:
                if waits:
                    self.log.info("{host} is offered", host=self._host)
                return
            await deferLater(self._daemon.reactor, self._next_wait())

    def begin(self) -> Deferred[None]:
        """
        Offer the protocol.

        @return: fires with C{None} when it is offered; fails with C{DaemonAbsent} or C{CannotListenError}.
        """
        self._stopped = False
        self._beginning = Deferred.fromCoroutine(self._begin())
        return self._beginning

    async def _begin(self) -> None:
        try:
            call, offering = await self._daemon.call(self._command, OfferingReply)
            host = NodeAddress(Name.from_text(offering.host), self._command.protocol)
            # the address of the endpoint says which node peers will find
            if self._own_name is not None and host.name != self._own_name:
                call.abort()
                raise ClientError(f"the daemon's node is {host.name}, not {self._own_name}")
        except DaemonAbsent:
            raise
        except RoutingCrustError as error:
            raise CannotListenError("routing", self._command.protocol, error) from None
        # not again after a break: the factory has been running all the time
        if self._host is None:
            self._factory.doStart()
        self._host, self._call, self._wait = host, call, RETRY_FIRST_SECONDS
        call.lines(self._said, self._lost)

    def stopListening(self) -> Deferred[None]:
        """
        Withdraw the offer. Streams that are open stay open.

        @return: fires with C{None} when the daemon's socket is closed.
        """
        # first: what is cancelled below would begin again otherwise
        self._stopped = True
        cancel(self._timer)
        if self._beginning is not None:
            self._beginning.cancel()
        self._gone = Deferred()
        # kept here, since it fires and is forgotten at once if there is no connection
        gone = self._gone
        if self._call is None:
            self._over()
        else:
            self._call.abort()
        return gone

    def getHost(self) -> IAddress:
        """The address that peers open: the name of the daemon's node, and the protocol."""
        assert self._host is not None
        return self._host

    def _lost(self, reason: Failure) -> None:
        self._call = None
        if self._stopped:
            self._over()
            return
        self.log.warn("{host} is not offered any more: the daemon is gone", host=self._host)
        self._later()

    def _over(self) -> None:
        if self._host is not None:
            self._host = None
            self._factory.doStop()
        gone, self._gone = self._gone, None
        if gone is not None:
            gone.callback(None)

    def _later(self) -> None:
        self._timer = self._daemon.reactor.callLater(self._next_wait(), self._try_again)

    def _next_wait(self) -> float:
        wait, self._wait = self._wait, min(2 * self._wait, RETRY_MAX_SECONDS)
        return wait

    def _try_again(self) -> None:
        self.begin().addCallbacks(self._back, self._not_back)

    def _back(self, _: None) -> None:
        self._problem = ""
        self.log.info("{host} is offered again", host=self._host)

    def _not_back(self, failure: Failure) -> None:
        if not self._stopped:
            problem = failure.getErrorMessage()
            # it goes on trying: only another problem is news
            if problem != self._problem:
                self.log.info("{problem}", problem=problem)
            self._problem = problem
            self._later()

    def _said(self, reply: Reply) -> None:
        if isinstance(reply, IncomingStreamReply):
            serving = Deferred.fromCoroutine(self._serve(reply))
            serving.addErrback(self._not_served, reply)

    async def _serve(self, asked: IncomingStreamReply) -> None:
        address = NodeAddress(Name.from_text(asked.name), self._command.protocol)
        if IStreamAcceptor.providedBy(self._factory):
            protocol = await maybeDeferred(self._factory.accept_stream, address)
        else:
            protocol = self._factory.buildProtocol(address)
        if protocol is None:
            self._refuse(asked, "")
            return
        call, opened = await self._daemon.call(AcceptCommand(stream=asked.stream), OpenedReply)
        call.becomes(opened, protocol, self._daemon.reactor)

    def _not_served(self, failure: Failure, asked: IncomingStreamReply) -> None:
        # an expected error says something to the peer; a bug's text might say too much
        expected = failure.check(RoutingCrustError, ConnectError, OSError)
        if expected:
            self.log.info(
                "{peer} does not get {protocol}: {problem}",
                peer=asked.name,
                protocol=self._command.protocol,
                problem=failure.getErrorMessage(),
            )
        else:
            self.log.failure(
                "the factory that offers {protocol} failed", failure, protocol=self._command.protocol
            )
        self._refuse(asked, failure.getErrorMessage() if expected else "")

    def _refuse(self, asked: IncomingStreamReply, text: str) -> None:
        # without a connection the daemon has refused it already
        if self._call is not None:
            self._call.tell(RefuseCommand(stream=asked.stream, text=text))
