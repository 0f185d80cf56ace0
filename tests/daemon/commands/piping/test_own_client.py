"""A pipe where no daemon runs: what is started, and when nothing is."""

from __future__ import annotations

import argparse
import subprocess
from contextlib import ExitStack
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.commands.piping.own_client import own_client
from routing_crust.daemon.control.client import ClientError, NoDaemon
from tests.daemon.fakes import temporary_directory


class Ended:
    """A child that has ended at once."""

    def __init__(self, command: list[str], **options: Any) -> None:
        self.command = command
        self.stdin = options["stdout"]
        options["stdout"].write(b"first\ncannot start: it is no day for it\n")

    def poll(self) -> int:
        return 1


class OwnClientTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = temporary_directory(self)
        self.options = argparse.Namespace(state_dir=self.folder, network="lab", config=None)
        self.started: list[Ended] = []

        def start(command: list[str], **options: Any) -> Ended:
            self.started.append(Ended(command, **options))
            return self.started[-1]

        self.patch(subprocess, "Popen", start)

    def test_without_a_key_nothing_is_started(self) -> None:
        """A folder that is mistyped shall not become another node."""
        with ExitStack() as stack, self.assertRaises(NoDaemon):
            own_client(self.options, stack, NoDaemon("no daemon runs"))
        self.assertEqual(self.started, [])

    def test_client_that_does_not_start_is_told_with_its_last_line(self) -> None:
        (self.folder / "key.pem").touch()
        with ExitStack() as stack, self.assertRaises(ClientError) as raised:
            own_client(self.options, stack, NoDaemon("no daemon runs"))
        self.assertIn("did not start: cannot start: it is no day for it", str(raised.exception))
        (child,) = self.started
        for word in ("--client", "--network=lab", f"--state-dir={self.folder}"):
            self.assertIn(word, child.command)
