"""
The puncher: every rendezvous of one node, those that it expects and those that it dials for.

A rendezvous exists as long as it is expected or dialled for. Connections for it come from our own
dials and from the listening ports, whose
L{LinkAcceptFactory<routing_crust.crust.link.factories.LinkAcceptFactory>} hands them over here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...config import Settings
from ...endpoints import Endpoint
from ...errors import ConnectFailed, LimitReached, ServiceStopped
from ...history import Way
from ...limits import PUNCH_TIMEOUT_SECONDS
from ...names import Name
from ...timing.shares import OURSELVES, Account
from ...timing.waiters import Waiters
from ..dial.dial import in_words
from ..dial.environment import DialEnvironment
from ..dial.local_port import origin_for
from ..dial.race import DialFailed
from ..dial.ranking import rank
from ..ending import Ending
from ..interfaces import ILink, Rendezvous, account_of
from ..link.factories import refuse_rendezvous
from ..link.link import Link
from ..link.negotiation import Negotiation
from ..platform import Platform
from .guessing import DESCRIPTORS, GuessLimits, PortGuess, target_of
from .meeting import Meeting
from .punch import HolePunch
from .punch_dial import PunchDial


class _ExpectedRendezvous:
    """
    One rendezvous, and the callers that want it.

    @ivar holders: how many callers expect it.
    @ivar asked_by: on whose account the endpoints are dialled.
    @ivar guess: the guessing of ports beside the hole punch.
    """

    __slots__ = ("asked_by", "guess", "holders", "meeting", "punch", "waiters")

    def __init__(self, meeting: Meeting, left: Callable[[_ExpectedRendezvous], object]) -> None:
        """
        @param left: called with this whenever a waiter gives up.
        """
        self.meeting = meeting
        self.holders = 0
        self.punch: HolePunch | None = None
        self.guess: PortGuess | None = None
        self.waiters: Waiters[ILink] = Waiters(lambda: left(self))
        self.asked_by: Account = OURSELVES


class Puncher:
    """
    Made by a L{CrustService<routing_crust.crust.service.CrustService>}.
    """

    def __init__(
        self, environment: DialEnvironment, random: Random, own: Callable[[], Sequence[Endpoint]]
    ) -> None:
        """
        @param own: the endpoints at which others dial us; they are never dialled.
        """
        self._environment = environment
        self._owner = environment.owner
        self._limits = environment.limits
        self._random = random
        self._own = own
        self._entries: dict[bytes, _ExpectedRendezvous] = {}
        self._open: dict[PunchDial, None] = {}
        self._guesses = GuessLimits(self._owner.clock.seconds)

    @property
    def idle(self) -> bool:
        """Whether nothing is left of all connections that were dialled."""
        return not self._open

    def take(self, negotiation: Negotiation, first: bytes) -> None:
        """Take an accepted connection whose peer has shown a preface, if its rendezvous is expected."""
        assert negotiation.preface is not None
        meeting = self.meeting_for(negotiation.preface.proof)
        if meeting is None:
            refuse_rendezvous(negotiation, first)
        else:
            meeting.came(negotiation, first)

    def meeting_for(self, proof: bytes) -> Meeting | None:
        """The rendezvous that a proof belongs to, if we know it."""
        entry = self._entries.get(proof)
        return None if entry is None else entry.meeting

    def expect(self, peer: Name, token: bytes, requester: bool) -> Callable[[], None]:
        """Take connections for this rendezvous until the returned function is called."""
        entry = self._entry(peer, token, requester)
        entry.holders += 1
        # emptied by the first call, so that a second one takes no other caller's hold away
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
        asked_by: Account,
        rendezvous: Rendezvous,
        on_link: Sequence[str] = (),
    ) -> Deferred[ILink]:
        """
        Punch, or join the hole punch that is going on for this rendezvous.

        @param on_link: the networks of our own interfaces.
        """
        entry = self._entry(peer, token, rendezvous.requester)
        waiter = entry.waiters.wait()
        if entry.meeting.link is not None:
            self._settle(entry, entry.meeting.link)
        elif entry.punch is None:
            ranked = rank(endpoints, on_link)
            entry.asked_by = asked_by
            owner = self._owner
            entry.punch = HolePunch(
                owner.clock, self._random, PUNCH_TIMEOUT_SECONDS, _Dials(self, entry), ranked
            )
            self._plan_guess(entry, rendezvous, ranked)
            entry.punch.link.addBoth(self._punched, entry)
            entry.punch.start(rendezvous.after)
            if entry.guess is not None:
                entry.guess.start()
        return waiter

    def stop(self) -> None:
        """End every rendezvous; every Deferred that is waiting fails with L{ServiceStopped}."""
        for entry in list(self._entries.values()):
            self._settle(entry, Failure(ServiceStopped("crust has been stopped")))
            entry.holders = 0
            self._look(entry)

    def dial(
        self, entry: _ExpectedRendezvous, punch: HolePunch, endpoint: Endpoint, again: bool
    ) -> Callable[[], None]:
        """Begin one dial of a hole punch, within all limits; it returns what calls it off."""
        peer = entry.meeting.peer
        asked_by = entry.asked_by
        self._limits.check(endpoint, peer, asked_by)
        origin = origin_for(self._environment.listening(), endpoint)
        if origin is None:
            raise DialFailed("not dialled: there is no listening port to dial it from")
        # where two LANs have the same addresses, a peer's candidate can be an address of ours
        if endpoint in self._own():
            raise DialFailed("not dialled: it is our own address")
        # a repeated dial whose packet never left was counted already
        if asked_by and not again:
            self._limits.spend(endpoint, asked_by, peer)
            # proven again by its success: what is refused is dialled up to a dozen times, and counts then
            self._limits.failed(endpoint, peer)
        entry.meeting.dialling(endpoint.host)
        dial = PunchDial(self._owner, entry.meeting, punch, endpoint, self.meeting_for, self._ended)
        self._open[dial] = None
        dial.asked_by = asked_by
        self._limits.began(peer, endpoint, asked_by)
        path = self._environment.paths.first(endpoint)
        dial.connector = self._environment.connect(endpoint, dial, origin, path)
        return dial.call_off

    def may_guess(self, tunnel: ILink) -> bool:
        """Whether ports may be guessed with the peer of a tunnel, at the address where its relay sees it."""
        return self._guesses.may(tunnel.peer, tunnel.seen_at, account_of(tunnel))

    def _plan_guess(
        self, entry: _ExpectedRendezvous, rendezvous: Rendezvous, endpoints: tuple[Endpoint, ...]
    ) -> None:
        guess, peer = rendezvous.guess, entry.meeting.peer
        target = None if guess is None else target_of(guess, endpoints)
        if guess is None or target is None or not self._guesses.may(peer, guess.host, guess.told_by):
            return
        # guesses have to come from the port that the other end dials, or the NAT there lets none in
        origin = None if guess.opens else origin_for(self._environment.listening(), target)
        if origin is None and not guess.opens:
            return
        try:
            self._limits.check(target, peer, entry.asked_by)
        except (DialFailed, LimitReached):
            return
        self._guesses.began(peer, guess.host, guess.told_by)

        def dial(guessing: PortGuess, endpoint: Endpoint) -> PunchDial:
            entry.meeting.dialling(endpoint.host)
            dial = PunchDial(
                self._owner, entry.meeting, guessing, endpoint, self.meeting_for, self._guess_ended
            )
            dial.is_guess = True
            self._open[dial] = None
            path = self._environment.paths.first(endpoint)
            dial.connector = self._environment.connect(endpoint, dial, origin, path)
            return dial

        entry.guess = PortGuess(self._owner.clock, self._random, target, guess.opens, dial)
        assert entry.punch is not None
        entry.punch.waits = True

    def _guess_ended(self, dial: PunchDial, completely: bool) -> None:
        if completely:
            del self._open[dial]
            self._environment.gone()

    def _end_guess(self, entry: _ExpectedRendezvous) -> None:
        guess, entry.guess = entry.guess, None
        if guess is not None:
            guess.stop()
            self._environment.history.tried(entry.meeting.peer, Way.PUNCH, "", guess.in_words)

    def _ended(self, dial: PunchDial, completely: bool) -> None:
        if completely:
            del self._open[dial]
            self._environment.gone()
        else:
            self._limits.ended(dial.meeting.peer, dial.asked_by)

    def _entry(self, peer: Name, token: bytes, requester: bool) -> _ExpectedRendezvous:
        def won(link: Link) -> None:
            entry = self._entries.get(meeting.theirs)
            if entry is not None and entry.punch is not None:
                entry.punch.won(link)

        meeting = Meeting(self._owner, self._environment.tls, peer, token, requester, won)
        # keyed by what the peer will show, which is all that an accepted connection tells
        return self._entries.setdefault(meeting.theirs, _ExpectedRendezvous(meeting, self._look))

    def _punched(self, outcome: ILink | Failure, entry: _ExpectedRendezvous) -> None:
        entry.punch = None
        self._end_guess(entry)
        if not isinstance(outcome, Failure):
            self._limits.answered(outcome.connection.peer, outcome.peer)
        self._note(entry.meeting.peer, outcome)
        self._settle(entry, outcome)

    def _note(self, peer: Name, outcome: ILink | Failure) -> None:
        if not isinstance(outcome, Failure):
            self._environment.history.tried(
                peer, Way.PUNCH, outcome.connection.peer, "a way was opened", good=True
            )
        elif isinstance(outcome.value, ConnectFailed):
            for where, what in outcome.value.attempts:
                self._environment.history.tried(peer, Way.PUNCH, where, what)
        elif isinstance(outcome.value, LimitReached):
            self._environment.history.tried(peer, Way.PUNCH, "", str(outcome.value))

    def _settle(self, entry: _ExpectedRendezvous, outcome: ILink | Failure) -> None:
        if not isinstance(outcome, Failure):
            outcome = self._kept(outcome)
        entry.waiters.fire(outcome)
        self._look(entry)

    def _kept(self, link: ILink) -> ILink | Failure:
        refusal = self._environment.refusal_of(link)
        if refusal is None:
            return link
        return Failure(ConnectFailed(((str(link.connection.peer), in_words(refusal)),)))

    def _look(self, entry: _ExpectedRendezvous) -> None:
        """End a hole punch without waiters, and a rendezvous that no caller wants any more."""
        if entry.punch is not None and not entry.waiters:
            punch, entry.punch = entry.punch, None
            self._end_guess(entry)
            # all waiters are gone, so the failure by the cancellation is of no interest
            punch.link.addErrback(lambda _: None)
            punch.link.cancel()
        if not entry.holders and entry.punch is None and not entry.waiters:
            if self._entries.pop(entry.meeting.theirs, None) is not None:
                entry.meeting.close()


class PunchesOfCrust:
    """
    The part of L{ICrust<routing_crust.crust.interfaces.ICrust>} that L{Puncher} provides; a base class of its
    implementations.
    """

    settings: Settings
    _platform: Platform
    _puncher: Puncher
    _ending: Ending

    def may_guess(self, tunnel: ILink) -> bool:
        return (
            self.settings.port_guessing
            and bool(tunnel.seen_at)
            and self._platform.descriptors_left() >= DESCRIPTORS
            and self._puncher.may_guess(tunnel)
        )

    def expect(self, peer: Name, token: bytes, requester: bool) -> Callable[[], None]:
        return self._puncher.expect(peer, token, requester) if self._ending.running else lambda: None


class _Dials:
    """The dials of one rendezvous."""

    def __init__(self, puncher: Puncher, entry: _ExpectedRendezvous) -> None:
        self._puncher = puncher
        self._entry = entry

    def begin(self, punch: HolePunch, endpoint: Endpoint, again: bool) -> Callable[[], None]:
        return self._puncher.dial(self._entry, punch, endpoint, again)
