"""
The streams of one node: protocols that it offers to its peers, and streams that it opens to them, by name.

L{streams_of} gives the L{Streams} of a service. It outlives a stop of the service; the streams themselves
outlive the links that carry them.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import IProtocol
from twisted.logger import Logger

from ..crust.interfaces import ILink
from ..errors import LinkClosed, NotConnected, PeerUnreachable, ServiceStopped
from ..limits import UNREACHABLE_SECONDS
from ..names import Name
from ..quietlog import QuietLog
from ..routing.service import RoutingService
from ..timing.eventual import EventualQueue
from .address import NodeAddress
from .errors import StreamRefused
from .frames import StreamReason, check_protocol
from .listening import ProtocolFactory, StreamPort
from .multiplexing.stream import Stream
from .offers import Offers
from .opening import STREAM_OPEN_TIMEOUT_SECONDS, EarlyData, OutgoingOpen, WantedStream
from .survival.peers import Peers, counted_streams
from .transport import StreamTransport


def streams_of(service: RoutingService) -> Streams:
    """
    Get the L{Streams} of a service, made at the first call, before or after the service is started.

    @raise ValueError: the service has another kind of stream layer.
    """
    layer = service.stream_layer
    if isinstance(layer, Streams):
        return layer
    streams = Streams(service)
    service.set_stream_layer(streams)
    return streams


class Streams:
    """
    Made by L{streams_of}. For routing it is a C{StreamLayer}.

    @ivar name: the name of this node.
    @ivar settings: the settings of the service.
    @ivar clock: the service's clock.
    @ivar random: the service's source of randomness.
    @ivar eventually: calls for the next turn of the reactor.
    """

    log = Logger()

    def __init__(self, service: RoutingService) -> None:
        self.name: Name = service.node_name
        self.settings = service.settings
        self.clock = service.clock
        self.random = service.random
        self._service = service
        self.eventually = EventualQueue(service.clock)
        self._quiet = QuietLog(self.log, service.clock.seconds)
        self._peers = Peers(self)
        self._closed = ""
        self._offers = Offers(self.clock, self._peers, self._transport, self.describe)

    # For applications.

    def listen(
        self,
        protocol: str,
        factory: ProtocolFactory,
        allow: Callable[[Name], bool] | None = None,
        survival: float | None = None,
    ) -> StreamPort:
        """
        Offer a protocol to peers.

        @param protocol: its name: up to 64 letters, digits and C{. _ + -}.
        @param factory: makes the protocol for each stream; its C{buildProtocol} is given the peer's
            L{NodeAddress}, and refuses by returning C{None} or raising L{StreamRefused}. See also
            L{IStreamAcceptor<routing_crust.streams.listening.IStreamAcceptor>}.
        @param allow: called with the proven name of the peer for each stream; C{None} allows every peer.
        @param survival: for how many seconds a stream may be suspended at most when its link is lost; 0 ends
            it with the link; C{None} leaves it to the peer that opens it, up to
            C{MAX_SURVIVAL_ASKED_SECONDS}, unless C{stream_survival} is 0.
        @return: the port, whose C{stopListening} withdraws the offer.
        @raise ValueError: this cannot be the name of a protocol.
        @raise CannotListen: it is offered already.
        """
        port = StreamPort(self, check_protocol(protocol), factory, allow, survival)
        port.startListening()
        return port

    def open(
        self,
        name: Name | str,
        protocol: str,
        factory: ProtocolFactory,
        survival: float | None = None,
        *,
        patient: bool = False,
        early: EarlyData | None = None,
    ) -> Deferred[IProtocol]:
        """
        Open a stream to a peer, over the link that exists or a new one.

        @param name: the peer: its name, the text of that, or a nickname of the settings.
        @param factory: makes the protocol when the peer has accepted.
        @param survival: for how many seconds the stream may be suspended when the link is lost; 0 ends it
            with the link; C{None} is C{stream_survival}. The peer may allow less.
        @param patient: whether to wait for the network, where the node has no link to it, as long as for the
            peer.
        @param early: what is to be sent before the peer has accepted; C{None} sends nothing.
        @return: fires with the protocol when it is connected. Fails with L{StreamRefused} when the peer
            does not accept, or not within C{STREAM_OPEN_TIMEOUT_SECONDS} seconds, of which those without a
            link do not count; with
            L{PeerUnreachable<routing_crust.errors.PeerUnreachable>} when the link is lost, and no other comes
            while one is looked for, which ends as for L{RoutingService.connect};
            with L{LimitReached<routing_crust.errors.LimitReached>} when C{max_streams} are open; with
            C{NoProtocol} when the factory makes none; and as L{RoutingService.connect} when there is no link
            and none can be made. Cancelling it gives up.
        @raise ValueError: this cannot be the name of a protocol, or there is no such name.
        """
        wanted = WantedStream(
            self._service.name_of(name), check_protocol(protocol), factory, survival, patient, early
        )
        return Deferred.fromCoroutine(self._open(wanted))

    async def _open(self, wanted: WantedStream) -> IProtocol:
        wanted.factory.doStart()
        try:
            return await self._opened(wanted)
        except BaseException:
            wanted.factory.doStop()
            raise
        finally:
            # an open that has failed borrowed the link as well, and no stream will give it back
            if not self.in_use(wanted.peer):
                self._service.give_back(wanted.peer)

    async def _opened(self, wanted: WantedStream) -> IProtocol:
        if self._closed:
            raise NotConnected(self._closed)
        if wanted.peer == self.name:
            raise NotConnected("this is the name of this node itself, and it has no link to itself")
        try:
            stream, opening = await self._asked(wanted)
        except StreamRefused as refused:
            self._quiet.info(
                f"refused by peer: {refused.reason.name}",
                "{who} refused a stream of {protocol}: {reason}",
                who=self.describe(wanted.peer),
                peer=wanted.peer,
                protocol=wanted.protocol,
                reason=refused,
            )
            raise
        return self._connected(stream, wanted, opening)

    async def _asked(self, wanted: WantedStream) -> tuple[Stream, OutgoingOpen]:
        """
        Ask a peer for a stream. If it ends with its link before the answer, as one does that may not be
        suspended, or whose peer has restarted, the peer is asked once more over the next link.
        """
        deadline = self.clock.seconds() + UNREACHABLE_SECONDS
        lost: PeerUnreachable | None = None
        while True:
            try:
                await self._service.borrow(wanted.peer, wanted.patient)
                peer = self._peers.get(wanted.peer)
                # the link may have been lost again before we were called
                if peer is None:
                    raise PeerUnreachable("the link was lost while the stream was opened")
            except NotConnected:
                if lost is not None:
                    raise lost from None
                raise
            opening = OutgoingOpen()
            stream = peer.mux.open(wanted.protocol, opening, wanted.survival)
            if wanted.early is not None:
                wanted.early.begin(stream)
            try:
                await opening.wait(stream, self.clock, STREAM_OPEN_TIMEOUT_SECONDS, peer.is_heard)
            except PeerUnreachable as problem:
                # when the link was lost because of a stop, there will be no other
                over = not opening.may_repeat or self.clock.seconds() >= deadline
                if lost is not None or over or not self._service.running:
                    raise
                lost = problem
                turn: Deferred[None] = Deferred()
                self.eventually.call(turn.callback, None)
                await turn  # this runs during the loss, before the link that takes its place is known
            else:
                return stream, opening

    def _connected(self, stream: Stream, wanted: WantedStream, opening: OutgoingOpen) -> IProtocol:
        address = NodeAddress(wanted.peer, wanted.protocol)
        try:
            made: IProtocol | None = wanted.factory.buildProtocol(address)
        except Exception:  # whatever a factory may raise
            stream.reset(StreamReason.FAILED)
            raise
        # buildProtocol may have stopped the service, or ended the link
        if opening.ended is not None:
            raise opening.ended
        if made is None:
            stream.reset(StreamReason.CANCELLED)
            raise NoProtocol
        transport = self._transport(stream, made, address, wanted.factory.doStop)
        stream.handler = transport
        transport.start()
        return made

    def _transport(
        self, stream: Stream, protocol: IProtocol, peer: NodeAddress, gone: Callable[[], object]
    ) -> StreamTransport:
        host = NodeAddress(self.name, stream.protocol)
        return StreamTransport(stream, protocol, host, peer, self.eventually, gone)

    def status(self) -> dict[str, object]:
        """
        The protocols on offer, the number of streams with each peer, and the peers whose streams are
        suspended, as values for JSON.
        """
        return {
            "offered": self._offers.protocols,
            "open": {str(each.name): len(each.mux.streams) for each in self._peers if each.mux.streams},
            "suspended": {
                str(each.name): suspension
                for each in self._peers
                if (suspension := self._peers.suspension(each)) is not None
            },
        }

    def refuse_new(self, why: str) -> None:
        """Open no more streams, and accept none; those that are open stay. For good."""
        self._closed = self._offers.closed = why

    @property
    def protocols(self) -> list[str]:
        """The names of all that is offered."""
        return self._offers.protocols

    def prefix_of(self, name: Name | str) -> str:
        """
        What of several peers is counted together: the /24 or /48 of the link's address. On this machine and
        its networks that is the name.
        """
        return self._peers.prefix_of(name)

    def describe(self, name: Name) -> str:
        """The nickname with the beginning of the name; the whole name, if there is no nickname."""
        return self._service.directory.describe(name)

    def numbers(self) -> dict[Name, tuple[int, ...]]:
        """
        The numbers of the open streams with each peer; none after a stop. A stream has the same number
        at both ends.
        """
        return {each.name: tuple(each.mux.streams) for each in self._peers}

    # For ports.

    def add_port(self, port: StreamPort) -> None:
        """
        Offer the protocol of this port.

        @raise CannotListen: something is offered by this name already.
        """
        self._offers.add(port)

    def remove_port(self, port: StreamPort) -> bool:
        """
        Withdraw the offer of this port.

        @return: whether there was one.
        """
        return self._offers.remove(port)

    # For routing: the StreamLayer.

    def link_gained(self, link: ILink) -> None:
        """There is a link to a peer that had none."""
        self._peers.link_gained(link)

    def link_found(self, link: ILink) -> None:
        """A peer had a link before the first call of L{streams_of}."""
        self._peers.link_found(link)

    def link_changed(self, old: ILink, new: ILink) -> None:
        """Another link to the peer takes over."""
        peer = self._peers.get(new.peer)
        assert peer is not None
        peer.link_changed(new)

    def link_lost(self, link: ILink, reason: LinkClosed) -> None:
        """The last link to the peer is gone."""
        self._peers.link_lost(link, reason)

    def banned(self, name: Name, reason: LinkClosed) -> None:
        """A peer is banned: end the streams that wait for it."""
        self._peers.banned(name, reason)

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """A frame came over a link."""
        peer = self._peers.get(link.peer)
        if peer is not None:
            peer.receive(kind, payload)

    def explain(self, name: Name) -> tuple[str, ...]:
        """Say what streams wait for a link to this peer, and what is done about it."""
        peer = self._peers.get(name)
        waiting = None if peer is None else self._peers.suspension(peer)
        if waiting is None:
            return ()
        return (
            f"{counted_streams(waiting['streams'])} waiting for a link for {waiting['seconds']} s, and for "
            f"{waiting['left']} s more at most; the last one was lost: {waiting['because']}",
            f"for them {waiting['trying']}",
        )

    def in_use(self, name: Name) -> bool:
        """Whether there are streams with this peer."""
        peer = self._peers.get(name)
        return peer is not None and bool(peer.mux.streams)

    # For the peers.

    def stream_requested(self, name: Name, stream: Stream) -> None:
        """A peer wants to open a stream."""
        self._offers.requested(name, stream)

    def idle(self, name: Name) -> None:
        """Nothing needs the link to this peer any more."""
        self._service.give_back(name)

    async def reconnect(self, name: Name) -> None:
        """Get a link to this peer, whose streams are suspended."""
        await self._service.borrow(name, patient=True)

    def ask_again(self, name: Name) -> None:
        """Ask this peer for a link once more; L{reconnect} is under way."""
        self._service.ask_again(name)

    def stopped(self) -> None:
        """The service has been stopped: end all streams."""
        self._peers.stop(ServiceStopped("the service has been stopped"))
        # now and not in a later turn, so that the stop leaves no delayed call behind
        self.eventually.run()
