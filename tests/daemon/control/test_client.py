"""
The blocking client, against sockets that say what a daemon should not.
"""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import threading
from itertools import count
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.control import client as client_module
from routing_crust.daemon.control.client import ClientError, ControlClient
from routing_crust.daemon.control.messages import (
    BadLine,
    DoneReply,
    DroppedReply,
    FailedReply,
    StatusCommand,
    StatusReply,
    encode,
)

from ..fakes import temporary_directory


class ClientTests(SynchronousTestCase):
    """Each test has a server that says one thing, in a thread."""

    def setUp(self) -> None:
        self.path = temporary_directory(self) / "control.sock"

    def serve(self, said: bytes, close: bool = True) -> None:
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(str(self.path))
        server.listen()
        done = threading.Event()

        def run() -> None:
            connection, _ = server.accept()
            with connection:
                if said:
                    connection.recv(1000)
                    connection.sendall(said)
                if not close:
                    done.wait(60)

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(done.set)

    def client(self) -> ControlClient:
        return ControlClient(self.path, "twistd routing-node")

    def ask(self, timeout: float = 60) -> str:
        with self.client() as client:
            return str(self.assertRaises(ClientError, client.ask, StatusCommand(), StatusReply, timeout))

    def test_command_gets_its_reply(self) -> None:
        self.serve(encode(StatusReply(status={"x": 1})) + b"\n")
        with self.client() as client:
            self.assertEqual(client.ask(StatusCommand(), StatusReply, 60).status, {"x": 1})

    def test_an_error_is_what_the_daemon_says(self) -> None:
        self.serve(encode(FailedReply(kind="X", text="because")) + b"\n")
        self.assertEqual(self.ask(), "because")

    def test_another_reply_than_expected_is_named(self) -> None:
        self.serve(encode(DoneReply()) + b"\n")
        self.assertEqual(self.ask(), "the daemon answered with 'done': is it of another version?")

    def test_line_that_is_none_is_refused(self) -> None:
        self.serve(b"what?\n")
        with self.client() as client:
            self.assertRaises(BadLine, client.ask, StatusCommand(), StatusReply, 60)

    def test_daemon_that_hangs_up_has_stopped(self) -> None:
        for said in (b"", b"half a li"):
            self.serve(said)
            self.assertEqual(self.ask(), "the daemon has stopped")
            os.unlink(self.path)

    def test_program_with_many_descriptors_waits_too(self) -> None:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
        self.serve(encode(DoneReply()) + b"\n")
        with self.client() as client:
            low = client._socket
            client._socket = socket.socket(fileno=fcntl.fcntl(low, fcntl.F_DUPFD, 1024))
            self.addCleanup(low.close)
            client.ask(StatusCommand(), DoneReply, 60, lambda gone: None)

    def test_late_answer_is_not_waited_for(self) -> None:
        self.serve(b"half", close=False)
        self.assertEqual(self.ask(timeout=0.05), "no answer within 0.05 s")

    def test_program_that_waits_is_told_for_how_long(self) -> None:
        self.patch(client_module, "TELL_SECONDS", 0.0)
        self.patch(client_module, "monotonic", count().__next__)
        self.serve(b"", close=False)
        told: list[float] = []
        with self.client() as client:
            problem = self.assertRaises(
                ClientError, client.ask, StatusCommand(), StatusReply, 3.0, told.append
            )
        self.assertEqual(str(problem), "no answer within 3 s")
        self.assertEqual(told, [1, 2])

    def test_replies_come_until_the_daemon_stops(self) -> None:
        self.serve((encode(DroppedReply(count=1)) + b"\n") * 2)
        with self.client() as client:
            self.assertEqual(client.ask(StatusCommand(), DroppedReply, 60), DroppedReply(count=1))
            replies = client.replies()
            self.assertEqual(next(replies), DroppedReply(count=1))
            error = self.assertRaises(ClientError, next, replies)
        self.assertEqual(str(error), "the daemon has stopped")

    def test_where_no_key_is_a_network_is_founded_or_joined_first(self) -> None:
        expected = (
            f"no daemon runs with the state directory {self.path.parent}, and there is no key in it: "
            "found a network with 'routing-crust init --start NAME', "
            "join one with 'routing-crust join --start LINE', start one with 'twistd routing-node', "
            "or say where it is with --state-dir, --network or --config"
        )
        self.assertEqual(str(self.assertRaises(ClientError, self.client)), expected)

    def test_a_missing_daemon_is_reported(self) -> None:
        (self.path.parent / "key.pem").touch()
        expected = (
            f"no daemon runs with the state directory {self.path.parent}: start one with "
            "'twistd routing-node', or say where it is with --state-dir, --network or --config"
        )
        self.assertEqual(str(self.assertRaises(ClientError, self.client)), expected)
        with socket.socket(socket.AF_UNIX) as left_over:
            left_over.bind(str(self.path))
        self.assertEqual(str(self.assertRaises(ClientError, self.client)), expected)

    def test_a_socket_of_another_user_is_reported(self) -> None:
        class Refusing(socket.socket):
            def connect(self, address: object) -> None:
                raise PermissionError(13, "Permission denied")

        self.patch(socket, "socket", Refusing)
        self.assertEqual(
            str(self.assertRaises(ClientError, self.client)),
            f"permission denied on {self.path}: run this as the user that the daemon runs as",
        )

    def test_path_that_is_too_long_is_named(self) -> None:
        path = Path("/" + "x" * 200)
        error = self.assertRaises(ClientError, ControlClient, path, "")
        self.assertEqual(str(error), f"the control socket {path} cannot be used: AF_UNIX path too long")
