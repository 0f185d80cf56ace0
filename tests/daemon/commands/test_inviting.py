"""
C{invite}: what is asked of the daemon, and what is printed.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from routing_crust.daemon.commands import inviting
from routing_crust.daemon.control.client import ClientError
from routing_crust.daemon.control.member_messages import InviteCommand, InvitedReply

from ..test_cli import CliTestCase


class _Client:
    """A daemon that answers as soon as its router has."""

    def __init__(self, case: InviteTests) -> None:
        self._case = case

    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open."""

    def ask(
        self,
        command: InviteCommand,
        expected: object,
        timeout: float,
        waiting: Callable[[float], object] | None = None,
    ) -> InvitedReply:
        self._case.commands.append(command)
        for second in range(1, 1 + self._case.seconds):
            if waiting is not None:
                waiting(float(second))
        if self._case.problem:
            raise ClientError(self._case.problem)
        return InvitedReply(line="rc1abc", expires=2e9, endpoints=("192.0.2.1:5483",), warning="")


class InviteTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.commands: list[InviteCommand] = []
        self.problem = ""
        self.seconds = 0
        self.patch(inviting, "connect", lambda options: _Client(self))

    def test_line_alone_is_on_the_standard_output(self) -> None:
        self.assertEqual(self.run_script("invite", "laptop"), 0)
        self.assertEqual(self.out.getvalue(), "routing-crust join rc1abc\n")
        self.assertIn("Type this on laptop; it works once, until 2033-", self.err.getvalue())
        (command,) = self.commands
        self.assertEqual((command.nickname, command.uses, command.lifetime), ("laptop", 1, 86400.0))

    def test_options_reach_the_daemon(self) -> None:
        words = (
            "--role client --tag family --tag home --uses 3 --expires 7d --allow ssh --at 5.5.5.9:5483 "
            "--address home.example.org:5483 --short"
        )
        self.assertEqual(self.run_script("invite", *words.split()), 0)
        self.assertEqual(
            self.commands,
            [
                InviteCommand(
                    roles=("client",),
                    tags=("family", "home"),
                    uses=3,
                    lifetime=7 * 86400.0,
                    allow=("ssh",),
                    at=("5.5.5.9:5483",),
                    addresses=("home.example.org:5483",),
                    short=True,
                )
            ],
        )
        self.assertIn("it works 3 times", self.err.getvalue())
        # no other daemon is at the address of a short one
        self.assertIn(", while this daemon runs:", self.err.getvalue())

    def test_programs_get_json(self) -> None:
        self.assertEqual(self.run_script("invite", "--json"), 0)
        facts = json.loads(self.out.getvalue())
        self.assertEqual(facts["command"], "routing-crust join rc1abc")
        self.assertEqual(facts["endpoints"], ["192.0.2.1:5483"])
        self.assertEqual(self.err.getvalue(), "")

    def test_what_is_waited_for_is_said_once_and_not_to_programs(self) -> None:
        self.seconds = 3
        self.assertEqual(self.run_script("invite"), 0)
        self.assertEqual(self.err.getvalue().count("asking the router here"), 1)
        self.assertEqual(self.out.getvalue(), "routing-crust join rc1abc\n")
        self.assertEqual(self.run_script("invite", "--json"), 0)
        self.assertEqual(self.err.getvalue().count("asking the router here"), 1)

    def test_what_is_no_time_or_no_number(self) -> None:
        for words, text in (
            ("--expires 0m", "'0m' is not a time"),
            ("--expires 10", "'10' is not a time"),
            ("--expires 400d", "from 1m to 366d"),
            ("--uses 0", "write 1 to 10000"),
            ("--role king", "invalid choice: 'king'"),
        ):
            self.assertIn(text, self.refused("invite", *words.split()))
        self.assertEqual(self.commands, [])

    def test_daemon_says_why_not(self) -> None:
        self.problem = "another member is called 'laptop' already"
        self.assertEqual(self.run_script("invite", "laptop"), 1)
        self.assertEqual(self.err.getvalue(), "routing-crust: another member is called 'laptop' already\n")

    def test_code_is_drawn_on_the_terminal(self) -> None:
        drawn: list[tuple[str, Any]] = []

        class Code:
            def __init__(self, text: str) -> None:
                self.text = text

            def terminal(self, out: io.StringIO, compact: bool) -> None:
                drawn.append((self.text, out))

        segno = ModuleType("segno")
        segno.make = Code  # type: ignore[attr-defined]
        self.patch(sys, "modules", {**sys.modules, "segno": segno})
        self.assertEqual(self.run_script("invite", "--qr"), 0)
        self.assertEqual(drawn, [("RC1ABC", self.err)])
        self.assertEqual(self.out.getvalue(), "routing-crust join rc1abc\n")

    def test_without_the_package_for_codes_nothing_is_done(self) -> None:
        self.patch(sys, "modules", {**sys.modules, "segno": None})
        self.assertEqual(self.run_script("invite", "--qr"), 1)
        self.assertIn("pip install routing-crust[qr]", self.err.getvalue())
        self.assertEqual(self.commands, [])
