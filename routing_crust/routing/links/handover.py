"""
Handover: one link takes the place of another, and no frame is lost or reordered.

Order of messages. When an end knows that both have agreed on the new link, it sends a SWITCHED as its last
frame on the old one, a CONTINUED as its first on the new one, and from then on everything over the new one.
The receiver holds back what comes on the new link until the SWITCHED has come on the old one. An end that
has left the old link and has everything from it says so there with a second SWITCHED (or with its first, if
everything had come before it left); when both ends have, the old link is closed. If the new link is replaced
before that, the links form a line, oldest first, and the same holds from each to the next.

A CONTINUED names the link that it follows. So an end that has lost the old link already, or has had another
one in between, learns that the other end counts on frames that it will not deliver.

If an old link is lost before its SWITCHED has come, frames may be missing. The end that misses them sends an
ANEW on its current link; everything sent before is void at both ends, and the layers above start over, as if
the link had been lost and made again at once. For both ends to do so equally often, each reset has a number,
the view. An end that hears of a later view enters it and sends an ANEW itself; and an end counts what comes
only when the peer has sent the ANEW of the same view. If the newest link is lost, all are.

Each link of the line has two states, one of what the peer sends on it and one of what we send: see the tables
in C{handover_states}. The handover as a whole is in one of three (L{Step}):

  - IN_STEP: the peer is in our view; a reset leads to OUT_OF_STEP
  - OUT_OF_STEP: what comes is void; an ANEW of our view or a later one leads to IN_STEP
  - OVER: only one link is left, or the newest was lost; nothing is delivered any more
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...crust.interfaces import ILink
from ...errors import CloseReason, WireError
from ...timing.timers import cancel
from ...wire.codec import encode
from ...wire.framing import FrameKind
from ...wire.messages import Continued, Switched, View
from .handover_states import (
    COMPLETE,
    PEER_HAS_LEFT,
    RECEIVING,
    SENDING,
    Receiving,
    ReceivingAction,
    ReceivingInput,
    Sending,
    SendingAction,
    SendingInput,
)
from .held_frames import HeldFrames

MAX_HELD_BYTES: Final = 1024 * 1024
"""What is held back from a new link until all has come over the old one; beyond that it is not read."""

HANDOVER_TIMEOUT_SECONDS: Final = 30.0
"""How long the rest of an old link's frames is waited for."""
MAX_DOUBTED_WAIT_SECONDS: Final = 0.1
"""The same for a doubted link. Streams and messages send again what is missing, so more would gain little."""


def mark_of(link: ILink) -> bytes:
    """The 16 bytes by which both ends know a link."""
    return link.binding[:16]


class HandoverOwner(Protocol):
    """What a handover reports and asks for. It may be stopped from within each of these."""

    def deliver(self, kind: int, payload: bytes) -> None:
        """
        It is this frame's turn.

        @raise WireError: the peer broke the protocol.
        """

    def reset(self) -> None:
        """Frames on their way in either direction may be lost; those sent from now on are not."""

    def close(self, link: ILink, reason: CloseReason, detail: str) -> None:
        """Close this link; L{LinkHandover.lost} follows."""

    def handed_over(self) -> None:
        """Only the current link is left, and its frames need not be held back any more."""


class Step(Enum):
    """Whether the two ends are in the same view."""

    IN_STEP = "in step"
    OUT_OF_STEP = "out of step"
    OVER = "over"


class _LineLink:
    """One link of the line, with the states of its two halves."""

    __slots__ = ("held", "link", "receiving", "sending")

    def __init__(self, link: ILink, receiving: Receiving) -> None:
        self.link = link
        self.receiving = receiving
        self.sending = Sending.CURRENT
        self.held = HeldFrames(link)


