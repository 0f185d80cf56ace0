"""
Signals to a daemon: each of them ends it in good order, at whatever moment it comes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.signals import ENDING, StopOnSignals


class FakeReactor:
    """Keeps what it is asked for until it runs."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self.ended_by: list[int] = []

    def callFromThread(self, function: Callable[..., object], *arguments: Any) -> None:
        self.calls.append((function, arguments))

    def sigTerm(self, number: int, frame: object) -> None:
        self.ended_by.append(number)


class SignalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        for each in ENDING:
            self.addCleanup(signal.signal, each, signal.getsignal(each))
            signal.signal(each, signal.SIG_DFL)

    def send(self, number: int) -> None:
        """Send ourselves a signal. One that nothing handles would end the run of tests without a word."""
        self.assertIsNot(signal.getsignal(number), signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def test_each_signal_stops_the_reactor_instead_of_the_process(self) -> None:
        for each in ENDING:
            self.reactor.ended_by.clear()
            signals = StopOnSignals(self.reactor)
            self.send(each)
            self.assertEqual(self.reactor.ended_by, [each])
            signals.restore()

    def test_a_second_signal_changes_nothing(self) -> None:
        signals = StopOnSignals(self.reactor)
        for each in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
            self.send(each)
        self.assertEqual(self.reactor.ended_by, [signal.SIGHUP])
        self.assertEqual(len(self.reactor.calls), 1)
        signals.restore()

    def test_ignored_and_taken_signals_stay_as_they_are(self) -> None:
        """C{nohup} has the process ignore it, and the reactor handles C{SIGTERM} once it runs."""
        taken: list[int] = []

        def handler(number: int, frame: object) -> None:
            taken.append(number)

        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, handler)
        signals = StopOnSignals(self.reactor)
        self.send(signal.SIGHUP)
        self.send(signal.SIGTERM)
        self.assertEqual((taken, self.reactor.ended_by), ([signal.SIGTERM], []))
        signals.restore()
        self.assertIs(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)
        self.assertIs(signal.getsignal(signal.SIGTERM), handler)

    def test_restoring_leaves_alone_what_another_has_taken(self) -> None:
        signals = StopOnSignals(self.reactor)

        def handler(number: int, frame: object) -> None:
            """The reactor's, for example."""

        signal.signal(signal.SIGTERM, handler)
        signals.restore()
        signals.restore()
        self.assertIs(signal.getsignal(signal.SIGHUP), signal.SIG_DFL)
        self.assertIs(signal.getsignal(signal.SIGTERM), handler)
