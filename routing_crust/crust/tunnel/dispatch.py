"""
The dispatch of tunnel frames, for the tunnels that end at this node and for those that it carries.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from ...endpoints import PathKind
from ...errors import ConnectFailed, LinkClosed, WireError
from ...history import History, Way
from ...names import Name
from ...quietlog import QuietLog
from ...wire.codec import MAX_CONTROL_BYTES, decode
from ...wire.framing import FrameKind
from ...wire.tunnels import TunnelClosed, TunnelCredit, TunnelOpen, TunnelOpened
from ..interfaces import ILink
from ..link.owner import LinkOwner
from ..link.tls import LinkTls
from ..punch.meeting import Meeting
from .ends import TunnelEnds
from .numbers import TunnelNumbers
from .relay import TunnelRelay
from .transport import NUMBER_BYTES, number_of

FIRST_KIND = int(FrameKind.TUNNEL_CREDIT)
LAST_KIND = int(FrameKind.TUNNEL_CLOSED)


class TunnelDispatch:
    """
    Made by a L{CrustService<routing_crust.crust.service.CrustService>}, fed with frames of the kinds from
    L{FIRST_KIND} to L{LAST_KIND} and with the loss of links.
    """

    def __init__(
        self,
        owner: LinkOwner,
        tls: LinkTls,
        quiet: QuietLog,
        meeting_of: Callable[[bytes], Meeting | None],
        refusal_of: Callable[[ILink], LinkClosed | None],
        gone: Callable[[], None],
    ) -> None:
        """
        @param meeting_of: finds the rendezvous that a proof belongs to, if it is expected.
        @param refusal_of: why the owner has not kept a link that came up; C{None} if it has.
        @param gone: called each time a tunnel that ends here is completely gone.
        """
        self._numbers = TunnelNumbers()
        self._ends = TunnelEnds(owner, tls, self._numbers, meeting_of, refusal_of, gone)
        self._relay = TunnelRelay(owner, self._numbers, quiet)
        self._max_control = MAX_CONTROL_BYTES

    @property
    def idle(self) -> bool:
        """Whether no tunnel ends here."""
        return not self._ends

    @property
    def carried(self) -> int:
        """How many tunnels this node carries for others."""
        return len(self._relay)

    def carry(self, way: Callable[[ILink, Name], ILink | None]) -> None:
        """Carry tunnels of others from now on."""
        self._relay.way = way

    def settings_changed(self) -> None:
        """Settings about tunnels that are carried may be others."""
        self._relay.settings_changed()

    def carries_for(self, peer: Name) -> bool:
        """Whether a tunnel with this peer at an end goes through us."""
        return self._relay.carries_for(peer)

    def open(self, relay: ILink, peer: Name, token: bytes, requester: bool, awaited: bool) -> Deferred[ILink]:
        """Open a tunnel that ends here."""
        if relay.path_kind is PathKind.TUNNEL or relay.peer == peer:
            what = "the link to the relay is a tunnel, or leads to the peer itself"
            return fail(ConnectFailed(((f"a tunnel through {relay.peer}", what),)))
        return self._ends.open(relay, peer, token, requester, awaited)

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A frame came, on a link whose Hello is verified.

        @raise WireError: the peer broke the protocol.
        """
        if kind == FrameKind.TUNNEL_DATA:
            if len(payload) < NUMBER_BYTES:
                raise WireError("a frame of a tunnel is too short")
            leg = self._numbers.leg(link, number_of(payload))
            if leg is not None:  # else it has crossed with our TUNNEL_CLOSED
                leg.data(payload[NUMBER_BYTES:])
        elif kind == FrameKind.TUNNEL_OPEN:
            self._open_received(link, decode(TunnelOpen, payload, self._max_control))
        elif kind == FrameKind.TUNNEL_OPENED:
            opened = decode(TunnelOpened, payload, self._max_control)
            # a number without a leg crossed with our TUNNEL_CLOSED: no error, here and below
            leg = self._numbers.leg(link, opened.number)
            if leg is not None:
                leg.opened(opened)
        elif kind == FrameKind.TUNNEL_CREDIT:
            credit = decode(TunnelCredit, payload, self._max_control)
            leg = self._numbers.leg(link, credit.number)
            if leg is not None:
                leg.credit(credit)
        else:
            closed = decode(TunnelClosed, payload, self._max_control)
            leg = self._numbers.leg(link, closed.number)
            if leg is not None:
                leg.closed(closed.reason)

    def link_lost(self, link: ILink) -> None:
        """A link is gone, and all tunnels over it."""
        self._numbers.link_lost(link)

    def stop(self) -> None:
        """Carry nothing any more, and cut what is not a link yet."""
        self._relay.stop()
        self._ends.stop()

    def _open_received(self, link: ILink, message: TunnelOpen) -> None:
        self._numbers.check(link, message.number)
        leg = self._numbers.leg(link, message.number)
        if leg is not None:
            leg.again(message)
        # the relay offers; without that flag the peer wants us to be in the middle
        elif message.offered:
            self._ends.offered(link, message)
        else:
            self._relay.asked(link, message)


def note_outcome(outcome: ILink | Failure, history: History, peer: Name, relay: Name) -> ILink | Failure:
    """Write down whether a tunnel was opened, and why not; a callback of the Deferred of its link."""
    where = f"through {relay}"
    if not isinstance(outcome, Failure):
        history.tried(peer, Way.TUNNEL, where, "it was opened", good=True)
    elif isinstance(outcome.value, ConnectFailed):
        for _, what in outcome.value.attempts:
            history.tried(peer, Way.TUNNEL, where, what)
    else:
        # the failure of a cancelled Deferred has no text
        history.tried(peer, Way.TUNNEL, where, outcome.getErrorMessage() or "called off")
    return outcome
