"""
L{ILink}: an authenticated connection that carries frames, for the layer above and for all of crust.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import Attribute, Interface

from ...endpoints import Connection, Direction, PathKind
from ...errors import CloseReason
from ...names import Name

ANSWER_WITHIN_SECONDS: Final = 8.0
"""For an answer after a change of our network: TCP, when packets were lost, tries again within 6 s."""


class IRoundTrip(Protocol):
    """How long a round trip over a link takes, smoothed as in RFC 6298."""

    @property
    def smoothed(self) -> float | None:
        """In seconds; C{None} while nothing is known."""

    def smoothed_or(self, seconds: float) -> float:
        """L{smoothed}, or this while nothing is known."""

    @property
    def variation(self) -> float | None:
        """By how much round trips differ from that, in seconds; C{None} before the first was measured."""

    @property
    def latest(self) -> float | None:
        """The last that was measured, in seconds; C{None} before the first."""


class ILink(Interface):
    """An authenticated connection that carries frames. Made by crust, never by others."""

    connection: Connection = Attribute("The L{Connection} that this link runs over.")
    direction: Direction = Attribute("Whether we connected or accepted.")
    peer: Name = Attribute("The peer's L{Name}, its public key: proven by TLS.")
    binding: bytes = Attribute("32 bytes that only the two ends of this very TLS session know (RFC 9266).")
    bootstrap: bool = Attribute("Whether it was dialled by L{ICrust.bootstrap}.")
    token: bytes = Attribute(
        "What L{ICrust.connect} was given as C{token}; for a link of a rendezvous, its token, at both ends; "
        "else empty."
    )
    initiator: bool = Attribute("Whether this end is the TLS client and so speaks first.")
    path_kind: PathKind = Attribute("How the link came about.")
    via: Name | None = Attribute("For a tunnel, the L{Name} of the relay; else C{None}.")
    seen_at: str = Attribute("For a tunnel, the address at which its relay sees the peer; else empty.")
    writable: bool = Attribute(
        "Whether the send queue has room: no longer once it has reached C{QUEUE_PAUSE_BYTES}, and again once "
        "it has fallen to C{QUEUE_RESUME_BYTES}."
    )
    queued: int = Attribute("How many bytes wait in the send queue.")
    round_trip: IRoundTrip = Attribute("How long a round trip takes, as far as it is known.")
    is_verified: bool = Attribute("Whether L{verified} was called while the link was open.")
    is_confirmed: bool = Attribute("Whether L{confirmed} was called.")
    is_expected: bool = Attribute(
        "Whether both ends have agreed on a request for it, and it was the first to come for that; set by "
        "the layer above. Until it is confirmed it makes room after those that nobody waits for."
    )
    is_open: bool = Attribute("Whether neither end has closed it.")
    has_heard: bool = Attribute("Whether anything has come since this was set to C{False} last.")
    died_idle: bool = Attribute(
        "Of a lost link, whether it had been idle for 8 s or longer before the frame that nothing came after."
    )
    is_doubted: bool = Attribute("Whether the peer has owed an answer for so long that the link may be dead.")
    owed_for: float = Attribute(
        "Seconds for which the peer of a doubted link has owed an answer. A path that has only stalled shows "
        "itself within as many more, since TCP waits twice as long each time until it tries again."
    )

    def send(kind: int, payload: bytes) -> None:
        """
        Queue a frame. Frames arrive in order or not at all. After the link was closed, does nothing.

        @param kind: 0 to 255, a L{FrameKind<routing_crust.wire.framing.FrameKind>} or the application's.
        @raise ValueError: the payload is larger than C{MAX_FRAME_BYTES}.
        """

    def tell(kind: int, payload: bytes) -> None:
        """
        As C{send}, for an answer, or what else the peer need not react to: nobody is probed where nothing
        comes back.
        """

    def verified() -> None:
        """The peer's Hello is good: lift the limits for links of unknown purpose. Idempotent."""

    def confirmed() -> None:
        """Both ends have agreed on this link: it does not count as unverified any more. Idempotent."""

    def probe() -> None:
        """
        Send the peer a probe, where something suggests that it is out of reach or has lost this link. If
        nothing comes, L{ICrustEvents.link_doubted} follows. Without effect before L{verified}, and once the
        link is closed.
        """

    def suspect() -> None:
        """
        As L{probe}, where the peer acts as if it had lost this link: the answer is waited for less long.
        """

    def must_answer(within: float) -> None:
        """
        As L{suspect}, where a path is known to have broken: cut the link if nothing comes within these
        seconds, or three round trips.
        """

    def when_writable() -> Deferred[None]:
        """
        @return: fires with C{None} once L{writable} is true, at once if it is; fails with
            L{LinkClosed} if the link closes first.
        """

    def add_producer(producer: IPushProducer) -> None:
        """
        Have a producer paused and resumed with the send queue, and stopped when the link is lost.

        @raise ValueError: it was added already.
        """

    def remove_producer(producer: IPushProducer) -> None:
        """Forget a producer. One that is not known is no error."""

    def set_feeder(feeder: Callable[[int], object] | None) -> None:
        """
        Set a source of frames that is called whenever the connection takes more and the send queue is nearly
        empty, so that bulk data does not wait in the queue in front of urgent frames.

        @param feeder: called with the room, in bytes, more or less; it may send as much from within the call.
            It is called from L{feed_soon} on until it sends nothing. It must not raise. C{None} removes it.
            It is not called after the link was closed.
        """

    def feed_soon() -> None:
        """Have the feeder called before the next turn of the reactor is over, or as soon as the connection
        takes more. Never calls it at once."""

    def hand_over(link: ILink) -> None:
        """
        Let another link to the same peer replace this one: from now on frames sent here go over that link,
        also when this one is closed, and waiters for L{writable} and producers move to it. Queued frames
        stay. Only frames of the handshake, of tunnels, whose numbers are this link's, and C{SWITCHED} still
        go over this one. Handing over to itself undoes it.
        """

    def pause_reading() -> None:
        """Take no more from the connection, so that the peer has to wait, until L{resume_reading}. Some
        frames that are on their way already are still delivered, and silence is not timed."""

    def resume_reading() -> None:
        """Undo L{pause_reading}."""

    def close(reason: CloseReason, detail: str = "") -> None:
        """
        Send a Goodbye with the reason and close, once what is queued has gone out; cut after
        C{CLOSE_TIMEOUT_SECONDS}. L{ICrustEvents.lost_connection} follows. No frame is delivered after this.
        Idempotent.

        @param detail: more, in words, for our own log; the peer never sees it.
        """

    def abort(reason: CloseReason, detail: str = "") -> None:
        """Cut the link at once; what is queued is lost. L{ICrustEvents.lost_connection} follows."""
