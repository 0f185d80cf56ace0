"""
C{status --watch} on a terminal and on a pipe, with time and daemon played by the test.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.commands.arguments import make_parser
from routing_crust.daemon.control.client import ClientError
from routing_crust.daemon.rates import StreamRates
from routing_crust.daemon.watching import screen as screening
from routing_crust.daemon.watching import watch as watching
from routing_crust.daemon.watching.screen import Paper, Screen, screen_of
from routing_crust.daemon.watching.watch import StatusWatch, watch_status

from ..page.sample import SampleSource


class Output(io.StringIO):
    """What the command writes to."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal


def shown(text: str) -> list[str]:
    """The rows of a terminal after this."""
    rows: list[str] = []
    for piece in text.split("\x1b[H")[1:]:
        old, rows = rows, []
        for number, line in enumerate(piece.partition("\x1b[J")[0].split("\n")[:-1]):
            rest = "" if line.endswith("\x1b[K") else (old[number : number + 1] or [""])[0][len(line) :]
            rows.append(line.removesuffix("\x1b[K") + rest)
        if not piece.endswith("\x1b[J"):
            rows += old[len(rows) :]
    return rows


class ScreenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.out = Output()

    def test_each_text_takes_the_place_of_the_one_before(self) -> None:
        screen = Screen(self.out, lambda: (80, 24))
        screen.show("a long first line\nand a second")
        screen.show("short")
        self.assertEqual(shown(self.out.getvalue()), ["short"])

    def test_long_lines_are_wrapped_and_the_last_left_out(self) -> None:
        screen = Screen(self.out, lambda: (20, 4))
        screen.show("  to one at a place, for long\nthree\nfour\nfive")
        self.assertEqual(
            shown(self.out.getvalue()), ["  to one at a place,", "      for long", "... and 3 more lines"]
        )

    def test_cursor_is_there_again_at_the_end(self) -> None:
        screen = Screen(self.out, lambda: (80, 24))
        screen.close()
        self.assertEqual(self.out.getvalue(), "")
        screen.show("text")
        screen.close()
        self.assertTrue(self.out.getvalue().startswith("\x1b[?25l"))
        self.assertTrue(self.out.getvalue().endswith("\x1b[?25h"))

    def test_without_a_terminal_there_are_no_escapes(self) -> None:
        paper = Paper(self.out)
        paper.show("one")
        paper.show("two")
        paper.close()
        self.assertEqual(self.out.getvalue(), "one\n\ntwo\n")

    def test_dumb_terminals_and_pipes_are_paper(self) -> None:
        self.assertIsInstance(screen_of(self.out, {"TERM": "xterm"}), Paper)
        self.out.terminal = True
        self.assertIsInstance(screen_of(self.out, {"TERM": "xterm"}), Screen)
        for environment in ({"TERM": "dumb"}, {}):
            self.assertIsInstance(screen_of(self.out, environment), Paper)


class RateTests(SynchronousTestCase):
    def test_rates_of_streams_are_smoothed(self) -> None:
        rates = StreamRates()

        def at(now: float, sent: int, received: int) -> Any:
            return rates.of([{"number": 1, "sent": sent, "received": received}], now)[1]

        self.assertEqual(at(10, 500, 0), (0.0, 0.0))
        self.assertEqual(at(12, 700, 40), (50.0, 10.0))
        self.assertEqual(at(12, 700, 40), (50.0, 10.0))
        self.assertEqual(at(14, 700, 40), (25.0, 5.0))

    def test_streams_of_a_daemon_that_does_not_number_them_have_none(self) -> None:
        self.assertEqual(StreamRates().of([{"sent": 1, "received": 2}], 0), {})


class FakeClient:
    """A daemon at the other end, which may be gone."""

    def __init__(self, daemon: FakeDaemon) -> None:
        self.daemon = daemon

    def ask(self, *_: object) -> Any:
        if self.daemon.gone:
            raise ClientError("the daemon has stopped")
        return argparse.Namespace(status=self.daemon.source.status())

    def __exit__(self, *_: object) -> None:
        self.daemon.open -= 1


class FakeDaemon:
    def __init__(self) -> None:
        self.source = SampleSource()
        self.gone = False
        self.open = 0

    def connect(self) -> Any:
        if self.gone:
            raise ClientError("no daemon runs there")
        self.open += 1
        return FakeClient(self)


class WatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.daemon = FakeDaemon()
        self.out = Output()
        self.patch(sys, "stdout", self.out)
        self.environment = {"TERM": "xterm"}
        self.patch(screening.shutil, "get_terminal_size", lambda: os.terminal_size((120, 100)))
        self.patch(watching, "screen_of", lambda out: screen_of(out, self.environment))

    def run_it(self, *arguments: str, looks: int = 3, between: Any = None) -> None:
        options = make_parser().parse_args(["status", "--watch", *arguments])
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == looks:
                raise KeyboardInterrupt
            if between is not None:
                between(len(waits))

        watch_status(self.daemon.connect, options.watch, options.json, wait)
        self.assertEqual(set(waits), {options.watch})
        self.assertEqual(self.daemon.open, 0)

    def test_terminal_shows_the_latest_status_with_rates(self) -> None:
        self.out.terminal = True
        self.run_it()
        rows = shown(self.out.getvalue())
        self.assertEqual(len([row for row in rows if row.startswith("name:")]), 1)
        self.assertTrue([row for row in rows if re.search(r"round trip\s+[\d.]+ ms", row)])

    def test_pipe_gets_one_text_after_the_other(self) -> None:
        self.run_it()
        self.assertEqual(self.out.getvalue().count("\nname:"), 2)
        self.assertNotIn("\x1b", self.out.getvalue())
        self.assertIn("/s out, ", self.out.getvalue())

    def test_json_is_a_line_each(self) -> None:
        self.run_it("--json")
        lines = self.out.getvalue().splitlines()
        self.assertEqual([json.loads(line)["state"] for line in lines], ["connected"] * 3)

    def test_interval_can_be_given(self) -> None:
        self.run_it("5")
        self.assertEqual(make_parser().parse_args(["status", "--watch", "5"]).watch, 5.0)
        self.assertEqual(make_parser().parse_args(["status", "--watch"]).watch, 1.0)
        self.assertIsNone(make_parser().parse_args(["status"]).watch)

    def test_daemon_that_is_not_there_at_the_start_ends_it(self) -> None:
        self.daemon.gone = True
        self.assertRaises(ClientError, self.run_it)

    def test_terminal_waits_for_a_daemon_that_restarts(self) -> None:
        self.out.terminal = True
        said = []

        def between(look: int) -> None:
            said.append(shown(self.out.getvalue())[0])
            self.daemon.gone = look < 3

        self.run_it(looks=5, between=between)
        self.assertEqual(said[1:3], ["the daemon has stopped", "no daemon runs there"])
        self.assertTrue(shown(self.out.getvalue())[0].startswith("name:"))

    def test_program_hears_of_the_end_of_the_daemon(self) -> None:
        for arguments in ((), ("--json",)):
            self.daemon.gone = False
            with self.assertRaises(ClientError):
                self.run_it(*arguments, between=lambda look: setattr(self.daemon, "gone", True))

    def test_look_needs_no_terminal_size_to_show_a_status(self) -> None:
        watch = StatusWatch(self.daemon.source.status, Paper(self.out), False)
        watch.look(0)
        watch.look(1)
        self.assertEqual(self.out.getvalue().count("name:"), 2)
