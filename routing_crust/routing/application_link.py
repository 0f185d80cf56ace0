"""
A link as applications see it: what C{RoutingService.connect} gives, and what a frame handler is called with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..crust.interfaces import ILink
from ..endpoints import Connection, PathKind
from ..errors import CloseReason
from ..names import Name
from ..quietlog import TRACEBACKS_AT_ONCE, QuietLog
from ..wire.framing import FIRST_APPLICATION_KIND


@final
class ApplicationLink:
    """
    A link to a peer. Only the service makes one; two of the same link are equal.

    When a better link takes its place, which C{LinkChanged} tells, what is sent here goes over that one, in
    order. The facts stay those of this link, and closing it leaves the other open.
    """

    __slots__ = ("_link",)

    def __init__(self, link: ILink) -> None:
        self._link = link

    @property
    def name(self) -> Name:
        """The peer's L{Name}, proven by its certificate."""
        return self._link.peer

    @property
    def connection(self) -> Connection:
        """The L{Connection} that it runs over."""
        return self._link.connection

    @property
    def path_kind(self) -> PathKind:
        """How it came about: direct, mapped, punched or through a tunnel."""
        return self._link.path_kind

    def send(self, kind: int, payload: bytes) -> None:
        """
        Send a frame to the peer's frame handler. Frames are not acknowledged; they arrive in order, or not
        at all. After the link was closed, does nothing.

        @param kind: 128 to 255. The smaller ones are this library's own.
        @raise ValueError: the kind is another, or the payload is larger than C{MAX_FRAME_BYTES}.
        """
        if not FIRST_APPLICATION_KIND <= kind <= 255:
            # the other kinds would speak for this node's own protocol
            raise ValueError(f"kinds {FIRST_APPLICATION_KIND} to 255 are for applications; {kind} is not")
        self._link.send(kind, payload)

    def when_writable(self) -> Deferred[None]:
        """
        Wait for room in the send queue, which a program that sends much does between frames.

        @return: fires with C{None} once the send queue has room, at once if it has; fails with
            L{LinkClosed<routing_crust.errors.LinkClosed>} if the link closes first.
        """
        return self._link.when_writable()

    def close(self) -> None:
        """
        Close the link, once what was sent has gone out; the peer is told that it is no longer needed. All
        other users of the link lose it too. Closing it again does nothing.
        """
        self._link.close(CloseReason.NO_LONGER_NEEDED)

    def __eq__(self, other: object) -> bool:
        return self._link is other._link if isinstance(other, ApplicationLink) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._link)

    def __repr__(self) -> str:
        return f"<ApplicationLink to {self.name}, {self.path_kind.value}, {self.connection}>"


FrameHandler: TypeAlias = Callable[[ApplicationLink, int, bytes], object]
"""What is called with a link, a kind and a payload for each frame of an application's own kinds."""


class ApplicationFrames:
    """
    Gives the application the frames that are its own. Made with each start of the service, discarded with the
    run.

    @ivar handler: what it is given them by; without it they are dropped.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._quiet = QuietLog(self.log, clock.seconds)
        self._failures = QuietLog(self.log, clock.seconds, TRACEBACKS_AT_ONCE)
        self.handler: FrameHandler | None = None

    def frame_received(self, link: ILink, kind: int, payload: bytes) -> None:
        """A frame came."""
        prefix = link.connection.peer.prefix
        if self.handler is None:
            self._quiet.info(
                "no frame handler",
                "dropped a frame of {peer}: there is no handler",
                by=prefix,
                peer=link.peer,
            )
            return
        try:
            self.handler(ApplicationLink(link), kind, payload)
        except Exception:  # whatever an application may raise, as often as a peer sends
            self._failures.failure("frame handlers", "the frame handler raised", by=prefix)
