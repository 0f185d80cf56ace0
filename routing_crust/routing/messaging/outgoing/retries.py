"""
Whether and when a message that is not acknowledged is sent again, and when it is given up.

No acknowledgement within C{ack_timeout}, a link that is lost with a message unacknowledged, or a hint that an
envelope found no way on: each leads to another attempt, up to C{MAX_ATTEMPTS} and for C{UNREACHABLE_SECONDS}.
A hint may be false, and a hop may come and go as it likes: neither counts as an attempt. But from the first
hint on the destination is looked for, and what waits for one that is gone fails. What a destination could not
open is sealed again in a new session.

Links seldom die alone: what was sent again since its link was lost may go to another dead one, here or at a
relay. So a short message is repeated thrice then, before the usual wait is over.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime

from ....errors import PeerUnreachable
from ....limits import MAX_ATTEMPTS
from ....names import Name
from ....timing.deadlines import Deadlines
from ....timing.timers import cancel
from ...node import Node
from ..fragmentation import PART_BYTES
from .attempts import MessageAttempts
from .message import OutgoingMessage

MIN_HINT_RETRY_SECONDS: Final = 0.1
MAX_HINT_RETRY_SECONDS: Final = 0.5
"""Bounds, in seconds, of the random wait before another attempt after a hint."""
LATE_HINT_RETRY_SECONDS: Final = 5.0
"""How much longer that is after C{MAX_ATTEMPTS} hints; it doubles with each further one."""

SHORT_WAITS_SECONDS: Final = (1.0, 2.0, 4.0)
"""After the loss of its link, until a message is repeated each time."""


class Lookout(Protocol):
    """Looks for nodes that something waits for: the C{AbsenceWatch}."""

    def watch(self, name: Name, gone: Callable[[PeerUnreachable], object]) -> Callable[[], None]:
        """Call back when this node is gone; what it returns ends that."""

    def may_find(self, name: Name) -> bool:
        """Whether an address of this node is known, at which it can be looked for without a network."""

    def unreachable(self, name: Name, problem: str, since: float) -> PeerUnreachable:
        """The error for a node that was tried since then, with what was found."""


class MessageRetries:
    """
    Made by the outbox, told how attempts end; discarded after L{stop}.

    @ivar lookout: looks for each destination that a hint says is nowhere; nobody does until it is set.
    """

    def __init__(
        self,
        node: Node,
        attempts: MessageAttempts,
        failed: Callable[[OutgoingMessage, Exception], object],
    ) -> None:
        """
        @param failed: called with each message that is given up, and why. It calls L{forget}.
        """
        self._own = node.name
        self._brief = node.brief
        self._clock = node.clock
        self._random = node.random
        self._attempts = attempts
        self._failed = failed
        self._waits = _Waits(node.clock, node.settings.ack_timeout, self._timed_out)
        self.lookout: Lookout | None = None

    def wait(self, message: OutgoingMessage) -> None:
        """Wait for the acknowledgement of a message from now on, as if it were new."""
        self._waits.begin(message)

    def link_lost(self, message: OutgoingMessage) -> None:
        """The link of the last attempt is gone: try again at once, and soon once more."""
        # a large one must not burden a way that is merely slow
        if len(message.body) <= PART_BYTES:
            message.short_waits = SHORT_WAITS_SECONDS
        self.attempt(message, False)

    def attempt(self, message: OutgoingMessage, counts: bool = True) -> None:
        """
        Try again, by another route if one exists.

        @param counts: whether the last attempt had all of its time.
        """
        self._waits.end(message)
        self._attempts.end(message)
        if message.left(self._clock.seconds()) <= 0 or (counts and message.attempts >= MAX_ATTEMPTS):
            self._give_up(message)
            return
        message.attempts += counts
        self._waits.begin_again(message)
        if message.destination == self._own:
            return  # it has been delivered; only the answer is late
        if not self._attempts.send(message):
            self._look_for(message)

    def wait_for_network(self, message: OutgoingMessage) -> bool:
        """
        There is no first hop for a new message: look for its destination where that was. The next link
        brings another attempt.

        @return: whether there is any such address.
        """
        if self.lookout is None or not self.lookout.may_find(message.destination):
            return False
        self._look_for(message)
        return True

    def no_way(self, message: OutgoingMessage) -> None:
        """An attempt has found no way: make another one soon."""
        if message.retry is None:
            self._waits.end(message)
            self._look_for(message)
            message.hints += 1
            wait = _wait_after_hint(self._random, message.hints, message.left(self._clock.seconds()))
            message.retry = self._clock.callLater(wait, self.attempt, message, False)

    def session_opened(self, message: OutgoingMessage) -> None:
        """There is the session that an attempt has waited for."""
        # a message that waits for another attempt, after a hint, need not wait any more
        if self._attempts.send_opened(message):
            self._waits.end(message)
            is_new = message.attempts == 1 and not message.short_waits
            (self._waits.begin if is_new else self._waits.begin_again)(message)

    def not_opened(self, message: OutgoingMessage) -> None:
        """The destination could not open what was sealed for it."""
        if message.hints:
            # a peer that opens nothing must not have us seal the same again and again
            self.no_way(message)
        else:
            message.hints += 1
            self.attempt(message, False)

    def forget(self, message: OutgoingMessage) -> None:
        """Do nothing more for a message that is done with."""
        self._waits.end(message)
        if message.end_watch is not None:
            message.end_watch()

    def stop(self) -> None:
        """End all waits for acknowledgements."""
        self._waits.stop()

    def _timed_out(self, message: OutgoingMessage) -> None:
        if message.short_waits and message.heard:
            # there is a way, and the answer comes by it
            message.short_waits = ()
            self._waits.begin_again(message)
        elif message.short_waits:
            message.short_waits = message.short_waits[1:]
            self.attempt(message, False)
        elif message.working_until > self._clock.seconds():
            self._waits.begin(message)
        elif message.attempts < MAX_ATTEMPTS and _is_under_way(message):
            # a repetition would only add to what the link has to carry already
            message.heard = False
            message.attempts += 1
            self._waits.begin(message)
        else:
            self.attempt(message)

    def _look_for(self, message: OutgoingMessage) -> None:
        if message.end_watch is None and self.lookout is not None:
            message.end_watch = self.lookout.watch(message.destination, partial(self._failed, message))

    def _give_up(self, message: OutgoingMessage) -> None:
        problem = message.unreachable(self._brief(message.destination))
        if self.lookout is not None:
            problem = self.lookout.unreachable(message.destination, str(problem), message.began)
        self._failed(message, problem)


class _Waits:
    """
    The waits for acknowledgements. The first attempt of a message has C{ack_timeout}, each further one half
    of it: so C{MAX_ATTEMPTS} take C{UNREACHABLE_SECONDS}. The last one ends with that time in any case. The
    short waits of a message that has lost its link come before.
    """

    def __init__(
        self, clock: IReactorTime, ack_timeout: float, timed_out: Callable[[OutgoingMessage], object]
    ) -> None:
        self._clock = clock
        self._repeat_seconds = ack_timeout / 2
        self._timed_out = timed_out
        self._first: Deadlines[OutgoingMessage] = Deadlines(clock, ack_timeout, timed_out)
        self._repeats: Deadlines[OutgoingMessage] = Deadlines(clock, self._repeat_seconds, timed_out)

    def begin(self, message: OutgoingMessage) -> None:
        """Wait for as long as a message may take that nothing holds up, whatever was waited for before."""
        self.end(message)
        message.short_waits = ()
        self._first.add(message)

    def begin_again(self, message: OutgoingMessage) -> None:
        """Wait after a repetition."""
        left = message.left(self._clock.seconds())
        seconds = min((*message.short_waits[:1], self._repeat_seconds, left))
        # deadlines all have one length
        if seconds == self._repeat_seconds:
            self._repeats.add(message)
        else:
            message.other_wait = self._clock.callLater(max(0.0, seconds), self._timed_out, message)

    def end(self, message: OutgoingMessage) -> None:
        """Do not wait any more."""
        self._first.cancel(message)
        self._repeats.cancel(message)
        cancel(message.other_wait)

    def stop(self) -> None:
        """End all waits."""
        self._first.stop()
        self._repeats.stop()


def _is_under_way(message: OutgoingMessage) -> bool:
    """Whether a part of the answer has come, or the link has not taken all of the message yet."""
    return message.heard or (message.transmission is not None and message.transmission.waiting)


def _wait_after_hint(random: Random, hints: int, left: float) -> float:
    """
    Seconds from a hint to another attempt.

    @param hints: how many there were for the message, this one included.
    @param left: seconds until the message fails.
    """
    # a table that lacked a way may soon have one; at random, since one loss brings hints to many
    wait = random.uniform(MIN_HINT_RETRY_SECONDS, MAX_HINT_RETRY_SECONDS)
    if hints >= MAX_ATTEMPTS:
        wait += LATE_HINT_RETRY_SECONDS * 2 ** (hints - MAX_ATTEMPTS)
    return max(0.0, min(wait, left))
