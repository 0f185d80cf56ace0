"""
The watch over the network and the host: it reports when addresses, routes or interfaces have changed, and
when the host has slept.

The kernel's notifications (L{routing_crust.crust.netstate.netlink}) come many at a time, so a change is
reported a moment after the first of them. Where the system has none, or does not let us have them, changes
are not reported, and links are lost when their peers fall silent. A timer that fires late shows that the host
has slept.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime, IReadDescriptor, IWriteDescriptor
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from ...timing.timers import cancel
from .netlink import GROUPS, NetworkNews

SETTLE_SECONDS: Final = 0.3
"""Seconds from the first notification to the report: those of one change come within this."""
PAUSE_SECONDS: Final = 2.0
"""Seconds between two reports, at least."""
PERIOD_SECONDS: Final = 10.0
"""Seconds between two checks whether the host has slept."""
LATE_SECONDS: Final = 10.0
"""A check that comes this late means that the host, or the process, stood still."""
SLEPT_SECONDS: Final = 2.0
"""A sleep of the host counts from this length on."""
_MAX_DATAGRAMS_READ: Final = 32
_DATAGRAM_BYTES: Final = 65536


def open_route_socket() -> socket.socket:
    """
    A socket that receives the kernel's notifications.

    @raise OSError: there are none, or they are not permitted.
    """
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, "this system has no netlink")
    here = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    try:
        # number 0 lets the kernel choose: another netlink socket may have the one that is the process's id
        here.bind((0, GROUPS))
    except OSError:
        here.close()
        raise
    return here


def seconds_slept() -> float:
    """For how long this host has slept since it was started, in seconds; always 0.0 if that is unknown."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    # of these two clocks only the first goes on during a sleep
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


@implementer(IReadDescriptor, IWriteDescriptor)
class NetWatch:
    """
    Made by L{CrustService<routing_crust.crust.service.CrustService>}, fed by the reactor. It can be started
    again once it was stopped.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        changed: Callable[[str], object],
        *,
        open_socket: Callable[[], socket.socket] = open_route_socket,
        slept: Callable[[], float] = seconds_slept,
    ) -> None:
        """
        @param reactor: provides C{IReactorTime}, and C{IReactorFDSet} if it can.
        @param changed: called with a text that says what has happened. Not called from within a call to this
            object.
        @param open_socket: opens the socket, or raises C{OSError}.
        @param slept: for how long the host has slept so far, in seconds.
        """
        self._reactor = reactor
        self._clock: IReactorTime = reactor
        self._changed = changed
        self._open_socket = open_socket
        self._slept = slept
        self._socket: socket.socket | None = None
        self._news = NetworkNews()
        self._timer: IDelayedCall | None = None
        self._told = float("-inf")
        self._looks: IDelayedCall | None = None
        self._was_lost = False
        self._due = self._slept_before = 0.0

    def start(self) -> None:
        """Watch from now on."""
        self._next_look()
        if getattr(self._reactor, "addReader", None) is not None:
            self._open()

    def _open(self) -> None:
        try:
            self._socket = self._open_socket()
        except OSError as error:
            # where the first one could be had, another may be had later: descriptors run out, and come back
            level = LogLevel.debug if self._was_lost else LogLevel.info
            text = "changes of the network are not noticed at once: {problem}"
            self.log.emit(level, text, problem=error.strerror or str(error))
            return
        self._reactor.addReader(self)
        if self._was_lost:
            self._was_lost = False
            # nobody knows what has happened meanwhile
            self._tell_soon()

    def stop(self) -> None:
        """Watch no more. Idempotent."""
        for timer in (self._timer, self._looks):
            cancel(timer)
        self._timer = self._looks = None
        self._was_lost = False
        self._close()

    def _close(self) -> None:
        here, self._socket = self._socket, None
        if here is not None:
            self._reactor.removeReader(self)
            here.close()

    # Sleep.

    def _next_look(self) -> None:
        # two looks: a sleep of the host shows in the first, a process that was stopped in the second
        self._slept_before = self._slept()
        self._due = self._clock.seconds() + PERIOD_SECONDS
        self._looks = self._clock.callLater(PERIOD_SECONDS, self._look)

    def _look(self) -> None:
        slept = self._slept() - self._slept_before
        late = self._clock.seconds() - self._due
        self._next_look()
        if self._was_lost:
            self._open()
        if slept >= SLEPT_SECONDS or late >= LATE_SECONDS:
            self._changed(f"this host, or this process, stood still for {max(slept, late):.0f} s")

    # What the reactor calls.

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        return "NetWatch"

    def doRead(self) -> None:
        # bounded, so that a flood of notifications leaves the reactor time for its other descriptors
        for _ in range(_MAX_DATAGRAMS_READ):
            if self._socket is None:
                return
            try:
                data, sender = self._socket.recvfrom(_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    self.connectionLost(Failure(error))
                    return
                self._tell_soon()  # the socket's buffer has overflowed, so some were lost
                continue
            # other processes may send here as well: their numbers are not 0
            if sender[0] == 0 and self._news.matters(data):
                self._tell_soon()

    def doWrite(self) -> None:
        """
        Nothing is ever written. But an event may be meant for another descriptor, which had the number of
        ours and was closed while the reactor dealt with the events of one turn.
        """

    def connectionLost(self, reason: Failure) -> None:
        """The socket has failed, or such an event says so: each look tries to open another."""
        if self._socket is not None:
            self.log.warn(
                "changes of the network are not noticed at once: {problem}. This is tried again every "
                "{seconds:.0f} s",
                seconds=PERIOD_SECONDS,
                problem=reason.getErrorMessage(),
            )
            self._close()
            self._was_lost = True

    def _tell_soon(self) -> None:
        if self._timer is None:
            since = self._clock.seconds() - self._told
            self._timer = self._clock.callLater(max(SETTLE_SECONDS, PAUSE_SECONDS - since), self._tell)

    def _tell(self) -> None:
        self._timer = None
        self._told = self._clock.seconds()
        self._changed("the addresses, routes or interfaces of this host have changed")
