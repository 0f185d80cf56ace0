"""Some of the networks that are hard on nodes; all of them are played by the command."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from routing_crust.endpoints import PathKind

from ..lab import why_not
from ..matrix import ONLY_A_TUNNEL, Try
from .measure import Measured, measure
from .network import Network, networks
from .table import as_csv

CHOSEN: Final = (
    "restricted - restricted, each with 16 ports and connections",
    "IPv6 alone, firewall - IPv4 alone, symmetric",
    "restricted - phone with WLAN (port-restricted) and mobile network (symmetric)",
)


class NetworksTests(SynchronousTestCase):
    def test_two_nodes_find_each_other_and_go_on_after_each_event(self) -> None:
        reason = why_not(delay=True)
        if reason:
            raise SkipTest(reason)
        chosen = [each for each in networks() if each.name in CHOSEN]
        self.assertEqual(len(chosen), len(CHOSEN))
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for each in threads.map(measure, chosen):
                self.assertIn(each.first.path_kind, each.network.expected, each)
                self.assertEqual(each.again.keys(), each.network.events.keys(), each)


class TableTests(SynchronousTestCase):
    network = Network("a, b", {}, ONLY_A_TUNNEL, {"flood": lambda lab: None}, within=8.0)

    def measured(self, path_kind: PathKind = PathKind.TUNNEL, again: float = 7.9) -> Measured:
        return Measured(self.network, Try(path_kind, 0.5, 0.61), 0.4, {"flood": (again, "tunnel")})

    def test_line_has_all_that_was_measured(self) -> None:
        lines = as_csv([self.measured()]).splitlines()
        self.assertEqual(lines[0], "network,joined,link,first message,a message again after")
        self.assertEqual(lines[1], '"a, b",0.4 s,"tunnel, 0.5 s",0.6 s,flood: 7.9 s (tunnel)')

    def test_what_is_worse_or_late_is_marked(self) -> None:
        self.assertTrue(self.measured().is_good)
        late, worse = self.measured(again=8.1), self.measured(PathKind.DIRECT)
        unfinished = Measured(self.network, self.measured().first)
        for each in (late, worse, unfinished):
            self.assertFalse(each.is_good)
            self.assertIn("a, b **(not as it must be)**", as_csv([each]))
