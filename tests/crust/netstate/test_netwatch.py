"""The watch over the network and the host: when it tells, and what it leaves behind."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from routing_crust.crust.netstate.netwatch import (
    LATE_SECONDS,
    PAUSE_SECONDS,
    PERIOD_SECONDS,
    SETTLE_SECONDS,
    SLEPT_SECONDS,
    NetWatch,
    open_route_socket,
    seconds_slept,
)

from .test_netlink import address, route

NEWS = address()
NONE = route(table=255)


class Reactor(Clock):
    """Knows who is to be told when there is something to read."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)


class Socket:
    """What the kernel would say; an C{OSError} is raised."""

    def __init__(self) -> None:
        self.waiting: list[bytes | OSError] = []
        self.sender = 0
        self.closed = False

    def recvfrom(self, size: int) -> tuple[bytes, tuple[int, int]]:
        if not self.waiting:
            raise BlockingIOError
        data = self.waiting.pop(0)
        if isinstance(data, OSError):
            raise data
        return data, (self.sender, 1)

    def fileno(self) -> int:
        return 9

    def close(self) -> None:
        self.closed = True


class NetWatchTests(SynchronousTestCase):
    """On a fake clock, and with a fake socket."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.socket = Socket()
        self.slept = 0.0
        self.told: list[tuple[float, str]] = []
        self.watch = NetWatch(
            self.reactor,
            lambda what: self.told.append((self.reactor.seconds(), what)),
            open_socket=lambda: self.socket,  # type: ignore[arg-type, return-value]
            slept=lambda: self.slept,
        )
        self.watch.start()

    def tearDown(self) -> None:
        self.watch.stop()
        self.watch.stop()
        self.assertEqual((self.reactor.getDelayedCalls(), self.reactor.readers), ([], []))

    def news(self, *data: bytes | OSError) -> None:
        """Something can be read."""
        self.socket.waiting.extend(data)
        self.watch.doRead()

    @property
    def times(self) -> list[float]:
        return [when for when, _ in self.told]

    def test_interface_that_stops_is_told(self) -> None:
        self.assertTrue(verifyObject(IReadDescriptor, self.watch))
        self.assertEqual((self.reactor.readers, self.watch.fileno()), ([self.watch], 9))
        self.assertEqual(self.watch.logPrefix(), "NetWatch")

    def test_notifications_that_come_together_give_one_report(self) -> None:
        """It comes shortly after the first."""
        self.news(NEWS, NEWS)
        self.reactor.advance(SETTLE_SECONDS / 2)
        self.news(NEWS)
        self.reactor.advance(SETTLE_SECONDS / 2)
        self.assertEqual(self.times, [SETTLE_SECONDS])
        self.assertIn("addresses", self.told[0][1])

    def test_network_that_keeps_changing_is_reported_every_two_seconds(self) -> None:
        while self.reactor.seconds() < 9.95:
            self.news(NEWS)
            self.reactor.advance(0.1)
        self.assertEqual([int(each) for each in self.times], [0, 2, 4, 6, 8])
        gaps = [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]
        self.assertGreaterEqual(min(gaps), PAUSE_SECONDS)

    def test_later_change_is_reported_promptly(self) -> None:
        self.news(NEWS)
        self.reactor.pump([SETTLE_SECONDS, 5])
        self.news(NEWS)
        self.reactor.advance(SETTLE_SECONDS)
        self.assertEqual(len(self.told), 2)

    def test_notifications_that_do_not_matter_give_no_report(self) -> None:
        self.news(NONE, b"garbage")
        self.reactor.advance(PERIOD_SECONDS - 1)
        self.assertEqual(self.told, [])

    def test_message_of_another_process_is_ignored(self) -> None:
        self.socket.sender = 4711
        self.news(NEWS)
        self.reactor.advance(1)
        self.assertEqual(self.told, [])

    def test_overflow_of_the_socket_counts_as_a_change(self) -> None:
        self.news(OSError(errno.ENOBUFS, "no buffer space"))
        self.reactor.advance(1)
        self.assertEqual(len(self.told), 1)

    def test_flood_of_notifications_leaves_the_reactor_time(self) -> None:
        self.news(*[NEWS] * 1000)
        self.assertGreater(len(self.socket.waiting), 900)

    def test_socket_that_fails_is_closed(self) -> None:
        """A socket that fails is closed, which is logged; what was heard before is still told."""
        self.news(NEWS, OSError(errno.EIO, "broken"), NEWS)
        self.assertTrue(self.socket.closed)
        self.assertEqual((self.reactor.readers, self.watch.fileno()), ([], -1))
        self.reactor.advance(1)
        self.assertEqual(len(self.told), 1)
        self.watch.doRead()
        self.watch.connectionLost(Failure(OSError("again")))

    def test_socket_that_fails_is_opened_again(self) -> None:
        """With the next look, and what may have happened meanwhile is told as a change."""
        self.news(OSError(errno.EIO, "broken"))
        self.socket = Socket()
        self.reactor.advance(PERIOD_SECONDS)
        self.assertEqual(self.reactor.readers, [self.watch])
        self.reactor.advance(PAUSE_SECONDS)
        self.news(NEWS)
        self.reactor.advance(PAUSE_SECONDS)
        self.assertEqual(len(self.told), 2)

    def test_socket_that_cannot_be_opened_again_is_tried_until_it_can(self) -> None:
        """As when the descriptors of the process have run out for a while."""
        refused: list[OSError] = [OSError(errno.EMFILE, "too many"), OSError(errno.EMFILE, "too many")]

        def open_socket() -> Any:
            if refused:
                raise refused.pop()
            return self.socket

        self.watch._open_socket = open_socket
        self.news(OSError(errno.EIO, "broken"))
        self.reactor.pump([PERIOD_SECONDS] * 2)
        self.assertEqual((self.reactor.readers, self.told), ([], []))
        self.reactor.pump([PERIOD_SECONDS, PAUSE_SECONDS])
        self.assertEqual((self.reactor.readers, len(self.told)), ([self.watch], 1))

    def test_event_of_another_descriptor_ends_nothing(self) -> None:
        """One that had our number before: there is nothing to write, and the watch goes on."""
        self.watch.doWrite()
        self.news(NEWS)
        self.reactor.advance(1)
        self.assertEqual(len(self.told), 1)

    def test_watch_that_was_stopped_after_a_failure_stays_stopped(self) -> None:
        self.news(OSError(errno.EIO, "broken"))
        self.watch.stop()
        self.watch.start()
        self.reactor.advance(PERIOD_SECONDS)
        self.assertEqual(self.told, [])

    def test_stopped_watch_reports_nothing(self) -> None:
        """It can be started again."""
        self.news(NEWS)
        self.watch.stop()
        self.assertTrue(self.socket.closed)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.reactor.advance(100)
        self.assertEqual(self.told, [])
        self.socket = Socket()
        self.watch.start()
        self.news(NEWS)
        self.reactor.advance(1)
        self.assertEqual(len(self.told), 1)

    def test_report_may_stop_the_watch(self) -> None:
        self.watch._changed = lambda what: self.watch.stop()
        self.news(NEWS)
        self.reactor.advance(1)
        self.watch.start()
        self.slept += 100
        self.reactor.advance(PERIOD_SECONDS)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_check_that_is_punctual_reports_nothing(self) -> None:
        """A little late counts as punctual."""
        for late in (0.0, 1.0, LATE_SECONDS - 0.1, 0.0):
            self.slept += SLEPT_SECONDS / 2
            self.reactor.advance(PERIOD_SECONDS + late)
        self.assertEqual(self.told, [])

    def test_sleep_of_the_host_is_told(self) -> None:
        """The host slept, which the system tells, while the clock stood still or has not been set yet."""
        self.slept += 3600
        self.reactor.advance(PERIOD_SECONDS)
        self.assertEqual(self.told, [(PERIOD_SECONDS, "this host, or this process, stood still for 3600 s")])
        self.reactor.advance(PERIOD_SECONDS)
        self.assertEqual(len(self.told), 1)

    def test_process_that_stood_still_is_reported(self) -> None:
        """The process was stopped, or its machine: the check comes late."""
        self.reactor.advance(PERIOD_SECONDS + 60)
        self.assertEqual(
            self.told, [(PERIOD_SECONDS + 60, "this host, or this process, stood still for 60 s")]
        )


class RefusedTests(SynchronousTestCase):
    """Where there is no such socket."""

    def watch(self, reactor: Any, error: OSError) -> None:
        def refuse() -> socket.socket:
            raise error

        watch = NetWatch(reactor, self.fail, open_socket=refuse)
        watch.start()
        self.assertEqual(watch.fileno(), -1)
        watch.stop()
        self.assertEqual(reactor.getDelayedCalls(), [])

    def test_watch_without_permission_still_notices_sleep(self) -> None:
        """It goes on without; sleep is noticed all the same."""
        reactor = Reactor()
        self.watch(reactor, OSError(errno.EPERM, os.strerror(errno.EPERM)))
        self.assertEqual(reactor.readers, [])

    def test_reactor_without_descriptors_still_notices_sleep(self) -> None:
        """Some reactors do not watch descriptors; then there is no need to open one."""
        self.watch(Clock(), OSError("not reached"))

    def test_system_without_netlink_still_notices_sleep(self) -> None:
        """Where there is no netlink, an error says so."""
        self.patch(socket, "AF_NETLINK", None)
        with self.assertRaisesRegex(OSError, "this system has no netlink"):
            open_route_socket()

    def test_socket_that_cannot_be_bound_is_closed(self) -> None:

        class Forbidden(Socket):
            def bind(self, address: object) -> None:
                raise OSError(errno.EPERM, "no")

        here = Forbidden()
        self.patch(socket, "socket", lambda *_: here)
        with self.assertRaises(OSError):
            open_route_socket()
        self.assertTrue(here.closed)

    def test_system_without_boot_time_is_watched(self) -> None:
        """Where the system does not tell how long it slept, it has not."""
        import time

        if hasattr(time, "CLOCK_BOOTTIME"):
            self.assertGreaterEqual(seconds_slept(), -1.0)
            self.patch(time, "CLOCK_BOOTTIME", None)
            del time.CLOCK_BOOTTIME
        self.assertEqual(seconds_slept(), 0.0)
