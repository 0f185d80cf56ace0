"""
Signals to a daemon: it ends in good order, or reads its settings again, at whatever moment they come.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.signals import HANDLED, DaemonSignals


class FakeReactor:
    """Keeps what it is asked for until it runs."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self.ended_by: list[int] = []

    def callFromThread(self, function: Callable[..., object], *arguments: Any) -> None:
        self.calls.append((function, arguments))

    def run_calls(self) -> None:
        calls, self.calls = self.calls, []
        for function, arguments in calls:
            function(*arguments)

    def sigTerm(self, number: int, frame: object) -> None:
        self.ended_by.append(number)


class SignalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        for each in HANDLED:
            self.addCleanup(signal.signal, each, signal.getsignal(each))
            signal.signal(each, signal.SIG_DFL)

    def send(self, number: int) -> None:
        """Send ourselves a signal. One that nothing handles would end the run of tests without a word."""
        self.assertIsNot(signal.getsignal(number), signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def test_sigterm_stops_the_reactor_instead_of_the_process(self) -> None:
        signals = DaemonSignals(self.reactor)
        self.send(signal.SIGTERM)
        self.assertEqual(self.reactor.ended_by, [signal.SIGTERM])
        signals.restore()

    def test_terminal_that_is_closed_stops_the_reactor_once(self) -> None:
        terminals = [True, False, False, False]
        signals = DaemonSignals(self.reactor, lambda: terminals.pop(0))
        for each in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
            self.send(each)
        self.assertEqual(self.reactor.ended_by, [signal.SIGHUP])
        self.assertEqual(len(self.reactor.calls), 1)
        signals.restore()

    def test_sighup_reloads_and_a_burst_of_it_is_one(self) -> None:
        for terminal in (True, False):
            there = [terminal]
            reloads: list[None] = []
            signals = DaemonSignals(self.reactor, partial(all, there))
            signals.reload = partial(reloads.append, None)
            for _ in range(5):
                self.send(signal.SIGHUP)
            self.reactor.run_calls()
            self.assertEqual((len(reloads), self.reactor.ended_by), (1, []))
            # one that comes later is another
            self.send(signal.SIGHUP)
            self.reactor.run_calls()
            self.assertEqual(len(reloads), 2)
            signals.restore()

    def test_sighup_before_the_daemon_runs_is_no_error(self) -> None:
        signals = DaemonSignals(self.reactor, lambda: False)
        self.send(signal.SIGHUP)
        self.reactor.run_calls()
        self.assertEqual(self.reactor.ended_by, [])
        signals.restore()

    def test_ignored_and_taken_signals_stay_as_they_are(self) -> None:
        """C{nohup} has the process ignore it, and the reactor handles C{SIGTERM} once it runs."""
        taken: list[int] = []

        def handler(number: int, frame: object) -> None:
            taken.append(number)

        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, handler)
        signals = DaemonSignals(self.reactor)
        self.send(signal.SIGHUP)
        self.send(signal.SIGTERM)
        self.assertEqual((taken, self.reactor.ended_by), ([signal.SIGTERM], []))
        signals.restore()
        self.assertIs(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)
        self.assertIs(signal.getsignal(signal.SIGTERM), handler)

    def test_restoring_leaves_alone_what_another_has_taken(self) -> None:
        signals = DaemonSignals(self.reactor)

        def handler(number: int, frame: object) -> None:
            """The reactor's, for example."""

        signal.signal(signal.SIGTERM, handler)
        signals.restore()
        signals.restore()
        self.assertIs(signal.getsignal(signal.SIGHUP), signal.SIG_DFL)
        self.assertIs(signal.getsignal(signal.SIGTERM), handler)
