"""Sockets that are handed over: which are taken, and what is said of the others."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from routing_crust.daemon.systemd import sockets
from routing_crust.daemon.systemd.sockets import environment_at_start, make_ours, take_sockets
from routing_crust.errors import ConfigurationError


class SocketTests(SynchronousTestCase):
    def given(self, made: Any, count: str = "1", process: int = 7) -> dict[str, str]:
        """The environment of a process that got a copy of this; descriptor 3 may be in use here."""
        descriptor = os.dup(made.fileno())
        # one that is taken must not be closed here as well: its number may be another's by then
        if not (isinstance(made, socket.socket) and (count, process) == ("1", 7)):
            self.addCleanup(os.close, descriptor)
        self.patch(sockets, "FIRST_DESCRIPTOR", descriptor)
        return {"LISTEN_PID": str(process), "LISTEN_FDS": count, "LISTEN_FDNAMES": "x"}

    def listening(self, family: int = socket.AF_INET, address: str = "127.0.0.1") -> socket.socket:
        made = socket.socket(family, socket.SOCK_STREAM)
        self.addCleanup(made.close)
        try:
            made.bind((address, 0))
        except OSError:
            raise SkipTest("this host has no IPv6") from None
        made.listen()
        return made

    def refused(self, made: Any, count: str = "1") -> str:
        """What is said of a socket, which is closed if it was looked at."""
        environment = self.given(made, count)
        said = str(self.assertRaises(ConfigurationError, take_sockets, environment, 7))
        if isinstance(made, socket.socket) and count == "1":
            self.assertRaises(OSError, os.fstat, sockets.FIRST_DESCRIPTOR)
        return said

    def test_socket_is_taken_with_where_it_listens(self) -> None:
        made = self.listening()
        ((endpoint, taken),) = take_sockets(self.given(made), 7).items()
        self.addCleanup(taken.close)
        self.assertEqual((endpoint.host, endpoint.port), made.getsockname())
        self.assertFalse(taken.get_inheritable())
        self.assertFalse(taken.getblocking())

    def test_sockets_of_another_process_are_not_taken(self) -> None:
        self.assertEqual(take_sockets(self.given(self.listening(), process=8), 7), {})
        self.assertEqual(take_sockets({}, 7), {})

    def test_environment_is_read_that_the_process_was_started_with(self) -> None:
        """Twisted has removed from the other what it thinks that it alone uses."""
        path = Path(self.mktemp())
        path.write_bytes(b"LISTEN_PID=7\0LISTEN_FDS=1\0nothing\0TEXT=a=b\0")
        self.patch(sockets, "_STARTED_WITH", path)
        self.assertEqual(environment_at_start(), {"LISTEN_PID": "7", "LISTEN_FDS": "1", "TEXT": "a=b"})
        path.unlink()
        self.assertEqual(environment_at_start(), {})

    def test_socket_for_both_families_is_refused_with_what_to_write(self) -> None:
        made = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        self.addCleanup(made.close)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            made.bind(("::", 0))
        except OSError:
            raise SkipTest("this host has no IPv6") from None
        made.listen()
        self.assertIn("BindIPv6Only=ipv6-only", self.refused(made))

    def test_what_does_not_listen_is_refused(self) -> None:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            made = socket.socket(socket.AF_INET, kind)
            self.addCleanup(made.close)
            self.assertIn("is not a listening TCP socket: write ListenStream=", self.refused(made))
        with open(os.devnull) as file:
            self.assertIn("is no socket", self.refused(file))

    def test_count_that_is_none_is_refused(self) -> None:
        for count in ("", "x", "-1", "65", "1" * 5000):
            self.assertIn("valid is 0 to 64", self.refused(self.listening(), count))

    def test_sockets_of_our_user_are_ours(self) -> None:
        ((endpoint, taken),) = take_sockets(self.given(self.listening()), 7).items()
        self.addCleanup(taken.close)
        self.assertEqual(make_ours({endpoint: taken}), "")

    def test_socket_of_another_user_is_taken_over_or_named(self) -> None:
        ((endpoint, taken),) = take_sockets(self.given(self.listening()), 7).items()
        self.addCleanup(taken.close)
        own = os.geteuid()
        changed: list[tuple[int, int, int]] = []
        self.patch(os, "geteuid", lambda: own + 1)
        self.patch(os, "fchown", lambda *arguments: changed.append(arguments))
        self.assertEqual(make_ours({endpoint: taken}), "")
        self.assertEqual(changed, [(taken.fileno(), own + 1, -1)])

        def refuse(*_: int) -> None:
            raise PermissionError

        self.patch(os, "fchown", refuse)
        self.assertIn("AmbientCapabilities=CAP_CHOWN", make_ours({endpoint: taken}))
