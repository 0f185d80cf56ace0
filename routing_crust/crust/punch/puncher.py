"""
The puncher: every rendezvous of one node, from both sides of it: what it expects, and what it dials.

A rendezvous exists as long as somebody expects it or dials for it. Connections for it come from our own
dials and from the L{Acceptor<routing_crust.crust.accept.acceptor.Acceptor>}, which asks here whose they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConnector
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from ...endpoints import Direction, Endpoint
from ...errors import CloseReason, ConnectFailed, LimitReached, LinkClosed, ServiceStopped
from ...history import History, Way
from ...names import Name
from ...timing.waiters import Waiters
from ..dial.dial import in_words
from ..dial.limits import DialLimits
from ..dial.local_port import dial_from, origin_for
from ..dial.race import DialFailed
from ..dial.ranking import rank
from ..interfaces import ILink, Rendezvous
from ..link.link import Link
from ..link.negotiation import Doorstep
from ..link.owner import LinkOwner
from ..link.preface import Preface
from ..link.tls import LinkTls
from .meeting import Meeting
from .punch import Punch


class _Entry:
    """
    One rendezvous, and who wants it.

    @ivar holders: how many expect it.
    @ivar strange: the endpoints that count against C{stranger_dials}.
    """

    __slots__ = ("holders", "meeting", "punch", "strange", "waiters")

    def __init__(self, meeting: Meeting, left: Callable[[_Entry], object]) -> None:
        """
        @param left: called with this whenever a waiter gives up.
        """
        self.meeting = meeting
        self.holders = 0
        self.punch: Punch | None = None
        self.waiters: Waiters[ILink] = Waiters(lambda: left(self))
        self.strange: dict[Endpoint, None] = {}


class Puncher:
    """
    Made by a L{CrustService<routing_crust.crust.service.CrustService>}.
    """

    def __init__(
        self,
        owner: LinkOwner,
        tls: LinkTls,
        reactor: Any,
        random: Random,
        limits: DialLimits,
        refusal_of: Callable[[ILink], LinkClosed | None],
        gone: Callable[[], None],
        listening: Callable[[], Sequence[Endpoint]],
        own: Callable[[], Sequence[Endpoint]],
        history: History | None = None,
    ) -> None:
        """
        @param owner: who owns the links.
        @param reactor: provides C{IReactorTCP}; time comes from the owner's clock.
        @param refusal_of: why the owner has not kept a link that came up; C{None} if it has.
        @param gone: called each time a connection that we dialled is completely gone.
        @param listening: where we listen now, which is where we dial from.
        @param own: under which endpoints others dial us, which are never dialled.
        @param history: where outcomes are written to.
        """
        self._owner = owner
        self._tls = tls
        self._reactor = reactor
        self._random = random
        self._limits = limits
        self._refusal_of = refusal_of
        self._gone = gone
        self._listening = listening
        self._own = own
        self._history = History(owner.clock.seconds) if history is None else history
        self._entries: dict[bytes, _Entry] = {}
        self._open: dict[_PunchDial, None] = {}

    @property
    def idle(self) -> bool:
        """Whether nothing is left of all connections that were dialled."""
        return not self._open

    def meeting_of(self, preface: Preface) -> Meeting | None:
        """Which rendezvous a peer means, if we know it."""
        entry = self._entries.get(preface.proof)
        return None if entry is None else entry.meeting

    def meeting_for(self, proof: bytes) -> Meeting | None:
        """Which rendezvous a proof is of, if we know it."""
        entry = self._entries.get(proof)
        return None if entry is None else entry.meeting

    def expect(self, peer: Name, token: bytes, requester: bool) -> Callable[[], None]:
        """See L{ICrust.expect<routing_crust.crust.interfaces.ICrust.expect>}."""
        entry = self._entry(peer, token, requester)
        entry.holders += 1
        held = [entry]

        def undo() -> None:
            if held:
                held.pop().holders -= 1
                self._look(entry)

        return undo

    def connect(
        self,
        endpoints: Iterable[Endpoint],
        peer: Name,
        token: bytes,
        from_stranger: bool,
        rendezvous: Rendezvous,
        on_link: Sequence[str] = (),
    ) -> Deferred[ILink]:
        """
        See L{ICrust.connect<routing_crust.crust.interfaces.ICrust.connect>}.

        @param on_link: the networks of our own interfaces.
        """
        entry = self._entry(peer, token, rendezvous.requester)
        waiter = entry.waiters.wait()
        if entry.meeting.link is not None:
            self._settle(entry, entry.meeting.link)
        elif entry.punch is None:
            ranked = rank(endpoints, on_link)
            entry.strange = dict.fromkeys(ranked if from_stranger else ())
            owner = self._owner
            entry.punch = Punch(
                owner.clock, self._random, owner.settings.punch_timeout, _Dials(self, entry), ranked
            )
            entry.punch.link.addBoth(self._punched, entry)
            entry.punch.start(rendezvous.after)
        return waiter

    def stop(self) -> None:
        """End every rendezvous; every Deferred that is waiting fails with L{ServiceStopped}."""
        for entry in list(self._entries.values()):
            self._settle(entry, Failure(ServiceStopped("crust has been stopped")))
            entry.holders = 0
            self._look(entry)

    def dial(self, entry: _Entry, punch: Punch, endpoint: Endpoint, again: bool) -> Callable[[], None]:
        """See L{Dials.begin<routing_crust.crust.punch.punch.Dials.begin>}."""
        peer = entry.meeting.peer
        self._limits.check(endpoint, peer)
        origin = origin_for(self._listening(), endpoint)
        if origin is None:
            raise DialFailed("not dialled: there is no listening port to dial it from")
        if endpoint in self._own():
            raise DialFailed("not dialled: it is our own address")
        if endpoint in entry.strange and not again:
            self._limits.spend(endpoint)
        entry.meeting.dialling(endpoint.host)
        dial = _PunchDial(self._owner, entry.meeting, punch, endpoint, self.meeting_of, self._ended)
        self._open[dial] = None
        self._limits.began(peer, endpoint)
        dial.connector = dial_from(self._reactor, endpoint, dial, origin)
        return dial.call_off

    def _ended(self, dial: _PunchDial, completely: bool) -> None:
        if completely:
            del self._open[dial]
            self._gone()
        else:
            self._limits.ended(dial.meeting.peer)

    def _entry(self, peer: Name, token: bytes, requester: bool) -> _Entry:
        meeting = Meeting(self._owner, self._tls, peer, token, requester, self._met)
        return self._entries.setdefault(meeting.theirs, _Entry(meeting, self._look))

    def _met(self, meeting: Meeting, link: Link) -> None:
        entry = self._entries.get(meeting.theirs)
        if entry is not None and entry.punch is not None:
            entry.punch.won(link)

    def _punched(self, outcome: ILink | Failure, entry: _Entry) -> None:
        entry.punch = None
        self._note(entry.meeting.peer, outcome)
        self._settle(entry, outcome)

    def _note(self, peer: Name, outcome: ILink | Failure) -> None:
        if not isinstance(outcome, Failure):
            self._history.tried(peer, Way.PUNCH, outcome.connection.peer, "a way was opened", good=True)
        elif isinstance(outcome.value, ConnectFailed):
            for where, what in outcome.value.attempts:
                self._history.tried(peer, Way.PUNCH, where, what)
        elif isinstance(outcome.value, LimitReached):
            self._history.tried(peer, Way.PUNCH, "", str(outcome.value))

    def _settle(self, entry: _Entry, outcome: ILink | Failure) -> None:
        if not isinstance(outcome, Failure):
            outcome = self._kept(outcome)
        entry.waiters.fire(outcome)
        self._look(entry)

    def _kept(self, link: ILink) -> ILink | Failure:
        refusal = self._refusal_of(link)
        if refusal is None:
            return link
        return Failure(ConnectFailed(((str(link.connection.peer), in_words(refusal)),)))

    def _look(self, entry: _Entry) -> None:
        """End what nobody waits for any more."""
        if entry.punch is not None and not entry.waiters:
            punch, entry.punch = entry.punch, None
            punch.link.addErrback(lambda _: None)
            punch.link.cancel()
        if not entry.holders and entry.punch is None and not entry.waiters:
            if self._entries.pop(entry.meeting.theirs, None) is not None:
                entry.meeting.close()


class _Dials:
    """The dials of one rendezvous."""

    def __init__(self, puncher: Puncher, entry: _Entry) -> None:
        self._puncher = puncher
        self._entry = entry

    def begin(self, punch: Punch, endpoint: Endpoint, again: bool) -> Callable[[], None]:
        """See L{routing_crust.crust.punch.punch.Dials}."""
        return self._puncher.dial(self._entry, punch, endpoint, again)


class _PunchDial(ClientFactory):
    """
    One dial of one endpoint from the listening port: one TCP connection, up to the end of TLS.

    @ivar connector: the reactor's.
    """

    noisy = False
    connector: IConnector

    def __init__(
        self,
        owner: LinkOwner,
        meeting: Meeting,
        punch: Punch,
        endpoint: Endpoint,
        meeting_of: Callable[[Preface], Meeting | None],
        ended: Callable[[_PunchDial, bool], None],
    ) -> None:
        """
        @param ended: called once with C{False} when the dial has an outcome, and once with C{True} when
            nothing is left of the connection.
        """
        self._owner = owner
        self._punch = punch
        self._endpoint = endpoint
        self._meeting_of = meeting_of
        self._ended = ended
        self._door: Doorstep | None = None
        self._called_off = self._settled = False
        self.meeting = meeting

    def call_off(self) -> None:
        """Dial no more. What has begun TLS is left to the meeting."""
        self._called_off = True
        if self._door is None:
            self.connector.disconnect()
        elif self._door.link is None:
            self._door.abort(CloseReason.NO_LONGER_NEEDED)

    def buildProtocol(self, addr: object) -> Doorstep | None:
        """See Twisted's interface."""
        if self._called_off:
            return None
        mine = self.meeting.preface_for(self._endpoint.host)
        self._door = Doorstep(self._owner, self, Direction.CONNECTED, mine)
        return self._door

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """See Twisted's interface."""
        self._settle()
        if not self._called_off:
            self._punch.failed(self._endpoint, reason.value)

    def stopFactory(self) -> None:
        """See Twisted's interface: called when the one connection is over."""
        self._settle()
        self._ended(self, True)

    def _settle(self) -> None:
        if not self._settled:
            self._settled = True
            self._ended(self, False)

    # What the doorstep tells.

    def tls_came(self, door: Doorstep, first: bytes) -> None:
        """Never called: who dials shows a preface."""
        raise AssertionError("a connection that we have dialled was taken for an accepted one")

    def preface_came(self, door: Doorstep, first: bytes) -> None:
        """See L{routing_crust.crust.link.negotiation.DoorHost}."""
        assert door.preface is not None
        if door.preface.proof == self.meeting.theirs:
            self.meeting.came(door, first)
        elif self._meeting_of(door.preface) is not None:
            # both have asked each other, and both requests were dialled for on the same ports at once
            door.abort(CloseReason.NOT_WANTED, "the peer has dialled it for another request")
        else:
            door.abort(CloseReason.PROTOCOL_ERROR, "whoever answered does not know the rendezvous")

    def door_up(self, door: Doorstep, link: Link) -> None:
        """See L{routing_crust.crust.link.negotiation.DoorHost}."""
        self._settle()

    def door_gone(self, door: Doorstep, reason: LinkClosed) -> None:
        """See L{routing_crust.crust.link.negotiation.DoorHost}."""
        self._settle()
        if self._called_off:
            return
        if door.meeting is None:
            self._punch.failed(self._endpoint, reason)
        else:
            self._punch.refused(self._endpoint, reason)
