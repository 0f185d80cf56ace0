"""
Whether the peer of a link is still there: heartbeats, probes, doubt, silence and stalls.

A probe is a Heartbeat with a nonce, which the peer repeats in another one. It is sent where a link is idle,
where something was sent and nothing has come for C{PROBE_AFTER_SECONDS} (sooner in a tunnel), and where
others have reason to ask for it. A link without an answer is doubted: the owner looks for a second one, and
what is merely slow lives on. It is cut after C{inactivity_timeout}, or where the owner knows that the path
has broken and has set a limit. It counts how long the link's timer has run and never reads the clock, so that
a step of the wall clock, or a halt of the process, cuts no link.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...config import Settings
from ...errors import CloseReason, LinkClosed
from .sendqueue import SendQueue

HEARTBEATS_PER_TIMEOUT: Final = 3
"""An idle link sends this many heartbeats in C{inactivity_timeout}."""
STALL_TIMEOUT_SECONDS: Final = 30.0
"""A peer that reads nothing for this long is cut off."""

PROBE_AFTER_SECONDS: Final = 1.0
"""From a frame of ours to a probe, if nothing comes."""
DOUBT_AFTER_SECONDS: Final = 2.0
"""From a frame of ours until the link is doubted, if nothing comes; longer where the round trip is long."""
ASKED_DOUBT_AFTER_SECONDS: Final = 1.0
"""The same from a probe that others had reason to ask for."""
SUSPECTED_DOUBT_AFTER_SECONDS: Final = 0.25
"""The same where the peer acts as if it had lost the link, or the path is known to have broken."""
TUNNEL_PROBE_AFTER_SECONDS: Final = 0.5
TUNNEL_DOUBT_AFTER_SECONDS: Final = 1.25
"""The same for a tunnel, where another relay can take the place of one that has died."""
DOUBT_AFTER_ROUND_TRIPS: Final = 8
ASKED_ROUND_TRIPS: Final = 3
"""From such a probe until doubt, or the cut of a link that must answer: it may be lost and sent again."""
MAX_DOUBT_AFTER_SECONDS: Final = 8.0
MAX_DOUBT_INTERVAL_SECONDS: Final = 4.0
"""A link that stays silent is doubted again after this time, so that a path that is back is noticed soon."""
MEASURE_SECONDS: Final = 30.0
"""A busy link, which needs no heartbeats, is probed as often as this to see how long a round trip takes."""
MIN_IDLE_SECONDS: Final = 8.0
"""Idleness that may have made a NAT forget the connection."""
_ROUNDING_SECONDS: Final = 0.001


class Liveness:
    """
    Made by a link for itself, asked at each tick of its timer, discarded with it.

    @ivar heard: set by the link whenever bytes come.
    @ivar wait: seconds until the next tick; the link may lengthen it to L{latest} when it sets the timer.
    @ivar latest: seconds until a tick in which the link may have to be cut.
    @ivar waiting: seconds since our first frame that nothing has come after; C{None} if there is none.
    @ivar probe_due: after a tick, whether a probe is to be sent.
    @ivar doubt_due: after a tick, whether the owner is to hear that the link is doubted.
    """

    __slots__ = (
        "_asked",
        "_asked_at",
        "_cut_in",
        "_doubt_at",
        "_doubt_seconds",
        "_doubted",
        "_heartbeat",
        "_idle_before",
        "_left",
        "_probe_seconds",
        "_queue",
        "_quiet",
        "_round_trip",
        "_set_timer",
        "_settings",
        "_silence",
        "_stalled",
        "_unmeasured",
        "doubt_due",
        "heard",
        "latest",
        "probe_due",
        "wait",
        "waiting",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        queue: SendQueue,
        heartbeat: Callable[[], float],
        set_timer: Callable[[], None],
        left: Callable[[], float],
        tunnel: bool = False,
    ) -> None:
        """
        @param heartbeat: gives the seconds without a frame of ours until a heartbeat.
        @param set_timer: has the next tick come after L{wait} seconds, and none before.
        @param left: gives the seconds until the next tick.
        @param tunnel: whether the link goes through a relay.
        """
        self._settings = settings
        self._queue = queue
        self._heartbeat = heartbeat
        self._set_timer = set_timer
        self._left = left
        self._probe_seconds = TUNNEL_PROBE_AFTER_SECONDS if tunnel else PROBE_AFTER_SECONDS
        self._doubt_seconds = TUNNEL_DOUBT_AFTER_SECONDS if tunnel else DOUBT_AFTER_SECONDS
        self._idle_before = 0.0
        self._round_trip = 0.0
        self._silence = self._stalled = 0.0
        self._quiet = 0.0  # since we wrote something
        self.waiting: float | None = None
        self._asked = self._doubted = False
        # on the count of what is waited for
        self._doubt_at = self._asked_at = 0.0
        self._cut_in: float | None = None
        self._unmeasured = 0.0
        self.heard = self.probe_due = self.doubt_due = False
        self.wait = self.latest = 0.0

    @property
    def doubted(self) -> bool:
        """Whether the peer has owed an answer for so long that the link may be dead."""
        return self._doubted and not self.heard

    @property
    def _longest_tick(self) -> float:
        """Silence and stalls are counted in ticks, too."""
        return self._settings.inactivity_timeout / (2 * HEARTBEATS_PER_TIMEOUT)

    @property
    def died_idle(self) -> bool:
        """Whether a lost link had been idle before the frame that nothing came after."""
        return self.waiting is not None and not self.heard and self._idle_before >= MIN_IDLE_SECONDS

    def begin(self) -> None:
        """The peer's Hello is verified: frames are waited for from now on."""
        self._end_wait()
        self._set_wait()
        self._set_timer()

    def told(self) -> None:
        """We send what needs no answer: after a frame of the peer's it counts as a heartbeat of ours."""
        if self.waiting is None and self.heard:
            self._silence = self._quiet = 0.0
            self._set_wait()
            self._set_timer()

    def answered(self, seconds: float) -> None:
        """The answer to our last probe has come, this many seconds after it."""
        self._unmeasured = 0.0
        # up at once and down slowly: a link with much in its buffers must not be doubted each time
        if self._asked:
            self._round_trip = max(seconds, self._round_trip - (self._round_trip - seconds) / 8)

    def ask(self, within: float | None = None, doubt_in: float = ASKED_DOUBT_AFTER_SECONDS) -> bool:
        """
        Have the peer give a sign of life.

        @param within: cut the link unless it does so within these seconds; C{None} only doubts it.
        @param doubt_in: doubt it this many seconds after the probe, which may be on its way already.
        @return: whether a probe is to be sent now; not if the peer has not answered an earlier one.
        """
        if self.heard:
            self._end_wait()
        urgent = within is not None and (self._cut_in is None or within < self._cut_in)
        if urgent and within is not None:
            self._cut_in = self._after(within, ASKED_ROUND_TRIPS)
        send, self._asked = not self._asked, True
        if send:
            self._asked_at = self._waited
        doubt_at = max(self._waited, self._asked_at + self._after(doubt_in, ASKED_ROUND_TRIPS))
        # a wait that each call restarts would never end
        if send or urgent or (doubt_at < self._doubt_at and not self._doubted):
            if self.waiting is not None:
                self.waiting = self._waited
            self._begin_wait()
            assert self.waiting is not None
            self._doubt_at = min(self._doubt_at, doubt_at)
            self._set_wait()
            self._set_timer()
        return send

    @property
    def _waited(self) -> float:
        """With what has passed of a tick that may not come."""
        if self.waiting is None:
            return 0.0
        return self.waiting + max(0.0, min(self.wait, self.wait - self._left()))

    def tick(self, reading: bool) -> LinkClosed | None:
        """
        Count one tick.

        @param reading: whether the link takes bytes; while it does not, silence does not count.
        @return: why the link is to be cut; C{None} if it stays.
        """
        queue, length = self._queue, self.wait
        progressed, owed = queue.look()
        # a probe of ours, and its answer, are no use of the link
        in_use = self.heard and queue.wrote > int(self._asked)
        # a halted process misses ticks, so it counts no silence
        self._silence = 0.0 if self.heard or not reading else self._silence + length
        self._stalled = self._stalled + length if queue.paused and not progressed else 0.0
        # the first frame is counted when it is written
        busy = queue.size or (queue.wrote > 1 and self.waiting is not None)
        self._quiet = 0.0 if busy else self._quiet + length
        if self._cut_in is not None:
            self._cut_in -= length
        # a peer that takes what waits is there, even if it has nothing to send
        if self.heard or progressed or not reading:
            self._end_wait()
        elif self.waiting is not None:
            self.waiting += length
        # what we wrote after the last that came, or the kernel took last, may never have reached the peer
        if self.waiting is None and reading and (queue.asked if self.heard else progressed):
            self.waiting, queue.woke = min(owed or 0.0, length), None
            self._doubt_at = self._doubt_after
        self.heard = False
        queue.wrote = 0
        self._look()
        self._unmeasured += length
        # an idle link has its heartbeats, and must not be kept from being idle
        if in_use and not self.probe_due and self._unmeasured >= MEASURE_SECONDS:
            self._end_wait()
            self._unmeasured = 0.0
            self.probe_due = self.ask()
        self._set_wait()
        # TCP takes minutes to notice a cut path: it sends no keepalives while data is unacknowledged
        if self._silence >= self._settings.inactivity_timeout:
            return LinkClosed(CloseReason.INACTIVE, f"nothing came for {self._silence:.0f} s")
        if self._cut_in is not None and self._cut_in <= 0:
            return LinkClosed(CloseReason.INACTIVE, "the peer did not answer a probe")
        if self._stalled >= STALL_TIMEOUT_SECONDS:
            return LinkClosed(CloseReason.STALLED, f"nothing was read for {self._stalled:g} s")
        return None

    def _look(self) -> None:
        """Check whether it is time for a probe or for doubt."""
        self.probe_due = self.doubt_due = False
        if self.waiting is None:
            self.probe_due = self._asked = self._quiet >= self._heartbeat() - _ROUNDING_SECONDS
            if self.probe_due:
                self._idle_before = self._quiet
                self._asked_at = 0.0
                self.waiting, self._queue.woke = 0.0, None
                self._quiet = 0.0
                self._doubt_at = self._doubt_after
        elif not self._asked:
            self.probe_due = self._asked = self.waiting >= self._probe_seconds - _ROUNDING_SECONDS
            self._asked_at = self.waiting
        elif self.waiting >= self._doubt_at - _ROUNDING_SECONDS:
            self.doubt_due = self._doubted = True
            self._doubt_at = self.waiting + min(self.waiting, MAX_DOUBT_INTERVAL_SECONDS)

    @property
    def _doubt_after(self) -> float:
        return self._after(self._doubt_seconds)

    def _after(self, seconds: float, round_trips: int = DOUBT_AFTER_ROUND_TRIPS) -> float:
        """This time, or that number of round trips if it is longer."""
        # a stall looks like a long round trip, and must not keep the next one from being noticed
        return min(max(seconds, round_trips * self._round_trip), MAX_DOUBT_AFTER_SECONDS)

    def _begin_wait(self) -> None:
        """Something was written that the peer ought to react to."""
        self._queue.woke = None
        if self.waiting is None:
            if self.heard:
                self._silence = 0.0
            self._idle_before = self._quiet
            self.waiting = self._quiet = 0.0
            self._doubt_at = self._doubt_after
        self.heard = False
        self._set_wait()
        self._set_timer()

    def _end_wait(self) -> None:
        self.waiting = self._cut_in = None
        self._asked = self._doubted = False
        self._queue.woke = self._begin_wait

    def _set_wait(self) -> None:
        if self.waiting is None:
            wait = self._heartbeat() - self._quiet
        else:
            wait = (self._doubt_at if self._asked else self._probe_seconds) - self.waiting
        ends = [self._settings.inactivity_timeout - self._silence, STALL_TIMEOUT_SECONDS - self._stalled]
        if self._cut_in is not None:
            ends.append(self._cut_in)
        self.latest = max(_ROUNDING_SECONDS, min(ends))
        self.wait = max(_ROUNDING_SECONDS, min(wait, self._longest_tick, self.latest))
