"""
A session: all that the streams with one peer send each other, over one link after another.

Every frame of a stream is kept until the peer has acknowledged it. When a link is lost the session is
suspended: what is sent then is kept, too. On a new link each end sends a RESUME first, with the number of
frames that it has received, and each sends on from there. So nothing is lost, doubled or reordered, whatever
state a stream is in, and the streams need not know.

A session is the pair of two numbers, drawn at random by the two ends. An end whose peer does not know its
number any more has been forgotten: its streams are over, and it begins again.

Epochs count the links, and the losses on one link. Both ends enter an epoch before they count what comes in
it: frames that come before the peer's RESUME for this epoch belong to an earlier one, and are sent again.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final

from ...errors import WireError
from ..frames import Ended, Resume, StreamFrame, pack_count, resume_frame
from ..multiplexing.feeding import FrameSink
from .journal import Journal

ACK_AFTER_BYTES: Final = 512 * 1024
"""Received bytes after which the peer is told at once how many frames have come."""
ACK_BESIDE_BYTES: Final = ACK_AFTER_BYTES // 2
"""Received bytes after which the peer is told as soon as a frame goes to it anyway."""
ACK_AFTER_SECONDS: Final = 1.0
"""With less, the peer is told after this time, so that it need not keep the frames of idle streams."""
MAX_UNACKNOWLEDGED_FRAMES: Final = 65_536
"""A peer that takes this number of frames and acknowledges none means to fill our memory."""
FIRST_EPOCH: Final = 1
"""The epoch in which nothing can have been lost yet."""
_FRAME_COST: Final = 64
"""Bytes that keeping a frame costs beside its payload, about."""


class ResumeOutcome(Enum):
    """What comes of a RESUME."""

    IGNORED = "ignored"
    """It belongs to an earlier link, or to a session that the peer is about to forget."""
    CONTINUED = "continued"
    """Both ends know where they are, and go on."""
    FORGOTTEN = "forgotten"
    """The peer has another session: this one is over."""
    FALSE = "false"
    """The peer's numbers cannot be: this session is over, and the peer is told why."""


