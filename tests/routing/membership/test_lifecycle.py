"""
What a node says while it looks for a way into its network.
"""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.routing.events import Observers
from routing_crust.routing.membership.lifecycle import MAX_RETRY_SECONDS, Lifecycle


class BootstrapTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.patch(Lifecycle, "log", Logger(observer=LogPublisher(self.events.append)))
        self.clock = Clock()
        node: Any = SimpleNamespace(
            settings=Settings(),
            clock=self.clock,
            random=Random(1),
            incarnation=1,
            crust=SimpleNamespace(bootstrap=lambda: None),
        )
        self.lifecycle = Lifecycle(node, Observers())
        self.lifecycle.machine.start()

    def fail_with(self, problem: str) -> None:
        self.lifecycle.bootstrap_finished(problem)
        self.clock.advance(MAX_RETRY_SECONDS)

    def said(self) -> list[object]:
        return [event["problem"] for event in self.events if event["log_level"] is LogLevel.info]

    def test_the_same_problem_is_said_once_while_it_goes_on_trying(self) -> None:
        for problem in ("a: refused", "a: refused", "a: no answer", "a: no answer", "a: refused", ""):
            self.fail_with(problem)
        self.assertEqual(self.said(), ["a: refused", "a: no answer", "a: refused", "no contact let us in"])

    def test_the_problem_is_news_again_after_the_node_was_connected(self) -> None:
        self.fail_with("a: refused")
        self.lifecycle.machine.table_entry_added()
        self.lifecycle.machine.last_link_lost()
        self.clock.advance(MAX_RETRY_SECONDS)
        self.fail_with("a: refused")
        self.assertEqual(self.said(), ["a: refused", "a: refused"])

    def test_the_problem_is_known_until_there_is_a_link(self) -> None:
        self.assertEqual(self.lifecycle.problem, "")
        self.fail_with("a: refused")
        self.assertEqual(self.lifecycle.problem, "a: refused")
        self.lifecycle.machine.table_entry_added()
        self.assertEqual(self.lifecycle.problem, "")
