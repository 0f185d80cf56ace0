"""
Handover: one link takes the place of another, and nothing is lost or reordered on the way.

Each end, when it knows that both have agreed on the new link, sends a SWITCHED as the last frame on the
old one, and from then on everything over the new one. Whoever receives holds back what comes on the new
link until the SWITCHED has come on the old one. When both ends have got the other's SWITCHED, and have said
so with another, the old link is closed. If a place is taken again before that, there is a line of links,
and the same holds from each to the next. On the new link the first frame is a CONTINUED, which says what it
comes after: an end that has lost the old link already, or another one between the two, learns of it so.

If an old link is lost before the SWITCHED has come, something may be missing. Then the end that misses it
says ANEW, what was on the way is void at both ends, and the layers above begin anew: that is as if the link
had been lost and made again at once. So that both do so together, and as often, each time has a number, the
view: who is in a smaller one than the other goes to the greater one and says so, and what comes counts only
when the other has said that it is in the same. If the newest link is lost, all are.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...config import Settings
from ...crust.interfaces import ILink
from ...errors import CloseReason, WireError
from ...timing.timers import cancel
from ...wire.codec import encode
from ...wire.framing import FrameKind
from ...wire.messages import Continued, Switched, View

HELD_OVERHEAD: Final = 128
"""Bytes that a frame costs while it is held back, besides its own."""


def mark_of(link: ILink) -> bytes:
    """What both ends know a link by."""
    return link.binding[:16]


class HandoverOwner(Protocol):
    """What a handover does and asks for. It may be stopped from within each of these."""

    def deliver(self, kind: int, payload: bytes) -> None:
        """
        A frame, when its turn has come.

        @raise WireError: the peer broke the protocol.
        """

    def begin_anew(self) -> None:
        """What was on its way in either direction may be lost; what is sent from now on is not."""

    def close(self, link: ILink, reason: CloseReason, detail: str) -> None:
        """This link has to go; L{LinkHandover.lost} follows."""

    def succeeded(self) -> None:
        """Only the current link is left, and whatever comes on it need not be held back."""


class _Stage:
    """
    One link of the line.

    @ivar follows: whether the peer has said that what comes here follows what came on the link before.
    @ivar left: whether we have sent our SWITCHED, and send nothing more on it.
    @ivar ended: whether everything has come that counts.
    @ivar marked: whether the peer's SWITCHED has come, in its turn or not.
    @ivar told: whether we have told the peer that all has come.
    @ivar heard: whether the peer has told us so.
    @ivar held: the frames that are held back; the kind SWITCHED stands for the end.
    """

    __slots__ = (
        "ended", "follows", "heard", "held", "held_bytes", "left", "link", "marked", "paused", "told",
    )  # fmt: skip

    def __init__(self, link: ILink, follows: bool) -> None:
        self.link = link
        self.follows = follows
        self.left = self.ended = self.marked = self.told = self.heard = self.paused = False
        self.held: deque[tuple[int, bytes]] = deque()
        self.held_bytes = 0


class LinkHandover:
    """
    Made for a pair when another link takes the place of its link, or when the peer has said so first; fed
    with all that comes on these links; discarded after C{succeeded} or L{stop}.

    @ivar view: how often something may have been lost since the first link.
    """

    def __init__(
        self, settings: Settings, clock: IReactorTime, first: ILink, view: int, owner: HandoverOwner
    ) -> None:
        """
        @param first: the link that both ends have used so far.
        @param view: and the view in which they have.
        """
        self._settings = settings
        self._clock = clock
        self._owner = owner
        self._stages: dict[ILink, _Stage] = {first: _Stage(first, True)}
        self._current = first
        self._timer: IDelayedCall | None = None
        self.view = view
        self._void = False  # whether nothing counts until the peer has come to our view
        self._over = self._busy = False

    @property
    def links(self) -> tuple[ILink, ...]:
        """All links in the line, oldest first."""
        return tuple(self._stages)

    def has_left(self, link: ILink) -> bool:
        """Whether another has taken the place of this link, which is still there."""
        stage = self._stages.get(link)
        return stage is not None and stage.left

    def switch(self, new: ILink) -> None:
        """Both ends have agreed on another link: from now on everything is sent over that."""
        old = self._stages[self._current]
        self._stages[new] = _Stage(new, False)
        self._current = new
        old.left = True
        old.told = old.ended
        old.link.hand_over(new)
        old.link.send(FrameKind.SWITCHED, encode(Switched(old.told)))
        new.send(FrameKind.CONTINUED, encode(Continued(mark_of(old.link), self.view)))
        self._wait()
        if self._void:  # else an ANEW could be lost with the old link, and nobody would know
            self._begin_anew(self.view + 1)
        self._go_on()

    def go_back(self, link: ILink) -> None:
        """
        Both ends have agreed on a link that we have left before: those that came after it are lost, whether
        we know it or not, and something with them.
        """
        stages = list(self._stages.values())
        later = stages[self.links.index(link) + 1 :]
        here = self._stages[link]
        here.left = here.told = here.heard = False
        self._current = link
        link.hand_over(link)
        for stage in later:
            stage.link.hand_over(link)
            del self._stages[stage.link]
        self._begin_anew(self.view + 1)
        for stage in later:
            self._owner.close(stage.link, CloseReason.SUPERSEDED, "the one before it is kept")

    def switched(self, link: ILink, message: Switched) -> None:
        """
        The peer has sent a SWITCHED on this link.

        @raise WireError: it has no place here.
        """
        stage = self._stages[link]
        if stage.heard or (stage.marked and not message.all_came) or (message.all_came and not stage.left):
            raise WireError("a SWITCHED came out of its order")
        stage.heard = message.all_came
        if not stage.marked:
            stage.marked = True
            if not (stage.follows or stage.ended or self._void):
                self._begin_anew(self.view + 1)
            stage.ended = stage.ended or self._void
            stage.held.append((FrameKind.SWITCHED, b""))
        if self._timer is None:
            self._wait()
        self._go_on()

    def anew(self, link: ILink, view: int) -> None:
        """
        The peer is in another view, and what it has sent before does not count any more.

        @raise WireError: it has left this link.
        """
        here = self._stages[link]
        if here.marked and here.link is not self._current:
            raise WireError("the peer begins anew on a link that it has left")
        here.marked = False  # if it had left this link for one that is lost, it has come back
        if view < self.view:
            return  # it does not know ours yet
        for stage in self._stages.values():
            self._forget(stage)
            if stage is here:
                break
            stage.ended = True
        here.follows = True
        here.ended = False
        self._void = False
        if view > self.view:
            self._announce(view)
        self._go_on()

    def continued(self, link: ILink, as_here: bool, view: int) -> None:
        """
        The peer says that what comes on this link comes after something.

        @param as_here: whether that is the link that it comes after here, too.
        @param view: the view that the peer was in.
        """
        stage = self._stages[link]
        stage.follows = True
        if not as_here and not stage.ended:
            self._begin_anew(max(view, self.view) + 1)
        self._go_on()

    def received(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        A frame has come on one of the links.

        @raise WireError: its link was left by the peer.
        """
        stage = self._stages[link]
        if stage.marked:
            raise WireError(f"a frame of kind {kind} came on a link that the peer had left")
        if self._void or stage.ended:
            return
        if not stage.follows:  # so it does not come after anything
            self._begin_anew(self.view + 1)
            return
        stage.held.append((kind, payload))
        stage.held_bytes += len(payload) + HELD_OVERHEAD
        self._go_on()
        if stage.held_bytes > self._settings.switch_memory and not stage.paused:
            stage.paused = True
            link.pause_reading()

    def lost(self, link: ILink) -> None:
        """One of the links is gone."""
        stage = self._stages.pop(link, None)
        if stage is None or self._over:
            return
        if link is self._current:
            others = self.links
            self.stop()
            for each in others:
                self._owner.close(each, CloseReason.CONNECTION_LOST, "the link that took its place was lost")
        elif stage.ended:
            self._go_on()
        else:
            self._begin_anew(self.view + 1)

    def stop(self) -> None:
        """Deliver nothing more."""
        self._over = True
        cancel(self._timer)
        self._stages.clear()

    def _begin_anew(self, view: int) -> None:
        """Something may be missing: nothing counts until the peer knows that as well."""
        self._void = True
        for stage in self._stages.values():
            self._forget(stage)
            stage.ended = stage.ended or stage.marked
        self._announce(view)
        self._go_on()

    def _announce(self, view: int) -> None:
        self.view = view
        self._current.send(FrameKind.ANEW, encode(View(view)))
        self._owner.begin_anew()

    def _forget(self, stage: _Stage) -> None:
        stage.held.clear()
        stage.held_bytes = 0
        if stage.paused:
            stage.paused = False
            stage.link.resume_reading()

    def _go_on(self) -> None:
        """Deliver what has its turn, close what both ends are done with, and see whether anything is left."""
        if self._busy or self._over:
            return
        self._busy = True
        try:
            self._deliver()
        except WireError as error:
            self._owner.close(self._current, error.reason, str(error))
        finally:
            self._busy = False
        for stage in list(self._stages.values()):
            self._see_whether_done(stage)
        if not self._over and len(self._stages) == 1 and not self._void:
            stage = self._stages[self._current]
            if stage.follows and not stage.ended:
                self.stop()
                self._owner.succeeded()

    def _deliver(self) -> None:
        while not self._over:
            stage = next((each for each in self._stages.values() if not each.ended), None)
            if stage is None:
                return
            held = stage.held
            while held and not self._over and not stage.ended:
                kind, payload = held.popleft()
                if kind == FrameKind.SWITCHED:
                    stage.ended = True
                else:
                    self._owner.deliver(kind, payload)
            if not stage.ended:
                if not held:
                    self._forget(stage)
                return

    def _see_whether_done(self, stage: _Stage) -> None:
        if self._over or not (stage.left and stage.ended):
            return
        if not stage.told:
            stage.told = True
            stage.link.send(FrameKind.SWITCHED, encode(Switched(True)))
        if stage.heard:
            self._owner.close(stage.link, CloseReason.SUPERSEDED, "")

    def _wait(self) -> None:
        cancel(self._timer)
        self._timer = self._clock.callLater(self._settings.switch_timeout, self._too_slow)

    def _too_slow(self) -> None:
        """What has not come by now is not worth waiting for."""
        self._timer = None
        for stage in list(self._stages.values()):
            if not self._over and (stage.left or stage.ended):
                what = "not all has come over it in time" if stage.left else "the peer left it for nothing"
                self._owner.close(stage.link, CloseReason.STALLED, what)