class StreamSession:
    """
    Made for a peer with a link, or when the peer has forgotten the one before. It is the place that the mux
    sends its frames to.

    @ivar mine: the number of this session at our end.
    @ivar theirs: its number at the peer's end; 0 until the peer has said it.
    @ivar journal: what we have sent, and the peer has not acknowledged.
    @ivar established: whether the peer has resumed on this link, so that its frames count.
    @ivar resent: how many bytes the last resumption sends again.
    """

    __slots__ = (
        "_ended", "_epoch", "_late", "_link", "_received", "_sending", "_untold",
        "established", "journal", "mine", "resent", "theirs",
    )  # fmt: skip

    def __init__(self, mine: int, ended: Ended = Ended.NONE) -> None:
        """
        @param mine: a random number of 64 bits, not 0.
        @param ended: why the session with this peer before this one was ended.
        """
        self.mine = mine
        self.theirs = 0
        self.journal = Journal()
        self.established = False
        self.resent = 0
        self._ended = ended
        self._epoch = 0
        self._late: deque[tuple[int, bytes]] = deque()  # what is to be sent again, and what came after it
        self._link: FrameSink | None = None
        self._received = 0
        self._sending = False
        self._untold = 0

    # FrameSink, for the mux.

    def send(self, kind: int, payload: bytes) -> None:
        """Send a frame, now or when the session is resumed."""
        self.journal.add(kind, payload)
        if not self._sending or self._link is None:
            return
        if self._late:
            self._late.append((kind, payload))
            return
        self._link.send(kind, payload)
        if self._untold >= ACK_BESIDE_BYTES:
            self.tell()

    def feed_soon(self) -> None:
        """Have data asked for, as soon as it can be sent."""
        if self._sending and self._link is not None:
            self._link.feed_soon()

    def feed(self, room: int) -> int:
        """
        Send again what the peer has not received, piece by piece: a link's queue takes no whole window.

        @param room: for how many bytes there is room, more or less.
        @return: the room that is left for new data.
        """
        if self._link is None or not self._sending:
            return 0
        while self._late:
            if room <= 0:
                return 0
            kind, payload = self._late.popleft()
            self._link.send(kind, payload)
            room -= len(payload) + _FRAME_COST
        return room

    # Links, for the owner.

    @property
    def suspended(self) -> bool:
        """Whether there is no link."""
        return self._link is None

    @property
    def unacknowledged(self) -> bool:
        """Whether frames have come of which the peer has not been told."""
        return self._untold > 0

    def begin(self, link: FrameSink, new: bool) -> None:
        """
        Frames go over this link from now on. What was on its way over another, or over this one, may be lost.

        @param new: whether this is the first link of the session, and carries nothing of streams yet.
        """
        self._link = link
        self._epoch = max(self._epoch + 1, FIRST_EPOCH if new else FIRST_EPOCH + 1)
        # with nothing lost yet there is nothing to wait for: the peer takes what follows our RESUME
        self._sending = new
        self._late.clear()
        self.established = False
        self._send_resume(link)

    def follow(self, peer: Resume, link: FrameSink) -> None:
        """Begin as the successor of a session that the peer has forgotten, with what its RESUME said."""
        self._link = link
        self._epoch = peer.epoch
        self.theirs = peer.mine
        self._sending = self.established = True
        self._send_resume(link)
        # streams that were opened while the one before was being ended
        self._late.extend(self.journal.after(0))
        link.feed_soon()

    def use(self, link: FrameSink) -> None:
        """This link takes the place of the one before, without loss."""
        self._link = link

    def suspend(self) -> None:
        """The link is gone."""
        self._link = None
        self._late.clear()
        self._sending = self.established = False

    # Frames of the peer.

    def count(self, size: int) -> bool:
        """
        Count a frame of a stream that has come, with a payload of C{size} bytes.

        @return: whether it counts; if not, it is to be ignored, since the peer will send it again.
        @raise WireError: the peer takes many frames, and acknowledges none.
        """
        if not self.established:
            return False
        self._received += 1
        self._untold += size + _FRAME_COST
        if self._untold >= ACK_AFTER_BYTES:
            self.tell()
            if len(self.journal) > MAX_UNACKNOWLEDGED_FRAMES:
                raise WireError(f"the peer has not acknowledged {len(self.journal)} frames of streams")
        return True

    def tell(self) -> None:
        """Tell the peer how many frames have come."""
        self._untold = 0
        if self.established and self._link is not None:
            self._link.send(StreamFrame.ACK, pack_count(self._received))

    def acknowledged(self, received: int) -> None:
        """
        ACK: the peer has received this number of our frames.

        @raise WireError: it cannot have.
        """
        if self.established:
            self.journal.acknowledge(received)

    def resume_received(self, peer: Resume) -> ResumeOutcome:
        """RESUME: the peer says which session it has, and how much of ours it has received."""
        if self.theirs and peer.mine != self.theirs:
            return ResumeOutcome.FORGOTTEN
        if peer.yours not in (0, self.mine):
            # to a new session of ours it speaks of the one before: our RESUME will tell it
            return ResumeOutcome.FORGOTTEN if self.theirs else ResumeOutcome.IGNORED
        if not self.journal.can_be(peer.received):
            return ResumeOutcome.FALSE
        if peer.epoch < self._epoch or self._link is None:
            return ResumeOutcome.IGNORED
        self.theirs = peer.mine
        self.journal.acknowledge(peer.received)
        if peer.epoch > self._epoch:
            # it has seen a link, or a loss, that we have not
            self._epoch = peer.epoch
            self._sending = False
            self._late.clear()
            self._send_resume(self._link)
        elif not peer.yours and self._epoch > FIRST_EPOCH:
            # it may have dropped ours, if its layer of streams was not there yet
            self._send_resume(self._link)
        self.established = True
        self.resent = 0
        if not self._sending:
            self._sending = True
            self._late.extend(self.journal.after(peer.received))
            self.resent = sum(len(payload) for _, payload in self._late)
            self._link.feed_soon()
        return ResumeOutcome.CONTINUED

    def _send_resume(self, link: FrameSink) -> None:
        self._untold = 0
        resume = Resume(self.mine, self.theirs, self._epoch, self._received, self._ended)
        link.send(StreamFrame.RESUME, resume_frame(resume))