class LinkHandover:
    """
    The links of one peer that have been agreed on and are still there, oldest first. Made by
    L{PeerLinks<routing_crust.routing.links.peer_links.PeerLinks>} when another link takes the place of its
    link, or when the peer has left that first; fed with everything that comes on these links; discarded
    after C{handed_over} or L{stop}.

    @ivar view: the number of resets since the first link.
    """

    def __init__(self, clock: IReactorTime, first: ILink, view: int, owner: HandoverOwner) -> None:
        """
        @param first: the link that both ends have used so far, in this view.
        """
        self._clock, self._owner = clock, owner
        self._line: dict[ILink, _LineLink] = {first: _LineLink(first, Receiving.OPEN)}
        self._current = first
        self._timer: IDelayedCall | None = None
        self._step = Step.IN_STEP
        self._delivering = False
        self.view = view

    @property
    def links(self) -> tuple[ILink, ...]:
        """All links in the line, oldest first."""
        return tuple(self._line)

    def has_left(self, link: ILink) -> bool:
        """Whether another link has taken the place of this one, which is still there."""
        one = self._line.get(link)
        return one is not None and one.sending is not Sending.CURRENT

    # What both ends have agreed on.

    def switch(self, new: ILink) -> None:
        """Both ends have agreed on another link: from now on everything is sent over that."""
        old = self._line[self._current]
        self._line[new] = _LineLink(new, Receiving.UNPLACED)
        self._current = new
        old.link.hand_over(new)
        complete = old.receiving in COMPLETE
        self._send_input(old, SendingInput.LEAVE_COMPLETE if complete else SendingInput.LEAVE)
        new.send(FrameKind.CONTINUED, encode(Continued(mark_of(old.link), self.view)))
        self._start_timer()
        self.doubted(old.link)
        if self._step is Step.OUT_OF_STEP:
            # the ANEW of this view may be lost with the old link, and neither end would know
            self._reset(self.view + 1)
        self._go_on()

    def go_back(self, link: ILink) -> None:
        """
        Both ends have agreed on a link that we have left before. The links after it are lost, whether we
        know it or not, and frames with them.
        """
        # taken out of the line before they are closed, else lost() would count each as one more loss
        later = list(self._line.values())[self.links.index(link) + 1 :]
        self._send_input(self._line[link], SendingInput.RETURN)
        self._current = link
        link.hand_over(link)
        for one in later:
            one.link.hand_over(link)
            del self._line[one.link]
        self._reset(self.view + 1)
        for one in later:
            self._owner.close(one.link, CloseReason.SUPERSEDED, "the one before it is kept")

    # What comes.

    def received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A frame has come on one of the links.

        @raise WireError: the peer had left this link.
        """
        one = self._line[link]
        taken = ReceivingInput.FRAME if self._is_in_step() else ReceivingInput.VOID_FRAME
        if self._receive_input(one, taken) is ReceivingAction.HOLD:
            one.held.add(kind, payload)
            self._go_on()
            # after the delivery: only what is still held back takes memory
            one.held.limit(MAX_HELD_BYTES)

    def switched(self, link: ILink, message: Switched) -> None:
        """
        The peer has sent a SWITCHED on this link.

        @raise WireError: it has no place here.
        """
        one = self._line[link]
        # if everything had come before the peer left, its only SWITCHED is both inputs
        if message.all_came:
            self._send_input(one, SendingInput.ACKNOWLEDGED)
        if not (message.all_came and one.receiving in PEER_HAS_LEFT):
            taken = ReceivingInput.SWITCHED if self._is_in_step() else ReceivingInput.VOID_SWITCHED
            self._receive_input(one, taken)
        # a peer may leave a link before we know of another: that wait must have an end, too
        if self._timer is None and not self._is_over():
            self._start_timer()
        self._go_on()

    def continued(self, link: ILink, as_here: bool, view: int) -> None:
        """
        The peer has said which link this one follows.

        @param as_here: whether it follows the same link here.
        @param view: the view that the peer was in.
        """
        taken = ReceivingInput.CONTINUED if as_here else ReceivingInput.DISPLACED
        self._receive_input(self._line[link], taken, view)
        self._go_on()

    def anew(self, link: ILink, view: int) -> None:
        """
        The peer has entered a view, and what it has sent before does not count any more.

        @raise WireError: it has left this link.
        """
        here = self._line[link]
        if here.receiving in PEER_HAS_LEFT and link is not self._current:
            # it can come back only to a link that was agreed on again, which is our current one then
            raise WireError("an ANEW came on a link that the peer had left")
        if view < self.view:
            self._receive_input(here, ReceivingInput.OLD_ANEW)
            return  # the peer has not heard of ours yet
        for one in self._line.values():
            if one is here:
                break
            self._receive_input(one, ReceivingInput.PASSED)
        self._receive_input(here, ReceivingInput.ANEW)
        self._step = Step.IN_STEP
        if view > self.view:
            self._enter(view)
        self._go_on()

    def lost(self, link: ILink) -> None:
        """One of the links is gone."""
        one = self._line.pop(link, None)
        if one is None or self._is_over():
            return
        if link is self._current:
            others = self.links
            self.stop()
            for each in others:
                self._owner.close(each, CloseReason.CONNECTION_LOST, "the link that took its place was lost")
        elif one.receiving in COMPLETE:
            self._go_on()
        else:
            self._reset(self.view + 1)

    def doubted(self, link: ILink) -> None:
        """
        The peer owes an answer on one of the links: what is missing there is not waited for any longer.
        """
        one = self._line.get(link)
        if one is not None and one.link.is_doubted and self.has_left(link) and self._timer is not None:
            wait = min(link.owed_for, MAX_DOUBTED_WAIT_SECONDS)
            if self._clock.seconds() + wait < self._timer.getTime():
                self._start_timer(wait)

    def stop(self) -> None:
        """Deliver nothing more."""
        self._step = Step.OVER
        cancel(self._timer)
        self._line.clear()

    # The tables.

    def _receive_input(self, one: _LineLink, taken: ReceivingInput, view: int = 0) -> ReceivingAction:
        """@raise WireError: the table refuses it."""
        state, action = RECEIVING[one.receiving, taken]
        if action is ReceivingAction.REFUSE:
            raise WireError(f"a {taken.value} came on a link that the peer had left")
        one.receiving = state
        if action is ReceivingAction.CLEAR:
            one.held.clear()
        elif action is ReceivingAction.RESET:
            # above the peer's view, too: it would pass over our ANEW as an old one otherwise
            self._reset(max(view, self.view) + 1)
        return action

    def _send_input(self, one: _LineLink, taken: SendingInput) -> None:
        """@raise WireError: the table refuses it."""
        state, action = SENDING[one.sending, taken]
        if action is SendingAction.REFUSE:
            raise WireError("a SWITCHED came out of its order")
        one.sending = state
        if action is SendingAction.SWITCH:
            one.link.send(FrameKind.SWITCHED, encode(Switched(False)))
        if action in (SendingAction.TELL, SendingAction.FINISH):
            one.link.send(FrameKind.SWITCHED, encode(Switched(True)))
        if action in (SendingAction.CLOSE, SendingAction.FINISH):
            self._owner.close(one.link, CloseReason.SUPERSEDED, "")

    # What follows.

    def _is_over(self) -> bool:
        return self._step is Step.OVER

    def _is_in_step(self) -> bool:
        return self._step is Step.IN_STEP

    def _reset(self, view: int) -> None:
        """Frames may be missing: nothing counts until the peer is known to be in the new view."""
        self._step = Step.OUT_OF_STEP
        for one in self._line.values():
            self._receive_input(one, ReceivingInput.RESET)
        self._enter(view)
        self._go_on()

    def _enter(self, view: int) -> None:
        self.view = view
        # the ANEW first: what the layers send from within reset() must come after it, to count
        self._current.send(FrameKind.ANEW, encode(View(view)))
        self._owner.reset()

    def _go_on(self) -> None:
        """Deliver the frames whose turn it is, close the links that are done, and see whether one is left."""
        if self._delivering or self._is_over():
            return
        # a frame that is delivered may lead here again, and the frames after it must wait until it is done
        self._delivering = True
        try:
            self._deliver()
        except WireError as error:
            # the current link, since all others go with it: the frame may have come on an older one
            self._owner.close(self._current, error.reason, str(error))
        finally:
            self._delivering = False
        for one in list(self._line.values()):
            # to close one of them may end the handover
            if not self._is_over() and one.receiving in COMPLETE:
                self._send_input(one, SendingInput.ALL_CAME)
        if self._is_in_step() and len(self._line) == 1:
            if self._line[self._current].receiving is Receiving.OPEN:
                self.stop()
                self._owner.handed_over()

    def _deliver(self) -> None:
        while not self._is_over():
            one = next((each for each in self._line.values() if each.receiving not in COMPLETE), None)
            if one is None:
                return
            if one.held:
                self._owner.deliver(*one.held.pop())
                continue
            one.held.clear()
            self._receive_input(one, ReceivingInput.DRAINED)
            if one.receiving not in COMPLETE:
                return

    def _start_timer(self, seconds: float | None = None) -> None:
        cancel(self._timer)
        wait = HANDOVER_TIMEOUT_SECONDS if seconds is None else seconds
        self._timer = self._clock.callLater(wait, self._too_slow)

    def _too_slow(self) -> None:
        """Frames that have not come by now are not waited for: close the links that hold others up."""
        self._timer = None
        for one in list(self._line.values()):
            left = one.sending is not Sending.CURRENT
            if not self._is_over() and (left or one.receiving in COMPLETE):
                what = "not everything came over it in time" if left else "the peer left it for no other link"
                self._owner.close(one.link, CloseReason.STALLED, what)
