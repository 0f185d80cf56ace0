"""
Exposes a local program that speaks UDP to peers: a socket of its own for each stream, so that every answer
has its way back.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.error import ConnectionLost, MessageLengthError
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from ....forwarding_rules import Exposure
from ....names import Name
from ....routing.naming.directory import Allowance
from ....streams import StreamReason, StreamRefused
from ....timing.shares import who_makes_room
from ..exposer import NOT_REACHED, Exposer
from .session import DatagramSession

MAX_SESSIONS_OF_PEER: Final = 128
"""Sessions of one peer with one program; beyond that, its own that has been idle longest ends."""
MAX_SESSIONS: Final = 512
"""Sessions of all peers; beyond that, one ends of the peer with most in the /24 or /48 with most."""
OTHERS_NEED_IT: Final = "others need its place"
OTHERS_HAVE_FEWER: Final = f"all peers together may have {MAX_SESSIONS} here, and no other has more"
UNREACHABLE: Final = "port unreachable: no program takes datagrams there"


class DatagramExposer(Exposer):
    """Made by a C{ForwardRegistry}."""

    log = Logger()

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._sockets: dict[DatagramSession, ProgramSocket] = {}

    def change(self, exposure: Exposure, allowed: Allowance, endpoint: Any) -> int:
        """
        As that of L{Exposer}. Sessions with a program that is exposed no more end: there is no end of theirs
        to wait for.
        """
        is_other = exposure.target != self.exposure.target
        ended = super().change(exposure, allowed, endpoint)
        if is_other:
            ended += self.connections.end_those(
                lambda peer: True, StreamReason.CANCELLED, "another program is exposed"
            )
        return ended

    def _new(self, peer: Name) -> DatagramSession:
        self._make_room(peer)
        socket = ProgramSocket(self, peer)
        session = DatagramSession(self.connections, self._streams.clock, socket.send, self._over)
        socket.session = session
        self._sockets[session] = socket
        self.connections.add(session, peer, self.exposure.protocol)
        return session

    async def _connect(self, splice: Any) -> None:
        socket = self._sockets[splice]
        await self._endpoint.connect(socket)
        # while the name of its host was looked up
        if splice.is_over:
            socket.close()
            raise ConnectionLost(OTHERS_NEED_IT)

    def _drop(self, splice: Any) -> None:
        splice.finish()

    def _over(self, session: DatagramSession) -> None:
        self._sockets.pop(session).close()

    def unreachable(self, socket: ProgramSocket) -> None:
        """The program's host says that nothing takes datagrams there."""
        self._not_reached(socket.peer, UNREACHABLE)
        socket.session.end_because(StreamReason.FAILED, NOT_REACHED)

    def _make_room(self, peer: Name) -> None:
        """
        @raise StreamRefused: there is none for a peer that has as many as any other would have then.
        """
        sessions = self.connections.by_peer()
        own = sessions.get(peer, [])
        if len(own) >= MAX_SESSIONS_OF_PEER:
            crowd = own
        elif len(self.connections) >= MAX_SESSIONS:
            # names are free: many keys of one prefix must not have more than one key may
            held = {each: len(theirs) for each, theirs in sessions.items()}
            held[peer] = len(own) + 1
            who = who_makes_room(held, {each: self._streams.prefix_of(each) for each in held}, peer)
            # where nobody has more, the peer gives up one of its own
            crowd = own if who is None else sessions[who]
        else:
            return
        if not crowd:
            raise StreamRefused(StreamReason.TOO_MANY, OTHERS_HAVE_FEWER)
        min(crowd, key=lambda each: each.used).end_because(StreamReason.TOO_MANY, OTHERS_NEED_IT)


class ProgramSocket(DatagramProtocol):
    """
    A socket that is connected to the program.

    @ivar session: whose datagrams it carries.
    @ivar peer: the peer at the other end of that.
    """

    noisy = False
    session: DatagramSession

    def __init__(self, exposer: DatagramExposer, peer: Name) -> None:
        self.peer = peer
        self._exposer = exposer
        self._is_closed = False

    def send(self, datagram: bytes) -> bool:
        """Give the program a datagram of the peer."""
        return written(self.transport, datagram)

    def close(self) -> None:
        """Close the socket."""
        self._is_closed = True
        if self.transport is not None:
            self.transport.stopListening()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """A datagram of the program."""
        self.session.send(datagram)

    def stopProtocol(self) -> None:
        """The socket is closed. Twisted's reactor with epoll closes it for an ICMP message."""
        self.connectionRefused()

    def connectionRefused(self) -> None:
        """An ICMP message says that the port is closed."""
        if not self._is_closed:
            self._exposer.unreachable(self)


def written(transport: Any, datagram: bytes, *address: Any) -> bool:
    """
    Write a datagram to a socket.

    @return: whether the system has taken it. A full buffer loses datagrams as any router does.
    """
    if transport is None:
        return False
    try:
        transport.write(datagram, *address)
    except (OSError, MessageLengthError):
        return False
    return True
