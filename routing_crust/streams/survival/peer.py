"""
The streams with one peer, and the link that carries them now, or the wait for another one.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...config import Settings
from ...crust.interfaces import ILink
from ...endpoints import is_local_only
from ...errors import CloseReason, LinkClosed, PeerUnreachable, WireError
from ...limits import UNREACHABLE_SECONDS
from ...names import Name
from ...timing.eventual import EventualQueue
from ...timing.timers import cancel, is_pending
from ..errors import SessionEnded
from ..frames import Ended, Resume, StreamFrame, read_count, read_resume
from ..multiplexing.machine import Phase
from ..multiplexing.mux import Mux
from ..multiplexing.stream import Stream
from .session import ACK_AFTER_SECONDS, ResumeOutcome, StreamSession

ENDS_SESSION: Final = frozenset(
    {
        CloseReason.STOPPING,
        CloseReason.PROTOCOL_ERROR,
        CloseReason.UNSUPPORTED_VERSION,
        CloseReason.WRONG_NETWORK,
        CloseReason.NOT_ALLOWED,
        CloseReason.RESTARTED,
        CloseReason.STALE,
        CloseReason.SELF,
        CloseReason.BANNED,
        CloseReason.BAD_CERTIFICATE,
        CloseReason.NO_CERTIFICATE,
        CloseReason.ROLE_NOT_GRANTED,
        CloseReason.NICKNAME_TAKEN,
    }
)
"""
An end has decided on these, and means it. After any other loss the streams are suspended, also where an end
has no use for the link any more: a proxy that was joined by, or a member that a full table has no room for.
"""

MAX_RESUMES_PER_LINK: Final = 128
"""Twice as many as there may be losses on one link."""

_RESUME: Final = int(StreamFrame.RESUME)
_ACK: Final = int(StreamFrame.ACK)


class NodeStreams(Protocol):
    """
    What streams with peers need of the node's streams as a whole.

    @ivar name: the name of this node.
    @ivar settings: the settings of the service.
    @ivar clock: the service's clock.
    @ivar random: the service's source of randomness.
    @ivar eventually: calls for the next turn of the reactor.
    """

    name: Name
    settings: Settings
    clock: IReactorTime
    random: Random
    eventually: EventualQueue

    def stream_requested(self, name: Name, stream: Stream) -> None:
        """A peer wants to open a stream."""

    def idle(self, name: Name) -> None:
        """Nothing needs the link to this peer any more."""


class PeerOwner(NodeStreams, Protocol):
    """What the streams with one peer need besides."""

    def resumed(self, peer: PeerStreams, size: int) -> None:
        """The streams with this peer go on; C{size} bytes are sent again."""

    def expired(self, peer: PeerStreams) -> None:
        """No stream with this peer waits for a link any more."""


class PeerStreams:
    """
    Made with the first link to a peer, discarded when there is neither a link nor a suspended stream. It is
    the L{MuxOwner} of its mux.

    @ivar name: the peer's.
    @ivar link: the link; while the streams are suspended, the one that was lost.
    @ivar mux: the streams.
    @ivar prefix: what the streams of several peers are counted by: the /24 or /48 of the link's address, or
        on this machine and its networks the name.
    @ivar suspended_since: when the last link was lost, in seconds; C{None} while there is one.
    @ivar because: why it was lost.
    @ivar attached: whether there is a link.
    @ivar told: whether people were told that the streams wait.
    """

    def __init__(self, owner: PeerOwner, link: ILink, ended: Ended, new: bool) -> None:
        """
        @param ended: why the session with this peer before this one was ended.
        @param new: whether the link has carried nothing of streams yet.
        """
        self.name: Name = link.peer
        self.link = link
        self.suspended_since: float | None = None
        self.because: LinkClosed | None = None
        self._owner = owner
        self._resets: IDelayedCall | None = None
        self._acks: IDelayedCall | None = None
        self._expiry: IDelayedCall | None = None
        self.attached = True
        self.told = False
        self._over = False
        self._resumes = 0
        self._start(self._new_number(), ended)
        self._attach(link)
        self._session.begin(link, new)

    def _new_number(self) -> int:
        return self._owner.random.getrandbits(64) or 1

    def _start(self, number: int, ended: Ended) -> None:
        owner = self._owner
        self._session = StreamSession(number, ended)
        # so that both ends count without asking, and never take the same number
        odd = owner.name < self.name
        self.mux = Mux(owner.settings, owner.clock.seconds, odd, self._session, self)

    def _attach(self, link: ILink) -> None:
        if link is not self.link:
            self._resumes = 0
        self.link = link
        at = link.connection.peer
        self.prefix = str(self.name) if is_local_only(at) else at.prefix
        link.set_feeder(self._feed)

    def _feed(self, room: int) -> None:
        room = self._session.feed(room)
        # beyond this the peer has to acknowledge first
        kept = self._owner.settings.stream_memory - self._session.journal.size
        self.mux.feeding.feed(max(0, min(room, kept)))

    # What is shown, and what counts.

    @property
    def kept(self) -> int:
        """How many bytes are kept to be sent, or sent again."""
        return self._session.journal.size + sum(each.buffer.size for each in self.mux.streams.values())

    @property
    def waiting(self) -> list[float]:
        """For how many more seconds each of the streams may be suspended that are."""
        if self.suspended_since is None:
            return []
        over = self.suspended_since - self._owner.clock.seconds()
        return [over + _survival(each) for each in self.mux.streams.values() if not each.given_up]

    def is_heard(self) -> bool:
        """Whether the peer could answer now, as far as is known."""
        return self.attached and self.suspended_since is None and not self.link.is_doubted

    # Links.

    def link_changed(self, link: ILink) -> None:
        """Send frames over this link from now on; nothing of those before is lost."""
        self.link.set_feeder(None)
        # the session first: the new link may ask for data at once
        self._session.use(link)
        self._attach(link)
        link.feed_soon()

    def link_gained(self, link: ILink) -> None:
        """There is a link again, after a loss. The streams go on when the peer has said where it is."""
        self._attach(link)
        self.attached = True
        self._session.begin(link, new=False)

    def suspend(self, reason: LinkClosed) -> bool:
        """
        The link is lost. Without streams that wait for another one, the session is kept for what may be on
        its way to us: an OPEN, or the end of a stream.

        @return: whether there are streams that wait.
        """
        self.link.set_feeder(None)
        self.attached = False
        cancel(self._acks)
        cancel(self._resets)
        self._session.suspend()
        self.mux.suspended()
        # a link that was lost before the peer has resumed on it changes nothing
        if self.suspended_since is None:
            self.suspended_since = self._owner.clock.seconds()
            self.because = reason
            for stream in list(self.mux.streams.values()):
                if not stream.given_up:
                    stream.handler.suspended(reason)
        return self._expire()

    def end(self, problem: Exception) -> None:
        """End all streams. Nothing is left to be done with this afterwards."""
        self._over = True
        self.link.set_feeder(None)
        for timer in (self._resets, self._acks, self._expiry):
            cancel(timer)
        self._session.suspend()
        self.mux.end(problem)

    def _expire(self) -> bool:
        """
        End the streams whose time is over, and wait for the next one.

        @return: whether there are others.
        """
        cancel(self._expiry)
        since, because = self.suspended_since, self.because
        if self._over or since is None or because is None:
            return False
        now = self._owner.clock.seconds()
        waits: list[float] = []
        for stream in list(self.mux.streams.values()):
            left = since + _survival(stream) - now
            # nobody waits for one that was given up
            if left > 0 and not stream.given_up:
                waits.append(left)
            elif left <= 0:
                self.mux.expire(stream, SessionEnded(Ended.EXPIRED, because) if stream.survival else because)
        # the user of a stream may have stopped the service
        if self._over:
            return False
        if not waits:
            return False
        self._expiry = self._owner.clock.callLater(min(waits), self._expire_or_end)
        return True

    def unreachable(self, problem: PeerUnreachable) -> None:
        """
        While the streams wait for a link, the peer has turned out to be gone, or was not reached: what we
        were opening fails, as it would if it began now.
        """
        opening = [each for each in self.mux.streams.values() if each.phase is Phase.OPENING]
        for stream in opening:
            self.mux.expire(stream, problem)
        # the user of a stream may have stopped the service
        if opening and not self._over:
            self._expire_or_end()

    def _expire_or_end(self) -> None:
        if not self._expire():
            self._owner.expired(self)

    # Frames.

    def receive(self, kind: int, payload: bytes) -> None:
        """
        Take a frame of the peer.

        @raise WireError: the peer broke the protocol; its streams are over.
        """
        try:
            if kind == _RESUME:
                self._resume_received(read_resume(payload))
            elif kind == _ACK:
                self._session.acknowledged(read_count(payload))
                # data may have waited for that
                self.link.feed_soon()
            elif self._session.count(len(payload)):
                if not is_pending(self._acks):
                    self._acks = self._owner.clock.callLater(ACK_AFTER_SECONDS, self._tell)
                self.mux.receive(kind, payload)
        except WireError as error:
            self.end(error)
            raise

    def _tell(self) -> None:
        if self._session.unacknowledged:
            self._session.tell()

    def _resume_received(self, resume: Resume) -> None:
        # of all sessions on this link, since each that the peer forgets makes place for another
        self._resumes += 1
        if self._resumes > MAX_RESUMES_PER_LINK:
            raise WireError(f"more than {MAX_RESUMES_PER_LINK} RESUMEs came on one link")
        outcome = self._session.resume_received(resume)
        if outcome is ResumeOutcome.FORGOTTEN:
            self._start_over(resume, Ended.NONE, SessionEnded(resume.ended, by_peer=True))
        elif outcome is ResumeOutcome.FALSE:
            self._start_over(resume, Ended.REFUSED, SessionEnded(Ended.REFUSED))
        elif outcome is ResumeOutcome.CONTINUED and self.suspended_since is not None:
            self._owner.resumed(self, self._session.resent)
            self.suspended_since = None
            cancel(self._expiry)
            self.mux.resumed()
            for stream in list(self.mux.streams.values()):
                stream.handler.resumed()

    def _start_over(self, resume: Resume, ended: Ended, problem: SessionEnded) -> None:
        cancel(self._resets)
        cancel(self._expiry)
        self.suspended_since = None
        forgotten = self.mux
        before = self._session
        # a new session of the peer may name our number already: another would have both begin again for ever
        keeps = resume.mine != before.theirs and resume.yours == before.mine
        number = before.mine if keeps else self._new_number()
        # before anybody is told: what a handler opens now is a stream of the new session
        self._start(number, ended)
        forgotten.end(problem)
        # a handler may have stopped the service
        if not self._over:
            self._session.follow(resume, self.link)

    # MuxOwner.

    def soon(self, call: Callable[[], None]) -> None:
        """Call this in the next turn of the reactor."""
        self._owner.eventually.call(call)

    def stream_requested(self, stream: Stream) -> None:
        """The peer wants to open a stream."""
        self._owner.stream_requested(self.name, stream)

    def stream_over(self, stream: Stream) -> None:
        """A stream is over."""
        if not self.mux.streams:
            self._owner.idle(self.name)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call this once, after C{seconds}, in place of a call that is still to come."""
        cancel(self._resets)
        self._resets = self._owner.clock.callLater(seconds, call)


def _survival(stream: Stream) -> float:
    """For how long a stream may be suspended: one that we are opening only while a link is looked for."""
    return min(stream.survival, UNREACHABLE_SECONDS) if stream.phase is Phase.OPENING else stream.survival
