"""
Streams that are not open yet: one waits for the peer's answer, or the peer for ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IProtocol, IReactorTime
from twisted.python.failure import Failure

from ..errors import PeerUnreachable, ServiceStopped
from ..names import Name
from ..timing.timers import cancel
from .errors import SessionEnded, StreamRefused, StreamReset
from .frames import Ended, StreamReason
from .multiplexing.stream import IgnoringHandler, Stream

STREAM_OPEN_TIMEOUT_SECONDS: Final = 30.0
"""From asking a peer for a stream, or being asked, to the answer."""


class EarlyData:
    """
    What is written to a stream before its peer has accepted it. Made by the caller of
    L{Streams.open<routing_crust.streams.service.Streams.open>}, and of no more use once there is a transport.

    Up to C{EARLY_BYTES} go out at once, so that the program at the peer has a request a round trip sooner.
    """

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._stream: Stream | None = None

    def write(self, data: bytes) -> None:
        """Send this as soon as it may be."""
        self._written.append(data)
        if self._stream is not None:
            self._stream.write(data)

    def begin(self, stream: Stream) -> None:
        """The peer is asked for this stream: send what was written so far, also to one before it."""
        self._stream = stream
        for each in self._written:
            stream.write(each)


@dataclass(frozen=True, slots=True)
class WantedStream:
    """
    What an application wants, as it has told L{Streams.open<routing_crust.streams.service.Streams.open>}.
    """

    peer: Name
    protocol: str
    factory: Any
    survival: float | None
    patient: bool
    early: EarlyData | None


class OutgoingOpen(IgnoringHandler):
    """
    Waits for the peer's answer to our OPEN. The time that the peer has for it stops while the stream is
    suspended, or the link may be dead: then the peer cannot answer, and is looked for.

    @ivar answer: fires with C{None} when the peer accepts; fails with L{StreamRefused} when it does not, or
        not in time, and with L{PeerUnreachable} or L{ServiceStopped} when the link is lost for good.
        Cancelling it gives the stream up.
    @ivar may_repeat: whether the peer may be asked once more after C{answer} has failed; not if it was out of
        reach for C{UNREACHABLE_SECONDS}, is gone, or may have acted upon what was sent already.
    @ivar ended: what ended the stream after the answer and before anything else uses it.
    """

    def __init__(self) -> None:
        self.answer: Deferred[None] = Deferred(self._cancelled)
        self.may_repeat = True
        self.ended: Exception | None = None
        self._stream: Stream | None = None
        self._timer: IDelayedCall | None = None
        self._begin: Callable[[], None] = lambda: None
        self._is_heard: Callable[[], bool] = lambda: True

    def wait(
        self, stream: Stream, clock: IReactorTime, seconds: float, is_heard: Callable[[], bool]
    ) -> Deferred[None]:
        """
        Begin to wait.

        @param seconds: after which the peer has not answered in time.
        @param is_heard: whether the peer could answer now, as far as is known.
        @return: L{answer}.
        """

        def begin() -> None:
            cancel(self._timer)
            self._timer = clock.callLater(seconds, self._time_is_over)

        self._stream = stream
        self._is_heard = is_heard
        self._begin = begin
        begin()
        return self.answer

    def resumed(self) -> None:
        """The peer has as long as at first: it may not have heard of the stream yet."""
        if not self.answer.called:
            self._begin()

    def opened(self) -> None:
        """The peer has accepted."""
        cancel(self._timer)
        self.answer.callback(None)

    def refused(self, reason: StreamReason, detail: str) -> None:
        """The peer has refused."""
        self._fail(StreamRefused(reason, detail))

    def reset(self, reason: StreamReason, detail: str) -> None:
        """The peer has accepted and given up."""
        self._fail(StreamReset(reason, detail))

    def lost(self, problem: Exception) -> None:
        """The link is gone."""
        expired = isinstance(problem, SessionEnded) and problem.why is Ended.EXPIRED and not problem.by_peer
        is_sent = self._stream is not None and self._stream.in_flight > 0
        self.may_repeat = not (expired or is_sent or isinstance(problem, PeerUnreachable))
        # a stop is the caller's own doing, and no fault of the peer
        if not isinstance(problem, (ServiceStopped, PeerUnreachable)):
            problem = PeerUnreachable(f"the link was lost while the stream was opened: {problem}")
        self._fail(problem)

    def _time_is_over(self) -> None:
        # else the peer may never have got the question, which is sent again with the resumption
        if self._is_heard():
            self._give_up(StreamReason.TOO_SLOW)
            self._fail(StreamRefused(StreamReason.TOO_SLOW))
        else:
            self._begin()

    def _cancelled(self, answer: Deferred[None]) -> None:
        cancel(self._timer)
        self._give_up(StreamReason.CANCELLED)

    def _give_up(self, reason: StreamReason) -> None:
        if self._stream is not None:
            self._stream.reset(reason)

    def _fail(self, problem: Exception) -> None:
        cancel(self._timer)
        # what makes the protocol may stop the service
        if self.answer.called:
            self.ended = problem
        else:
            self.answer.errback(problem)


class IncomingOpen(IgnoringHandler):
    """
    Waits for our side's decision on the peer's OPEN.
    """

    def __init__(
        self,
        stream: Stream,
        clock: IReactorTime,
        seconds: float,
        decision: Deferred[IProtocol | None],
        accept: Callable[[IProtocol | None, bytes], None],
        refuse: Callable[[Failure], None],
    ) -> None:
        """
        @param decision: is cancelled when the peer gives up, or after C{seconds}.
        @param accept: called with what it fires with, and with what the peer has sent meanwhile.
        @param refuse: called with what it fails with, unless the peer has given up.
        """
        stream.handler = self
        self._decision = decision
        self._accept = accept
        self._refuse = refuse
        self._early = bytearray()
        self._given_up = False
        self._late = False
        self._timer = clock.callLater(seconds, self._too_late)
        decision.addCallbacks(self._yes, self._no)

    def data(self, data: bytes) -> None:
        """The peer sends before it has the answer, no more than it may."""
        self._early += data

    def reset(self, reason: StreamReason, detail: str) -> None:
        """The peer has given up."""
        self._give_up()

    def lost(self, problem: Exception) -> None:
        """The link is gone."""
        self._give_up()

    def _give_up(self) -> None:
        self._given_up = True
        cancel(self._timer)
        self._decision.cancel()

    def _too_late(self) -> None:
        self._late = True
        self._decision.cancel()

    def _yes(self, protocol: IProtocol | None) -> None:
        cancel(self._timer)
        if not self._given_up:
            self._accept(protocol, bytes(self._early))

    def _no(self, failure: Failure) -> None:
        cancel(self._timer)
        if self._given_up:
            return
        # cancelled by ourselves: the peer is told that time ran out, not that somebody gave up
        if self._late and failure.check(CancelledError):
            failure = Failure(StreamRefused(StreamReason.TOO_SLOW))
        self._refuse(failure)
