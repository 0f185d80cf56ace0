"""
A raider: a host of a simulated network that keeps to the protocol only as far as its behaviour wants.

It speaks the flights of the simulated TLS and frames, below crust, so no limit of this library binds it. It
has any number of keys, since keys are free, and as many addresses as it was given, which are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ClientFactory, Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure

from ...config import KeyExchange, Settings
from ...crust.link.plan import LinkPlan
from ...crust.link.reading import ReadingTurns
from ...endpoints import Direction, Endpoint
from ...errors import LinkClosed, WireError
from ...identity import PROTOCOL_VERSION, Identity
from ...routing.links.handshake import LABEL
from ...wire.codec import decode, encode, to_wire
from ...wire.framing import MAX_FRAME_BYTES, FrameDecoder, FrameKind, frame_header
from ...wire.messages import Confirmation, ConfirmationAck, Hello, LinkUse, Sealed, WireRole
from ..host import SimulatedNode
from ..memory.connecting import MemoryConnector
from ..memory.machine import MemoryMachine, MemoryPort
from ..simulation import SimulatedNetwork

RaiderFrame = Callable[["RaiderLink", int, bytes], object]
ACKNOWLEDGED_WITHIN_SECONDS: Final = 0.3
"""Seconds after our Hello in which a link is confirmed at both ends."""


class _Owner:
    """What a session wants of the owner of its link: the time."""

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self.settings = Settings()
        self.reading = ReadingTurns(clock)

    def link_up(self, link: object) -> None:
        """The link itself is told."""

    def link_frame(self, link: object, kind: int, payload: bytes) -> None:
        """Nothing comes by this way."""

    probe_key = b""

    def heartbeat_after(self, network: str) -> float:
        """A third of C{inactivity_timeout}."""
        return self.settings.inactivity_timeout / 3

    def link_silent(self, link: object) -> None:
        """Silence is of no interest."""

    def link_doubted(self, link: object) -> None:
        """A raider has no doubts."""

    def link_lost(self, link: object, reason: LinkClosed) -> None:
        """The link itself is told."""


class RaiderLink(Protocol):
    """
    One connection of a raider, of either direction.

    @ivar identity: who we say we are.
    @ivar up: whether TLS is done.
    @ivar confirms: whether it answers a Confirmation.
    @ivar on_frame: called with each frame that is not of the handshake.
    @ivar lost: whether it is over.
    """

    transport: Any

    def __init__(self, raider: Raider, identity: Identity, dialled: bool, ready: RaiderFrame | None) -> None:
        """
        @param ready: called with a kind of 0 once TLS is done; C{None} for one that then says nothing.
        """
        self.raider = raider
        self.identity = identity
        self.dialled = dialled
        self.up = self.confirms = self.lost = False
        self.on_frame: RaiderFrame | None = None
        self._ready = ready
        self._decoder: FrameDecoder[RaiderLink] = FrameDecoder(
            MAX_FRAME_BYTES, RaiderLink._frame, self, self._frame
        )

    def handshakeCompleted(self) -> None:
        """The session tells that its keys are proven."""
        self.up = True
        if self._ready is not None:
            self._ready(self, 0, b"")

    def dataReceived(self, data: bytes) -> None:
        try:
            self._decoder.feed(data)
        except WireError:
            self.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        # else a flood of connections would be a flood of memory here, too
        self.raider.links.pop(self, None)

    def send(self, kind: int, payload: bytes) -> None:
        """Send a frame, if the connection is there."""
        if self.up and not self.lost:
            self.raider.sent[kind] += 1
            self.transport.write(frame_header(kind, len(payload)) + payload)

    def hello(self, *, role: WireRole = WireRole.NODE, purpose: bytes = b"", ahead: float = 0.0) -> None:
        """
        Say Hello.

        @param ahead: how many seconds our clock is ahead.
        """
        peer = self.transport.getPeer()
        body = encode(
            Hello(
                versions=(PROTOCOL_VERSION,),
                network=self.raider.network_id,
                role=role,
                incarnation=1,
                purpose=purpose,
                observed=to_wire(Endpoint(peer.host, peer.port)),
                listening=tuple(to_wire(each) for each in self.raider.listening),
                time=self.raider.clock.seconds() + ahead,
                certificate=self.raider.certificate,
                roster=self.raider.roster,
            )
        )
        binding = self.transport.verified_peer().binding
        signature = self.identity.sign(LABEL, self.raider.network_id, binding, body)
        self.send(FrameKind.HELLO, encode(Sealed(body, signature)))

    def close(self) -> None:
        """End it at once."""
        if not self.lost:
            self.transport.abortConnection()

    def _frame(self, kind: int, payload: bytes) -> None:
        if kind == FrameKind.HEARTBEAT:
            self.send(FrameKind.HEARTBEAT, b"")  # so that an idle link is never taken for dead
        elif kind == FrameKind.CONFIRMATION and self.confirms:
            self.send(
                FrameKind.CONFIRMATION_ACK, encode(ConfirmationAck(decode(Confirmation, payload).epoch))
            )
        elif self.on_frame is not None:
            self.on_frame(self, kind, payload)

    def confirm(self) -> None:
        """Decide that the link is one of an attached peer, where that is for us to say."""
        # the smaller name decides, as between honest ends
        if self.identity.name < self.transport.verified_peer().name:
            self.send(FrameKind.CONFIRMATION, encode(Confirmation(1, LinkUse.ATTACHED, False)))


class Raider:
    """
    Made with a network; its behaviours dial from its addresses. L{stop} ends all that it holds.

    @ivar addresses: the machines that it dials from, one for each address.
    @ivar links: its connections, in the order in which they were made.
    @ivar clock: the time.
    @ivar dials: how many connections it has begun to make.
    @ivar sent: how many frames it has sent, by kind.
    @ivar listening: where it says that it listens.
    @ivar certificate: the membership that its Hellos show, encoded.
    @ivar fixed_key: the only key that it uses; C{None} if it makes new ones.
    @ivar roster: the digest that its Hellos show.
    """

    def __init__(self, network: SimulatedNetwork, addresses: int) -> None:
        """
        @param addresses: how many it has, each in a /24 of its own.
        """
        self.network = network
        self.network_id = Settings().network if network.founder is None else network.founder.network
        self.certificate = self.roster = b""
        self.fixed_key: Identity | None = None
        self.clock = network.clock
        self.random = network.random
        self.addresses = [self._machine() for _ in range(addresses)]
        self.links: dict[RaiderLink, None] = {}
        self.listening: tuple[Endpoint, ...] = ()
        self.dials = 0
        self.sent: Counter[int] = Counter()
        self._ports: list[MemoryPort] = []

    def _machine(self) -> MemoryMachine:
        network = self.network.network
        endpoint = network.new_endpoint()
        return MemoryMachine(network, (endpoint,), f"{endpoint.host}/32", (), self.clock)

    def new_key(self) -> Identity:
        """A key that nobody has seen, or the one that its certificate is for."""
        # a certificate is for one key, so new keys would be refused for another reason
        if self.fixed_key is not None:
            return self.fixed_key
        return self.network.new_identity()

    def dial(
        self,
        target: SimulatedNode,
        identity: Identity | None = None,
        ready: RaiderFrame | None = None,
        address: int | None = None,
    ) -> RaiderLink:
        """
        Make a connection to a node.

        @param identity: our key for it; C{None} is a new one.
        @param ready: called when TLS is done, as in L{RaiderLink}; C{None} says nothing more.
        @param address: which of our addresses; C{None} is the next in turn.
        """
        self.dials += 1
        machine = self.addresses[(self.dials if address is None else address) % len(self.addresses)]
        link = RaiderLink(self, identity or self.new_key(), True, ready)
        self.links[link] = None
        self._connect(machine, target.endpoint, self._secured(link))
        return link

    def attach(
        self, target: SimulatedNode, ready: RaiderFrame, address: int | None = None, **hello: Any
    ) -> None:
        """
        Make a link that is confirmed, as an honest newcomer has it.

        @param ready: called with it and the node's Hello.
        @param hello: as for L{RaiderLink.hello}.
        """

        def frame(link: RaiderLink, kind: int, payload: bytes) -> None:
            if kind == FrameKind.HELLO:
                link.confirm()
                # what is sent before the answer to the Confirmation would break the protocol
                self.clock.callLater(ACKNOWLEDGED_WITHIN_SECONDS, ready, link, kind, payload)

        def up(link: RaiderLink, kind: int, payload: bytes) -> None:
            link.on_frame, link.confirms = frame, True
            link.hello(**hello)

        self.dial(target, None, up)

    def connect_silently(self, target: SimulatedNode, address: int | None = None) -> None:
        """Open a connection, and say nothing: no TLS, nothing."""
        self.dials += 1
        machine = self.addresses[(self.dials if address is None else address) % len(self.addresses)]
        self._connect(machine, target.endpoint, _Silent())

    def listen(self, accept: Callable[[], Any]) -> Endpoint:
        """
        Listen at the first address.

        @param accept: makes the protocol of each connection.
        """
        machine = self.addresses[0]
        self._ports.append(MemoryPort(machine, machine.listening[0], _Accepting(accept)))
        return machine.listening[0]

    def accepted(self, identity: Identity, ready: RaiderFrame) -> Any:
        """The protocol of a connection that came in, over which we are C{identity}."""
        link = RaiderLink(self, identity, False, ready)
        self.links[link] = None
        return self._secured(link)

    def _secured(self, link: RaiderLink) -> Any:
        tls = self.addresses[0].tls(link.identity, KeyExchange.X25519)
        direction = Direction.CONNECTED if link.dialled else Direction.ACCEPTED
        plan = LinkPlan(direction, initiator=link.dialled)
        return tls.wrap(plan, _Owner(self.clock)).around(link)

    def _connect(self, machine: MemoryMachine, remote: Endpoint, protocol: Any) -> None:
        network = self.network.network
        local = network.new_port(machine.host)
        MemoryConnector(network, machine, local, remote, _Dialling(protocol)).connect()

    def stop(self) -> None:
        """End every connection and port."""
        for port in self._ports:
            port.stopListening()
        self._ports.clear()
        for machine in self.addresses:
            self.network.network.crash(machine)
        self.links.clear()


class _Silent(Protocol):
    """A connection that says nothing, and is forgotten."""


class _Dialling(ClientFactory):
    """Makes the one protocol of a dial."""

    noisy = False

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> Any:
        return self._protocol


class _Accepting(ServerFactory):
    """Makes a protocol for each connection."""

    noisy = False

    def __init__(self, accept: Callable[[], Any]) -> None:
        self._accept = accept

    def buildProtocol(self, addr: object) -> Any:
        return self._accept()
