"""What systemd hears, at a socket that stands in for its own."""

from __future__ import annotations

import os
import socket

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.systemd.notify import Notifier, notifier_of, status_line, watchdog_of

from ..fakes import temporary_directory


class NotifyTests(SynchronousTestCase):
    def supervisor(self, address: str | bytes) -> socket.socket:
        supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(supervisor.close)
        supervisor.bind(address)
        supervisor.setblocking(False)
        return supervisor

    def test_lines_arrive_together_at_a_path(self) -> None:
        path = str(temporary_directory(self) / "notify")
        supervisor = self.supervisor(path)
        Notifier(path).tell("READY=1", status_line("on\ntwo lines"))
        self.assertEqual(supervisor.recv(999), b"READY=1\nSTATUS=on two lines")

    def test_abstract_address_begins_with_a_zero(self) -> None:
        name = f"routing-crust-test-{os.getpid()}"
        supervisor = self.supervisor(b"\0" + name.encode())
        Notifier(f"@{name}").tell("READY=1")
        self.assertEqual(supervisor.recv(999), b"READY=1")

    def test_supervisor_that_is_gone_or_does_not_read_hinders_nobody(self) -> None:
        path = str(temporary_directory(self) / "notify")
        Notifier(path).tell("READY=1")
        self.supervisor(path)
        for _ in range(2000):
            Notifier(path).tell("WATCHDOG=1")

    def test_environment_names_the_supervisor(self) -> None:
        for text in ("", "@", "vsock:2:1", "relative/path"):
            self.assertIsNone(notifier_of({"NOTIFY_SOCKET": text}))
        self.assertIsNone(notifier_of({}))
        self.assertIsNotNone(notifier_of({"NOTIFY_SOCKET": "/run/systemd/notify"}))

    def test_watchdog_is_for_the_process_that_it_names(self) -> None:
        self.assertEqual(watchdog_of({"WATCHDOG_USEC": "30000000"}, 7), 30.0)
        self.assertEqual(watchdog_of({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "7"}, 7), 0.5)
        self.assertIsNone(watchdog_of({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "8"}, 7))
        for text in ("", "0", "-1", "x", "1e6"):
            self.assertIsNone(watchdog_of({"WATCHDOG_USEC": text}, 7))
        self.assertIsNone(watchdog_of({}, 7))
